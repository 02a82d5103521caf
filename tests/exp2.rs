//! The kernels' exp2 over its whole domain: every f32 ≤ 0 and every NaN.
//!
//! The widest instruction set is compared with the definition, the others with it, bit for bit.

mod common;

use common::sweep::{Function, Record, Sampling, for_each_run, neighbours};
use common::{assert_same_bits, fast_isas, isas, transcription};
use core::ops::Range;
use softdot::testing;

const EXP2: Function =
    Function { kernel: testing::exp2, definition: f64::exp2, transcription: transcription::exp2 };

const RECORD: Record =
    Record { worst: 0xbeff_9641, ulps: 0.799_611_889, checksum: 0xa70d_4e42_eb02_ccd9 };

const NEGATIVE_ZERO: u32 = 0x8000_0000;
/// −2⁻³⁰: from here to −0 the result is 1, since x · ln 2 is far below half an ULP of 1 (2⁻²⁵).
const NEAR_ZERO: u32 = 0xb080_0000;
/// −126: beyond it the result is +0.
const SMALLEST: u32 = 0xc2fc_0000;
const NEGATIVE_INFINITY: u32 = 0xff80_0000;

/// All of the domain, NaN included.
const DOMAIN: [Range<u64>; 2] = [0x8000_0000..0x1_0000_0000, 0x7f80_0001..0x8000_0000];

/// The bits from one to another, less the last.
fn range(bits: Range<u32>) -> Range<u64> {
    u64::from(bits.start)..u64::from(bits.end)
}

/// Less than one ULP away everywhere.
#[test]
fn as_close_to_the_definition_as_recorded() {
    EXP2.assert_as_recorded(range(NEAR_ZERO..SMALLEST + 1), RECORD);
}

#[test]
fn the_worst_argument_is_as_bad_as_recorded() {
    EXP2.assert_worst_as_recorded(isas(), RECORD);
}

/// Outside of the range above the result is known exactly.
#[test]
fn trivial_arguments_are_exact() {
    EXP2.assert_exact(range(NEGATIVE_ZERO..NEAR_ZERO), |_| 1.0);
    EXP2.assert_exact(range(SMALLEST + 1..NEGATIVE_INFINITY + 1), |_| 0.0);
    EXP2.assert_exact(range(NEGATIVE_INFINITY + 1..u32::MAX), |_| f32::NAN);
    EXP2.assert_exact(DOMAIN[1].clone(), |_| f32::NAN);
    for isa in isas() {
        let exact = [0, NEGATIVE_ZERO, SMALLEST, SMALLEST + 1, NEGATIVE_INFINITY, u32::MAX];
        let expected = [1.0, 1.0, f32::MIN_POSITIVE, 0.0, 0.0, f32::NAN];
        assert_same_bits(&expected, &EXP2.on(isa, &exact), isa);
    }
}

/// Integers, where the result is a power of two and exact.
#[test]
fn powers_of_two_are_exact() {
    let arguments: Vec<u32> = (0..=126).map(|n| (-(n as f32)).to_bits()).collect();
    let expected: Vec<f32> = (0..=126).map(|n| f32::from_bits((127 - n) << 23)).collect();
    for isa in isas() {
        assert_same_bits(&expected, &EXP2.on(isa, &arguments), isa);
    }
}

#[test]
fn other_vector_widths_give_the_same_bits() {
    for isa in fast_isas().into_iter().skip(1) {
        for range in DOMAIN {
            for_each_run(range, Sampling::full(), |arguments| {
                EXP2.assert_same_as_widest(isa, arguments);
            });
        }
    }
}

#[test]
fn slow_instruction_sets_give_the_same_bits() {
    for isa in isas().into_iter().filter(|isa| !fast_isas().contains(isa)) {
        for range in DOMAIN {
            for_each_run(range, Sampling::sparse(), |arguments| {
                EXP2.assert_same_as_widest(isa, arguments);
            });
        }
        let near_zero: Vec<u32> = (NEGATIVE_ZERO..NEGATIVE_ZERO + 128).collect();
        EXP2.assert_same_as_widest(isa, &near_zero);
        // Where the rounding to an integer changes its mind, and where it is exact.
        for half in 1..=260 {
            let magnitudes = neighbours(half as f32 / 2.0).into_iter();
            let arguments: Vec<u32> = magnitudes.map(|bits| bits | NEGATIVE_ZERO).collect();
            EXP2.assert_same_as_widest(isa, &arguments);
        }
    }
}

#[test]
fn the_transcription_gives_the_same_bits() {
    for range in DOMAIN {
        EXP2.assert_same_as_transcription(range);
    }
}
