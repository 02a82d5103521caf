//! The softmax of one row by itself, in the caller's memory.
//!
//! ```text
//! per segment:      m_s           reads the segment
//!                   e_j, l_s      reads it again, from L1; writes the output
//! for all:          c_s · r
//! per segment:      e_j · (c_s · r)                   reads and writes the output
//! ```
//!
//! A row that the last cache does not hold together with its output has its exponentials written
//! past the caches: otherwise each line of the output is read before it is written, only to be gone
//! again when the last step comes. Memory is passed over four times, then, instead of five.
//! Computing the exponentials twice, not to write them before the factors are known, needs three
//! passes, but came out no faster: two exponentials take what the memory saves.
//!
//! The maximum is that of the row, scaled: rounding is monotone, so the largest product is the
//! product of the largest element, or of the smallest where the factor is negative.
//!
//! Stores that straddle cache lines cost twice: the output is written in whole lines. Where its
//! first line is a part of one, the 16 virtual lanes of the sums turn: register lane i of a
//! line holds key j with j mod 16 = (i + head) mod 16. What stands before the first whole line and
//! after the last passes through padded ones, as if −∞ stood around the segment: e = +0 changes
//! no sum.

use super::exp::{exp2, exp2_of};
use super::softmax::{SEGMENT, VIRTUAL_LANES, maximum_of_some, tree_sum};
use crate::lanes::{Kernel, Lanes};
use pulp::bytemuck::{cast_slice, cast_slice_mut};

#[derive(Debug)]
pub(crate) struct RowSoftmax<'a> {
    /// The input; `output` itself if there is none.
    pub(crate) row: Option<&'a [f32]>,
    /// `scale · log2(e)`.
    pub(crate) factor: f32,
    /// As long as `row`.
    pub(crate) output: &'a mut [f32],
    /// Whether exponentials are written past the caches.
    pub(crate) streaming: bool,
    /// Room for each segment's maximum.
    pub(crate) maxima: &'a mut [f32],
    /// Room for each segment's sum; then for what normalises its exponentials.
    pub(crate) sums: &'a mut [f32],
}

impl Kernel for RowSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes, const REGISTERS: usize>(self, simd: S) {
        // Four registers side by side hide most of what each waits for. AVX2's sixteen are enough
        // for two; with four, some go through the stack, and how long that takes depends on where
        // the stack is: 10 % less than with two or 60 % more.
        match REGISTERS {
            1 => self.run_groups::<S, REGISTERS, 4>(simd),
            _ => self.run_groups::<S, REGISTERS, REGISTERS>(simd),
        }
    }
}

impl RowSoftmax<'_> {
    /// Takes `GROUP` registers at a time, whole lines.
    #[inline(always)]
    fn run_groups<S: Lanes, const REGISTERS: usize, const GROUP: usize>(self, simd: S) {
        let RowSoftmax { row, factor, output, streaming, maxima, sums } = self;
        for (segment, output) in output.chunks_mut(SEGMENT).enumerate() {
            let row = row.map(|row| &row[segment * SEGMENT..][..output.len()]);
            let segment_row = Segment { row, factor, output, streaming };
            (maxima[segment], sums[segment]) =
                segment_row.exponentiate::<S, REGISTERS, GROUP>(simd);
        }
        if streaming {
            simd.fence();
        }
        merge(simd, maxima, sums);
        for (output, &factor) in output.chunks_mut(SEGMENT).zip(&*sums) {
            normalise(simd, output, factor);
        }
    }
}

/// One segment of a row.
struct Segment<'a> {
    row: Option<&'a [f32]>,
    factor: f32,
    output: &'a mut [f32],
    streaming: bool,
}

