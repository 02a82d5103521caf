//! What is computed of a block of rows before its outputs are written.

use super::row_state::RowStates;
use super::score_buffer::ScoreBuffer;
use crate::plan::Plan;
use core::ops::Range;

/// Scores, or exponentials in their place, and the states of the rows.
#[derive(Debug)]
pub(crate) struct BlockBuffer<'a> {
    pub(crate) scores: ScoreBuffer<'a>,
    pub(crate) states: RowStates<'a>,
}

/// The memory of one [`BlockBuffer`] or two.
#[derive(Debug)]
pub(crate) struct BufferMemory<'a> {
    pub(crate) scores: &'a mut [f32],
    pub(crate) states: &'a mut [f32],
}

impl<'a> BufferMemory<'a> {
    /// All of it as a buffer of some segments.
    #[inline(always)]
    pub(crate) fn into_buffer(self, segments: &Range<usize>, plan: &Plan) -> BlockBuffer<'a> {
        BlockBuffer {
            scores: ScoreBuffer::new(self.scores, segments.start, plan),
            states: RowStates::new(self.states, segments.start, plan),
        }
    }

    /// A buffer of some segments, and what is behind it: the memory of another one, if the plan has
    /// two.
    #[inline(always)]
    pub(crate) fn split(
        self,
        segments: &Range<usize>,
        plan: &Plan,
    ) -> (BlockBuffer<'a>, BufferMemory<'a>) {
        let kept = if plan.keeps_scores { segments.len() } else { 1 };
        let (scores, more_scores) = self.scores.split_at_mut(kept * plan.segment_scores());
        let (states, more_states) =
            self.states.split_at_mut(segments.len() * plan.segment_states());
        let buffer = BufferMemory { scores, states }.into_buffer(segments, plan);
        (buffer, BufferMemory { scores: more_scores, states: more_states })
    }
}
