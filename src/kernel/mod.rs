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
use crate::lanes::{Lanes, LineKernel};
use crate::plan::Plan;
use crate::problem::{Inputs, KeyHead, Output};
use crate::workspace::LINE;
use core::{mem, ops::Range};
use output::{BlockRows, Writer};
use pack::{PANEL, QUERY_RUN};
use strip::Strip;
use tile::{KeySource, TilePass};

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
    /// The last panel of a head whose keys are not packed otherwise.
    pub(crate) last_panel: &'a mut [f32],
}

impl Kernel for RowBlocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let RowBlocks { call, head, blocks, segments, packed, strips, scratch } = self;
        let Scratch { query, maxima, last_panel } = scratch;
        let plan = call.plan;
        let (mut current, spare) = strips.split_at_mut(plan.strip_elements(segments.len()));
        let mut writer = Writer::idle(call, segments.clone(), spare);
        for block in blocks {
            let rows = plan.block(block);
            pack_queries(simd, call, head, rows.clone(), query);
            let mut strip = Strip::new(current, segments.start, plan);
            for segment in segments.clone() {
                let keys = match (packed, call.inputs.key_head(head)) {
                    (Some(panels), _) | (None, KeyHead::Packed(panels)) => {
                        KeySource::Packed { panels, far: plan.keys_are_far }
                    }
                    (None, KeyHead::View(head)) => KeySource::Rows(head, 0),
                };
                let mut scorer = Scorer { call, rows: rows.len(), query, maxima, last_panel };
                scorer.score(simd, segment, keys, &mut strip, &mut writer);
                match plan.stage {
                    Stage::Scores => strip.statistics(segment).1.fill(1.0),
                    Stage::Weights => simd.call(Exponentials {
                        strip: &mut strip,
                        segment,
                        rows: rows.len(),
                        keys: plan.segment_keys(segment).len(),
                        maxima,
                    }),
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

/// Fills a strip, a segment at a time.
struct Scorer<'a> {
    call: Call<'a>,
    rows: usize,
    /// The packed queries.
    query: &'a [f32],
    /// The running maxima of the rows, a line each.
    maxima: &'a mut [f32],
    last_panel: &'a mut [f32],
}

impl Scorer<'_> {
    /// The scores of one segment, and the running maxima of its rows; `writer` goes on with the
    /// block before. A pass of keys stays in L2 while the tiles of the block pass over it.
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
        for first_key in segment_keys.clone().step_by(plan.pass_keys) {
            for first_row in (0..rows).step_by(S::TILE.rows) {
                let pass = TilePass {
                    query: &self.query[first_row * plan.query_row_elements()..],
                    rows: rows - first_row,
                    head_dim: plan.head_dim,
                    keys: keys.from(first_key, plan.head_dim),
                    valid: plan.pass_keys.min(segment_keys.end - first_key),
                    scores: &mut scores[first_row * pitch + first_key - segment_keys.start..],
                    pitch,
                    maxima: &mut self.maxima[first_row * LINE..],
                    last_panel: self.last_panel,
                    writer,
                };
                pass.compute(simd);
            }
        }
    }
}

/// Replaces the scores of a segment by exponentials; notes the maximum and the sum of each row.
struct Exponentials<'a, 's> {
    strip: &'a mut Strip<'s>,
    segment: usize,
    rows: usize,
    keys: usize,
    /// The running maxima of the rows, a line each.
    maxima: &'a [f32],
}

/// Rows whose exponentials are computed side by side.
const ROWS_AT_ONCE: usize = 2;

impl LineKernel for Exponentials<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes, const REGISTERS: usize>(mut self, simd: S) {
        let mut row = 0;
        while row + ROWS_AT_ONCE <= self.rows {
            self.compute_rows::<S, ROWS_AT_ONCE, REGISTERS>(simd, row);
            row += ROWS_AT_ONCE;
        }
        for row in row..self.rows {
            self.compute_rows::<S, 1, REGISTERS>(simd, row);
        }
    }
}

impl Exponentials<'_, '_> {
    #[inline(always)]
    fn compute_rows<S: Lanes, const ROWS: usize, const REGISTERS: usize>(
        &mut self,
        simd: S,
        first_row: usize,
    ) {
        let running = &self.maxima.as_chunks::<LINE>().0[first_row..];
        let maxima: [f32; ROWS] =
            core::array::from_fn(|row| simd.reduce_max_f32s(S::as_simd_f32s(&running[row]).0[0]));
        let rows = self.strip.padded_rows(self.segment, first_row, self.keys);
        let sums = softmax::exponentiate::<S, ROWS, REGISTERS>(simd, rows, maxima);
        let (all_maxima, all_sums) = self.strip.statistics(self.segment);
        all_maxima[first_row..][..ROWS].copy_from_slice(&maxima);
        all_sums[first_row..][..ROWS].copy_from_slice(&sums);
    }
}
