//! The softmax of one row by itself, in the caller's memory.
//!
//! ```text
//! per segment:      m_s           reads the segment
//!                   e_j, l_s      reads it again, from L1; writes the output
//! for all:          c_s · r
//! per segment:      e_j · (c_s · r)                   reads and writes the output
//! ```
//!
//! 1. A row that exceeds the last cache together with its output has its exponentials written by
//!    non-temporal stores: otherwise each line of the output is read before it is written, only to be
//!    evicted before the last step. Memory is passed over four times, then, instead of five.
//!    (Computing the exponentials twice needs three passes, but was no faster: two exponentials cost
//!    what the memory saves.)
//! 2. The maximum is that of the row, scaled: rounding is monotone, so the largest product is the
//!    product of the largest element, or of the smallest where the factor is negative.
//! 3. Stores that straddle cache lines cost twice, so the output is written in whole lines. Where its
//!    first line is partial, the 16 virtual lanes of the sums rotate: register lane i of a line holds
//!    key j with j mod 16 = (i + head) mod 16. The elements before the first whole line and after the
//!    last pass through padded lines, as if −∞ stood around the segment: e = +0 changes no sum.

use super::exp::{exp2, exp2_of};
use super::overflow::may_have_overflowed;
use super::row_state::{RowState, SegmentStates, max_of_attended, merge, set_factors};
use super::softmax::tree_sum;
use crate::layout::{SEGMENT, VIRTUAL_LANES};
use crate::options::log2_units;
use crate::simd::{Kernel, SimdExt};
use pulp::bytemuck::{cast_slice, cast_slice_mut};

#[derive(Debug)]
pub(crate) struct RowSoftmax<'a> {
    /// The input; `output` itself if there is none.
    pub(crate) row: Option<&'a [f32]>,
    /// What the elements are multiplied by.
    pub(crate) scale: f32,
    /// As long as `row`.
    pub(crate) output: &'a mut [f32],
    /// Whether exponentials are written by non-temporal stores.
    pub(crate) nontemporal: bool,
    /// Memory for each segment's state: the maximum, and the sum that the factor replaces.
    pub(crate) states: &'a mut [[f32; 2]],
}

impl Kernel for RowSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        // Four registers side by side hide most of the latency of each. AVX2's sixteen registers are
        // enough for two; four spill, and what that costs depends on where the stack is: from 10 %
        // less than two to 60 % more.
        match REGISTERS {
            1 => self.run_groups::<S, REGISTERS, 4>(simd),
            _ => self.run_groups::<S, REGISTERS, REGISTERS>(simd),
        }
    }
}

impl RowSoftmax<'_> {
    /// Takes `GROUP` registers at a time, whole lines.
    #[inline(always)]
    fn run_groups<S: SimdExt, const REGISTERS: usize, const GROUP: usize>(self, simd: S) {
        let RowSoftmax { row, scale, output, nontemporal, states } = self;
        let factor = log2_units(scale);
        for (segment, output) in output.chunks_mut(SEGMENT).enumerate() {
            let row = row.map(|row| &row[segment * SEGMENT..][..output.len()]);
            let row = Segment { row, factor, output, nontemporal };
            let max = row.maximum::<S, REGISTERS, GROUP>(simd);
            let RowState { max, sum } = if may_have_overflowed(max) {
                row.exponentiate_saturated(scale)
            } else {
                row.exponentiate::<S, REGISTERS, GROUP>(simd, max)
            };
            states[segment] = [max, sum];
        }
        if nontemporal {
            simd.fence();
        }
        let mut segments = RowSegments(states);
        let merged = merge(simd, &segments, None);
        set_factors(simd, &mut segments, &merged);
        for (output, &[_, factor]) in output.chunks_mut(SEGMENT).zip(&*states) {
            normalise(simd, output, factor);
        }
    }
}

/// One segment of a row.
struct Segment<'a> {
    row: Option<&'a [f32]>,
    factor: f32,
    output: &'a mut [f32],
    nontemporal: bool,
}

/// Scores of the elements before the first whole line and after the last, padded with −∞.
struct Edges<S: SimdExt, const REGISTERS: usize, const GROUP: usize> {
    head: [S::f32s; REGISTERS],
    tail: [S::f32s; GROUP],
}

