//! The kernels' exp2 over its whole domain: every f32 ≤ 0 and every NaN.
//!
//! The widest instruction set is compared with the definition, the others with it, bit for bit.

mod common;

use common::{bits, emulated, fast_isas, isas};
use core::ops::Range;
use softdot::{Isa, testing};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// The argument with the largest error of all, and that error in ULPs of the unrounded value.
const WORST: (u32, f64) = (0xbeff_9641, 0.799_611_889);

/// The sum over the same range of `result bits · (argument bits | 1)`, modulo 2⁶⁴: one wrong bit
/// anywhere shows, here and on every other architecture.
const CHECKSUM: u64 = 0xa70d_4e42_eb02_ccd9;

const NEGATIVE_ZERO: u32 = 0x8000_0000;
/// −2⁻³⁰: from here to −0 the result is 1, since x · ln 2 is far below half an ULP of 1 (2⁻²⁵).
const NEAR_ZERO: u32 = 0xb080_0000;
/// −126: beyond it the result is +0.
const SMALLEST: u32 = 0xc2fc_0000;
const NEGATIVE_INFINITY: u32 = 0xff80_0000;

const CHUNK: usize = 1 << 12;

/// Which arguments of a range are looked at: every one, or runs of 16 with gaps.
#[derive(Clone, Copy)]
struct Sampling {
    /// From one run of [`CHUNK`] consecutive arguments to the next.
    stride: usize,
}

impl Sampling {
    /// Every argument; in a short run one in about a thousand.
    fn full() -> Self {
        Sampling { stride: if emulated() { 1021 * CHUNK + 16 } else { CHUNK } }
    }

    /// For instruction sets that take tens of nanoseconds for one argument.
    fn sparse() -> Self {
        Sampling { stride: if emulated() { 4091 * CHUNK + 16 } else { 251 * CHUNK + 16 } }
    }
}

/// Calls `check(first argument's bits, arguments)` on runs of consecutive bit patterns of the
/// range, on two threads. A run may go up to a multiple of 16 patterns past the range.
fn for_each_run(range: Range<u64>, sampling: Sampling, check: impl Fn(&[u32]) + Sync) {
    let runs = (range.end - range.start).div_ceil(sampling.stride as u64);
    thread::scope(|scope| {
        for half in 0..2 {
            let (range, check) = (range.clone(), &check);
            scope.spawn(move || {
                let mut arguments = Vec::with_capacity(CHUNK);
                for run in (half..runs).step_by(2) {
                    let start = range.start + run * sampling.stride as u64;
                    let end = range.end.min(start + CHUNK as u64);
                    arguments.clear();
                    arguments.extend((start..end).map(|bits| bits as u32));
                    check(&arguments);
                }
            });
        }
    });
}

/// exp2 of the arguments with these bits. The kernel takes whole multiples of 16: zeros fill up.
fn exp2(isa: Isa, arguments: &[u32]) -> Vec<f32> {
    let mut values: Vec<f32> = arguments.iter().map(|&bits| f32::from_bits(bits)).collect();
    values.resize(arguments.len().next_multiple_of(16), 0.0);
    testing::exp2(isa, &mut values);
    values.truncate(arguments.len());
    values
}

/// The widest instruction set of the machine.
fn widest() -> Isa {
    fast_isas()[0]
}

fn ulp_of_power(exponent: f64) -> f64 {
    (exponent.floor() - 23.0).exp2()
}

/// How far `found` is from 2ˣ in ULPs of 2ˣ, where f32 of that size are 2^(⌊x⌋ − 23) apart.
///
/// The oracle, f64's exp2, is off by less than 2 ULP of its own, which is 2⁻²⁸ of an ULP of f32.
fn error_in_ulps(x: f32, found: f32) -> f64 {
    let x = f64::from(x);
    (f64::from(found) - x.exp2()).abs() / ulp_of_power(x)
}

#[test]
fn within_one_ulp_of_the_definition() {
    let worst = Mutex::new((NEAR_ZERO, 0.0));
    let checksum = AtomicU64::new(0);
    let range = u64::from(NEAR_ZERO)..u64::from(SMALLEST) + 1;
    for_each_run(range, Sampling::full(), |arguments| {
        let results = exp2(widest(), arguments);
        let mut worst_here = (0, 0.0);
        let mut sum = 0u64;
        for (&argument, result) in arguments.iter().zip(results) {
            sum =
                sum.wrapping_add(u64::from(result.to_bits()).wrapping_mul(u64::from(argument | 1)));
            let error = error_in_ulps(f32::from_bits(argument), result);
            if error.is_nan() || error > worst_here.1 {
                worst_here = (argument, error);
            }
        }
        checksum.fetch_add(sum, Ordering::Relaxed);
        let mut worst = worst.lock().expect("no panic under the lock");
        // Of equal errors the smallest argument, whatever order the threads come in.
        if worst_here.1 > worst.1 || (worst_here.1 == worst.1 && worst_here.0 < worst.0) {
            *worst = worst_here;
        }
        assert!(worst_here.1 <= 1.0, "{:e}: {} ULP", f32::from_bits(worst_here.0), worst_here.1);
    });
    let (argument, error) = *worst.lock().expect("no panic under the lock");
    let x = f32::from_bits(argument);
    println!("{}: worst argument {x:e} ({argument:#010x}), {error:.9} ULP", widest());
    if !emulated() {
        assert_eq!(argument, WORST.0);
        assert_eq!(checksum.into_inner(), CHECKSUM);
    }
    assert!(error <= WORST.1 + 1e-6);
}

