//! The softmax of rows that are kept as scores in log2 units, one segment of keys after another.
//!
//! ```text
//! per segment s of 1,024 keys:   m_s = max t_j          e_j = exp2(t_j − m_s)
//!                                l_s = Σ e_j            16 virtual lanes, then a tree
//! per row:                       m   = max m_s          c_s = exp2(m_s − m)
//!                                l   = Σ l_s · c_s      an FMA chain over s, from +0
//!                                w_j = e_j · (c_s · (1 / l))
//! ```
//!
//! The order of a segment's sum is fixed by the contract: virtual lane i adds the keys with
//! j mod 16 = i in order, then lanes i and i + 8 are added, i and i + 4, i + 2, i + 1. A register
//! holds 16, 8, 4 or 1 of the virtual lanes; nothing else depends on its width.
//!
//! Each segment refers to its own maximum, so segments know nothing of each other: they can be
//! computed by different threads, calls or machines and still merge to the same bits. A row of
//! one segment has m_s = m and c_s = 1, exactly.
//!
//! Rows are padded to a multiple of 16 with t = −∞, for which e = +0: adding it changes no sum.

use super::exp::{exp2, exp2_of};
use super::strip::Strip;
use crate::lanes::Lanes;
use core::array::from_fn;

/// Keys of a segment.
pub(crate) const SEGMENT: usize = 1024;

/// Virtual lanes of a segment's sum.
pub(crate) const VIRTUAL_LANES: usize = 16;

/// Replaces the scores of some rows in one segment by `exp2(t − max)` and returns the sum of each.
/// Rows are the same multiple of [`VIRTUAL_LANES`] long. Several at a time hide what one would wait
/// for, the tree of its sum above all.
#[inline(always)]
pub(crate) fn exponentiate<S: Lanes, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    rows: [&mut [f32]; ROWS],
    maxima: [f32; ROWS],
) -> [f32; ROWS] {
    let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
    let mut shifts = [simd.splat_f32s(0.0); ROWS];
    for (shift, max) in shifts.iter_mut().zip(maxima) {
        *shift = shift_of(simd, max);
    }
    add_exponentials(simd, rows, shifts, &mut sums);
    let mut totals = [0.0; ROWS];
    for (total, sums) in totals.iter_mut().zip(&sums) {
        *total = tree_sum::<S>(sums);
    }
    totals
}

/// What a segment's scores are reduced by. A segment of nothing but −∞ counts as zeros; the
/// row's maximum decides what that means.
#[inline(always)]
pub(crate) fn shift_of<S: Lanes>(simd: S, max: f32) -> S::f32s {
    simd.splat_f32s(if max == f32::NEG_INFINITY { 0.0 } else { max })
}

/// Replaces scores by exponentials and adds them to the virtual lanes of their rows.
#[inline(always)]
pub(crate) fn add_exponentials<S: Lanes, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    rows: [&mut [f32]; ROWS],
    shifts: [S::f32s; ROWS],
    sums: &mut [[S::f32s; REGISTERS]; ROWS],
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
            exponentials = exp2_of(simd, exponentials);
            for ((row, sums), &exponential) in rows.iter_mut().zip(&mut *sums).zip(&exponentials) {
                row[line][register] = exponential;
                sums[register] = simd.add_f32s(sums[register], exponential);
            }
        }
    }
}

/// Adds the 16 virtual lanes: i and i + 8, then i and i + 4, i + 2, i + 1. Of 8 lanes, the others
/// are +0; 32 are two keys for each.
#[inline(always)]
pub(crate) fn tree_sum<S: Lanes>(sums: &[S::f32s]) -> f32 {
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

/// The maximum of a segment of which something is left: what is left may all be −∞ or NaN, but a
/// maximum of −∞ says that nothing is.
#[inline(always)]
pub(crate) fn maximum_of_some(max: f32) -> f32 {
    if max == f32::NEG_INFINITY { f32::MIN } else { max }
}

/// Merges the segments of as many rows as there are lanes: replaces each segment's sums by the
/// factors that normalise its exponentials. `sinks`, if there are any, are −∞ for rows without.
#[inline(always)]
pub(crate) fn merge_segments<S: Lanes>(
    simd: S,
    segments: usize,
    first_row: usize,
    sinks: Option<S::f32s>,
    strip: &mut Strip<'_>,
) {
    let nothing = simd.splat_f32s(f32::NEG_INFINITY);
    let mut max = sinks.unwrap_or(nothing);
    for segment in 0..segments {
        let (segment_max, _) = statistics::<S>(strip, segment, first_row);
        max = simd.max_f32s(*segment_max, max);
    }
    // Of rows with nothing left, not even a sink, all factors are 0.
    let zero = simd.splat_f32s(0.0);
    let empty = simd.less_than_or_equal_f32s(max, nothing);
    if let (1, None) = (segments, sinks) {
        // c = exp2(0) = 1, unless there is a NaN anyway.
        let (_, sum) = statistics::<S>(strip, 0, first_row);
        let inverse = simd.div_f32s(simd.splat_f32s(1.0), *sum);
        *sum = simd.select_f32s(empty, zero, inverse);
        return;
    }
    let shift = simd.select_f32s(empty, zero, max);
    let mut sum = zero;
    for segment in 0..segments {
        let (segment_max, segment_sum) = statistics::<S>(strip, segment, first_row);
        let correction = exp2(simd, simd.sub_f32s(*segment_max, shift));
        sum = simd.mul_add_f32s(*segment_sum, correction, sum);
        *segment_sum = correction;
    }
    if let Some(sinks) = sinks {
        sum = simd.add_f32s(sum, exp2(simd, simd.sub_f32s(sinks, shift)));
    }
    let inverse = simd.div_f32s(simd.splat_f32s(1.0), sum);
    let inverse = simd.select_f32s(empty, zero, inverse);
    for segment in 0..segments {
        let (_, factor) = statistics::<S>(strip, segment, first_row);
        *factor = simd.mul_f32s(*factor, inverse);
    }
}

/// The maxima and sums of one segment, rows in lanes.
#[inline(always)]
fn statistics<'a, S: Lanes>(
    strip: &'a mut Strip<'_>,
    segment: usize,
    first_row: usize,
) -> (&'a mut S::f32s, &'a mut S::f32s) {
    let (maxima, sums) = strip.statistics(segment);
    let maxima = &mut S::as_mut_simd_f32s(&mut maxima[first_row..]).0[0];
    let sums = &mut S::as_mut_simd_f32s(&mut sums[first_row..]).0[0];
    (maxima, sums)
}
