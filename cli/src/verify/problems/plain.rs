//! Each result, each path and each source of keys, without the options between scores and weights.

use super::hash::fnv1a;
use super::inputs::{Extents, Inputs, exact, zeros};
use super::problem::{Hashes, Problem, Setting};
use softdot::{Logits, Outputs, PackedKeys, Primitives, TensorMut, Workspace};

/// All of them.
pub const PROBLEMS: [Problem; 11] = [
    Problem {
        name: "scores",
        hashes: scores,
        expected: &[
            0x4b72_b67f_9c5c_ec35,
            0x5410_9166_fc2d_f4dd,
            0x796e_0c60_08cb_38d2,
            0xad4b_8b64_dc95_c037,
        ],
    },
    Problem {
        name: "weights",
        hashes: weights,
        expected: &[
            0x36cb_d57b_8eb7_046d,
            0xdc86_4a37_e6ea_cc38,
            0x0338_8c11_6093_6291,
            0x7b3d_f005_8dca_4f30,
            0xbc1b_fda1_77c0_8c36,
            0xa39e_0ab3_458d_e605,
            0x1f73_d694_50b6_d4cc,
            0xcd14_5eff_0764_2aea,
            0x8264_3ef9_9e8c_e4db,
        ],
    },
    Problem {
        name: "output",
        hashes: output,
        expected: &[0xad65_28a8_0062_87a2, 0x0244_a8e9_c084_3fc5, 0x14b1_2d46_3d02_a62e],
    },
    Problem {
        name: "statistics",
        hashes: statistics,
        expected: &[
            0x40a1_a487_48bb_235d,
            0x8729_59c4_2269_5b9f,
            0xe6d3_45a8_e964_93a3,
            0x629b_0305_4d2b_3029,
            0x7028_cf7f_7f3f_652b,
            0x50ea_a408_c8e0_e4ba,
            0xad38_9d24_be61_77af,
            0x0289_94a6_8f06_3bf2,
            0xaaf8_c4c9_bc82_a01c,
            0x5a3f_2391_4646_15f3,
        ],
    },
    Problem {
        name: "grouped heads",
        hashes: grouped_heads,
        expected: &[0x8bbf_40d2_d960_f8fa, 0x5035_8023_753f_32d2, 0xa819_b516_6043_bf0d],
    },
    Problem {
        name: "few rows",
        hashes: few_rows,
        expected: &[
            0x99ad_419b_80f2_96db,
            0x069d_77f0_fe70_f4f3,
            0x6113_8472_e5e5_e237,
            0x758f_d693_6c6c_5e91,
            0xb0f0_50c4_2e78_e996,
            0x0330_49a7_02d9_841e,
        ],
    },
    Problem {
        name: "packed keys",
        hashes: packed_keys,
        expected: &[
            0x059d_8d9c_f1a7_5feb,
            0xb41b_f0f1_aa9e_ec1c,
            0x7f39_e6d6_f6f4_d1d1,
            0x6659_6e83_c7e8_5ea9,
        ],
    },
    Problem {
        name: "several segments",
        hashes: several_segments,
        expected: &[0x052a_6519_d5b2_1223, 0x89ab_2c37_581f_56e5, 0x83e9_9a7a_121e_3848],
    },
    Problem {
        name: "NaN and infinity",
        hashes: special_values,
        expected: &[0xb210_ede0_e387_06bd, 0xad76_1f8f_bc8a_df6b, 0xa1b2_8524_6ea2_bf57],
    },
    Problem { name: "dot product", hashes: dot_product, expected: &[0x8ba6_69c3_d1c7_06f4] },
    Problem {
        name: "softmax of a row",
        hashes: softmax,
        expected: &[0x7461_b008_d8e0_799c, 0xe883_2d0e_0923_fa37],
    },
];

const ONE_HEAD: [usize; 3] = [1, 1, 1];

fn scores(setting: Setting) -> Hashes {
    let problems = [
        (Extents::new(ONE_HEAD, [1, 1, 1]), None),
        (Extents::new(ONE_HEAD, [5, 7, 3]), None),
        (Extents::new(ONE_HEAD, [13, 33, 64]), Some(0.3)),
        (Extents::new([2, 2, 2], [7, 100, 96]), None),
    ];
    let hash = |(extents, scale): (_, Option<f32>)| {
        let inputs = Inputs::new(extents);
        let attention = setting.attention();
        let attention =
            scale.into_iter().fold(attention, |attention, scale| attention.scale(scale));
        Ok(fnv1a(&attention.logits(inputs.query(), inputs.key(), Logits::Scores)?))
    };
    problems.into_iter().map(hash).collect()
}

fn weights(setting: Setting) -> Hashes {
    let problems = [
        (Extents::new(ONE_HEAD, [5, 7, 3]), None),
        (Extents::new(ONE_HEAD, [13, 33, 64]), Some(0.3)),
        (Extents::new(ONE_HEAD, [49, 65, 17]), None),
        (Extents::new(ONE_HEAD, [2, 1025, 8]), Some(-0.7)),
        (Extents::new(ONE_HEAD, [3, 3000, 5]), Some(4.0)),
        (Extents::new(ONE_HEAD, [3, 3000, 0]), None),
        (Extents::new([2, 4, 2], [9, 40, 32]), None),
        (Extents::new([1, 8, 1], [4, 17, 128]), None),
        (Extents::new(ONE_HEAD, [6, 31, 4]), Some(1e38)),
    ];
    let hash = |(extents, scale): (_, Option<f32>)| {
        let inputs = Inputs::new(extents);
        let attention = setting.attention();
        let attention =
            scale.into_iter().fold(attention, |attention, scale| attention.scale(scale));
        Ok(fnv1a(&attention.weights(inputs.query(), inputs.key())?))
    };
    problems.into_iter().map(hash).collect()
}