impl Segment<'_> {
    /// The elements before the first whole line, and those of whole groups behind them.
    #[inline(always)]
    fn head_and_body<S: SimdExt, const GROUP: usize>(&self) -> (usize, usize) {
        let group_elements = GROUP * S::F32_LANES;
        let head = elements_before_line(self.output);
        (head, (self.output.len() - head) / group_elements * group_elements)
    }

    #[inline(always)]
    fn edges<S: SimdExt, const REGISTERS: usize, const GROUP: usize>(
        &self,
        simd: S,
    ) -> Edges<S, REGISTERS, GROUP> {
        let (head, body) = self.head_and_body::<S, GROUP>();
        let row = self.row.unwrap_or(self.output);
        let lowest = simd.splat_f32s(f32::NEG_INFINITY);
        let mut edges = Edges { head: [lowest; REGISTERS], tail: [lowest; GROUP] };
        let before = VIRTUAL_LANES - head;
        scale(&row[..head], self.factor, &mut cast_slice_mut(&mut edges.head)[before..]);
        scale(&row[head + body..], self.factor, cast_slice_mut(&mut edges.tail));
        edges
    }

    /// The largest score that is a number.
    #[inline(always)]
    fn maximum<S: SimdExt, const REGISTERS: usize, const GROUP: usize>(&self, simd: S) -> f32 {
        let (head, body) = self.head_and_body::<S, GROUP>();
        let row = &self.row.unwrap_or(self.output)[head..][..body];
        let edges = self.edges::<S, REGISTERS, GROUP>(simd);
        let mut max = largest_product::<S, GROUP>(simd, row, self.factor);
        for &scores in edges.head.iter().chain(&edges.tail) {
            max = simd.max_f32s(scores, max);
        }
        max_of_attended(simd.reduce_max_f32s(max))
    }

    /// Writes the exponentials where scores may have overflowed although they are finite in natural
    /// units ([`overflow`](super::overflow)).
    #[cold]
    #[inline(never)]
    fn exponentiate_saturated(self, scale: f32) -> RowState<f32> {
        let Segment { row, factor, output, .. } = self;
        let mut max = f32::NEG_INFINITY;
        for (i, output) in output.iter_mut().enumerate() {
            let element = row.map_or(*output, |row| row[i]);
            *output = element * factor;
            if output.is_infinite() && (element * scale).is_finite() {
                *output = f32::MAX.copysign(*output);
            }
            if *output > max {
                max = *output;
            }
        }
        let max = max_of_attended(max);
        let mut lanes = [0.0; VIRTUAL_LANES];
        for (i, output) in output.iter_mut().enumerate() {
            *output = exp2(pulp::Scalar, *output - max);
            lanes[i % VIRTUAL_LANES] += *output;
        }
        RowState { max, sum: tree_sum::<pulp::Scalar>(&lanes) }
    }

    /// Writes the exponentials.
    #[inline(always)]
    fn exponentiate<S: SimdExt, const REGISTERS: usize, const GROUP: usize>(
        self,
        simd: S,
        max: f32,
    ) -> RowState<f32> {
        let (head, body) = self.head_and_body::<S, GROUP>();
        let edges = self.edges::<S, REGISTERS, GROUP>(simd);
        let group_elements = GROUP * S::F32_LANES;
        let Segment { row, factor, output, nontemporal } = self;
        let row = row.map(|row| &row[head..][..body]);
        let (head_output, output) = output.split_at_mut(head);
        let (output, tail_output) = output.split_at_mut(body);
        let mut sum = Sum::<S, REGISTERS> {
            factor: simd.splat_f32s(factor),
            shift: simd.splat_f32s(max),
            lanes: [simd.splat_f32s(0.0); REGISTERS],
        };
        if head > 0 {
            let exponentials = sum.add(simd, edges.head);
            head_output.copy_from_slice(&cast_slice(&exponentials)[VIRTUAL_LANES - head..]);
        }
        match row {
            Some(row) if nontemporal => {
                let row = S::as_simd_f32s(row).0.as_chunks::<GROUP>().0;
                for (output, scores) in output.chunks_exact_mut(group_elements).zip(row) {
                    let exponentials = sum.add_scaled(simd, *scores);
                    for (output, e) in output.chunks_exact_mut(S::F32_LANES).zip(exponentials) {
                        simd.store_nontemporal(output, e);
                    }
                }
            }
            Some(row) => {
                let row = S::as_simd_f32s(row).0.as_chunks::<GROUP>().0;
                let output = S::as_mut_simd_f32s(output).0.as_chunks_mut::<GROUP>().0;
                for (output, scores) in output.iter_mut().zip(row) {
                    prefetch::<S, GROUP>(simd, scores, output);
                    *output = sum.add_scaled(simd, *scores);
                }
            }
            None => {
                for scores in S::as_mut_simd_f32s(output).0.as_chunks_mut::<GROUP>().0 {
                    *scores = sum.add_scaled(simd, *scores);
                }
            }
        }
        if !tail_output.is_empty() {
            let exponentials = sum.add(simd, edges.tail);
            tail_output.copy_from_slice(&cast_slice(&exponentials)[..tail_output.len()]);
        }
        RowState { max, sum: sum.total(simd, head) }
    }
}

/// The sum of a segment's exponentials so far.
struct Sum<S: SimdExt, const REGISTERS: usize> {
    factor: S::f32s,
    shift: S::f32s,
    /// The virtual lanes, rotated.
    lanes: [S::f32s; REGISTERS],
}