impl Segment<'_> {
    /// Writes the exponentials; returns the maximum and the sum.
    #[inline(always)]
    fn exponentiate<S: Lanes, const REGISTERS: usize, const GROUP: usize>(
        self,
        simd: S,
    ) -> (f32, f32) {
        let Segment { row, factor, output, streaming } = self;
        let group_elements = GROUP * S::F32_LANES;
        let head = elements_before_line(output);
        let body = (output.len() - head) / group_elements * group_elements;
        let (head_output, output) = output.split_at_mut(head);
        let (output, tail_output) = output.split_at_mut(body);
        let (head_row, row, tail_row) = match row {
            None => (&*head_output, None, &*tail_output),
            Some(row) => (&row[..head], Some(&row[head..][..body]), &row[head + body..]),
        };

        let lowest = simd.splat_f32s(f32::NEG_INFINITY);
        let (mut head_scores, mut tail_scores) = ([lowest; REGISTERS], [lowest; GROUP]);
        let before = VIRTUAL_LANES - head;
        scale(head_row, factor, &mut cast_slice_mut(&mut head_scores)[before..]);
        scale(tail_row, factor, cast_slice_mut(&mut tail_scores));

        let mut max = largest_product::<S, GROUP>(simd, row.unwrap_or(output), factor);
        for &scores in head_scores.iter().chain(&tail_scores) {
            max = simd.max_f32s(scores, max);
        }
        let max = maximum_of_some(simd.reduce_max_f32s(max));

        let mut sum = Sum::<S, REGISTERS> {
            factor: simd.splat_f32s(factor),
            shift: simd.splat_f32s(max),
            lanes: [simd.splat_f32s(0.0); REGISTERS],
        };
        if head > 0 {
            let exponentials = sum.add(simd, head_scores);
            head_output.copy_from_slice(&cast_slice(&exponentials)[before..]);
        }
        match row {
            Some(row) if streaming => {
                let row = S::as_simd_f32s(row).0.as_chunks::<GROUP>().0;
                for (output, scores) in output.chunks_exact_mut(group_elements).zip(row) {
                    let exponentials = sum.add_scaled(simd, *scores);
                    for (output, e) in output.chunks_exact_mut(S::F32_LANES).zip(exponentials) {
                        simd.stream(output, e);
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
            let exponentials = sum.add(simd, tail_scores);
            tail_output.copy_from_slice(&cast_slice(&exponentials)[..tail_output.len()]);
        }
        (max, sum.total(simd, head))
    }
}

/// The sum of a segment's exponentials on the way.
struct Sum<S: Lanes, const REGISTERS: usize> {
    factor: S::f32s,
    shift: S::f32s,
    /// The virtual lanes, turned.
    lanes: [S::f32s; REGISTERS],
}

impl<S: Lanes, const REGISTERS: usize> Sum<S, REGISTERS> {
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

/// Asks for a group of the next segment's row, which is to be read once this segment is done, and of
/// the output soon to be written.
#[inline(always)]
fn prefetch<S: Lanes, const GROUP: usize>(simd: S, row: &[S::f32s], output: &[S::f32s]) {
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
fn largest_product<S: Lanes, const GROUP: usize>(simd: S, row: &[f32], factor: f32) -> S::f32s {
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

/// Replaces each segment's sum by the factor that normalises its exponentials.
#[inline(always)]
fn merge<S: Lanes>(simd: S, maxima: &[f32], sums: &mut [f32]) {
    if let [sum] = sums {
        // c = exp2(0) = 1, unless there is a NaN anyway.
        *sum = 1.0 / *sum;
        return;
    }
    let mut max = f32::NEG_INFINITY;
    for &segment_max in maxima {
        max = if segment_max > max { segment_max } else { max };
    }
    let mut sum = simd.splat_f32s(0.0);
    for (segment_sum, &segment_max) in sums.iter_mut().zip(maxima) {
        let correction = exp2(simd, simd.splat_f32s(segment_max - max));
        sum = simd.mul_add_f32s(simd.splat_f32s(*segment_sum), correction, sum);
        *segment_sum = cast_slice::<_, f32>(&[correction])[0];
    }
    let inverse = 1.0 / cast_slice::<_, f32>(&[sum])[0];
    for factor in sums {
        *factor *= inverse;
    }
}

#[inline(always)]
fn normalise<S: Lanes>(simd: S, output: &mut [f32], factor: f32) {
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
