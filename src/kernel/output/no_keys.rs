//! Results of rows where there are no keys at all: nothing to compute, but memory to fill.

use super::row_results::lse;
use crate::problem::{Goal, Problem};
use crate::rows::RowIndex;
use crate::targets::Target;

/// Writes what each row has without keys: an output of 0, no largest logit, the sink alone.
pub(crate) fn write_rows_without_keys(problem: &Problem<'_>) {
    let Goal::Softmax(targets) = problem.goal else { return };
    let v_dim = problem.extents.v_dim;
    if let Some(target) = targets.output {
        for_each_row(problem, &target, |start, _| {
            (0..v_dim).for_each(|column| target.write(start + column * target.strides.column, 0.0));
        });
    }
    if let Some(target) = targets.max_logit {
        for_each_row(problem, &target, |start, _| target.write(start, f32::NEG_INFINITY));
    }
    if let Some(target) = targets.lse {
        for_each_row(problem, &target, |start, row| {
            let sink = problem.sink(row.q_head).unwrap_or(f32::NEG_INFINITY);
            let value = if sink == f32::NEG_INFINITY { sink } else { lse(sink, 1.0) };
            target.write(start, value);
        });
    }
}

fn for_each_row(problem: &Problem<'_>, target: &Target<'_>, write: impl Fn(usize, RowIndex)) {
    if target.is_empty() {
        return;
    }
    let extents = &problem.extents;
    for batch in 0..extents.batch {
        for q_head in 0..extents.q_heads {
            for row in 0..extents.query_rows {
                let index = RowIndex { batch, q_head, row };
                write(target.row_start(index), index);
            }
        }
    }
}
