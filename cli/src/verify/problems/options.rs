//! Each option between scores and weights, and all at once.

use super::inputs::{Extents, Inputs, exact};
use super::problem::{Hashes, Problem, Setting};
use softdot::{Causal, TensorRef};

/// All of them.
pub const PROBLEMS: [Problem; 9] = [
    Problem {
        name: "causal",
        hashes: causal,
        expected: &[
            0x93cf_054c_663d_b3c5,
            0x229f_22d3_36ad_18ca,
            0x8d09_1da0_5150_07e2,
            0x3de8_a06b_1da3_bb1d,
            0xa310_eda3_8d7a_4a10,
            0xe8f9_9495_8218_6d2f,
            0x5590_cd5d_3635_2334,
            0xfca5_6b4b_ad79_1dc1,
            0xccca_2c70_2ad3_a9a1,
            0xba40_71e0_4057_9b55,
            0x618c_72f6_b2d8_f8c5,
            0xabc9_efa1_f1a1_d762,
            0xc4b5_eb4c_4f7e_5e39,
            0xa01d_7b6a_cde3_aeff,
            0xa70a_ccd8_2bc6_9062,
            0x05bf_9889_48d1_0b4c,
            0x73f8_ef62_9335_0cb0,
            0x0190_3e0d_ae39_1d16,
        ],
    },
    Problem {
        name: "window",
        hashes: window,
        expected: &[
            0x4427_4c7b_9407_76a0,
            0xbbb3_9691_15f6_d710,
            0x3551_d63e_4aeb_d4cd,
            0x9250_ba1a_10e3_54a2,
            0x0b3a_b710_ba18_ba0a,
            0x6eff_564b_8ef5_6e06,
        ],
    },
    Problem {
        name: "mask",
        hashes: mask,
        expected: &[
            0x074b_59de_4502_9ffd,
            0xa311_9907_2336_9dbc,
            0xcc0c_fcc5_ef87_3cb9,
            0xb63e_50da_547c_9d49,
            0x28ee_7d87_f472_0a3e,
            0x46ed_b235_167f_f691,
        ],
    },
    Problem {
        name: "bias",
        hashes: bias,
        expected: &[0x7067_19a8_f872_c278, 0xb509_117d_7074_f22a, 0xb3e4_e4b1_1308_0a29],
    },
    Problem {
        name: "ALiBi",
        hashes: alibi,
        expected: &[0xc943_de6d_7ac9_ba5b, 0xb44e_8756_911e_6008, 0x398e_db6e_0c7d_f3d1],
    },
    Problem {
        name: "softcap",
        hashes: softcap,
        expected: &[0x4782_c309_3826_5b69, 0x98bc_bfe1_da0b_3d54, 0x9083_7663_d8a6_60cd],
    },
    Problem {
        name: "key lengths",
        hashes: key_lengths,
        expected: &[0xb015_382c_5d54_c54b, 0x534c_e73d_4669_06a6, 0xba11_f31b_dd62_b615],
    },
    Problem {
        name: "sinks",
        hashes: sinks,
        expected: &[0xda2b_b4dc_9dda_6ebc, 0x3791_f1b4_4e18_df7d, 0x26e1_24fd_b9f3_5a19],
    },
    Problem {
        name: "all options",
        hashes: all_options,
        expected: &[0x9070_37cf_744f_8d33, 0x1638_c38f_35c0_eee9, 0x0f5f_588f_0cca_c86a],
    },
];

const ROWS: usize = 49;
const KEYS: usize = 91;
/// Work enough to be shared.
const EXTENTS: Extents = Extents::new([1, 4, 2], [ROWS, KEYS, 64]);
/// The standard slopes of 4 heads.
const SLOPES: [f32; 4] = [0.25, 0.0625, 0.015625, 0.00390625];
const SINKS: [f32; 4] = [0.5, -1.25, 3.0, f32::NEG_INFINITY];

/// Of many keys, and of few, which take another path.
fn causal(setting: Setting) -> Hashes {
    let mut hashes = Vec::new();
    for extents in [EXTENTS, Extents::new([3, 4, 2], [11, 14, 64])] {
        let inputs = Inputs::new(extents);
        for causal in [Causal::TopLeft, Causal::BottomRight, Causal::Offset(-3)] {
            hashes.extend(inputs.hashes(&setting.attention().causal(causal))?);
        }
    }
    Ok(hashes)
}

fn window(setting: Setting) -> Hashes {
    let inputs = Inputs::new(EXTENTS);
    let mut hashes = inputs.hashes(&setting.attention().window(7, 2))?;
    let causal = setting.attention().causal(Causal::TopLeft).window(16, None);
    hashes.extend(inputs.hashes(&causal)?);
    Ok(hashes)
}

/// One for each head, and one for all rows.
fn mask(setting: Setting) -> Hashes {
    let attend: Vec<bool> = exact(4 * ROWS * KEYS, 71).iter().map(|&x| x > -0.75).collect();
    let inputs = Inputs::new(EXTENTS);
    let of_heads = TensorRef::new(&attend[..], [4, ROWS, KEYS]);
    let mut hashes = inputs.hashes(&setting.attention().mask(of_heads))?;
    let of_keys = TensorRef::new(&attend[..KEYS], [1, KEYS]);
    hashes.extend(inputs.hashes(&setting.attention().mask(of_keys))?);
    Ok(hashes)
}

fn bias(setting: Setting) -> Hashes {
    let bias = bias_of_heads();
    let bias = TensorRef::new(&bias[..], [4, ROWS, KEYS]);
    Inputs::new(EXTENTS).hashes(&setting.attention().bias(bias))
}

/// Some of which exclude.
fn bias_of_heads() -> Vec<f32> {
    let mut bias = exact(4 * ROWS * KEYS, 71);
    bias.iter_mut().step_by(5).for_each(|bias| *bias = f32::NEG_INFINITY);
    bias
}

fn alibi(setting: Setting) -> Hashes {
    Inputs::new(EXTENTS).hashes(&setting.attention().alibi_slopes(&SLOPES))
}

fn softcap(setting: Setting) -> Hashes {
    Inputs::new(EXTENTS).hashes(&setting.attention().softcap(1.5))
}

fn key_lengths(setting: Setting) -> Hashes {
    let inputs = Inputs::new(Extents::new([3, 4, 2], [20, 70, 64]));
    inputs.hashes(&setting.attention().key_lengths(&[70, 33, 0]))
}

fn sinks(setting: Setting) -> Hashes {
    Inputs::new(EXTENTS).hashes(&setting.attention().sinks(&SINKS))
}

fn all_options(setting: Setting) -> Hashes {
    let attend: Vec<bool> = exact(ROWS * KEYS, 53).iter().map(|&x| x > -1.75).collect();
    let bias = bias_of_heads();
    let attention = setting.attention().scale(0.25).softcap(20.0).alibi_slopes(&SLOPES);
    let attention = attention.bias(TensorRef::new(&bias[..], [4, ROWS, KEYS]));
    let attention = attention.mask(TensorRef::new(&attend[..], [ROWS, KEYS]));
    let attention = attention.causal(Causal::BottomRight).window(60, 0).sinks(&SINKS);
    Inputs::new(EXTENTS).hashes(&attention.key_lengths(&[80]))
}
