//! Outputs with one element for each query row, from its merged state.

use crate::kernel::log::ln;
use crate::kernel::row_state::MergedRow;
use crate::rows::Row;
use crate::simd::SimdExt;
use crate::targets::SoftmaxTargets;
use core::f32::consts::LN_2;
use pulp::bytemuck::cast_slice;

/// Writes the row results that are asked for, of as many rows as there are lanes.
#[inline(always)]
pub(crate) fn write_row_results<S: SimdExt>(
    targets: &SoftmaxTargets<'_>,
    rows: &[Row],
    merged: &MergedRow<S::f32s>,
) {
    let (max, shift, sum) = ([merged.max], [merged.shift], [merged.sum]);
    let (max, shift, sum): (&[f32], &[f32], &[f32]) =
        (cast_slice(&max), cast_slice(&shift), cast_slice(&sum));
    for (lane, row) in rows.iter().enumerate() {
        if let Some(target) = targets.max_logit {
            target.write(target.row_start(row.index), max_logit(max[lane], sum[lane]));
        }
        if let Some(target) = targets.lse {
            target.write(target.row_start(row.index), lse(shift[lane], sum[lane]));
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

/// The natural logarithm of the normaliser: `ln(sum) + shift · ln 2`.
pub(super) fn lse(shift: f32, sum: f32) -> f32 {
    pulp::Simd::mul_add_f32s(pulp::Scalar, shift, LN_2, ln(sum))
}
