//! The scores of a head's rows in one segment: passes of keys, tiles of rows.

use super::block_rows::BlockRows;
use super::key_source::HeadKeys;
use super::score_buffer::ScoreBuffer;
use super::tile::{Background, TilePass};
use crate::call::Call;
use crate::layout::{LINE, PANEL};
use crate::simd::SimdExt;
use core::ops::Range;

/// Fills a score buffer, a segment and a head at a time.
#[derive(Debug)]
pub(crate) struct Scorer<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) rows: &'a BlockRows<'a>,
    /// The packed queries.
    pub(crate) query: &'a [f32],
    /// The running maxima of the rows, a line each.
    pub(crate) maxima: &'a mut [f32],
    /// Memory for a panel: that of the last keys of a head, where the others are read row by row.
    pub(crate) panel: &'a mut [f32],
}

/// The keys of a head from one key to before another, which stay in L2 while all rows meet them.
struct KeyPass<'a> {
    keys: Range<usize>,
    /// From the first one on.
    source: HeadKeys<'a>,
}

impl Scorer<'_> {
    /// The scores of a head's rows in one segment, and their running maxima.
    #[inline(always)]
    pub(crate) fn score<'q, S: SimdExt>(
        &mut self,
        simd: S,
        segment: usize,
        (head_rows, keys): (Range<usize>, HeadKeys<'_>),
        buffer: &mut ScoreBuffer<'_>,
        background: &mut impl Background<'q>,
    ) {
        let segment_keys = self.call.plan.segment_keys(segment);
        let pitch = buffer.pitch();
        let scores = buffer.segment(segment);
        let panel = core::mem::take(&mut self.panel);
        let mut first_key = segment_keys.start;
        while let Some(pass) = self.key_pass(simd, keys, first_key..segment_keys.end, &mut *panel) {
            for first_row in head_rows.clone().step_by(S::TILE.rows) {
                let tile_rows = first_row..head_rows.end.min(first_row + S::TILE.rows);
                // All keys of the segment that any of them attends to, and what lies between: rows
                // of different heads may stand far apart.
                let panels = self.rows.panels_of(tile_rows.clone(), &segment_keys);
                let start = panels.start.max(pass.keys.start);
                let end = panels.end.min(pass.keys.end.next_multiple_of(PANEL));
                if start >= end {
                    continue;
                }
                let head_dim = self.call.plan.head_dim;
                let tile = TilePass {
                    query: &self.query[first_row * self.call.plan.query_row_elements()..],
                    rows: &self.rows.rows()[tile_rows.clone()],
                    head_dim,
                    first_key: start,
                    all_rows: self.rows.common_keys(tile_rows, &pass.keys),
                    end_key: end,
                    scores: &mut scores[first_row * pitch + start - segment_keys.start..],
                    pitch,
                    maxima: &mut self.maxima[first_row * LINE..],
                    background,
                };
                tile.compute(simd, pass.source.from(start - pass.keys.start, head_dim));
            }
            first_key = pass.keys.end;
        }
        self.panel = panel;
    }

    /// The next pass over some keys. Row-major keys end with whole panels: a transposing tile reads
    /// no rows that do not exist. Those behind them are packed, with zeros for what is missing.
    #[inline(always)]
    fn key_pass<'k, S: SimdExt>(
        &self,
        simd: S,
        keys: HeadKeys<'k>,
        within: Range<usize>,
        panel: &'k mut [f32],
    ) -> Option<KeyPass<'k>> {
        let plan = self.call.plan;
        let Range { start, end } = within;
        if start >= end {
            return None;
        }
        let pass_end = end.min(start + plan.pass_keys);
        let rows = keys.row_count().unwrap_or(usize::MAX);
        let whole_panels = rows / PANEL * PANEL;
        if start < whole_panels {
            let source = keys.from(start, plan.head_dim);
            return Some(KeyPass { keys: start..pass_end.min(whole_panels), source });
        }
        if start >= rows {
            return None;
        }
        let panel = &mut panel[..PANEL * plan.head_dim];
        keys.pack_panel(simd, start, panel);
        Some(KeyPass {
            keys: start..end.min(start + PANEL),
            source: HeadKeys::panels(panel, false),
        })
    }
}
