//! The output with an element for each pair of a query row and a key: weights, or logits.
//!
//! ```text
//! per block:  for each row:  masked keys before its window │ one part per segment │ masked keys after
//!             masked parts are constants, the others   score buffer · factor
//! ```
//!
//! 1. A store that straddles a cache line costs several, and a store of a part of a line that is not
//!    in cache reads the line first. So a dense output is written by whole lines; a line that belongs
//!    to several parts or rows is assembled first.
//! 2. Stores wait for memory while FMAs do not. So the lines of one block are enqueued, and the tiles
//!    of the next block drain the queue between their FMAs ([`StoreQueue`]).
//! 3. The queue drains at the pace at which the next block's scores are computed, so that it is
//!    empty when they are done, and its stores are spread evenly.

use crate::call::Call;
#[cfg(feature = "half")]
use crate::convert::Narrow;
use crate::disjoint::DisjointSlice;
use crate::kernel::block_buffer::BlockBuffer;
use crate::kernel::block_rows::BlockRows;
use crate::layout::{LINE, SEGMENT};
use crate::simd::{Kernel, SimdExt, Staging, StoreQueue};
#[cfg(feature = "half")]
use crate::targets::TargetData;
use crate::targets::{Target, part};
use core::{mem, ops::Range};

/// Writes blocks, one after the other, as much at a time as its caller wants.
#[derive(Debug)]
pub(crate) struct WeightsWriter<'a> {
    call: Call<'a>,
    target: Target<'a>,
    /// The output's memory, if it is written by lines: dense and in f32.
    dense: Option<DisjointSlice<'a, f32>>,
    /// The keys of a row that are written: those of the segments in the buffer.
    keys: Range<usize>,
    /// The scores of the block that is being written.
    buffer: BlockBuffer<'a>,
    block: BlockRows<'a>,
    /// Whether each row of the block is one part: all keys, in the only segment.
    rows_are_single_parts: bool,
    /// The next part: of this row, from this key on.
    row: usize,
    key: usize,
    queue: StoreQueue<'a>,
    /// Lines that were in the queue when the backlog was last counted.
    queued_before: usize,
    /// The elements of the output for which a line is being assembled.
    partial_line: Range<usize>,
    /// Elements to write for each score that a tile computes.
    stores_per_score: usize,
    /// Elements by which writing is behind that pace.
    backlog: usize,
}

/// A part of a row.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Index of its first element in the output.
    target: usize,
    elements: usize,
    values: Values,
}

#[derive(Clone, Copy, Debug)]
enum Values {
    /// Those of the score buffer from an index on, times a factor.
    Scores(usize, f32),
    /// One for all.
    Constant(f32),
}

impl Part {
    /// Some of its elements, in a dense output.
    #[inline(always)]
    fn slice(&self, elements: Range<usize>) -> Part {
        Part {
            target: self.target + elements.start,
            elements: elements.len(),
            values: match self.values {
                Values::Scores(source, factor) => Values::Scores(source + elements.start, factor),
                Values::Constant(value) => Values::Constant(value),
            },
        }
    }

    #[inline(always)]
    fn place(&self) -> Range<usize> {
        self.target..self.target + self.elements
    }
}

/// Elements that are written at once outside of tiles: few enough for the store buffer to absorb
/// them while the next tile computes.
const BURST: usize = 256;

/// Lines in the queue up to which parts are enqueued: more than one tile drains.
const HIGH_WATER: usize = 64;

/// Copies that a part becomes at most: the line that it completes, its whole lines, and the line
/// that it begins.
const COPIES_OF_PART: usize = 3;

impl<'a> WeightsWriter<'a> {
    /// A writer of what is in a buffer of these segments, if `block` has rows.
    #[inline(always)]
    pub(crate) fn new(
        call: Call<'a>,
        target: Target<'a>,
        segments: Range<usize>,
        (buffer, block): (BlockBuffer<'a>, BlockRows<'a>),
        staging: &'a mut Staging,
    ) -> Self {
        let keys = call.plan.keys_of(&segments);
        WeightsWriter {
            call,
            target,
            dense: target.dense(),
            buffer,
            rows_are_single_parts: false,
            block,
            row: 0,
            key: keys.start,
            keys,
            queue: StoreQueue::new(call.plan.nontemporal, staging),
            queued_before: 0,
            partial_line: 0..0,
            stores_per_score: 1,
            backlog: 0,
        }
    }

    /// Begins to write a block: takes its rows and its buffer, and returns those of the block before
    /// in their place.
    ///
    /// # Panics
    /// If the block before is not written: its buffer would be overwritten.
    #[inline(always)]
    pub(crate) fn begin_block(&mut self, buffer: &mut BlockBuffer<'a>, block: &mut BlockRows<'a>) {
        self.assert_finished();
        mem::swap(&mut self.buffer, buffer);
        mem::swap(&mut self.block, block);
        self.row = 0;
        self.key = self.keys.start;
        let plan = self.call.plan;
        self.rows_are_single_parts =
            plan.segments() == 1 && self.block.all_attend_to(&(0..plan.keys));
    }

