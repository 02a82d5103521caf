//! From scores to exponentials: one segment of a block's rows, in place.

use super::block_rows::BlockRows;
use super::overflow::{may_have_overflowed, saturate};
use super::row_state::{Field, RowState, RowStates, max_of_attended};
use super::score_buffer::ScoreBuffer;
use super::softmax;
use crate::call::Call;
use crate::layout::LINE;
use crate::simd::{Kernel, SimdExt};
use core::ops::Range;

/// Replaces the scores of a segment by exponentials, and sets the state of each row.
pub(crate) struct Exponentials<'a, 's> {
    pub(crate) call: Call<'a>,
    pub(crate) scores: &'a mut ScoreBuffer<'s>,
    pub(crate) states: &'a mut RowStates<'s>,
    pub(crate) segment: usize,
    pub(crate) keys: Range<usize>,
    pub(crate) rows: &'a BlockRows<'a>,
    /// The running maxima of the rows, a line each.
    pub(crate) maxima: &'a [f32],
    /// Whether the maxima tell already whether anything is attended.
    pub(crate) after_ops: bool,
}

impl Kernel for Exponentials<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        if self.call.plan.moments {
            self.compute::<S, REGISTERS, true>(simd);
        } else {
            self.compute::<S, REGISTERS, false>(simd);
        }
    }
}

impl Exponentials<'_, '_> {
    #[inline(always)]
    fn compute<S: SimdExt, const REGISTERS: usize, const MOMENTS: bool>(mut self, simd: S) {
        for Range { start: first, end } in self.rows.tiles(S::TILE.rows) {
            // The tile has written these alone.
            let panels = self.rows.panels_of(first..end, &self.keys);
            let mut row = first;
            // As many rows side by side as fit in the registers.
            while REGISTERS == 1 && row + 4 <= end {
                self.compute_rows::<S, 4, REGISTERS, MOMENTS>(simd, row, &panels);
                row += 4;
            }
            while REGISTERS == 2 && row + 3 <= end {
                self.compute_rows::<S, 3, REGISTERS, MOMENTS>(simd, row, &panels);
                row += 3;
            }
            while row + 2 <= end {
                self.compute_rows::<S, 2, REGISTERS, MOMENTS>(simd, row, &panels);
                row += 2;
            }
            if row < end {
                self.compute_rows::<S, 1, REGISTERS, MOMENTS>(simd, row, &panels);
            }
        }
    }

    #[inline(always)]
    fn compute_rows<S: SimdExt, const ROWS: usize, const REGISTERS: usize, const MOMENTS: bool>(
        &mut self,
        simd: S,
        first_row: usize,
        panels: &Range<usize>,
    ) {
        let running = &self.maxima.as_chunks::<LINE>().0[first_row..];
        let rows = &self.rows.rows()[first_row..][..ROWS];
        let within = panels.start - self.keys.start..panels.end - self.keys.start;
        let scores = self.scores.rows(self.segment, first_row, within);
        let mut maxima = [f32::NEG_INFINITY; ROWS];
        for (i, max) in maxima.iter_mut().enumerate() {
            *max = simd.reduce_max_f32s(S::as_simd_f32s(&running[i]).0[0]);
            let found_none = *max == f32::NEG_INFINITY && !self.after_ops;
            if found_none && !rows[i].keys_in(&self.keys).is_empty() {
                *max = max_of_attended(*max);
            }
            if may_have_overflowed(*max) {
                *max = max_of_attended(saturate(self.call, &rows[i], panels, scores[i]));
            }
        }
        let (sums, moments) =
            softmax::exponentiate::<S, ROWS, REGISTERS, MOMENTS>(simd, scores, maxima);
        self.states.set(self.segment, first_row, RowState { max: maxima, sum: sums });
        if MOMENTS {
            self.states.set_field(self.segment, Field::Moment, first_row, moments);
        }
    }
}
