//! Blocks of query rows, from packed keys to the caller's memory, on one thread.
//!
//! ```text
//! for each block of rows:
//!     pack its queries                                                            (pack)
//!     for each segment of keys:
//!         for each panel: for each tile of rows: scores into the strip, maxima    (tile)
//!         per row: exponentials in place, their sum                            (softmax)
//!     merge the segments: one factor per row and segment                       (softmax)
//!     per row: exponentials · factor → output                                   (output)
//! ```
//!
//! A panel stays in L1 while the rows of the block pass over it; the strip, which holds the
//! block's scores, stays in L2 until it is written. Writing waits for memory and tiles wait for
//! nothing, so the rows of one block are written a few lines at a time between the tiles of the
//! next: hence two strips, turn and turn about. A block may also be shared out by segments: then
//! [`RowBlocks`] stops before the merge, and [`FinishBlock`] does it once all segments are there.

pub(crate) mod dot;
pub(crate) mod exp;
mod output;
pub(crate) mod pack;
pub(crate) mod row_softmax;
pub(crate) mod softmax;
mod strip;
mod tile;

use crate::attention::Stage;
use crate::isa::Kernel;
use crate::lanes::Lanes;
use crate::plan::Plan;
use crate::problem::{Inputs, KeyHead, Output};
use crate::workspace::LINE;
use core::{mem, ops::Range};
use output::{BlockRows, Writer};
use pack::{PANEL, QUERY_RUN};
use strip::Strip;
use tile::KeySource;

/// What every task of a call shares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) inputs: &'a Inputs<'a>,
    pub(crate) output: &'a Output<'a>,
    pub(crate) plan: &'a Plan,
}

/// Packs some panels of a head's keys.
#[derive(Debug)]
pub(crate) struct PackPanels<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) head: usize,
    pub(crate) first_panel: usize,
    pub(crate) packed: &'a mut [f32],
}

impl Kernel for PackPanels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let plan = self.call.plan;
        let panel_elements = PANEL * plan.head_dim;
        let (KeyHead::View(head), 1..) = (self.call.inputs.key_head(self.head), panel_elements)
        else {
            return;
        };
        for (i, panel) in self.packed.chunks_exact_mut(panel_elements).enumerate() {
            pack::pack_panel(simd, &head, (self.first_panel + i) * PANEL, panel);
        }
    }
}

/// Computes some blocks of rows in a run of segments.
#[derive(Debug)]
pub(crate) struct RowBlocks<'a> {
    pub(crate) call: Call<'a>,
    /// The key head, counted over the batch.
    pub(crate) head: usize,
    /// Blocks of the head's group.
    pub(crate) blocks: Range<usize>,
    pub(crate) segments: Range<usize>,
    /// The head's keys, if this call has packed them.
    pub(crate) packed: Option<&'a [f32]>,
    /// The strips, one or two.
    pub(crate) strips: &'a mut [f32],
    /// Room for what only this task uses.
    pub(crate) scratch: Scratch<'a>,
}

/// What a task has to itself.
#[derive(Debug)]
pub(crate) struct Scratch<'a> {
    /// The packed queries of a block.
    pub(crate) query: &'a mut [f32],
    /// The running maxima of its rows, a line each.
    pub(crate) maxima: &'a mut [f32],
    /// The last keys of a head whose keys are not packed otherwise.
    pub(crate) panels: &'a mut [f32],
}

impl Kernel for RowBlocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let RowBlocks { call, head, blocks, segments, packed, strips, scratch } = self;
        let Scratch { query, maxima, panels } = scratch;
        let plan = call.plan;
        let (mut current, spare) = strips.split_at_mut(plan.strip_elements(segments.len()));
        let mut writer = Writer::idle(call, segments.clone(), spare);
        for block in blocks {
            let rows = plan.block(block);
            pack_queries(simd, call, head, rows.clone(), query);
            let mut strip = Strip::new(current, segments.start, plan);
            for segment in segments.clone() {
                let keys = match (packed, call.inputs.key_head(head)) {
                    (Some(packed), _) | (None, KeyHead::Packed(packed)) => {
                        KeySource::Packed(packed)
                    }
                    (None, KeyHead::View(head)) => KeySource::Rows(head, 0),
                };
                let mut scorer = Scorer { call, rows: rows.len(), query, maxima, panels };
                scorer.score(simd, segment, keys, &mut strip, &mut writer);
                match plan.stage {
                    Stage::Scores => strip.statistics(segment).1.fill(1.0),
                    Stage::Weights => scorer.exponentiate(simd, segment, &mut strip),
                }
            }
            if plan.shares_strips() {
                continue;
            }
            if plan.stage == Stage::Weights {
                merge(simd, plan, rows.len(), &mut strip);
            }
            writer.finish(simd);
            mem::swap(&mut current, &mut writer.strip);
            writer.start(BlockRows::new(call, head, rows));
            if plan.strips_per_thread == 1 {
                writer.finish(simd);
                mem::swap(&mut current, &mut writer.strip);
            }
        }
        writer.finish(simd);
        simd.fence();
    }
}

/// Merges and writes a block whose segments several tasks have computed.
#[derive(Debug)]
pub(crate) struct FinishBlock<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) head: usize,
    pub(crate) rows: Range<usize>,
    /// All segments.
    pub(crate) strip: &'a mut [f32],
}

