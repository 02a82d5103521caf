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
//! f and n·2²³ are exact, so each instruction set computes them as suits it
//! ([`SimdExt::exp2_split`]): x86 rounds and converts in one instruction each, which is one or two
//! instructions and one step of latency less. A NaN stays a NaN as long as n·2²³ is 0 for it. What
//! NaN converts to is 0 once shifted; but the low bits of z are the NaN's payload, so z is first
//! clamped, as an unsigned integer, to the largest value that x ≤ 0 gives, whose low nine bits are
//! zero.
//!
//! The steps are one dependency chain of some 40 cycles of latency on Zen 4, whose throughput is a
//! register every 8: so [`exp2_of`] interleaves several registers.

use crate::simd::SimdExt;

/// c1 … c6, lowest order first.
const COEFFICIENTS: [u32; 6] =
    [0x3f31_7218, 0x3e75_fdec, 0x3d63_57bc, 0x3c1d_9858, 0x3aaf_8533, 0x391f_c836];

/// Below this the result is +0.
const SMALLEST: f32 = -126.0;

/// 2ˣ for x ≤ 0 in every lane; NaN for NaN.
#[inline(always)]
pub(crate) fn exp2<S: SimdExt>(simd: S, x: S::f32s) -> S::f32s {
    let [y] = exp2_of(simd, [x]);
    y
}

/// [`exp2`] of several registers, interleaved step by step: one chain after another would exceed
/// the reorder buffer before the next one starts.
#[inline(always)]
pub(crate) fn exp2_of<S: SimdExt, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    let coefficient = |i: usize| simd.splat_f32s(f32::from_bits(COEFFICIENTS[i]));
    let (mut f, mut n, mut p) = (x, [simd.splat_u32s(0); N], [coefficient(5); N]);
    for (f, n) in f.iter_mut().zip(&mut n) {
        (*f, *n) = simd.exp2_split(*f);
    }
    for i in [4, 3, 2, 1, 0] {
        for (p, &f) in p.iter_mut().zip(&f) {
            *p = simd.mul_add_f32s(*p, f, coefficient(i));
        }
    }
    for (p, &f) in p.iter_mut().zip(&f) {
        *p = simd.mul_add_f32s(*p, f, simd.splat_f32s(1.0));
    }
    for ((p, &n), &x) in p.iter_mut().zip(&n).zip(&x) {
        *p = simd.add_or_zero_below(*p, n, x, SMALLEST);
    }
    p
}
