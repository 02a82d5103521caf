//! Exponentials of scores in log2 units, and their sums, for one segment of keys.
//!
//! ```text
//! e_j = exp2(t_j − m_s)       l_s = Σ e_j       16 virtual lanes, then a tree
//! ```
//!
//! The order of the sum is fixed by the numerics contract: virtual lane i adds the keys with
//! j mod 16 = i in order, then lanes i and i + 8 are added, i and i + 4, i + 2, i + 1. A register
//! holds 16, 8, 4 or 1 of the virtual lanes; nothing else depends on its width.
//!
//! Rows are padded to a multiple of 16 with t = −∞, for which e = +0: adding it changes no sum.

use super::exp::exp2_of;
use super::row_state::shift_of;
use crate::layout::VIRTUAL_LANES;
use crate::simd::SimdExt;
use core::array::from_fn;

/// Replaces the scores of some rows in one segment by `exp2(t − max)` and returns the sum of each.
/// Rows are the same multiple of [`VIRTUAL_LANES`] long. Several side by side hide the latency of
/// each, that of the tree above all. With `MOMENTS`, the second result is that of `Σ e · x`, where `x`
/// is the exponent, but at least [`LEAST_EXPONENT`].
#[inline(always)]
pub(crate) fn exponentiate<
    S: SimdExt,
    const ROWS: usize,
    const REGISTERS: usize,
    const MOMENTS: bool,
>(
    simd: S,
    rows: [&mut [f32]; ROWS],
    maxima: [f32; ROWS],
) -> ([f32; ROWS], [f32; ROWS]) {
    let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
    let mut moments = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
    let mut shifts = [simd.splat_f32s(0.0); ROWS];
    for (shift, max) in shifts.iter_mut().zip(maxima) {
        *shift = simd.splat_f32s(shift_of(max));
    }
    add_exponentials::<S, ROWS, REGISTERS, MOMENTS>(simd, rows, shifts, &mut sums, &mut moments);
    let total = |lanes: &[[S::f32s; REGISTERS]; ROWS]| {
        let mut totals = [0.0; ROWS];
        for (total, lanes) in totals.iter_mut().zip(lanes) {
            *total = tree_sum::<S>(lanes);
        }
        totals
    };
    (total(&sums), if MOMENTS { total(&moments) } else { [0.0; ROWS] })
}

/// Exponents below this one count as this one in a moment: their exponentials are 0, and an exponent
/// of −∞ times 0 would be NaN.
pub(crate) const LEAST_EXPONENT: f32 = -150.0;

/// Replaces scores by exponentials and adds them to the virtual lanes of their rows.
#[inline(always)]
fn add_exponentials<S: SimdExt, const ROWS: usize, const REGISTERS: usize, const MOMENTS: bool>(
    simd: S,
    rows: [&mut [f32]; ROWS],
    shifts: [S::f32s; ROWS],
    sums: &mut [[S::f32s; REGISTERS]; ROWS],
    moments: &mut [[S::f32s; REGISTERS]; ROWS],
) {
    let lines = rows[0].len() / VIRTUAL_LANES;
    let mut rows =
        rows.map(|row| &mut S::as_mut_simd_f32s(row).0.as_chunks_mut::<REGISTERS>().0[..lines]);
    for line in 0..lines {
        for register in 0..REGISTERS {
            let mut exponentials = shifts;
            for (x, row) in exponentials.iter_mut().zip(&rows) {
                *x = simd.sub_f32s(row[line][register], *x);
            }
            let exponents = exponentials;
            exponentials = exp2_of(simd, exponentials);
            for ((row, sums), &exponential) in rows.iter_mut().zip(&mut *sums).zip(&exponentials) {
                row[line][register] = exponential;
                sums[register] = simd.add_f32s(sums[register], exponential);
            }
            if MOMENTS {
                for ((moments, &e), &x) in moments.iter_mut().zip(&exponentials).zip(&exponents) {
                    let x = simd.max_f32s(x, simd.splat_f32s(LEAST_EXPONENT));
                    moments[register] = simd.mul_add_f32s(e, x, moments[register]);
                }
            }
        }
    }
}

/// Adds the 16 virtual lanes: i and i + 8, then i and i + 4, i + 2, i + 1. Of 8 lanes, the others
/// are +0; 32 are two keys for each.
#[inline(always)]
pub(crate) fn tree_sum<S: SimdExt>(sums: &[S::f32s]) -> f32 {
    let lanes: &[f32] = pulp::bytemuck::cast_slice(sums);
    // Steps of fixed size stay in registers; a loop over the halves goes through memory.
    let lanes: [f32; 8] = match lanes.len() {
        8 => from_fn(|i| lanes[i]),
        32 => from_fn(|i| (lanes[i] + lanes[i + 16]) + (lanes[i + 8] + lanes[i + 24])),
        _ => from_fn(|i| lanes[i] + lanes[i + 8]),
    };
    let lanes: [f32; 4] = from_fn(|i| lanes[i] + lanes[i + 4]);
    let lanes: [f32; 2] = from_fn(|i| lanes[i] + lanes[i + 2]);
    lanes[0] + lanes[1]
}
