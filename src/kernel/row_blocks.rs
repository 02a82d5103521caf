//! Blocks of query rows, from packed keys to the outputs, on one thread.
//!
//! ```text
//! for each block of rows:
//!     pack its queries                                                         (queries)
//!     for each segment of keys:
//!         for each panel: for each tile of rows: scores into the buffer, maxima   (tile)
//!         per row: options on the logits                                       (logit_ops)
//!         per row: exponentials in place, their sum                            (softmax)
//!         per tile of rows: exponentials · values → a node of the output    (value_product)
//!     merge the segments: one factor per row and segment                (row_state, nodes)
//!     per row: exponentials · factor → weights; row results; output            (output)
//! ```
//!
//! 1. A panel stays in L1 while the rows of the block pass over it; the score buffer stays in L2 until
//!    it is written.
//! 2. Stores wait for memory and tiles do not: the weights of one block are written a few lines at a
//!    time between the FMAs of the next. So there are two buffers, which take turns.
//! 3. A block may also be shared out by segments, as in Flash-Decoding: then [`RowBlocks`] stops before
//!    the merge, and [`FinishBlock`] does it once all segments are there.

use super::block_buffer::{BlockBuffer, BufferMemory};
use super::block_rows::BlockRows;
use super::exponentials::Exponentials;
use super::key_source::HeadKeys;
use super::largest_keys::LargestKeys;
use super::logit_ops::LogitOps;
use super::next_block::NextBlockPrefetch;
use super::nodes::Nodes;
use super::output::{KeyMass, TopK, WeightsWriter, write_output_row, write_row_results};
use super::pack_panels::{PackedHeads, pack_heads};
use super::queries::pack_queries;
use super::row_state::{merge, set_factors};
use super::score::Scorer;
use super::scratch::Scratch;
use super::tile::Background;
use super::value_product::{HeadValues, add_value_product};
use crate::call::Call;
use crate::layout::LINE;
use crate::problem::Goal;
use crate::rows::Row;
use crate::simd::{Kernel, SimdExt, Staging, StoreQueue};
use core::ops::Range;

/// Computes some blocks of rows in consecutive segments.
#[derive(Debug)]
pub(crate) struct RowBlocks<'a> {
    pub(crate) call: Call<'a>,
    /// Blocks, counted over all heads.
    pub(crate) blocks: Range<usize>,
    pub(crate) segments: Range<usize>,
    pub(crate) packed: PackedHeads<'a>,
    /// For one buffer or two.
    pub(crate) buffers: BufferMemory<'a>,
    /// The nodes of a block's output.
    pub(crate) nodes: &'a mut [f32],
    /// Memory that only this task uses.
    pub(crate) scratch: Scratch<'a>,
}

impl Kernel for RowBlocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        let RowBlocks { call, blocks, segments, mut packed, buffers, nodes, scratch } = self;
        let Scratch { query, maxima, panel, value_pass, staging, rows } = scratch;
        let plan = call.plan;
        let (rows, written_rows) = rows.split_at_mut(plan.block_rows);
        let mut rows = BlockRows::new(rows);
        let (mut buffer, spare) = buffers.split(&segments, plan);
        let spare = (spare.into_buffer(&segments, plan), BlockRows::new(written_rows));
        let mut nodes = Nodes::new(nodes, plan);
        let mut background = WriteBehind::new(call, segments.clone(), spare, staging);
        for number in blocks {
            let block = plan.block(number);
            if block.rows.start == 0
                && let Some(memory) = packed.memory_to_fill(block.heads.start)
            {
                pack_heads(simd, call, block.heads.clone(), memory);
            }
            rows.fill(call, &block);
            background.begin(&rows, NextBlockPrefetch::after(call, &block, number + 1));
            pack_queries(simd, call, &rows, query);
            for segment in segments.clone() {
                maxima.fill(f32::NEG_INFINITY);
                for (i, head) in block.heads.clone().enumerate() {
                    let keys = HeadKeys::of_head(call, head, packed.keys_of(head, plan));
                    let mut scorer = Scorer { call, rows: &rows, query, maxima, panel };
                    let head_rows = rows.of_head(i);
                    let scores = &mut buffer.scores;
                    scorer.score(simd, segment, (head_rows, keys), scores, &mut background);
                }
                finish_segment(simd, call, segment, (&rows, maxima), &mut buffer);
                if plan.has_output() {
                    let node = nodes.start(buffer.states.get(segment));
                    for (i, head) in block.heads.clone().enumerate() {
                        let Some(head_values) = call.problem.value_rows(head) else { continue };
                        let packed = packed.values_of(head, plan);
                        let values = HeadValues { rows: head_values, packed, pass: value_pass };
                        let head_rows = (&rows, rows.of_head(i));
                        let product = (values, &mut *node.output);
                        let scores = &mut buffer.scores;
                        add_value_product::<S, REGISTERS>(
                            simd, call, segment, head_rows, scores, product,
                        );
                    }
                    if plan.shares_blocks() {
                        nodes.keep();
                    } else {
                        nodes.push(simd, segment, rows.rows().len());
                    }
                }
            }
            if plan.shares_blocks() {
                nodes.clear();
                continue;
            }
            finish_rows(simd, call, &rows, &mut buffer, &mut nodes);
            background.write(simd, &mut buffer, &mut rows);
        }
        background.finish(simd);
        simd.fence();
    }
}

