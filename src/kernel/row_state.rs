//! The state of a row in a segment of keys, and merging the segments of a row.
//!
//! ```text
//! per segment:     m = max t_j       l = Σ exp2(t_j − m)
//! two neighbours:  m = max(m_a, m_b)   a = exp2(m_a − m)   b = exp2(m_b − m)   l = fma(l_b, b, l_a · a)
//! per row:         weights = exp2(t_j − m_s) · (exp2(m_s − m) / l)
//! ```
//!
//! This is the online normaliser of Milakov and Gimelshein (*Online normalizer calculation for
//! softmax*, 2018), taken once per segment of fixed size as Flash-Decoding does for its splits: each
//! segment refers to its own maximum, so segments know nothing of each other and give the same bits
//! whichever thread computes them. They merge in one binary tree shaped by their number: the left
//! subtree has the largest power of two of segments below it, as in BLAKE3. A sink joins last.

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

    /// Sets what the segment's exponentials have to be multiplied by. Its sum is not needed any more.
    fn set_factor(&mut self, segment: usize, factor: S::f32s);
}

/// The larger maximum of two states, and what the sums of each are multiplied by to refer to it.
#[inline(always)]
pub(crate) fn join<S: SimdExt>(
    simd: S,
    a: RowState<S::f32s>,
    b: RowState<S::f32s>,
) -> (RowState<S::f32s>, S::f32s, S::f32s) {
    let max = simd.max_f32s(b.max, a.max);
    let shift = shift_of_lanes(simd, max);
    let of_a = exp2(simd, simd.sub_f32s(a.max, shift));
    let of_b = exp2(simd, simd.sub_f32s(b.max, shift));
    let sum = simd.mul_add_f32s(b.sum, of_b, simd.mul_f32s(a.sum, of_a));
    (RowState { max, sum }, of_a, of_b)
}

/// [`shift_of`] in every lane.
#[inline(always)]
fn shift_of_lanes<S: SimdExt>(simd: S, max: S::f32s) -> S::f32s {
    let empty = simd.less_than_or_equal_f32s(max, simd.splat_f32s(NOTHING));
    simd.select_f32s(empty, simd.splat_f32s(0.0), max)
}

/// More than a row can have levels in its tree of segments.
const MAX_LEVELS: usize = usize::BITS as usize;

/// The state of all segments together; that of nothing if there are none.
#[inline(always)]
fn join_all<S: SimdExt>(simd: S, states: &impl SegmentStates<S>) -> RowState<S::f32s> {
    let nothing = RowState { max: simd.splat_f32s(NOTHING), sum: simd.splat_f32s(0.0) };
    let get = |segment| states.get(simd, segment);
    fold_tree(states.segments(), nothing, get, |a, b| join(simd, a, b).0)
}

/// Joins segments in the one tree that their number shapes; `nothing` if there are none.
#[inline(always)]
pub(crate) fn fold_tree<T: Copy>(
    segments: usize,
    nothing: T,
    get: impl Fn(usize) -> T,
    join: impl Fn(T, T) -> T,
) -> T {
    if segments == 1 {
        return get(0);
    }
    let mut stack = [nothing; MAX_LEVELS];
    let mut count = 0;
    let join_top = |stack: &mut [T], count: &mut usize| {
        *count -= 1;
        stack[*count - 1] = join(stack[*count - 1], stack[*count]);
    };
    for segment in 0..segments {
        stack[count] = get(segment);
        count += 1;
        for _ in 0..(segment + 1).trailing_zeros() {
            join_top(&mut stack, &mut count);
        }
    }
    while count > 1 {
        join_top(&mut stack, &mut count);
    }
    stack[0]
}

/// A row with all its segments and its sink.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MergedRow<V> {
    /// The largest score that the row attends to; −∞ if it attends to nothing.
    pub(crate) max: V,
    /// What scores are reduced by: the larger of that and the sink, 0 if both are −∞.
    pub(crate) shift: V,
    /// The sum of the exponentials against `shift`, the sink's included.
    pub(crate) sum: V,
    /// What the sums of exponentials times values against `max` are multiplied by.
    pub(crate) factor: V,
    /// What exponentials against `shift` are multiplied by: 1 / sum, or 0 without anything to sum.
    pub(crate) inverse: V,
}