impl<S: SimdExt, const REGISTERS: usize> Sum<S, REGISTERS> {
    /// [`Sum::add`] of elements of the row.
    #[inline(always)]
    fn add_scaled<const GROUP: usize>(
        &mut self,
        simd: S,
        mut row: [S::f32s; GROUP],
    ) -> [S::f32s; GROUP] {
        for element in &mut row {
            *element = simd.mul_f32s(*element, self.factor);
        }
        self.add(simd, row)
    }

    /// Adds the exponentials of some lines of scores, and returns them.
    #[inline(always)]
    fn add<const GROUP: usize>(
        &mut self,
        simd: S,
        mut scores: [S::f32s; GROUP],
    ) -> [S::f32s; GROUP] {
        for score in &mut scores {
            *score = simd.sub_f32s(*score, self.shift);
        }
        let exponentials = exp2_of(simd, scores);
        for (i, &e) in exponentials.iter().enumerate() {
            self.lanes[i % REGISTERS] = simd.add_f32s(self.lanes[i % REGISTERS], e);
        }
        exponentials
    }

    /// The sum of all lanes, where the first line held `head` elements if not none.
    #[inline(always)]
    fn total(&self, simd: S, head: usize) -> f32 {
        if head == 0 {
            return tree_sum::<S>(&self.lanes);
        }
        let mut twice = [[simd.splat_f32s(0.0); REGISTERS]; 2];
        twice.fill(self.lanes);
        let lanes: &[f32] = cast_slice(twice.as_flattened());
        tree_sum::<S>(S::as_simd_f32s(&lanes[VIRTUAL_LANES - head..][..VIRTUAL_LANES]).0)
    }
}

/// Prefetches a group of the next segment's row, and of the output that will be written soon.
#[inline(always)]
fn prefetch<S: SimdExt, const GROUP: usize>(simd: S, row: &[S::f32s], output: &[S::f32s]) {
    const SOON: usize = 256;
    let row = row.as_ptr().cast::<f32>().wrapping_add(SEGMENT);
    let output = output.as_ptr().cast::<f32>().wrapping_add(SOON);
    for line in (0..GROUP * S::F32_LANES).step_by(VIRTUAL_LANES) {
        simd.prefetch_to_l2(row.wrapping_add(line));
        simd.prefetch(output.wrapping_add(line));
    }
}

/// How many elements stand before the first whole line.
#[inline(always)]
fn elements_before_line(output: &[f32]) -> usize {
    const LINE_BYTES: usize = VIRTUAL_LANES * size_of::<f32>();
    output.as_ptr().align_offset(LINE_BYTES).min(output.len())
}

#[inline(always)]
fn scale(row: &[f32], factor: f32, scores: &mut [f32]) {
    for (score, element) in scores.iter_mut().zip(row) {
        *score = element * factor;
    }
}

/// The largest product of each lane, −∞ where the row has no whole group.
#[inline(always)]
fn largest_product<S: SimdExt, const GROUP: usize>(simd: S, row: &[f32], factor: f32) -> S::f32s {
    let groups = S::as_simd_f32s(row).0.as_chunks::<GROUP>().0;
    let Some(&first) = groups.first() else {
        return simd.splat_f32s(f32::NEG_INFINITY);
    };
    let mut most = first;
    if factor >= 0.0 {
        for group in groups {
            for (most, &element) in most.iter_mut().zip(group) {
                *most = simd.max_f32s(element, *most);
            }
        }
    } else {
        for group in groups {
            for (most, &element) in most.iter_mut().zip(group) {
                *most = simd.min_f32s(element, *most);
            }
        }
    }
    let mut max = simd.splat_f32s(f32::NEG_INFINITY);
    for most in most {
        max = simd.max_f32s(simd.mul_f32s(most, simd.splat_f32s(factor)), max);
    }
    max
}

/// The states of a row's segments, in every lane.
struct RowSegments<'a>(&'a mut [[f32; 2]]);

impl<S: SimdExt> SegmentStates<S> for RowSegments<'_> {
    #[inline(always)]
    fn segments(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn get(&self, simd: S, segment: usize) -> RowState<S::f32s> {
        let [max, sum] = self.0[segment].map(|value| simd.splat_f32s(value));
        RowState { max, sum }
    }

    #[inline(always)]
    fn set_factor(&mut self, segment: usize, factor: S::f32s) {
        self.0[segment][1] = cast_slice::<_, f32>(&[factor])[0];
    }
}

#[inline(always)]
fn normalise<S: SimdExt>(simd: S, output: &mut [f32], factor: f32) {
    let (head, output) = output.split_at_mut(elements_before_line(output));
    let (body, tail) = S::as_mut_simd_f32s(output);
    for weight in head.iter_mut().chain(tail) {
        *weight *= factor;
    }
    let factor = simd.splat_f32s(factor);
    for weights in body {
        *weights = simd.mul_f32s(*weights, factor);
    }
}
