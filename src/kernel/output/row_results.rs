//! Outputs with one element for each query row, from the merged state of the row.

use crate::kernel::row_state::RowState;
use crate::rows::Row;
use crate::targets::SoftmaxTargets;
use core::f32::consts::LN_2;

/// Writes the row results that are asked for, of one row.
#[inline(always)]
pub(crate) fn write_row_results(targets: &SoftmaxTargets<'_>, row: &Row, state: RowState<f32>) {
    if let Some(target) = targets.max_logit {
        target.write(target.row_start(row.index), max_logit(state));
    }
}

/// The largest logit that the row attends to, in natural units.
fn max_logit(RowState { max, sum }: RowState<f32>) -> f32 {
    if max == f32::NEG_INFINITY {
        max
    } else if sum > 0.0 {
        max * LN_2
    } else {
        f32::NAN
    }
}
