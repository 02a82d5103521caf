//! Blocks of query rows, from packed keys to the caller's memory, on one thread.
//!
//! ```text
//! for each block of rows:
//!     pack its queries                                                         (queries)
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
//!
//! Heads of few keys need neither strips nor turns: [`ShortHeads`].

mod adjust;
pub(crate) mod block;
pub(crate) mod dot;
pub(crate) mod exp;
mod exponentials;
mod output;
pub(crate) mod pack;
mod pages;
pub(crate) mod queries;
pub(crate) mod row_softmax;
mod short;
pub(crate) mod softmax;
mod strip;
pub(crate) mod tanh;
mod tile;
mod tile_work;
mod upcoming;
pub(crate) mod widen;

use crate::attention::Stage;
use crate::lanes::{Kernel, Lanes};
use crate::plan::{KeyAccess, Plan};
use crate::problem::{Inputs, KeyHead, Output};
use crate::workspace::LINE;
use adjust::Adjust;
use block::{BlockRows, Row};
use core::ops::Range;
use exponentials::Exponentials;
use output::Writer;
use pack::{FewRows, PANEL};
use queries::pack_queries;
pub(crate) use short::ShortHeads;
use strip::Strip;
use tile::{KeySource, Packed, TilePass, Unpacked};
use upcoming::Upcoming;

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
    fn run<S: Lanes, const REGISTERS: usize>(self, simd: S) {
        let plan = self.call.plan;
        let panel_elements = PANEL * plan.head_dim;
        let (KeyHead::View(head), 1..) = (self.call.inputs.key_head(self.head), panel_elements)
        else {
            return;
        };
        let used = self.call.inputs.keys_in_use(self.head);
        let mut room = FewRows::<PANEL>::new();
        for (i, panel) in self.packed.chunks_exact_mut(panel_elements).enumerate() {
            let first_key = (self.first_panel + i) * PANEL;
            if first_key < used.end && used.start < first_key + PANEL {
                pack::pack_panel(simd, &head, first_key, &mut room, panel);
            }
        }
    }
}

/// The packed keys of this call, if it packs any: those of the heads from this one on.
#[derive(Debug)]
pub(crate) enum Panels<'a> {
    /// Packed before.
    Shared(usize, &'a [f32]),
    /// To be packed when their turn comes: room for those of a block.
    Own(usize, &'a mut [f32]),
}

impl Panels<'_> {
    #[inline(always)]
    fn of_head(&self, head: usize, plan: &Plan) -> &[f32] {
        let (first, panels) = match self {
            Panels::Shared(first, panels) => (first, *panels),
            Panels::Own(first, panels) => (first, &**panels),
        };
        let elements = plan.packed_elements();
        &panels[(head - first) * elements..][..elements]
    }
}

/// Computes some blocks of rows in a run of segments.
#[derive(Debug)]
pub(crate) struct RowBlocks<'a> {
    pub(crate) call: Call<'a>,
    /// Blocks, counted over all heads.
    pub(crate) blocks: Range<usize>,
    pub(crate) segments: Range<usize>,
    pub(crate) panels: Panels<'a>,
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
    /// The last panel of a head, or its only one, whose keys are not packed otherwise.
    pub(crate) panel: &'a mut [f32],
    /// What is known of the rows of two blocks.
    pub(crate) rows: &'a mut [Row],
}