/// Merges the segments of as many rows as there are lanes. `sinks`, if there are any, are −∞ for rows
/// without.
#[inline(always)]
pub(crate) fn merge<S: SimdExt>(
    simd: S,
    states: &impl SegmentStates<S>,
    sinks: Option<S::f32s>,
) -> MergedRow<S::f32s> {
    let zero = simd.splat_f32s(0.0);
    let RowState { max, sum } = join_all(simd, states);
    let larger = sinks.map_or(max, |sinks| simd.max_f32s(max, sinks));
    let shift = shift_of_lanes(simd, larger);
    let correction = exp2(simd, simd.sub_f32s(max, shift));
    let mut sum = simd.mul_f32s(sum, correction);
    if let Some(sinks) = sinks {
        sum = simd.add_f32s(sum, exp2(simd, simd.sub_f32s(sinks, shift)));
    }
    // Where nothing is left, not even a sink, all factors are 0.
    let empty = simd.less_than_or_equal_f32s(larger, simd.splat_f32s(NOTHING));
    let inverse = simd.div_f32s(simd.splat_f32s(1.0), sum);
    let inverse = simd.select_f32s(empty, zero, inverse);
    let factor = simd.mul_f32s(correction, inverse);
    MergedRow { max, shift, sum, factor, inverse }
}

/// Sets the factors by which the exponentials of each segment become weights.
#[inline(always)]
pub(crate) fn set_factors<S: SimdExt>(
    simd: S,
    states: &mut impl SegmentStates<S>,
    merged: &MergedRow<S::f32s>,
) {
    for segment in 0..states.segments() {
        let state = states.get(simd, segment);
        let correction = exp2(simd, simd.sub_f32s(state.max, merged.shift));
        states.set_factor(segment, simd.mul_f32s(correction, merged.inverse));
    }
}

/// The row states of a block in some segments: for each segment the maxima of all rows and their sums,
/// each padded to whole lines. Once a row is merged, factors take the place of the sums.
#[derive(Debug)]
pub(crate) struct RowStates<'a> {
    data: &'a mut [f32],
    first_segment: usize,
    /// Elements of a field.
    lanes: usize,
    /// Elements of a segment.
    pitch: usize,
}

impl<'a> RowStates<'a> {
    /// `data` holds the segments from `first_segment` on.
    #[inline(always)]
    pub(crate) fn new(data: &'a mut [f32], first_segment: usize, plan: &Plan) -> Self {
        RowStates { data, first_segment, lanes: plan.state_lanes(), pitch: plan.segment_states() }
    }

    #[inline(always)]
    fn field(&self, segment: usize, field: Field) -> usize {
        (segment - self.first_segment) * self.pitch + field as usize * self.lanes
    }

    /// Sets the states of some rows.
    #[inline(always)]
    pub(crate) fn set<const ROWS: usize>(
        &mut self,
        segment: usize,
        first_row: usize,
        states: RowState<[f32; ROWS]>,
    ) {
        self.set_field(segment, Field::Max, first_row, states.max);
        self.set_field(segment, Field::Sum, first_row, states.sum);
    }

    /// Sets one field of some rows.
    #[inline(always)]
    pub(crate) fn set_field<const ROWS: usize>(
        &mut self,
        segment: usize,
        field: Field,
        first_row: usize,
        values: [f32; ROWS],
    ) {
        let start = self.field(segment, field) + first_row;
        self.data[start..start + ROWS].copy_from_slice(&values);
    }

    /// One field of a row.
    #[inline(always)]
    pub(crate) fn get_field(&self, segment: usize, field: Field, row: usize) -> f32 {
        self.data[self.field(segment, field) + row]
    }

    /// The maxima and the sums of all rows.
    #[inline(always)]
    pub(crate) fn get(&self, segment: usize) -> (&[f32], &[f32]) {
        let start = self.field(segment, Field::Max);
        self.data[start..start + 2 * self.lanes].split_at(self.lanes)
    }

    /// Sets the factor of all rows.
    #[inline(always)]
    pub(crate) fn set_all_factors(&mut self, segment: usize, factor: f32) {
        let start = self.field(segment, Field::Sum);
        self.data[start..start + self.lanes].fill(factor);
    }

    /// What a row's exponentials in a segment have to be multiplied by.
    #[inline(always)]
    pub(crate) fn factor(&self, segment: usize, row: usize) -> f32 {
        self.get_field(segment, Field::Sum, row)
    }

    /// The states of the first `segments` segments of as many rows as there are lanes.
    #[inline(always)]
    pub(crate) fn lanes(&mut self, segments: usize, first_row: usize) -> LaneStates<'_, 'a> {
        LaneStates { states: self, segments, first_row }
    }
}

/// The fields of a row's state in a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    Max,
    /// The sum, and from the merge on the factor.
    Sum,
    /// The moment, for the entropy.
    Moment,
    /// The first key whose exponential is 1, counted from the segment's first one.
    Largest,
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
    pub(crate) fn load<S: SimdExt>(&self, segment: usize, field: Field) -> S::f32s {
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
        let start = self.states.field(segment, Field::Sum) + self.first_row;
        S::as_mut_simd_f32s(&mut self.states.data[start..][..S::F32_LANES]).0[0] = factor;
    }
}