/// From scores to exponentials and row states, or to the logits that are asked for.
#[inline(always)]
fn finish_segment<S: SimdExt>(
    simd: S,
    call: Call<'_>,
    segment: usize,
    (rows, maxima): (&BlockRows<'_>, &mut [f32]),
    buffer: &mut BlockBuffer<'_>,
) {
    let keys = call.plan.segment_keys(segment);
    let after_ops = !call.problem.ops.is_empty();
    let BlockBuffer { scores, states } = buffer;
    if after_ops {
        let keys = keys.clone();
        simd.run_outlined(LogitOps { call, scores, segment, keys, rows, maxima });
    }
    if call.plan.softmax {
        let (scores, states) = (&mut *scores, &mut *states);
        let keys = keys.clone();
        let step = Exponentials { call, scores, states, segment, keys, rows, maxima, after_ops };
        simd.run_outlined(step);
    } else {
        states.set_all_factors(segment, 1.0);
    }
    if call.plan.largest_keys {
        simd.run_outlined(LargestKeys { scores, states, segment, keys, rows });
    }
}

/// Merges the segments of each row, and writes the outputs that need no pass over the weights.
#[inline(always)]
fn finish_rows<S: SimdExt>(
    simd: S,
    call: Call<'_>,
    rows: &BlockRows<'_>,
    buffer: &mut BlockBuffer<'_>,
    nodes: &mut Nodes<'_>,
) {
    let Goal::Softmax(targets) = call.problem.goal else { return };
    let pitch = nodes.pitch();
    let mut output = targets.output.filter(|_| call.plan.has_output()).map(|target| {
        let node = nodes.finish(simd, rows.rows().len());
        (target, node.output)
    });
    let sink = |row: &Row| call.problem.sink(row.index.q_head);
    for (i, rows) in rows.rows().chunks(S::F32_LANES).enumerate() {
        let sinks = sink(&rows[0]).map(|_| {
            let mut sinks = [f32::NEG_INFINITY; LINE];
            for (lane, sink) in sinks.iter_mut().zip(rows.iter().filter_map(sink)) {
                *lane = sink;
            }
            S::as_simd_f32s(&sinks).0[0]
        });
        let first_row = i * S::F32_LANES;
        let states = buffer.states.lanes(call.plan.segments(), first_row);
        let merged = merge(simd, &states, sinks);
        if targets.has_row_results() {
            let states = &mut buffer.states;
            let merged = (call.plan.segments(), &merged);
            write_row_results(simd, targets, (rows, first_row), states, merged);
        }
        if call.plan.keeps_scores {
            let mut states = buffer.states.lanes(call.plan.segments(), first_row);
            set_factors(simd, &mut states, &merged);
        }
        if let Some((target, sums)) = &mut output {
            let factors = [merged.factor];
            let factors: &[f32] = pulp::bytemuck::cast_slice(&factors);
            let sums = sums[first_row * pitch..].chunks_exact_mut(pitch);
            for ((row, sums), &factor) in rows.iter().zip(sums).zip(factors) {
                write_output_row(simd, target, row, factor, (sums, call.plan.v_dim));
            }
        }
    }
    nodes.clear();
    if let Some(targets) = targets.top_k {
        simd.run_outlined(TopK { call, targets, rows, buffer });
    }
    if let Some(targets) = targets.key_mass {
        simd.run_outlined(KeyMass { call, targets, rows, buffer });
    }
}

/// Writes each block behind the computation of the next one, and prefetches what comes after it.
#[derive(Debug)]
struct WriteBehind<'a> {
    call: Call<'a>,
    keys: Range<usize>,
    writer: Writer<'a>,
    prefetch: Option<NextBlockPrefetch>,
}

