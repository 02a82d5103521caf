//! The softmax of one row by itself, in the caller's memory: the steps of a block's rows.
//!
//! What does not fill the virtual lanes at the end of the row passes through a padded line, so
//! that it has the lanes that it would have in a strip.

use super::softmax::{
    SEGMENT, VIRTUAL_LANES, add_exponentials, maximum_of_some, merge_segments, shift_of, tree_sum,
};
use super::strip::Strip;
use crate::isa::Kernel;
use crate::lanes::{Lanes, LineKernel};

/// Elements of statistics that each segment needs.
pub(crate) const SEGMENT_STATISTICS: usize = Strip::STATISTICS_OF_ONE_ROW;

#[derive(Debug)]
pub(crate) struct RowSoftmax<'a> {
    /// The input; `output` itself if there is none.
    pub(crate) row: Option<&'a [f32]>,
    /// `scale · log2(e)`.
    pub(crate) factor: f32,
    /// As long as `row`.
    pub(crate) output: &'a mut [f32],
    /// [`SEGMENT_STATISTICS`] elements a segment.
    pub(crate) statistics: &'a mut [f32],
}

impl Kernel for RowSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        simd.call(self);
    }
}

impl LineKernel for RowSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes, const REGISTERS: usize>(self, simd: S) {
        let RowSoftmax { row, factor, output, statistics } = self;
        let mut strip = Strip::of_statistics(statistics);
        for (segment, output) in output.chunks_mut(SEGMENT).enumerate() {
            match row {
                Some(row) => scale(&row[segment * SEGMENT..], factor, output),
                None => output.iter_mut().for_each(|score| *score *= factor),
            }
            let (body, rest) = output.split_at_mut(output.len() / VIRTUAL_LANES * VIRTUAL_LANES);
            let mut tail = [f32::NEG_INFINITY; VIRTUAL_LANES];
            tail[..rest.len()].copy_from_slice(rest);

            let mut max = simd.splat_f32s(f32::NEG_INFINITY);
            for scores in [&*body, &tail] {
                for &scores in S::as_simd_f32s(scores).0 {
                    max = simd.max_f32s(scores, max);
                }
            }
            let max = maximum_of_some(simd.reduce_max_f32s(max));
            let shift = [shift_of(simd, max)];
            let mut sums = [[simd.splat_f32s(0.0); REGISTERS]];
            add_exponentials(simd, [body], shift, &mut sums);
            add_exponentials(simd, [&mut tail], shift, &mut sums);
            rest.copy_from_slice(&tail[..rest.len()]);

            let (maxima, segment_sums) = strip.statistics(segment);
            maxima.fill(max);
            segment_sums.fill(tree_sum::<S>(&sums[0]));
        }
        let no_sink = simd.splat_f32s(f32::NEG_INFINITY);
        merge_segments(simd, output.len().div_ceil(SEGMENT), 0, no_sink, &mut strip);
        for (segment, output) in output.chunks_mut(SEGMENT).enumerate() {
            let factor = strip.statistics(segment).1[0];
            output.iter_mut().for_each(|weight| *weight *= factor);
        }
    }
}

#[inline(always)]
fn scale(row: &[f32], factor: f32, scores: &mut [f32]) {
    for (score, element) in scores.iter_mut().zip(row) {
        *score = element * factor;
    }
}
