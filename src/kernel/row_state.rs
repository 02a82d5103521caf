//! The state of a row in a segment of keys, and merging the segments of a row.
//!
//! ```text
//! per segment s:   m_s = max t_j     l_s = Σ exp2(t_j − m_s)
//! per row:         m   = max m_s     c_s = exp2(m_s − m)     l = Σ l_s · c_s, an FMA chain over s
//!                  weights = exp2(t_j − m_s) · (c_s / l)
//! ```
//!
//! This is the online normaliser of Milakov and Gimelshein (*Online normalizer calculation for
//! softmax*, 2018), taken once per segment of fixed size as Flash-Decoding does for its splits: each
//! segment refers to its own maximum, so segments know nothing of each other and give the same bits
//! whichever thread computes them. A row of one segment has c_0 = 1, exactly.

use super::exp::exp2;
use crate::layout::LINE;
use crate::plan::Plan;
use crate::simd::SimdExt;

/// The maximum of a segment in which nothing is attended.
const NOTHING: f32 = f32::NEG_INFINITY;

/// Maximum and sum of rows in a segment, or over all their segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowState<V> {
    /// The largest score; −∞ if nothing is attended.
    pub(crate) max: V,
    /// The sum of the exponentials against that maximum.
    pub(crate) sum: V,
}

impl RowState<f32> {
    /// What normalises the exponentials of a row of one segment without a sink.
    #[inline(always)]
    pub(crate) fn factor(self) -> f32 {
        if self.max == NOTHING { 0.0 } else { 1.0 / self.sum }
    }
}

/// The maximum of a segment in which something is attended, given the largest score that is a
/// number: where all are −∞ or NaN, the smallest finite number tells it from a segment in which
/// nothing is.
#[inline(always)]
pub(crate) fn max_of_attended(max: f32) -> f32 {
    if max == NOTHING { f32::MIN } else { max }
}

/// What the scores of a segment with this maximum are reduced by.
#[inline(always)]
pub(crate) fn shift_of(max: f32) -> f32 {
    if max == NOTHING { 0.0 } else { max }
}

/// The states of the segments of some rows, one row in each lane.
pub(crate) trait SegmentStates<S: SimdExt> {
    fn segments(&self) -> usize;

    fn get(&self, simd: S, segment: usize) -> RowState<S::f32s>;

    /// Sets what the segment's exponentials have to be multiplied by.
    fn set_factor(&mut self, segment: usize, factor: S::f32s);

    /// What has been set.
    fn factor(&self, simd: S, segment: usize) -> S::f32s;
}

/// Merges the segments of as many rows as there are lanes: sets the factor of each segment, and
/// returns the largest score and the sum, sink included, which is against the larger of that score
/// and the sink. `sinks`, if there are any, are −∞ for rows without.
#[inline(always)]
pub(crate) fn merge<S: SimdExt>(
    simd: S,
    states: &mut impl SegmentStates<S>,
    sinks: Option<S::f32s>,
) -> RowState<S::f32s> {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let nothing = simd.splat_f32s(NOTHING);
    let segments = states.segments();
    let mut attended = nothing;
    for segment in 0..segments {
        attended = simd.max_f32s(states.get(simd, segment).max, attended);
    }
    let max = sinks.map_or(attended, |sinks| simd.max_f32s(attended, sinks));
    // Where nothing is left, not even a sink, all factors are 0.
    let empty = simd.less_than_or_equal_f32s(max, nothing);
    if let (1, None) = (segments, sinks) {
        // c_0 = exp2(0) = 1, unless there is a NaN anyway.
        let RowState { sum, .. } = states.get(simd, 0);
        states.set_factor(0, simd.select_f32s(empty, zero, simd.div_f32s(one, sum)));
        return RowState { max: attended, sum };
    }
    let shift = simd.select_f32s(empty, zero, max);
    let mut sum = zero;
    for segment in 0..segments {
        let state = states.get(simd, segment);
        let correction = exp2(simd, simd.sub_f32s(state.max, shift));
        sum = simd.mul_add_f32s(state.sum, correction, sum);
        states.set_factor(segment, correction);
    }
    if let Some(sinks) = sinks {
        sum = simd.add_f32s(sum, exp2(simd, simd.sub_f32s(sinks, shift)));
    }
    let inverse = simd.select_f32s(empty, zero, simd.div_f32s(one, sum));
    for segment in 0..segments {
        states.set_factor(segment, simd.mul_f32s(states.factor(simd, segment), inverse));
    }
    RowState { max: attended, sum }
}

