//! Logits that overflow in units of log2 although they are finite.
//!
//! The softmax computes logits times log2(e), so those beyond FLT_MAX / log2(e) ≈ 2.36e38 become
//! infinite: above all the biases of f32::MIN that model libraries put on padding. A finite logit
//! stays finite: `t = ±FLT_MAX` where `t` is infinite and the same logit in natural units is not.
//!
//! That matters only where the maximum of a segment is itself that large: beside any ordinary logit,
//! −FLT_MAX and −∞ give the same exponential, +0. So it costs a comparison per row and segment.

use super::tanh::tanh;
use crate::call::Call;
use crate::layout::PANEL;
use crate::problem::Problem;
use crate::rows::{Row, RowIndex};
use core::ops::Range;
use pulp::Simd;

/// Whether a segment with this maximum, of which something is attended, may hold logits that
/// overflowed.
#[inline(always)]
pub(crate) fn may_have_overflowed(max: f32) -> bool {
    max == f32::MIN || max == f32::INFINITY
}

/// Makes the finite logits of a row finite, among the scores of `keys`; returns the largest score
/// that is a number.
#[cold]
#[inline(never)]
pub(crate) fn saturate(call: Call<'_>, row: &Row, keys: &Range<usize>, scores: &mut [f32]) -> f32 {
    let mut max = f32::NEG_INFINITY;
    for key in row.keys_in(keys) {
        let score = &mut scores[key - keys.start];
        if score.is_infinite()
            && call.problem.attends(row.index, key)
            && natural_logit(call.problem, row.index, key).is_finite()
        {
            *score = f32::MAX.copysign(*score);
        }
        if *score > max {
            max = *score;
        }
    }
    max
}

/// The logit that the softmax sees, in natural units, by the operations of docs/numerics.md.
fn natural_logit(problem: &Problem<'_>, index: RowIndex, key: usize) -> f32 {
    let fma = |a, b, c| pulp::Scalar.mul_add_f32s(a, b, c);
    let natural = problem.natural();
    let mut t = 0.0;
    for dim in 0..problem.extents.head_dim {
        let query = problem.query_element(index, dim) * natural.query_factor;
        t = fma(query, problem.key_element(index, key, dim), t);
    }
    if let Some(cap) = natural.cap {
        t = cap * tanh(pulp::Scalar, t);
    }
    if let Some(bias) = problem.bias_element(index, key) {
        t = fma(bias, 1.0, t);
    }
    if let Some(slope) = natural.slope(index.q_head) {
        let panel = key / PANEL * PANEL;
        let distance = (panel as i128 - problem.position(index)) as f32 + (key - panel) as f32;
        t = fma(slope, distance, t);
    }
    t
}
