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
//! f and n·2²³ are exact, so an instruction set may get them as it likes ([`Lanes::split`]): x86 rounds
//! and converts in one instruction each, which takes one or two instructions less and a step less
//! to wait for. A NaN stays a NaN, if only n·2²³ is 0 for it: what NaN converts to is, once it
//! is shifted; the low bits of z are its payload, so z is clamped first, as an unsigned integer,
//! to the largest value that x ≤ 0 gives, whose low nine bits are zero.
//!
//! Each step waits for the one before it, some 40 cycles from x to y by the latencies of Zen 4, while its
//! pipes could do a register in 8: so registers are taken several at a time ([`exp2_of`]), next to what the CPU finds by itself
//! further ahead.

use crate::lanes::Lanes;

/// c1 … c6, lowest order first.
const COEFFICIENTS: [u32; 6] =
    [0x3f31_7218, 0x3e75_fdec, 0x3d63_57bc, 0x3c1d_9858, 0x3aaf_8533, 0x391f_c836];

/// Below this the result is +0.
const SMALLEST: f32 = -126.0;

/// 2ˣ for x ≤ 0 in every lane; NaN for NaN.
#[inline(always)]
pub(crate) fn exp2<S: Lanes>(simd: S, x: S::f32s) -> S::f32s {
    let [y] = exp2_of(simd, [x]);
    y
}

/// [`exp2`] of several registers, step by step side by side: each step waits for the one before, and
/// a CPU that has to look for others far ahead runs out of room.
#[inline(always)]
pub(crate) fn exp2_of<S: Lanes, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    let coefficient = |i: usize| simd.splat_f32s(f32::from_bits(COEFFICIENTS[i]));
    let (mut f, mut n, mut p) = (x, [simd.splat_u32s(0); N], [coefficient(5); N]);
    for (f, n) in f.iter_mut().zip(&mut n) {
        (*f, *n) = simd.split(*f);
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