    /// Exchanges the buffer for another.
    ///
    /// # Panics
    /// If the block is not written.
    #[inline(always)]
    pub(crate) fn swap_buffer(&mut self, buffer: &mut BlockBuffer<'a>) {
        self.assert_finished();
        mem::swap(&mut self.buffer, buffer);
    }

    /// Nothing reads the buffer any more, and the queue has no pointers into it.
    #[inline(always)]
    fn assert_finished(&self) {
        let finished = !self.has_parts() && self.queue.lines() == 0 && self.partial_line.is_empty();
        assert!(finished, "a block is written before its buffer is given away");
    }

    /// Writes the rest of the block.
    #[inline(always)]
    pub(crate) fn finish<S: SimdExt>(&mut self, simd: S) {
        simd.run_outlined(Finish(self));
    }

    /// Sets the pace so that all is written by the time that these rows are computed, of which some
    /// keys may be left out.
    #[inline(always)]
    pub(crate) fn set_pace(&mut self, rows: &BlockRows<'_>, keys: &Range<usize>) {
        let to_write = self.block.rows().len() * keys.len();
        self.stores_per_score = to_write.div_ceil(rows.pairs_in(keys).max(1));
    }

    /// The queue, for a tile to drain between its dimensions.
    #[inline(always)]
    pub(crate) fn queue(&mut self) -> &mut StoreQueue<'a> {
        &mut self.queue
    }

    /// Keeps pace after a tile of `computed` scores: writes the backlog that the tile has left, if it
    /// is worth a burst, and fills the queue for the next tile.
    #[inline(always)]
    pub(crate) fn after_tile<S: SimdExt>(&mut self, simd: S, computed: usize) {
        let written = (self.queued_before - self.queue.lines()) * LINE;
        self.backlog = (self.backlog + computed * self.stores_per_score).saturating_sub(written);
        if self.wants_part() || self.burst() > 0 {
            simd.run_outlined(KeepPace(self));
        }
        self.queued_before = self.queue.lines();
        if self.queued_before == 0 && !self.has_parts() {
            self.backlog = 0;
        }
    }

    /// Lines of the queue that are written at once, because the backlog is worth it.
    #[inline(always)]
    fn burst(&self) -> usize {
        let lines = self.queue.lines().min(self.backlog / LINE);
        if lines < BURST / LINE { 0 } else { lines }
    }

    #[inline(always)]
    fn has_parts(&self) -> bool {
        self.row < self.block.rows().len()
    }

    /// Whether the queue is low.
    #[inline(always)]
    fn wants_part(&self) -> bool {
        let low = match self.dense {
            Some(_) => self.queue.lines() < HIGH_WATER && self.queue.has_room_for(COPIES_OF_PART),
            None => self.backlog >= BURST,
        };
        low && self.has_parts()
    }

    /// Enqueues the lines of the next part. An output that is not dense is written at once.
    #[inline(always)]
    fn enqueue_part<S: SimdExt>(&mut self, simd: S) {
        let stride = self.target.strides.column;
        let part = self.next_part();
        if let Some(data) = self.dense {
            return self.enqueue_lines(simd, part, &data);
        }
        match self.target.data {
            #[cfg(feature = "half")]
            TargetData::F16(data) if stride == 1 => self.write_narrow(part, &data),
            #[cfg(feature = "half")]
            TargetData::Bf16(data) if stride == 1 => self.write_narrow(part, &data),
            _ => self.write_elements(part, stride),
        }
        self.backlog = self.backlog.saturating_sub(part.elements);
    }

    /// Enqueues the whole lines of a part, and assembles its ends with those of its neighbours.
    #[inline(always)]
    #[allow(unsafe_code, reason = "the row's place in the shared output")]
    fn enqueue_lines<S: SimdExt>(&mut self, simd: S, part: Part, data: &DisjointSlice<'a, f32>) {
        let head = elements_to_line(data, part.target).min(part.elements);
        let lines = head..part.elements - (part.elements - head) % LINE;
        if self.partial_line.end != part.target {
            self.write_partial_line();
        }
        self.assemble(simd, part.slice(0..head), data);
        if !lines.is_empty() {
            let lines = part.slice(lines.clone());
            // SAFETY: the buffer is borrowed for 'a, and `assert_finished` keeps the writer from
            // giving it away before the queue is empty; the writer itself only reads it. The lines of
            // the output are those of one part, which this writer alone writes.
            unsafe {
                match lines.values {
                    Values::Scores(source, factor) => {
                        let source = &self.buffer.scores.from(source)[..lines.elements];
                        self.queue.copy_lines(source, factor, lines.place(), data);
                    }
                    Values::Constant(value) => {
                        self.queue.fill_lines(value, lines.place(), data);
                    }
                }
            }
        }
        self.assemble(simd, part.slice(lines.end..part.elements), data);
    }

    /// Adds less than a line to the line that is being assembled.
    #[inline(always)]
    #[allow(unsafe_code, reason = "the row's place in the shared output")]
    fn assemble<S: SimdExt>(&mut self, simd: S, part: Part, data: &DisjointSlice<'a, f32>) {
        if part.elements == 0 {
            return;
        }
        if self.partial_line.is_empty() {
            self.partial_line = part.target..part.target;
        }
        // A whole line, of which the part is the beginning: rows of scores are padded by one.
        let line = &mut self.queue.staging()[self.partial_line.len()..][..LINE];
        let (line, _) = S::as_mut_simd_f32s(line);
        match part.values {
            Values::Scores(source, factor) => {
                let (source, _) = S::as_simd_f32s(&self.buffer.scores.from(source)[..LINE]);
                for (value, &source) in line.iter_mut().zip(source) {
                    *value = simd.mul_f32s(source, simd.splat_f32s(factor));
                }
            }
            Values::Constant(value) => line.fill(simd.splat_f32s(value)),
        }
        self.partial_line.end += part.elements;
        if self.partial_line.len() == LINE {
            // SAFETY: this writer alone writes these parts of the output.
            unsafe { self.queue.copy_staged(self.partial_line.clone(), data) };
            self.partial_line = 0..0;
        } else if elements_to_line(data, self.partial_line.end) == 0 {
            self.write_partial_line();
        }
    }

    /// Writes the line that is being assembled as far as it goes.
    #[inline(always)]
    fn write_partial_line(&mut self) {
        if let Some(data) = &self.dense
            && !self.partial_line.is_empty()
        {
            let line = &self.queue.staging()[..self.partial_line.len()];
            part(data, self.partial_line.clone()).copy_from_slice(line);
        }
        self.partial_line = 0..0;
    }

    /// The next part; advances to the one after it. Empty parts are skipped.
    #[inline(always)]
    fn next_part(&mut self) -> Part {
        let plan = self.call.plan;
        let row_index = self.row;
        let row = &self.block.rows()[row_index];
        let row_start = self.target.row_start(row.index);
        let BlockBuffer { scores, states } = &self.buffer;
        if self.rows_are_single_parts {
            self.row += 1;
            let factor = states.factor(0, row_index);
            let values = Values::Scores(scores.row_start(0, row_index), factor);
            return Part { target: row_start, elements: plan.keys, values };
        }
        let first = self.key;
        let attended = row.keys_in(&self.keys);
        let segment = first / SEGMENT;
        let factor = states.factor(segment, row_index);
        let (end, values) = if attended.contains(&first) {
            let start = scores.row_start(segment, row_index);
            let end = attended.end.min(plan.segment_keys(segment).end);
            (end, Values::Scores(start + first % SEGMENT, factor))
        } else {
            let end = if first < attended.start { attended.start } else { self.keys.end };
            // A weight of 0, or NaN if the row's are.
            (end, Values::Constant(if plan.softmax { 0.0 * factor } else { f32::NEG_INFINITY }))
        };
        self.key = end;
        if end == self.keys.end {
            self.row = row_index + 1;
            self.key = self.keys.start;
        }
        let target = row_start + first * self.target.strides.column;
        Part { target, elements: end - first, values }
    }

    #[cold]
    #[inline(never)]
    fn write_elements(&self, part: Part, stride: usize) {
        for column in 0..part.elements {
            let value = match part.values {
                Values::Scores(source, factor) => self.buffer.scores.from(source)[column] * factor,
                Values::Constant(value) => value,
            };
            self.target.write(part.target + column * stride, value);
        }
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn write_narrow<T: Narrow>(&self, from: Part, data: &DisjointSlice<'a, T>) {
        let output = part(data, from.place());
        match from.values {
            Values::Scores(source, factor) => {
                for (output, value) in output.iter_mut().zip(self.buffer.scores.from(source)) {
                    *output = T::narrow(value * factor);
                }
            }
            Values::Constant(value) => output.fill(T::narrow(value)),
        }
    }
}

