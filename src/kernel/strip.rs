//! The scores of a block of query rows, segment by segment, with what the softmax knows of them.

use crate::plan::Plan;
use crate::workspace::LINE;
use core::{mem, ops::Range};

/// A run of segments. Each holds its rows one after another, `pitch` elements apart, then a
/// maximum per row, then a sum per row.
#[derive(Debug)]
pub(crate) struct Strip<'a> {
    data: &'a mut [f32],
    first_segment: usize,
    rows: usize,
    pitch: usize,
    segment_elements: usize,
}

impl<'a> Strip<'a> {
    /// `data` holds the segments from `first_segment` on.
    #[inline(always)]
    pub(crate) fn new(data: &'a mut [f32], first_segment: usize, plan: &Plan) -> Self {
        Strip {
            data,
            first_segment,
            rows: plan.block_rows,
            pitch: plan.segment_pitch(),
            segment_elements: plan.segment_elements(),
        }
    }

    #[inline(always)]
    fn segment_range(&self, segment: usize) -> Range<usize> {
        let start = (segment - self.first_segment) * self.segment_elements;
        start..start + self.segment_elements
    }

    /// The rows of a segment, [`Strip::pitch`] elements apart.
    #[inline(always)]
    pub(crate) fn scores(&mut self, segment: usize) -> &mut [f32] {
        let range = self.segment_range(segment);
        &mut self.data[range][..self.rows * self.pitch]
    }

    #[inline(always)]
    pub(crate) fn pitch(&self) -> usize {
        self.pitch
    }

    /// Index of a row's first score of a segment in the strip.
    #[inline(always)]
    pub(crate) fn row_start(&self, segment: usize, row: usize) -> usize {
        self.segment_range(segment).start + row * self.pitch
    }

    /// What stands in the strip from an index on.
    #[inline(always)]
    pub(crate) fn from(&self, index: usize) -> &[f32] {
        &self.data[index..]
    }

    /// The sum of a row, or what it has been replaced by.
    #[inline(always)]
    pub(crate) fn sum(&self, segment: usize, row: usize) -> f32 {
        let maxima = self.rows.next_multiple_of(LINE);
        self.data[self.row_start(segment, self.rows) + maxima + row]
    }

    /// Some keys of some rows in a segment, counted from its first one.
    #[inline(always)]
    pub(crate) fn rows<const ROWS: usize>(
        &mut self,
        segment: usize,
        first_row: usize,
        keys: Range<usize>,
    ) -> [&mut [f32]; ROWS] {
        let pitch = self.pitch;
        let mut rest = &mut self.scores(segment)[first_row * pitch..];
        core::array::from_fn(|_| {
            let (row, others) = mem::take(&mut rest).split_at_mut(pitch);
            rest = others;
            &mut row[keys.clone()]
        })
    }

    /// The maxima and the sums of a segment's rows, padded to whole lines.
    #[inline(always)]
    pub(crate) fn statistics(&mut self, segment: usize) -> (&mut [f32], &mut [f32]) {
        let range = self.segment_range(segment);
        let statistics = &mut self.data[range][self.rows * self.pitch..];
        statistics.split_at_mut(self.rows.next_multiple_of(LINE))
    }
}