impl Kernel for RowBlocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes, const REGISTERS: usize>(self, simd: S) {
        let RowBlocks { call, blocks, segments, mut panels, strips, scratch } = self;
        let Scratch { query, maxima, panel, rows } = scratch;
        let plan = call.plan;
        let (rows, written_rows) = rows.split_at_mut(plan.block_rows);
        let mut rows = BlockRows::new(rows);
        let (strip, spare) = strips.split_at_mut(plan.strip_elements(segments.len()));
        let mut strip = Strip::new(strip, segments.start, plan);
        let spare = Strip::new(spare, segments.start, plan);
        let written_rows = BlockRows::new(written_rows);
        let mut writer = Writer::new(call, segments.clone(), spare, written_rows);
        for (block, next) in blocks.map(|block| (plan.block(block), block + 1)) {
            if let Panels::Own(first, packed) = &mut panels
                && block.rows.start == 0
            {
                *first = block.heads.start;
                pack_heads(simd, call, block.heads.clone(), packed);
            }
            rows.fill(call, &block);
            writer.keep_pace_with(&rows, &plan.keys_of(&segments));
            pack_queries(simd, call, &rows, query);
            let mut upcoming = Upcoming::after(call, &block, next);
            for segment in segments.clone() {
                maxima.fill(f32::NEG_INFINITY);
                for (i, head) in block.heads.clone().enumerate() {
                    let keys = match (plan.key_access, call.inputs.key_head(head)) {
                        (KeyAccess::Rows, KeyHead::View(head)) => KeySource::rows(head, plan),
                        (_, KeyHead::Packed(panels)) => KeySource::packed(panels, plan),
                        (_, KeyHead::View(_)) => {
                            KeySource::packed(panels.of_head(head, plan), plan)
                        }
                    };
                    let (rows, upcoming) = (&rows, &mut upcoming);
                    let mut scorer = Scorer { call, rows, query, maxima, panel, upcoming };
                    scorer.score(simd, segment, rows.of_head(i), keys, &mut strip, &mut writer);
                }
                let (rows, adjusted) = (&rows, !call.inputs.adjustments.is_empty());
                let (strip, keys) = (&mut strip, plan.segment_keys(segment));
                if adjusted {
                    let keys = keys.clone();
                    simd.call(Adjust { call, strip, segment, keys, rows, maxima });
                }
                match plan.stage {
                    Stage::Weights => {
                        simd.call(Exponentials { strip, segment, keys, rows, maxima, adjusted });
                    }
                    _ => strip.statistics(segment).1.fill(1.0),
                }
            }
            if plan.shares_strips() {
                continue;
            }
            if plan.stage == Stage::Weights {
                merge(simd, call, &rows, &mut strip);
            }
            writer.finish(simd);
            writer.start(&mut strip, &mut rows);
            if plan.strips_per_thread == 1 {
                writer.finish(simd);
                writer.give_back(&mut strip);
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
    /// Counted over all heads.
    pub(crate) block: usize,
    /// All segments.
    pub(crate) strip: &'a mut [f32],
    /// Room for what is known of the rows.
    pub(crate) rows: &'a mut [Row],
}

impl Kernel for FinishBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes, const REGISTERS: usize>(self, simd: S) {
        let FinishBlock { call, block, strip, rows } = self;
        let plan = call.plan;
        let mut rows = BlockRows::new(rows);
        rows.fill(call, &plan.block(block));
        let mut strip = Strip::new(strip, 0, plan);
        merge(simd, call, &rows, &mut strip);
        Writer::new(call, 0..plan.segments(), strip, rows).finish(simd);
        simd.fence();
    }
}

/// Packs the keys of some heads.
#[inline(always)]
fn pack_heads<S: Lanes>(simd: S, call: Call<'_>, heads: Range<usize>, packed: &mut [f32]) {
    let elements = call.plan.packed_elements();
    for (i, head) in heads.enumerate() {
        let packed = &mut packed[i * elements..][..elements];
        simd.call(PackPanels { call, head, first_panel: 0, packed });
    }
}

/// Merges the segments of a strip.
#[inline(always)]
fn merge<S: Lanes>(simd: S, call: Call<'_>, rows: &BlockRows<'_>, strip: &mut Strip<'_>) {
    let segments = call.plan.segments();
    let sink = |row: &Row| call.inputs.sink(row.index.q_head);
    for (i, rows) in rows.rows().chunks(S::F32_LANES).enumerate() {
        let sinks = sink(&rows[0]).map(|_| {
            let mut sinks = [f32::NEG_INFINITY; LINE];
            for (lane, sink) in sinks.iter_mut().zip(rows.iter().filter_map(sink)) {
                *lane = sink;
            }
            S::as_simd_f32s(&sinks).0[0]
        });
        softmax::merge_segments(simd, segments, i * S::F32_LANES, sinks, strip);
    }
}

/// Fills a strip, a segment at a time.
struct Scorer<'a> {
    call: Call<'a>,
    rows: &'a BlockRows<'a>,
    /// The packed queries.
    query: &'a [f32],
    /// The running maxima of the rows, a line each.
    maxima: &'a mut [f32],
    panel: &'a mut [f32],
    upcoming: &'a mut Upcoming,
}

impl Scorer<'_> {
    /// The scores of a head's rows in one segment, and their running maxima; `writer` goes on with
    /// the block before. A pass of keys stays in L2 while the tiles pass over it.
    #[inline(always)]
    fn score<S: Lanes>(
        &mut self,
        simd: S,
        segment: usize,
        head_rows: Range<usize>,
        keys: KeySource<'_>,
        strip: &mut Strip<'_>,
        writer: &mut Writer<'_>,
    ) {
        let Scorer { call: Call { plan, .. }, rows, .. } = *self;
        let segment_keys = plan.segment_keys(segment);
        let pitch = strip.pitch();
        let scores = strip.scores(segment);
        let mut first_key = segment_keys.start;
        while first_key < segment_keys.end {
            let mut end_key = segment_keys.end.min(first_key + plan.pass_keys);
            let mut source = keys.from(first_key, plan.head_dim);
            if let KeySource::Rows(Unpacked { head, .. }) = keys {
                let whole_panels = head.rows / PANEL * PANEL;
                if first_key >= head.rows {
                    break;
                } else if first_key < whole_panels {
                    end_key = end_key.min(whole_panels);
                } else {
                    // The last keys of the head: a tile reads no rows that do not exist.
                    let panel = &mut self.panel[..PANEL * plan.head_dim];
                    let room = &mut FewRows::<PANEL>::new();
                    pack::pack_panel(simd, &head, first_key, room, panel);
                    source = KeySource::Packed(Packed { panels: panel, far: false });
                    end_key = end_key.min(first_key + PANEL);
                }
            }
            let keys_of_pass = first_key..end_key;
            for first_row in head_rows.clone().step_by(S::TILE.rows) {
                // All that any of them attends to in the segment, and what lies between: rows of
                // different heads may stand far apart.
                let tile_range = first_row..head_rows.end.min(first_row + S::TILE.rows);
                let panels = rows.panels_of(tile_range.clone(), &segment_keys);
                let panels =
                    panels.start.max(first_key)..panels.end.min(end_key.next_multiple_of(PANEL));
                if panels.is_empty() {
                    continue;
                }
                let pass = TilePass {
                    query: &self.query[first_row * plan.query_row_elements()..],
                    rows: &rows.rows()[tile_range.clone()],
                    head_dim: plan.head_dim,
                    keys: source.from(panels.start - first_key, plan.head_dim),
                    first_key: panels.start,
                    all_rows: rows.common_keys(tile_range, &keys_of_pass),
                    end_key: panels.end,
                    scores: &mut scores[first_row * pitch + panels.start - segment_keys.start..],
                    pitch,
                    maxima: &mut self.maxima[first_row * LINE..],
                    writer,
                    upcoming: self.upcoming,
                };
                pass.compute(simd);
            }
            first_key = end_key;
        }
    }
}
