//! `exp2` on x ≤ 0, one fixed sequence of f32 operations.
//!
//! ```text
//! z = x + 1.5·2²³              n = z − 1.5·2²³: x rounded to an integer, ties to even;
//!                              the low bits of z hold n in two's complement
//! f = x − n                    exact, |f| ≤ ½
//! p = 1 + f·(c1 + f·(c2 + …))  six FMAs, Horner
//! y = bits(p) + n·2²³          p · 2ⁿ as an integer addition to the exponent
//! x < −126  →  +0              no subnormal is ever made
//! ```
//!
//! The coefficients minimise the largest relative error of the polynomial on [−½, ½], each
//! rounded to f32 before the next was fitted; their own error is 0.06 · 2⁻²⁴. The result is
//! within 1 ULP of 2ˣ (`tests/exp2.rs` runs every argument).
//!
//! A NaN stays a NaN: its payload would otherwise reach the exponent through z, so z is
//! clamped, as an unsigned integer, to the largest value that x ≤ 0 gives, whose low nine bits
//! are zero. That is one integer operation; a floating-point select would cost an FMA slot.

use crate::lanes::Lanes;

/// 1.5·2²³: adding it rounds to an integer.
const ROUNDER: f32 = 12_582_912.0;

/// c1 … c6, lowest order first.
const COEFFICIENTS: [u32; 6] =
    [0x3f31_7218, 0x3e75_fdec, 0x3d63_57bc, 0x3c1d_9858, 0x3aaf_8533, 0x391f_c836];

/// Below this the result is +0.
const SMALLEST: f32 = -126.0;

/// 2ˣ for x ≤ 0 in every lane; NaN for NaN.
#[inline(always)]
pub(crate) fn exp2<S: Lanes>(simd: S, x: S::f32s) -> S::f32s {
    let rounder = simd.splat_f32s(ROUNDER);
    let z = simd.add_f32s(x, rounder);
    let n = simd.sub_f32s(z, rounder);
    let f = simd.sub_f32s(x, n);

    let coefficient = |i: usize| simd.splat_f32s(f32::from_bits(COEFFICIENTS[i]));
    let mut p = coefficient(5);
    for i in [4, 3, 2, 1, 0] {
        p = simd.mul_add_f32s(p, f, coefficient(i));
    }
    p = simd.mul_add_f32s(p, f, simd.splat_f32s(1.0));

    let z = simd.min_u32s(simd.transmute_u32s_f32s(z), simd.splat_u32s(ROUNDER.to_bits()));
    let exponent = simd.wrapping_dyn_shl_u32s(z, simd.splat_u32s(23));
    let y = simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(p), exponent));
    simd.zero_below(y, x, SMALLEST)
}
