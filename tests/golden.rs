//! Fixed problems with fixed hashes: the same bits on every machine, architecture and version.
//!
//! Inputs come from integers and are exact in f32; no library function is involved. The hashes
//! were recorded on x86-64 and change only if the numerics contract does.

mod common;

use common::call::{Stage, dot_on, scaled_softmax_on};
use common::{Extents, Problem, isas, serial};
use softdot::Isa;

/// FNV-1a with 64 bits, over the little-endian bytes of the results' bits.
fn fnv1a(values: &[f32]) -> u64 {
    let bytes = values.iter().flat_map(|&value| common::bits(value).to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Multiples of 1/64 in [−2, 2], without a short period.
fn exact(length: usize, step: usize) -> Vec<f32> {
    (0..length).map(|i| ((i * step + i / 61 * 17) % 257) as f32 / 64.0 - 2.0).collect()
}

fn problem(extents: Extents) -> Problem {
    Problem {
        extents,
        query: exact(extents.query_shape().iter().product(), 37),
        key: exact(extents.key_shape().iter().product(), 101),
    }
}

/// The hash of one problem on one instruction set.
fn hash(isa: Isa, extents: Extents, stage: Stage, scale: Option<f32>) -> u64 {
    let attention = serial(isa).stage(stage);
    let attention = scale.into_iter().fold(attention, |attention, scale| attention.scale(scale));
    fnv1a(&problem(extents).compute(&attention))
}

/// The hash itself: its offset basis, a published test vector, one NaN for all.
#[test]
fn the_hash_is_fnv1a() {
    assert_eq!(fnv1a(&[]), 0xcbf2_9ce4_8422_2325);
    // "abcd", whose FNV-1a 64 is published with the algorithm.
    assert_eq!(fnv1a(&[f32::from_le_bytes(*b"abcd")]), 0xfc17_9f83_ee07_24dd);
    assert_eq!(fnv1a(&[f32::NAN]), fnv1a(&[-f32::from_bits(0x7fa0_0001)]));
}

#[test]
fn attention() {
    let heads =
        |rows, keys, head_dim, heads| Extents::single(rows, keys, head_dim).with_heads(heads);
    let (scores, weights) = (Stage::Scores, Stage::Weights);
    let one = [1, 1, 1];
    let problems = [
        (heads(1, 1, 1, one), scores, None, 0x4b72_b67f_9c5c_ec35),
        (heads(5, 7, 3, one), scores, None, 0x5410_9166_fc2d_f4dd),
        (heads(5, 7, 3, one), weights, None, 0x36cb_d57b_8eb7_046d),
        (heads(13, 33, 64, one), scores, Some(0.3), 0x796e_0c60_08cb_38d2),
        (heads(13, 33, 64, one), weights, Some(0.3), 0xdc86_4a37_e6ea_cc38),
        (heads(49, 65, 17, one), weights, None, 0x0338_8c11_6093_6291),
        (heads(2, 1025, 8, one), weights, Some(-0.7), 0x7b3d_f005_8dca_4f30),
        (heads(3, 3000, 5, one), weights, Some(4.0), 0xbc1b_fda1_77c0_8c36),
        (heads(3, 3000, 0, one), weights, None, 0xa39e_0ab3_458d_e605),
        (heads(9, 40, 32, [2, 4, 2]), weights, None, 0x1f73_d694_50b6_d4cc),
        (heads(4, 17, 128, [1, 8, 1]), weights, None, 0xcd14_5eff_0764_2aea),
        (heads(7, 100, 96, [2, 2, 2]), scores, None, 0xad4b_8b64_dc95_c037),
        (heads(6, 31, 4, one), weights, Some(1e38), 0x8264_3ef9_9e8c_e4db),
    ];
    let mut wrong = Vec::new();
    for isa in isas() {
        for (i, (extents, stage, scale, expected)) in problems.into_iter().enumerate() {
            let found = hash(isa, extents, stage, scale);
            if found != expected {
                wrong.push(format!("{isa}: problem {i}: {found:#018x}"));
            }
        }
        println!("{isa}: {} problems", problems.len());
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn primitives() {
    let (a, b) = (exact(3001, 37), exact(3001, 101));
    let special = [1.0, f32::NEG_INFINITY, -1e4, 0.0, -0.0, f32::from_bits(1), -87.5, 0.5];
    for isa in isas() {
        let product = dot_on(isa, &a, &b).expect("equal lengths");
        let softmax = |row: &[f32], scale| {
            let mut output = vec![0.0; row.len()];
            scaled_softmax_on(isa, row, scale, &mut output).expect("valid");
            fnv1a(&output)
        };
        let mut powers: Vec<f32> = exact(2048, 37).iter().map(|x| (x - 2.0) * 16.0).collect();
        softdot::testing::exp2(isa, &mut powers);
        let found = [fnv1a(&[product]), softmax(&a, 1.0), softmax(&special, 1.0), fnv1a(&powers)];
        let expected = [
            0x8ba6_69c3_d1c7_06f4,
            0x7461_b008_d8e0_799c,
            0xe883_2d0e_0923_fa37,
            0x7b8d_fd2e_0656_b8cf,
        ];
        assert!(found == expected, "{isa}: {found:#018x?}");
    }
}