#[test]
fn the_worst_argument_is_as_bad_as_recorded() {
    for isa in isas() {
        let error = error_in_ulps(f32::from_bits(WORST.0), exp2(isa, &[WORST.0])[0]);
        assert!((error - WORST.1).abs() < 1e-6, "{isa}: {error} ULP");
    }
}

/// Outside of the range above the result is known exactly.
#[test]
fn trivial_arguments_are_exact() {
    let check_range = |range: Range<u32>, expected: f32| {
        let range = u64::from(range.start)..u64::from(range.end);
        for_each_run(range, Sampling::full(), |arguments| {
            let results = exp2(widest(), arguments);
            if !results.iter().all(|result| bits(*result) == bits(expected)) {
                common::assert_same_bits(&vec![expected; arguments.len()], &results, "constant");
            }
        });
    };
    check_range(NEGATIVE_ZERO..NEAR_ZERO, 1.0);
    check_range(SMALLEST + 1..NEGATIVE_INFINITY + 1, 0.0);
    check_range(NEGATIVE_INFINITY + 1..u32::MAX, f32::NAN);
    check_range(0x7f80_0001..0x8000_0000, f32::NAN);
    for isa in isas() {
        let exact = [0, NEGATIVE_ZERO, SMALLEST, SMALLEST + 1, NEGATIVE_INFINITY, u32::MAX];
        let expected = [1.0, 1.0, f32::MIN_POSITIVE, 0.0, 0.0, f32::NAN];
        common::assert_same_bits(&expected, &exp2(isa, &exact), isa);
    }
}

/// Integers, where the result is a power of two and exact.
#[test]
fn powers_of_two_are_exact() {
    let arguments: Vec<u32> = (0..=126).map(|n| (-(n as f32)).to_bits()).collect();
    let expected: Vec<f32> = (0..=126).map(|n| f32::from_bits((127 - n) << 23)).collect();
    for isa in isas() {
        common::assert_same_bits(&expected, &exp2(isa, &arguments), isa);
    }
}

fn assert_same_as_widest(isa: Isa, arguments: &[u32]) {
    let (expected, found) = (exp2(widest(), arguments), exp2(isa, arguments));
    // The whole comparison is slow with a message per element: first a plain one.
    let same = expected.iter().zip(&found).all(|(a, b)| a.to_bits() == b.to_bits());
    if !same {
        common::assert_same_bits(&expected, &found, format_args!("{isa} from {:#x}", arguments[0]));
    }
}

/// All of the domain, NaN included.
const DOMAIN: [Range<u64>; 2] = [0x8000_0000..0x1_0000_0000, 0x7f80_0001..0x8000_0000];

#[test]
fn other_vector_widths_give_the_same_bits() {
    for isa in fast_isas().into_iter().skip(1) {
        for range in DOMAIN {
            for_each_run(range, Sampling::full(), |arguments| {
                assert_same_as_widest(isa, arguments)
            });
        }
    }
}

#[test]
fn slow_instruction_sets_give_the_same_bits() {
    for isa in isas().into_iter().filter(|isa| !fast_isas().contains(isa)) {
        for range in DOMAIN {
            for_each_run(range, Sampling::sparse(), |arguments| {
                assert_same_as_widest(isa, arguments);
            });
        }
        // Where the rounding to an integer changes its mind, and where it is exact.
        for half in 0..=260 {
            let boundary = (-(half as f32) / 2.0).to_bits();
            let arguments: Vec<u32> = (boundary.max(NEGATIVE_ZERO + 64) - 64..).take(128).collect();
            assert_same_as_widest(isa, &arguments);
        }
    }
}

/// The oracle of the other tests follows the kernels' document.
#[test]
fn the_transcription_gives_the_same_bits() {
    for range in DOMAIN {
        for_each_run(range, Sampling::sparse(), |arguments| {
            let expected: Vec<f32> = (arguments.iter())
                .map(|&bits| common::transcription::exp2(f32::from_bits(bits)))
                .collect();
            common::assert_same_bits(&expected, &exp2(widest(), arguments), "transcription");
        });
    }
}
