//! The scores of a block of query rows, segment by segment.

use crate::plan::Plan;
use core::{mem, ops::Range};

/// The scores of a block in some segments. Each segment holds the block's rows one after another,
/// `pitch` elements apart.
#[derive(Debug)]
pub(crate) struct ScoreBuffer<'a> {
    data: &'a mut [f32],
    first_segment: usize,
    /// Whether each segment has a place of its own; else all share one.
    keeps_all: bool,
    pitch: usize,
    segment_elements: usize,
}

impl<'a> ScoreBuffer<'a> {
    /// `data` holds the segments from `first_segment` on, or one at a time.
    #[inline(always)]
    pub(crate) fn new(data: &'a mut [f32], first_segment: usize, plan: &Plan) -> Self {
        ScoreBuffer {
            data,
            first_segment,
            keeps_all: plan.keeps_scores,
            pitch: plan.score_pitch(),
            segment_elements: plan.segment_scores(),
        }
    }

    #[inline(always)]
    fn segment_start(&self, segment: usize) -> usize {
        let place = if self.keeps_all { segment - self.first_segment } else { 0 };
        place * self.segment_elements
    }

    /// The rows of a segment, [`ScoreBuffer::pitch`] elements apart.
    #[inline(always)]
    pub(crate) fn segment(&mut self, segment: usize) -> &mut [f32] {
        let start = self.segment_start(segment);
        &mut self.data[start..start + self.segment_elements]
    }

    #[inline(always)]
    pub(crate) fn pitch(&self) -> usize {
        self.pitch
    }

    /// Index of a row's first score of a segment in the buffer.
    #[inline(always)]
    pub(crate) fn row_start(&self, segment: usize, row: usize) -> usize {
        self.segment_start(segment) + row * self.pitch
    }

    /// The buffer from an index on.
    #[inline(always)]
    pub(crate) fn from(&self, index: usize) -> &[f32] {
        &self.data[index..]
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
        let mut rest = &mut self.segment(segment)[first_row * pitch..];
        core::array::from_fn(|_| {
            let (row, others) = mem::take(&mut rest).split_at_mut(pitch);
            rest = others;
            &mut row[keys.clone()]
        })
    }
}
