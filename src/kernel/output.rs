//! The last step: rows times their factors, from a strip into the caller's memory.

use super::Call;
use super::strip::Strip;
use crate::lanes::Lanes;
use crate::plan::MOST_BLOCK_ROWS;
use crate::workspace::LINE;
use core::ops::Range;

/// The rows of a block, by where each starts in the output.
#[derive(Debug)]
pub(crate) struct BlockRows {
    rows: usize,
    starts: [usize; MOST_BLOCK_ROWS],
}

impl BlockRows {
    #[inline(always)]
    pub(crate) fn new(call: Call<'_>, head: usize, rows: Range<usize>) -> Self {
        let mut starts = [0; MOST_BLOCK_ROWS];
        for (start, index) in starts.iter_mut().zip(call.inputs.row_indices(head, rows.clone())) {
            *start = call.output.row_start(index);
        }
        BlockRows { rows: rows.len(), starts }
    }
}

/// Writes a block, as much at a time as its caller likes: a run, which is one row in one segment,
/// after another. A store across a line boundary costs several: in a dense output, whole lines are
/// written, and what stands before the first one and after the last one by a store each that reaches
/// into them.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    call: Call<'a>,
    segments: Range<usize>,
    /// What is written from.
    pub(crate) strip: &'a mut [f32],
    block: BlockRows,
    /// The run that comes next.
    row: usize,
    segment: usize,
    /// The rest of the run in hand: whole lines of a dense output.
    run: Run,
    /// Elements that tiles have computed since they were last made up for.
    owed: usize,
}

/// A part of a row, dense in the strip.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// Where it is in the strip.
    source: usize,
    /// Where it goes in the output.
    target: usize,
    elements: usize,
    factor: f32,
}

impl Run {
    /// A part of it, in a dense output.
    #[inline(always)]
    fn part(&self, elements: Range<usize>) -> Run {
        Run {
            source: self.source + elements.start,
            target: self.target + elements.start,
            elements: elements.len(),
            ..*self
        }
    }
}

/// Elements of a turn: few enough for the store queue to take them while the next tile computes.
const TURN: usize = 256;

impl<'a> Writer<'a> {
    /// A writer with nothing to write.
    #[inline(always)]
    pub(crate) fn idle(call: Call<'a>, segments: Range<usize>, strip: &'a mut [f32]) -> Self {
        let block = BlockRows { rows: 0, starts: [0; MOST_BLOCK_ROWS] };
        let (segment, run) = (segments.start, Run::default());
        Writer { call, segments, strip, block, row: 0, segment, run, owed: 0 }
    }

    /// Takes up the block that stands in the strip.
    #[inline(always)]
    pub(crate) fn start(&mut self, block: BlockRows) {
        self.block = block;
        (self.row, self.segment) = (0, self.segments.start);
    }

    /// Writes all that is left.
    #[inline(always)]
    pub(crate) fn finish<S: Lanes>(&mut self, simd: S) {
        while self.is_busy() {
            self.write(simd, usize::MAX);
        }
    }

    /// Takes a turn after a tile that has `computed` elements: writes about as much as tiles have
    /// computed since the last time, if that is enough to be worth it.
    #[inline(always)]
    pub(crate) fn write_tile<S: Lanes>(&mut self, simd: S, computed: usize) {
        self.owed += computed;
        if self.owed >= TURN {
            if self.is_busy() {
                self.write(simd, self.owed);
            }
            self.owed = 0;
        }
    }

    #[inline(always)]
    fn is_busy(&self) -> bool {
        self.run.elements > 0 || self.row < self.block.rows
    }

    /// Writes about `elements` of the run in hand, or of the next one.
    #[inline(always)]
    fn write<S: Lanes>(&mut self, simd: S, elements: usize) {
        if self.run.elements == 0 {
            self.next_run(simd);
        }
        let run = self.run;
        let elements = run.elements.min(elements / LINE * LINE);
        self.write_lines(simd, Run { elements, ..run }, self.call.plan.streaming);
        if !self.call.plan.streaming {
            // The lines of the next turn: to write them, the core has to have them first.
            for line in 0..TURN / LINE {
                simd.prefetch(self.call.output.data.address(run.target + elements + line * LINE));
            }
        }
        self.run.source += elements;
        self.run.target += elements;
        self.run.elements -= elements;
    }

    /// Takes up the next run and writes its ends; its whole lines are left.
    #[inline(always)]
    fn next_run<S: Lanes>(&mut self, simd: S) {
        let Call { output, plan, .. } = self.call;
        let stride = output.strides.column;
        let keys = plan.segment_keys(self.segment);
        let mut strip = Strip::new(self.strip, self.segments.start, plan);
        let run = Run {
            source: strip.row_start(self.segment, self.row),
            target: self.block.starts[self.row] + keys.start * stride,
            elements: keys.len(),
            factor: strip.statistics(self.segment).1[self.row],
        };
        self.segment += 1;
        if self.segment == self.segments.end {
            (self.segment, self.row) = (self.segments.start, self.row + 1);
        }
        if stride != 1 || keys.len() < LINE {
            self.write_elements(run, stride);
            self.run = Run::default();
            return;
        }
        let head = output.data.address(run.target).align_offset(LINE * size_of::<f32>());
        let lines = run.part(head..head + (keys.len() - head) / LINE * LINE);
        // The ends reach into the lines, which write the same there.
        if head > 0 {
            self.write_lines(simd, run.part(0..LINE), false);
        }
        if head + lines.elements < keys.len() {
            self.write_lines(simd, run.part(keys.len() - LINE..keys.len()), false);
        }
        self.run = lines;
    }

    #[cold]
    #[inline(never)]
    #[allow(unsafe_code, reason = "the row's place in the shared output")]
    fn write_elements(&self, run: Run, stride: usize) {
        for (column, value) in self.strip[run.source..][..run.elements].iter().enumerate() {
            let element = run.target + column * stride;
            // SAFETY: as in `write_lines`.
            unsafe { self.call.output.data.slice(element..element + 1)[0] = value * run.factor };
        }
    }

    /// Writes whole lines' worth of a run. `streaming` writes past the caches, for which they have
    /// to be lines of the output.
    #[inline(always)]
    #[allow(unsafe_code, reason = "the row's place in the shared output")]
    fn write_lines<S: Lanes>(&self, simd: S, run: Run, streaming: bool) {
        let factor = simd.splat_f32s(run.factor);
        let (values, _) = S::as_simd_f32s(&self.strip[run.source..][..run.elements]);
        // SAFETY: the strides keep the elements of the output apart, and each (row, segment) is
        // written by one task only, here.
        let output = unsafe { self.call.output.data.slice(run.target..run.target + run.elements) };
        if streaming {
            for (output, &values) in output.chunks_exact_mut(S::F32_LANES).zip(values) {
                simd.stream(output, simd.mul_f32s(values, factor));
            }
        } else {
            let (output, _) = S::as_mut_simd_f32s(output);
            for (output, &values) in output.iter_mut().zip(values) {
                *output = simd.mul_f32s(values, factor);
            }
        }
    }
}
