//! Results of rows where there are no keys at all: nothing to compute, but memory to fill.

use super::row_results::lse;
use crate::problem::{Goal, Problem};
use crate::rows::RowIndex;

/// Writes what each row has without keys: an output of 0, no largest logit, the sink alone.
pub(crate) fn write_rows_without_keys(problem: &Problem<'_>) {
    let Goal::Softmax(targets) = problem.goal else { return };
    let v_dim = problem.extents.v_dim;
    // Without columns, there may be any number of rows.
    if let Some(target) = targets.output.filter(|target| !target.is_empty()) {
        for_each_row(problem, |row| {
            let start = target.row_start(row);
            (0..v_dim).for_each(|column| target.write(start + column * target.strides.column, 0.0));
        });
    }
    for (target, value) in
        [(targets.max_logit, f32::NEG_INFINITY), (targets.max_weight, 0.0), (targets.entropy, 0.0)]
    {
        let Some(target) = target else { continue };
        for_each_row(problem, |row| target.write(target.row_start(row), value));
    }
    if let Some(target) = targets.max_weight_key {
        for_each_row(problem, |row| target.write(row, 0, None));
    }
    if let Some(target) = targets.top_k {
        for_each_row(problem, |row| {
            (0..target.k).for_each(|column| target.write(row, column, 0.0, None));
        });
    }
    if let Some(target) = targets.lse {
        for_each_row(problem, |row| {
            let sink = problem.sink(row.q_head).unwrap_or(f32::NEG_INFINITY);
            let value = if sink == f32::NEG_INFINITY { sink } else { lse(sink, 1.0) };
            target.write(target.row_start(row), value);
        });
    }
}

fn for_each_row(problem: &Problem<'_>, write: impl Fn(RowIndex)) {
    let extents = &problem.extents;
    for batch in 0..extents.batch {
        for q_head in 0..extents.q_heads {
            for row in 0..extents.query_rows {
                write(RowIndex { batch, q_head, row });
            }
        }
    }
}