/// Fills the queue, and writes bursts. Compiled once for each instruction set, not into every tile.
struct KeepPace<'w, 'a>(&'w mut WeightsWriter<'a>);

impl Kernel for KeepPace<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        let KeepPace(writer) = self;
        loop {
            while writer.wants_part() {
                writer.enqueue_part(simd);
            }
            let lines = writer.burst();
            if lines == 0 {
                break;
            }
            writer.queue.copy(simd, lines);
            writer.backlog -= lines * LINE;
        }
    }
}

/// Writes the rest of a block.
struct Finish<'w, 'a>(&'w mut WeightsWriter<'a>);

impl Kernel for Finish<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        let Finish(writer) = self;
        while writer.has_parts() {
            while writer.queue.has_room_for(COPIES_OF_PART) && writer.has_parts() {
                writer.enqueue_part(simd);
            }
            writer.queue.copy(simd, usize::MAX);
        }
        writer.queue.copy(simd, usize::MAX);
        writer.write_partial_line();
        writer.queued_before = 0;
        writer.backlog = 0;
    }
}

/// Elements up to the next cache line.
#[inline(always)]
fn elements_to_line(data: &DisjointSlice<'_, f32>, index: usize) -> usize {
    data.address(index).align_offset(LINE * size_of::<f32>())
}
