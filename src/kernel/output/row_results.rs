//! Outputs with one element for each query row, from its states in the segments.

use crate::kernel::exp::exp2;
use crate::kernel::log::ln;
use crate::kernel::row_state::{
    Field, LaneStates, MergedRow, RowState, RowStates, SegmentStates, fold_tree, join,
};
use crate::kernel::softmax::LEAST_EXPONENT;
use crate::layout::SEGMENT;
use crate::rows::Row;
use crate::simd::SimdExt;
use crate::targets::SoftmaxTargets;
use core::f32::consts::LN_2;
use pulp::Simd;
use pulp::bytemuck::cast_slice;

/// Writes the row results that the call names, of as many rows as there are lanes; `first_row` is the
/// first one's place in the block.
#[inline(always)]
pub(crate) fn write_row_results<S: SimdExt>(
    simd: S,
    targets: &SoftmaxTargets<'_>,
    (rows, first_row): (&[Row], usize),
    states: &mut RowStates<'_>,
    (segments, merged): (usize, &MergedRow<S::f32s>),
) {
    let moments = targets.entropy.map(|_| {
        let states = states.lanes(segments, first_row);
        join_moments(simd, &states)
    });
    for (lane, row) in rows.iter().enumerate() {
        let of = |register: S::f32s| cast_slice::<_, f32>(&[register])[lane];
        let (max, shift, sum) = (of(merged.max), of(merged.shift), of(merged.sum));
        let max_weight = max_weight(max, sum, of(merged.factor));
        if let Some(target) = targets.max_logit {
            target.write(target.row_start(row.index), max_logit(max, sum));
        }
        if let Some(target) = targets.lse {
            target.write(target.row_start(row.index), lse(shift, sum));
        }
        if let Some(target) = targets.max_weight {
            target.write(target.row_start(row.index), max_weight);
        }
        if let Some(target) = targets.max_weight_key {
            let key = (max_weight > 0.0).then(|| {
                let inverse = of(merged.inverse);
                largest_key(states, segments, first_row + lane, (shift, inverse))
            });
            target.write(row.index, 0, key);
        }
        if let (Some(target), Some((state, moment))) = (targets.entropy, moments) {
            let keys = RowState { max: of(state.max), sum: of(state.sum) };
            let entropy = entropy(keys, of(moment), (shift, sum), of(merged.factor));
            target.write(target.row_start(row.index), entropy);
        }
    }
}

/// The largest logit that the row attends to, in natural units.
fn max_logit(max: f32, sum: f32) -> f32 {
    if max == f32::NEG_INFINITY {
        max
    } else if sum > 0.0 {
        max * LN_2
    } else {
        f32::NAN
    }
}

/// The largest weight: that of an exponential of 1, if there is one.
fn max_weight(max: f32, sum: f32, factor: f32) -> f32 {
    if sum > 0.0 || max == f32::NEG_INFINITY { factor } else { f32::NAN }
}

/// The first key of those with the largest weight: in the first segment of those with the largest
/// factor the first key whose exponential is 1.
fn largest_key(
    states: &RowStates<'_>,
    segments: usize,
    row: usize,
    (shift, inverse): (f32, f32),
) -> usize {
    let (mut key, mut largest) = (0, f32::NEG_INFINITY);
    for segment in 0..segments {
        let max = states.get_field(segment, Field::Max, row);
        let factor = exp2(pulp::Scalar, max - shift) * inverse;
        if factor > largest {
            largest = factor;
            key = segment * SEGMENT + states.get_field(segment, Field::Largest, row) as usize;
        }
    }
    key
}

/// The natural logarithm of the normaliser: `ln(sum) + shift · ln 2`.
pub(super) fn lse(shift: f32, sum: f32) -> f32 {
    pulp::Scalar.mul_add_f32s(shift, LN_2, ln(sum))
}

/// The states of all segments together, and their moment `Σ e · x` against its maximum.
#[inline(always)]
fn join_moments<S: SimdExt>(simd: S, states: &LaneStates<'_, '_>) -> (RowState<S::f32s>, S::f32s) {
    let zero = simd.splat_f32s(0.0);
    let nothing = RowState { max: simd.splat_f32s(f32::NEG_INFINITY), sum: zero };
    let get = |segment| (states.get(simd, segment), states.load::<S>(segment, Field::Moment));
    let segments = SegmentStates::<S>::segments(states);
    fold_tree(segments, (nothing, zero), get, |(a, of_a), (b, of_b)| {
        let (joined, factor_a, factor_b) = join(simd, a, b);
        // A sum refers to another maximum once its exponents are larger by the difference.
        let shifted = |state: RowState<S::f32s>, moment| {
            let difference = simd.sub_f32s(state.max, joined.max);
            let difference = simd.max_f32s(difference, simd.splat_f32s(LEAST_EXPONENT));
            simd.mul_add_f32s(state.sum, difference, moment)
        };
        let moment = simd.mul_f32s(shifted(a, of_a), factor_a);
        (joined, simd.mul_add_f32s(shifted(b, of_b), factor_b, moment))
    })
}

/// The entropy in nats: `p · ln(sum) − ln 2 · Σ w · x`, where p is the sum of the weights and x the
/// exponent of each.
fn entropy(keys: RowState<f32>, moment: f32, (shift, sum): (f32, f32), factor: f32) -> f32 {
    if keys.max == f32::NEG_INFINITY {
        return 0.0 * factor;
    }
    let fma = |a, b, c| pulp::Scalar.mul_add_f32s(a, b, c);
    let difference = (keys.max - shift).max(LEAST_EXPONENT);
    let mean = fma(keys.sum, difference, moment) * factor;
    let entropy = fma(keys.sum * factor, ln(sum), -LN_2 * mean);
    // Rounding may leave a little less than nothing.
    if entropy < 0.0 { 0.0 } else { entropy }
}
