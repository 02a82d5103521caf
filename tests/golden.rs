//! Fixed problems with fixed hashes: the same bits on every machine, architecture and version. They are
//! those that the command `softdot verify` computes.

mod common;

#[cfg(feature = "half")]
#[path = "../cli/src/verify/narrow.rs"]
mod narrow;
#[path = "../cli/src/verify/problems/mod.rs"]
mod problems;

use common::isas;
use problems::hash::fnv1a;
use problems::inputs::exact;
use problems::problem::{Problem, Setting};
use softdot::Threads;

#[cfg(feature = "half")]
fn narrow_problems() -> impl Iterator<Item = Problem> {
    narrow::PROBLEMS.into_iter()
}

#[cfg(not(feature = "half"))]
fn narrow_problems() -> impl Iterator<Item = Problem> {
    std::iter::empty()
}

/// The hash itself: its offset basis, a published test vector, one NaN for all.
#[test]
fn the_hash_is_fnv1a() {
    assert_eq!(fnv1a::<f32>(&[]), 0xcbf2_9ce4_8422_2325);
    // "abcd", whose FNV-1a 64 is published with the algorithm.
    assert_eq!(fnv1a(&[f32::from_le_bytes(*b"abcd")]), 0xfc17_9f83_ee07_24dd);
    assert_eq!(fnv1a(&[f32::NAN]), fnv1a(&[-f32::from_bits(0x7fa0_0001)]));
    assert_eq!(fnv1a(&[f64::NAN]), fnv1a(&[-f64::NAN]));
}

#[test]
fn every_problem() {
    let mut wrong = Vec::new();
    for isa in isas() {
        for threads in [Threads::Serial, Threads::Pool] {
            for Problem { name, hashes, expected } in problems::problems().chain(narrow_problems())
            {
                let found = hashes(Setting { isa, threads }).expect("a valid problem");
                if found != expected {
                    wrong.push(format!("{isa}, {threads:?}: {name}: {found:#018x?}"));
                }
            }
        }
        println!("{isa}: {} problems", problems::problems().chain(narrow_problems()).count());
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn powers_of_two() {
    for isa in isas() {
        let mut powers: Vec<f32> = exact(2048, 37).iter().map(|x| (x - 2.0) * 16.0).collect();
        softdot::testing::exp2(isa, &mut powers);
        assert_eq!(fnv1a(&powers), 0x7b8d_fd2e_0656_b8cf, "{isa}");
    }
}
