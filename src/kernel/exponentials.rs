//! Scores become exponentials: one segment of a block's rows, in place.

use super::block::BlockRows;
use super::softmax;
use super::strip::Strip;
use crate::lanes::{Kernel, Lanes};
use crate::workspace::LINE;
use core::ops::Range;

/// Replaces the scores of a segment by exponentials; notes the maximum and the sum of each row.
///
/// A row of which nothing is left in the segment has the maximum −∞ and the sum 0. If all that is
/// left is −∞, or NaN, the maximum is the smallest number instead: so it is told from the former.
pub(crate) struct Exponentials<'a, 's> {
    pub(crate) strip: &'a mut Strip<'s>,
    pub(crate) segment: usize,
    pub(crate) keys: Range<usize>,
    pub(crate) rows: &'a BlockRows<'a>,
    /// The running maxima of the rows, a line each.
    pub(crate) maxima: &'a [f32],
    /// Whether the maxima tell already what is left.
    pub(crate) adjusted: bool,
}

impl Kernel for Exponentials<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes, const REGISTERS: usize>(mut self, simd: S) {
        for Range { start: first, end } in self.rows.tiles(S::TILE.rows) {
            // Outside of these the tile has written nothing.
            let panels = self.rows.panels_of(first..end, &self.keys);
            let mut row = first;
            // As many rows side by side as there are registers for.
            while REGISTERS == 1 && row + 4 <= end {
                self.compute_rows::<S, 4, REGISTERS>(simd, row, &panels);
                row += 4;
            }
            while REGISTERS == 2 && row + 3 <= end {
                self.compute_rows::<S, 3, REGISTERS>(simd, row, &panels);
                row += 3;
            }
            while row + 2 <= end {
                self.compute_rows::<S, 2, REGISTERS>(simd, row, &panels);
                row += 2;
            }
            if row < end {
                self.compute_rows::<S, 1, REGISTERS>(simd, row, &panels);
            }
        }
    }
}

impl Exponentials<'_, '_> {
    #[inline(always)]
    fn compute_rows<S: Lanes, const ROWS: usize, const REGISTERS: usize>(
        &mut self,
        simd: S,
        first_row: usize,
        panels: &Range<usize>,
    ) {
        let running = &self.maxima.as_chunks::<LINE>().0[first_row..];
        let places = &self.rows.rows()[first_row..][..ROWS];
        let mut maxima = [f32::NEG_INFINITY; ROWS];
        for ((max, running), place) in maxima.iter_mut().zip(running).zip(places) {
            *max = simd.reduce_max_f32s(S::as_simd_f32s(running).0[0]);
            let nothing = *max == f32::NEG_INFINITY;
            if nothing && !self.adjusted && !place.keys_in(&self.keys).is_empty() {
                *max = softmax::maximum_of_some(*max);
            }
        }
        let within = panels.start - self.keys.start..panels.end - self.keys.start;
        let rows = self.strip.rows(self.segment, first_row, within);
        let sums = softmax::exponentiate::<S, ROWS, REGISTERS>(simd, rows, maxima);
        let (all_maxima, all_sums) = self.strip.statistics(self.segment);
        all_maxima[first_row..][..ROWS].copy_from_slice(&maxima);
        all_sums[first_row..][..ROWS].copy_from_slice(&sums);
    }
}