/// The row states of a block in some segments: for each segment the maxima of all rows, their sums
/// and their factors, each padded to whole lines.
#[derive(Debug)]
pub(crate) struct RowStates<'a> {
    data: &'a mut [f32],
    first_segment: usize,
    /// Elements of a field.
    lanes: usize,
}

impl<'a> RowStates<'a> {
    /// `data` holds the segments from `first_segment` on.
    #[inline(always)]
    pub(crate) fn new(data: &'a mut [f32], first_segment: usize, plan: &Plan) -> Self {
        RowStates { data, first_segment, lanes: plan.state_lanes() }
    }

    #[inline(always)]
    fn field(&self, segment: usize, field: Field) -> usize {
        ((segment - self.first_segment) * Field::COUNT + field as usize) * self.lanes
    }

    /// Sets the states of some rows.
    #[inline(always)]
    pub(crate) fn set<const ROWS: usize>(
        &mut self,
        segment: usize,
        first_row: usize,
        states: RowState<[f32; ROWS]>,
    ) {
        for (field, values) in [(Field::Max, states.max), (Field::Sum, states.sum)] {
            let start = self.field(segment, field) + first_row;
            self.data[start..start + ROWS].copy_from_slice(&values);
        }
    }

    /// Sets the factor of all rows.
    #[inline(always)]
    pub(crate) fn set_all_factors(&mut self, segment: usize, factor: f32) {
        let start = self.field(segment, Field::Factor);
        self.data[start..start + self.lanes].fill(factor);
    }

    /// What a row's exponentials in a segment have to be multiplied by.
    #[inline(always)]
    pub(crate) fn factor(&self, segment: usize, row: usize) -> f32 {
        self.data[self.field(segment, Field::Factor) + row]
    }

    /// The states of the first `segments` segments of as many rows as there are lanes.
    #[inline(always)]
    pub(crate) fn lanes(&mut self, segments: usize, first_row: usize) -> LaneStates<'_, 'a> {
        LaneStates { states: self, segments, first_row }
    }
}

/// The fields of a row's state in a segment.
#[derive(Clone, Copy, Debug)]
enum Field {
    Max,
    Sum,
    Factor,
}

impl Field {
    const COUNT: usize = 3;
}

/// The states of a few rows of a block.
#[derive(Debug)]
pub(crate) struct LaneStates<'s, 'a> {
    states: &'s mut RowStates<'a>,
    segments: usize,
    first_row: usize,
}

impl LaneStates<'_, '_> {
    #[inline(always)]
    fn load<S: SimdExt>(&self, segment: usize, field: Field) -> S::f32s {
        const { assert!(LINE.is_multiple_of(S::F32_LANES)) };
        let start = self.states.field(segment, field) + self.first_row;
        S::as_simd_f32s(&self.states.data[start..][..S::F32_LANES]).0[0]
    }
}

impl<S: SimdExt> SegmentStates<S> for LaneStates<'_, '_> {
    #[inline(always)]
    fn segments(&self) -> usize {
        self.segments
    }

    #[inline(always)]
    fn get(&self, _: S, segment: usize) -> RowState<S::f32s> {
        let get = |field| self.load::<S>(segment, field);
        RowState { max: get(Field::Max), sum: get(Field::Sum) }
    }

    #[inline(always)]
    fn set_factor(&mut self, segment: usize, factor: S::f32s) {
        let start = self.states.field(segment, Field::Factor) + self.first_row;
        S::as_mut_simd_f32s(&mut self.states.data[start..][..S::F32_LANES]).0[0] = factor;
    }

    #[inline(always)]
    fn factor(&self, _: S, segment: usize) -> S::f32s {
        self.load::<S>(segment, Field::Factor)
    }
}
