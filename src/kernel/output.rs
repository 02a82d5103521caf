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

/// Writes a block, as much at a time as its caller likes.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    call: Call<'a>,
    segments: Range<usize>,
    /// What is written from.
    pub(crate) strip: &'a mut [f32],
    block: BlockRows,
    /// What comes next.
    row: usize,
    segment: usize,
    /// Key of the segment.
    key: usize,
    /// Elements that tiles have computed since the last turn.
    owed: usize,
}

/// Elements of a turn: few enough for the store queue to take them while the next tile computes.
const TURN: usize = 256;

impl<'a> Writer<'a> {
    /// A writer with nothing to write.
    #[inline(always)]
    pub(crate) fn idle(call: Call<'a>, segments: Range<usize>, strip: &'a mut [f32]) -> Self {
        let block = BlockRows { rows: 0, starts: [0; MOST_BLOCK_ROWS] };
        Writer { call, segment: segments.start, segments, strip, block, row: 0, key: 0, owed: 0 }
    }

    /// Takes up the block that stands in the strip.
    #[inline(always)]
    pub(crate) fn start(&mut self, block: BlockRows) {
        self.block = block;
        (self.row, self.segment, self.key, self.owed) = (0, self.segments.start, 0, 0);
    }

    /// Writes all that is left.
    #[inline(always)]
    pub(crate) fn finish<S: Lanes>(&mut self, simd: S) {
        while self.row < self.block.rows {
            self.write(simd, usize::MAX / 2);
        }
    }

    /// Takes a turn after a tile that has `computed` elements: writes about as much as tiles have
    /// computed since the last time, if that is enough to be worth it.
    #[inline(always)]
    pub(crate) fn write_tile<S: Lanes>(&mut self, simd: S, computed: usize) {
        self.owed += computed;
        if self.owed >= TURN && self.row < self.block.rows {
            self.write(simd, self.owed);
            self.owed = 0;
        }
    }

    /// Writes about `elements` of one row in one segment.
    #[inline(always)]
    #[allow(unsafe_code, reason = "the row's place in the shared output")]
    fn write<S: Lanes>(&mut self, simd: S, elements: usize) {
        let Call { output, plan, .. } = self.call;
        let stride = output.strides.column;
        let keys = plan.segment_keys(self.segment);
        let mut strip = Strip::new(self.strip, self.segments.start, plan);
        let factor = strip.statistics(self.segment).1[self.row];
        let values = &strip.row(self.segment, self.row, keys.len())[self.key..];
        let start = self.block.starts[self.row] + (keys.start + self.key) * stride;
        // Up to a boundary between lines, so that the next part starts on one.
        let head = output.data.address(start).align_offset(LINE * size_of::<f32>());
        let values = &values[..values.len().min(head + elements)];
        // SAFETY: the strides keep the elements of the output apart, and each (row, segment) is
        // written by one task only, here.
        let place = |range| unsafe { output.data.slice(range) };
        if stride == 1 || values.len() == 1 {
            let output = place(start..start + values.len());
            write_scaled(simd, values, factor, output, plan.streaming);
        } else {
            for (column, value) in values.iter().enumerate() {
                let element = start + column * stride;
                place(element..element + 1)[0] = value * factor;
            }
        }
        self.key += values.len();
        if self.key == keys.len() {
            (self.key, self.segment) = (0, self.segment + 1);
        }
        if self.segment == self.segments.end {
            (self.segment, self.row) = (self.segments.start, self.row + 1);
        }
    }
}

/// Writes `values · factor` to a dense run of the output. `streaming` writes past the caches.
///
/// A store across a line boundary costs several: lines are written whole, and what is before the
/// first and after the last element by element.
#[inline(always)]
fn write_scaled<S: Lanes>(
    simd: S,
    values: &[f32],
    factor: f32,
    output: &mut [f32],
    streaming: bool,
) {
    let scale = |values: &[f32], output: &mut [f32]| {
        for (output, value) in output.iter_mut().zip(values) {
            *output = value * factor;
        }
    };
    let head = output.as_ptr().align_offset(LINE * size_of::<f32>()).min(output.len());
    let (output_head, output) = output.split_at_mut(head);
    let (values_head, values) = values.split_at(head);
    scale(values_head, output_head);
    let body = output.len() / LINE * LINE;
    let (output, output_tail) = output.split_at_mut(body);
    let (values, values_tail) = values.split_at(body);
    scale(values_tail, output_tail);
    let factor = simd.splat_f32s(factor);
    let (values, _) = S::as_simd_f32s(values);
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