impl Kernel for FinishBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let FinishBlock { call, head, rows, strip } = self;
        let plan = call.plan;
        merge(simd, plan, rows.len(), &mut Strip::new(strip, 0, plan));
        let mut writer = Writer::idle(call, 0..plan.segments(), strip);
        writer.start(BlockRows::new(call, head, rows));
        writer.finish(simd);
        simd.fence();
    }
}

/// Packs the queries of a block, tile by tile.
#[inline(always)]
fn pack_queries<S: Lanes>(
    _: S,
    call: Call<'_>,
    head: usize,
    rows: Range<usize>,
    query: &mut [f32],
) {
    let Call { inputs, plan, .. } = call;
    let row_runs = plan.query_row_elements() / QUERY_RUN;
    let (runs, _) = query.as_chunks_mut::<QUERY_RUN>();
    let mut indices = inputs.row_indices(head, rows.clone());
    for first in (0..if row_runs == 0 { 0 } else { rows.len() }).step_by(S::TILE.rows) {
        let tile_rows = S::TILE.rows.min(rows.len() - first);
        let tile = &mut runs[first * row_runs..][..tile_rows * row_runs];
        for (row, index) in (0..tile_rows).zip(&mut indices) {
            pack::pack_query(
                &inputs.query_head(index),
                index.row,
                plan.head_dim,
                inputs.query_factor,
                &mut tile[row..],
                tile_rows,
            );
        }
    }
}

/// Merges the segments of a strip.
#[inline(always)]
fn merge<S: Lanes>(simd: S, plan: &Plan, rows: usize, strip: &mut Strip<'_>) {
    for first_row in (0..rows).step_by(S::F32_LANES) {
        softmax::merge_segments(simd, plan.segments(), first_row, strip);
    }
}

/// The keys from `first_key` on. Of keys that are not packed, whole panels stay as they are; the
/// last ones are packed into `panels`.
#[inline(always)]
fn keys_from<'a, S: Lanes>(
    simd: S,
    keys: KeySource<'a>,
    first_key: usize,
    valid: usize,
    head_dim: usize,
    panels: &'a mut [f32],
) -> KeySource<'a> {
    match keys {
        KeySource::Packed(packed) => KeySource::Packed(&packed[first_key * head_dim..]),
        KeySource::Rows(head, _) if valid.is_multiple_of(PANEL) => KeySource::Rows(head, first_key),
        KeySource::Rows(head, _) => {
            let panels = &mut panels[..valid.next_multiple_of(PANEL) * head_dim];
            for (i, panel) in panels.chunks_exact_mut((PANEL * head_dim).max(1)).enumerate() {
                pack::pack_panel(simd, &head, first_key + i * PANEL, panel);
            }
            KeySource::Packed(panels)
        }
    }
}

/// Fills a strip, a segment at a time.
struct Scorer<'a> {
    call: Call<'a>,
    rows: usize,
    /// The packed queries.
    query: &'a [f32],
    /// The running maxima of the rows, a line each.
    maxima: &'a mut [f32],
    /// Room for a few panels.
    panels: &'a mut [f32],
}

impl Scorer<'_> {
    /// The scores of one segment, and the running maxima of its rows; `writer` goes on with the
    /// block before.
    #[inline(always)]
    fn score<S: Lanes>(
        &mut self,
        simd: S,
        segment: usize,
        keys: KeySource<'_>,
        strip: &mut Strip<'_>,
        writer: &mut Writer<'_>,
    ) {
        let Scorer { call: Call { plan, .. }, rows, .. } = *self;
        let segment_keys = plan.segment_keys(segment);
        self.maxima.fill(f32::NEG_INFINITY);
        let pitch = strip.pitch();
        let scores = strip.scores(segment);
        let mut first_key = segment_keys.start;
        while first_key < segment_keys.end {
            let left = segment_keys.end - first_key;
            let most = tile::panels_at_a_time::<S>(rows, keys);
            let panels = if left >= most * PANEL { most } else { S::TILE.panels.min(most) };
            let panels = panels.min(left.div_ceil(PANEL));
            let valid = left.min(panels * PANEL);
            let panel_scores = tile::PanelScores {
                query: self.query,
                head_dim: plan.head_dim,
                rows,
                keys: keys_from(simd, keys, first_key, valid, plan.head_dim, self.panels),
                panels,
                valid,
                scores: &mut scores[first_key - segment_keys.start..],
                pitch,
                maxima: self.maxima,
            };
            panel_scores.compute(simd, writer);
            first_key += panels * PANEL;
        }
    }

    /// Replaces scores by exponentials; notes the maximum and the sum of each row.
    #[inline(always)]
    fn exponentiate<S: Lanes>(&self, simd: S, segment: usize, strip: &mut Strip<'_>) {
        let keys = self.call.plan.segment_keys(segment).len();
        for row in 0..self.rows {
            let (running, _) = S::as_simd_f32s(&self.maxima[row * LINE..]);
            let max = simd.reduce_max_f32s(running[0]);
            let sum = softmax::exponentiate(simd, strip.padded_row(segment, row, keys), max);
            let (maxima, sums) = strip.statistics(segment);
            maxima[row] = max;
            sums[row] = sum;
        }
    }
}