/// Work enough to be shared; values narrower than keys.
fn output(setting: Setting) -> Hashes {
    let extents = Extents { v_dim: 40, ..Extents::new([1, 4, 4], [49, 91, 64]) };
    Inputs::new(extents).hashes(&setting.attention())
}

fn statistics(setting: Setting) -> Hashes {
    const LARGEST: usize = 5;
    let extents = Extents::new([1, 4, 2], [49, 91, 64]);
    let inputs = Inputs::new(extents);
    let [one, largest, all] = [1, LARGEST, extents.keys].map(|elements| extents.rows_of(elements));
    let of_keys = [1, extents.kv_heads, 1, extents.keys];
    let two_heads = [1, 2, extents.rows, extents.keys];
    let [mut max_logit, mut max_weight, mut entropy] = [(); 3].map(|()| zeros::<f32>(one));
    let (mut max_weight_key, mut top_weights, mut top_keys) =
        (zeros::<i64>(one), zeros::<f32>(largest), zeros::<i64>(largest));
    let (mut mass, mut key_max) = (zeros::<f64>(of_keys), zeros::<f32>(of_keys));
    let (mut of_heads, mut weights) = (zeros::<f32>(two_heads), zeros::<f32>(all));
    let outputs = Outputs::new()
        .max_logit(TensorMut::new(&mut max_logit[..], one))
        .max_weight(TensorMut::new(&mut max_weight[..], one))
        .max_weight_key(TensorMut::new(&mut max_weight_key[..], one))
        .entropy(TensorMut::new(&mut entropy[..], one))
        .top_k(
            TensorMut::new(&mut top_weights[..], largest),
            TensorMut::new(&mut top_keys[..], largest),
        )
        .key_mass(TensorMut::new(&mut mass[..], of_keys))
        .key_max(TensorMut::new(&mut key_max[..], of_keys))
        .mass_rows(7..extents.rows)
        .weights_of_heads(&[3, 0], TensorMut::new(&mut of_heads[..], two_heads))
        .weights(TensorMut::new(&mut weights[..], all));
    setting.attention().run(inputs.query(), inputs.key(), outputs, &mut Workspace::new())?;
    let rows = [max_logit, max_weight, entropy, top_weights, key_max, of_heads, weights];
    let keys = [max_weight_key, top_keys];
    let hashes = rows.iter().map(|result| fnv1a(result));
    let hashes = hashes.chain(keys.iter().map(|result| fnv1a(result)));
    Ok(hashes.chain([fnv1a(&mass)]).collect())
}

fn grouped_heads(setting: Setting) -> Hashes {
    Inputs::new(Extents::new([2, 6, 2], [33, 48, 64])).hashes(&setting.attention())
}

/// As in decoding: keys and values in the caller's order.
fn few_rows(setting: Setting) -> Hashes {
    let mut hashes = Vec::new();
    for rows in [1, 3] {
        let inputs = Inputs::new(Extents::new([1, 8, 2], [rows, 2100, 64]));
        hashes.extend(inputs.hashes(&setting.attention())?);
    }
    Ok(hashes)
}

fn packed_keys(setting: Setting) -> Hashes {
    let mut hashes = Vec::new();
    for rows in [1, 40] {
        let inputs = Inputs::new(Extents::new([1, 4, 2], [rows, 300, 32]));
        let mut packed = PackedKeys::new(1, 2, 32).isa(setting.isa);
        packed.append(inputs.key())?;
        let attention = setting.attention();
        let output = attention.output(inputs.query(), &packed, inputs.value())?;
        let weights = attention.weights(inputs.query(), &packed)?;
        hashes.extend([fnv1a(&output), fnv1a(&weights)]);
    }
    Ok(hashes)
}

/// Rows of more than 1,024 keys, whose sums merge in a tree.
fn several_segments(setting: Setting) -> Hashes {
    Inputs::new(Extents::new(ONE_HEAD, [25, 5000, 16])).hashes(&setting.attention().scale(0.5))
}

/// Rows, keys and values with NaN or infinities in them, beside finite ones.
fn special_values(setting: Setting) -> Hashes {
    let mut inputs = Inputs::new(Extents::new([1, 2, 2], [20, 50, 16]));
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::from_bits(1), -0.0];
    let place = |data: &mut [f32], step| {
        let places = data.iter_mut().step_by(step);
        places.zip(special).for_each(|(place, special)| *place = special);
    };
    place(&mut inputs.query, 37);
    place(&mut inputs.key, 131);
    place(&mut inputs.value, 83);
    inputs.hashes(&setting.attention())
}

fn dot_product(setting: Setting) -> Hashes {
    let product = Primitives::on(setting.isa)?.dot(&exact(3001, 37), &exact(3001, 101))?;
    Ok(vec![fnv1a(&[product])])
}

fn softmax(setting: Setting) -> Hashes {
    let special = [1.0, f32::NEG_INFINITY, -1e4, 0.0, -0.0, f32::from_bits(1), -87.5, 0.5];
    let primitives = Primitives::on(setting.isa)?;
    let hash = |mut row: Vec<f32>| {
        primitives.scaled_softmax_in_place(&mut row, 1.0)?;
        Ok(fnv1a(&row))
    };
    [exact(3001, 37), special.to_vec()].into_iter().map(hash).collect()
}