/// The writer, or without a result to write an empty queue.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each task, on the stack")]
enum Writer<'a> {
    Weights(WeightsWriter<'a>),
    None(StoreQueue<'a>),
}

impl<'a> WriteBehind<'a> {
    #[inline(always)]
    fn new(
        call: Call<'a>,
        segments: Range<usize>,
        spare: (BlockBuffer<'a>, BlockRows<'a>),
        staging: &'a mut Staging,
    ) -> Self {
        let keys = call.plan.keys_of(&segments);
        let writer = match call.problem.goal.of_pairs() {
            Some(target) => {
                Writer::Weights(WeightsWriter::new(call, target, segments, spare, staging))
            }
            None => Writer::None(StoreQueue::new(false, staging)),
        };
        WriteBehind { call, keys, writer, prefetch: None }
    }

    /// Begins to compute a block of rows, behind which the one before is written.
    #[inline(always)]
    fn begin(&mut self, rows: &BlockRows<'_>, prefetch: NextBlockPrefetch) {
        self.prefetch = Some(prefetch);
        if let Writer::Weights(writer) = &mut self.writer {
            writer.set_pace(rows, &self.keys);
        }
    }

    /// Takes a block to write; returns another buffer and other rows in their place.
    #[inline(always)]
    fn write<S: SimdExt>(
        &mut self,
        simd: S,
        buffer: &mut BlockBuffer<'a>,
        rows: &mut BlockRows<'a>,
    ) {
        let Writer::Weights(writer) = &mut self.writer else { return };
        writer.finish(simd);
        writer.begin_block(buffer, rows);
        if self.call.plan.buffers_per_thread == 1 {
            writer.finish(simd);
            writer.swap_buffer(buffer);
        }
    }

    /// Writes the rest.
    #[inline(always)]
    fn finish<S: SimdExt>(&mut self, simd: S) {
        if let Writer::Weights(writer) = &mut self.writer {
            writer.finish(simd);
        }
    }
}

impl<'a> Background<'a> for WriteBehind<'a> {
    #[inline(always)]
    fn before_tile(&mut self, lines: usize) -> &mut StoreQueue<'a> {
        let queue = match &mut self.writer {
            Writer::Weights(writer) => writer.queue(),
            Writer::None(queue) => queue,
        };
        if let Some(prefetch) = &mut self.prefetch {
            queue.set_prefetch(prefetch.take(lines));
        }
        queue
    }

    #[inline(always)]
    fn after_tile<S: SimdExt>(&mut self, simd: S, scores: usize) {
        if let Writer::Weights(writer) = &mut self.writer {
            writer.after_tile(simd, scores);
        }
    }
}

/// Merges and writes a block whose segments several tasks have computed.
#[derive(Debug)]
pub(crate) struct FinishBlock<'a> {
    pub(crate) call: Call<'a>,
    /// Counted over all heads.
    pub(crate) block: usize,
    /// All segments.
    pub(crate) buffer: BufferMemory<'a>,
    /// A node of the output for each segment.
    pub(crate) nodes: &'a mut [f32],
    /// Memory for the rows, and for lines that are assembled.
    pub(crate) rows: &'a mut [Row],
    pub(crate) staging: &'a mut Staging,
}

impl Kernel for FinishBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        let FinishBlock { call, block, buffer, nodes, rows, staging } = self;
        let plan = call.plan;
        let mut rows = BlockRows::new(rows);
        rows.fill(call, &plan.block(block));
        let segments = 0..plan.segments();
        let mut buffer = buffer.into_buffer(&segments, plan);
        let mut nodes = Nodes::new(nodes, plan);
        if plan.has_output() {
            nodes.push_all(simd, plan.segments(), rows.rows().len());
        }
        finish_rows(simd, call, &rows, &mut buffer, &mut nodes);
        if let Some(target) = call.problem.goal.of_pairs() {
            let block = (buffer, rows);
            WeightsWriter::new(call, target, segments, block, staging).finish(simd);
            simd.fence();
        }
    }
}
