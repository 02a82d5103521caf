//! The kernels' tanh over its whole domain: every f32.
//!
//! The widest instruction set is compared with the definition, the others with it, bit for bit.

mod common;

use common::sweep::{Function, Record, Sampling, for_each_run, neighbours, widest};
use common::{assert_same_bits, fast_isas, isas, transcription};
use core::f32::consts::LOG2_E;
use core::ops::Range;
use softdot::testing;

const TANH: Function =
    Function { kernel: testing::tanh, definition: f64::tanh, transcription: transcription::tanh };

const RECORD: Record =
    Record { worst: 0x3f50_174e, ulps: 1.876_081_498, checksum: 0x5646_0267_a831_cc2e };

/// 2⁻¹³: below it the result is the argument, since u³/3 is far below half an ULP of u, which is
/// 2⁻²⁵ · u at least.
const NEAR_ZERO: u64 = 0x3900_0000;
/// 10: from here on the result is 1, since 2·exp(−20) is far below half an ULP of 1 (2⁻²⁵).
const LARGE: u64 = 0x4120_0000;
const INFINITY: u64 = 0x7f80_0000;
const SIGN: u64 = 0x8000_0000;

/// All numbers of both signs, and NaN.
const DOMAIN: Range<u64> = 0..1 << 32;

/// Those of them whose result is neither the argument nor ±1.
const CURVED: [Range<u64>; 2] = [NEAR_ZERO..LARGE, SIGN | NEAR_ZERO..SIGN | LARGE];

/// Less than two ULP away everywhere.
#[test]
fn as_close_to_the_definition_as_recorded() {
    TANH.assert_as_recorded(NEAR_ZERO..LARGE, RECORD);
}

#[test]
fn the_worst_argument_is_as_bad_as_recorded() {
    TANH.assert_worst_as_recorded(isas(), RECORD);
}

/// Outside of the range above the result is known exactly.
#[test]
fn trivial_arguments_are_exact() {
    TANH.assert_exact(0..NEAR_ZERO, |u| u);
    TANH.assert_exact(LARGE..INFINITY + 1, |_| 1.0);
    TANH.assert_exact(INFINITY + 1..SIGN, |_| f32::NAN);
    TANH.assert_exact((SIGN | INFINITY) + 1..DOMAIN.end, |_| f32::NAN);
}

/// tanh(−u) = −tanh(u), bit for bit; but for −0, which gives +0.
#[test]
fn tanh_is_odd() {
    for (range, sampling) in
        [(CURVED[0].clone(), Sampling::full()), (1..INFINITY + 1, Sampling::sparse())]
    {
        for_each_run(range, sampling, |arguments| {
            let negative: Vec<u32> = arguments.iter().map(|bits| bits | SIGN as u32).collect();
            let positive = TANH.on(widest(), arguments);
            let expected: Vec<f32> = positive.into_iter().map(|value| -value).collect();
            assert_same_bits(&expected, &TANH.on(widest(), &negative), "negative arguments");
        });
    }
}

/// Zeros, the ends of the subnormal numbers and of all numbers, infinities, NaNs.
#[test]
fn special_arguments_on_every_instruction_set() {
    let (tiny, subnormal) = (f32::from_bits(1), f32::from_bits(0x007f_ffff));
    let nan = f32::from_bits(0xff80_0001);
    let arguments = [0.0, tiny, subnormal, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, f32::NAN]
        .into_iter()
        .chain([-0.0, -tiny, -subnormal, -f32::MIN_POSITIVE, f32::MIN, f32::NEG_INFINITY, nan]);
    let arguments: Vec<u32> = arguments.map(f32::to_bits).collect();
    let expected = [0.0, tiny, subnormal, f32::MIN_POSITIVE, 1.0, 1.0, f32::NAN]
        .into_iter()
        .chain([0.0, -tiny, -subnormal, -f32::MIN_POSITIVE, -1.0, -1.0, f32::NAN]);
    let expected: Vec<f32> = expected.collect();
    for isa in isas() {
        assert_same_bits(&expected, &TANH.on(isa, &arguments), isa);
    }
}

#[test]
fn other_vector_widths_give_the_same_bits() {
    for isa in fast_isas().into_iter().skip(1) {
        for range in CURVED {
            for_each_run(range, Sampling::full(), |arguments| {
                TANH.assert_same_as_widest(isa, arguments);
            });
        }
        for_each_run(DOMAIN, Sampling::sparse(), |arguments| {
            TANH.assert_same_as_widest(isa, arguments);
        });
    }
}

#[test]
fn slow_instruction_sets_give_the_same_bits() {
    for isa in isas().into_iter().filter(|isa| !fast_isas().contains(isa)) {
        for_each_run(DOMAIN, Sampling::sparse(), |arguments| {
            TANH.assert_same_as_widest(isa, arguments);
        });
        // Where the polynomial ends, and where exp2 of −2·log2(e)·u rounds to another integer.
        let changes = (1..=260).map(|half| half as f32 / 2.0 / (2.0 * LOG2_E));
        for u in changes.chain([0.625]) {
            TANH.assert_same_as_widest(isa, &neighbours(u));
        }
    }
}

#[test]
fn the_transcription_gives_the_same_bits() {
    TANH.assert_same_as_transcription(DOMAIN);
}
