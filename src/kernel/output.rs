//! The last step: rows times their factors, from a strip into the caller's memory.

use super::Call;
use super::block::BlockRows;
use super::strip::Strip;
#[cfg(feature = "half")]
use super::widen::Narrow;
use crate::attention::Stage;
use crate::lanes::{LINES_AHEAD, Lanes, Meanwhile};
use crate::problem::OutputData;
use crate::shared::SharedSlice;
use crate::workspace::LINE;
use core::{mem, ops::Range};

/// Writes a block, as much at a time as its caller likes: one run after another. A row has three in
/// each segment: the keys before those that it may attend to, these, and the keys after them.
///
/// A store across a line boundary costs several, and one of a part of a line waits for the rest of
/// it to come from memory: a dense output is written by whole lines. One that a run begins and the
/// next one ends waits for that ([`Edge`]).
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    call: Call<'a>,
    /// The output, if it is written by lines: dense and in f32.
    dense: Option<SharedSlice<'a, f32>>,
    segments: Range<usize>,
    /// What is written from.
    strip: &'a mut [f32],
    block: BlockRows<'a>,
    /// The run that comes next: the part of the row in the segment.
    row: usize,
    segment: usize,
    part: Part,
    /// The rest of the run in hand: whole lines of a dense output.
    run: Run,
    /// What comes after these: less than a line.
    tail: Run,
    edge: Edge,
    /// Elements to write for each that a tile computes.
    pace: usize,
    /// Elements to write since tiles were last made up for.
    owed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Before,
    Attended,
    After,
}

/// A part of a row in a segment.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Where it goes in the output.
    target: usize,
    elements: usize,
    values: Values,
}

#[derive(Clone, Copy, Debug)]
enum Values {
    /// What stands in the strip from an index on, times a factor.
    Strip(usize, f32),
    /// One for all.
    Constant(f32),
}

impl Run {
    const NONE: Run = Run { target: 0, elements: 0, values: Values::Constant(0.0) };

    /// A part of it, in a dense output.
    #[inline(always)]
    fn part(&self, elements: Range<usize>) -> Run {
        Run {
            target: self.target + elements.start,
            elements: elements.len(),
            values: match self.values {
                Values::Strip(source, factor) => Values::Strip(source + elements.start, factor),
                Values::Constant(value) => Values::Constant(value),
            },
        }
    }
}

/// The beginning of a line of a dense output, or a part of it, that waits for the rest.
#[derive(Debug, Default)]
struct Edge {
    /// Where it goes in the output.
    target: usize,
    elements: usize,
    /// The elements, and room for a line after them.
    values: [f32; 2 * LINE],
}

impl Edge {
    #[inline(always)]
    fn end(&self) -> usize {
        self.target + self.elements
    }
}

/// The source of lines that are all the same, up to their factor.
const ONES: [f32; LINE] = [1.0; LINE];

/// Elements of a turn: few enough for the store queue to take them while the next tile computes.
const TURN: usize = 256;

impl<'a> Writer<'a> {
    /// A writer of what stands in a strip, if `block` has rows.
    #[inline(always)]
    pub(crate) fn new(
        call: Call<'a>,
        segments: Range<usize>,
        strip: &'a mut [f32],
        block: BlockRows<'a>,
    ) -> Self {
        let (row, segment, part) = (0, segments.start, Part::Before);
        let (run, tail, edge, pace, owed) = (Run::NONE, Run::NONE, Edge::default(), 1, 0);
        let dense = match call.output.data {
            OutputData::F32(data) if call.output.strides.column == 1 => Some(data),
            _ => None,
        };
        Writer {
            call,
            dense,
            segments,
            strip,
            block,
            row,
            segment,
            part,
            run,
            tail,
            edge,
            pace,
            owed,
        }
    }

    /// Takes up a block and the strip where it stands, and leaves those of the block before, which
    /// is done.
    #[inline(always)]
    pub(crate) fn start(&mut self, strip: &mut &'a mut [f32], block: &mut BlockRows<'a>) {
        mem::swap(&mut self.strip, strip);
        mem::swap(&mut self.block, block);
        (self.row, self.segment, self.part) = (0, self.segments.start, Part::Before);
    }

    /// Gives back the strip for another, once all is written.
    #[inline(always)]
    pub(crate) fn give_back(&mut self, strip: &mut &'a mut [f32]) {
        mem::swap(&mut self.strip, strip);
    }

    /// Writes all that is left.
    #[inline(always)]
    pub(crate) fn finish<S: Lanes>(&mut self, simd: S) {
        while self.next_run(simd) {}
        self.add_to_edge(simd, self.tail);
        self.tail = Run::NONE;
        self.write_edge(simd);
    }

    /// Sets the pace so that all is written by the time that these rows are computed, of which some
    /// keys may be left out.
    #[inline(always)]
    pub(crate) fn keep_pace_with(&mut self, rows: &BlockRows<'_>, keys: &Range<usize>) {
        let to_write = self.block.rows().len() * keys.len();
        self.pace = to_write.div_ceil(rows.pairs_in(keys).max(1));
    }

    /// The run in hand, for a tile to go on with between its dimensions.
    #[inline(always)]
    #[allow(unsafe_code, reason = "the row's place in the shared output")]
    pub(crate) fn lines_in_hand(&self) -> Meanwhile {
        let Some(data) = self.dense else { return Meanwhile::NOTHING };
        let Run { target, elements, values } = self.run;
        let target = place(&data, target..target + elements).as_mut_ptr();
        let (source, factor) = match values {
            Values::Strip(source, factor) => (&self.strip[source..][..elements], factor),
            Values::Constant(value) => (&ONES[..], value),
        };
        let lines = elements / LINE;
        // SAFETY: strip and place are the writer's, which does nothing until the tile is done.
        unsafe { Meanwhile::copying(source, target, lines, factor, self.call.plan.streaming) }
    }

    /// Takes a turn after a tile that has `computed` elements and `left` so many lines in hand: writes
    /// what keeps pace with it and is enough to be worth it.
    #[inline(always)]
    pub(crate) fn write_tile<S: Lanes>(&mut self, simd: S, computed: usize, left: usize) {
        self.owed += computed * self.pace;
        self.run_is_written_to(self.run.elements - left * LINE);
        if self.edge_is_whole() {
            self.write_edge(simd);
        }
        loop {
            // A single line would be left by the next tile, too.
            let wanted = self.owed >= TURN || self.dense.is_some();
            if self.run.elements <= LINE && !(wanted && self.next_run(simd)) || self.owed < TURN {
                break;
            }
            let elements = self.run.elements.min(self.owed / LINE * LINE);
            self.write_lines(simd, self.run.part(0..elements), self.call.plan.streaming);
            self.run_is_written_to(elements);
        }
    }

    #[inline(always)]
    fn run_is_written_to(&mut self, elements: usize) {
        // What is used up names no place: the strip may change hands.
        self.run = match self.run.elements - elements {
            0 => Run::NONE,
            _ => self.run.part(elements..self.run.elements),
        };
        self.owed = self.owed.saturating_sub(elements);
    }

    /// Writes the rest of the run in hand and takes up the next one, if there is one. Of a dense one in
    /// f32 its whole lines are left.
    #[inline(always)]
    fn next_run<S: Lanes>(&mut self, simd: S) -> bool {
        self.write_lines(simd, self.run, self.call.plan.streaming);
        self.run_is_written_to(self.run.elements);
        if self.row == self.block.rows().len() {
            self.owed = 0;
            return false;
        }
        let output = self.call.output;
        let run = self.find_next_run();
        match output.data {
            OutputData::F32(data) if self.dense.is_some() => {
                let head = elements_to_line(&data, run.target).min(run.elements);
                let lines = head..run.elements - (run.elements - head) % LINE;
                self.add_to_edge(simd, self.tail);
                self.add_to_edge(simd, run.part(0..head));
                self.tail = run.part(lines.end..run.elements);
                self.run = run.part(lines);
            }
            #[cfg(feature = "half")]
            OutputData::F16(data) if output.strides.column == 1 => self.write_narrow(run, &data),
            #[cfg(feature = "half")]
            OutputData::Bf16(data) if output.strides.column == 1 => self.write_narrow(run, &data),
            _ => self.write_elements(run, output.strides.column),
        }
        self.owed = self.owed.saturating_sub(run.elements - self.run.elements);
        true
    }

    /// Takes a part of a line. A line that is whole by that is left for the next turn: it could not be
    /// loaded before the stores that made it are done.
    #[inline(always)]
    fn add_to_edge<S: Lanes>(&mut self, simd: S, part: Run) {
        if part.elements == 0 {
            return;
        }
        if part.target != self.edge.end() || self.edge_is_whole() {
            self.write_edge(simd);
            self.edge.target = part.target;
        }
        // A whole line, of which the part is the beginning: the strip's rows are padded by one.
        let Edge { elements, values, .. } = &mut self.edge;
        let (values, _) = S::as_mut_simd_f32s(&mut values[*elements..][..LINE]);
        match part.values {
            Values::Strip(source, factor) => {
                let (source, _) = S::as_simd_f32s(&self.strip[source..][..LINE]);
                for (value, &source) in values.iter_mut().zip(source) {
                    *value = simd.mul_f32s(source, simd.splat_f32s(factor));
                }
            }
            Values::Constant(value) => values.fill(simd.splat_f32s(value)),
        }
        *elements += part.elements;
    }

    /// Whether what waits is the end of a line.
    #[inline(always)]
    fn edge_is_whole(&self) -> bool {
        self.edge.elements > 0
            && self.dense.is_some_and(|data| elements_to_line(&data, self.edge.end()) == 0)
    }

    /// Writes what waits, whether its line is whole or not.
    #[inline(always)]
    fn write_edge<S: Lanes>(&mut self, simd: S) {
        let Edge { target, elements, values } = &mut self.edge;
        if let (Some(data), 1..) = (&self.dense, *elements) {
            let output = place(data, *target..*target + *elements);
            if *elements == LINE {
                if !self.call.plan.streaming {
                    simd.prefetch(data.address(*target + LINES_AHEAD * LINE));
                }
                let values = S::as_simd_f32s(&values[..LINE]).0.iter().copied();
                write_registers(simd, values, output, self.call.plan.streaming);
            } else {
                output.copy_from_slice(&values[..*elements]);
            }
        }
        *elements = 0;
    }

    /// The next run; moves on to the one after it. What would be empty is left out.
    #[inline(always)]
    fn find_next_run(&mut self) -> Run {
        let Call { output, plan, .. } = self.call;
        let keys = plan.segment_keys(self.segment);
        let (row_index, segment) = (self.row, self.segment);
        let row = &self.block.rows()[row_index];
        let attended = row.keys_in(&keys);
        let (range, next) = match self.part {
            Part::Before if attended.start > keys.start => {
                (keys.start..attended.start, Part::Attended)
            }
            Part::Before | Part::Attended => (attended.clone(), Part::After),
            Part::After => (attended.end..keys.end, Part::Before),
        };
        self.part = next;
        if range.end == keys.end {
            self.part = Part::Before;
            self.segment += 1;
            if self.segment == self.segments.end {
                (self.segment, self.row) = (self.segments.start, self.row + 1);
            }
        }
        let mut strip = Strip::new(self.strip, self.segments.start, plan);
        let factor = strip.statistics(segment).1[row_index];
        let values = if range == attended {
            let start = strip.row_start(segment, row_index);
            Values::Strip(start + attended.start - keys.start, factor)
        } else {
            // A weight of 0, or NaN if the row's are.
            Values::Constant(match plan.stage {
                Stage::Weights => 0.0 * factor,
                _ => f32::NEG_INFINITY,
            })
        };
        Run {
            target: row.start + range.start * output.strides.column,
            elements: range.len(),
            values,
        }
    }

    #[cold]
    #[inline(never)]
    fn write_elements(&self, run: Run, stride: usize) {
        for column in 0..run.elements {
            let value = match run.values {
                Values::Strip(source, factor) => self.strip[source + column] * factor,
                Values::Constant(value) => value,
            };
            let element = run.target + column * stride;
            let element = element..element + 1;
            match self.call.output.data {
                OutputData::F32(data) => place(&data, element)[0] = value,
                #[cfg(feature = "half")]
                OutputData::F16(data) => place(&data, element)[0] = half::f16::narrow(value),
                #[cfg(feature = "half")]
                OutputData::Bf16(data) => place(&data, element)[0] = half::bf16::narrow(value),
            }
        }
    }

    /// Writes whole lines of a run. `streaming` writes past the caches.
    #[inline(always)]
    fn write_lines<S: Lanes>(&self, simd: S, run: Run, streaming: bool) {
        let Some(data) = &self.dense else { return };
        if !streaming {
            self.fetch_ahead_of(simd, data, run.target, run.elements);
        }
        let output = place(data, run.target..run.target + run.elements);
        match run.values {
            Values::Strip(source, factor) => {
                let (factor, values) = (simd.splat_f32s(factor), &self.strip[source..]);
                let (values, _) = S::as_simd_f32s(&values[..run.elements]);
                let values = values.iter().map(|&value| simd.mul_f32s(value, factor));
                write_registers(simd, values, output, streaming);
            }
            Values::Constant(value) => {
                let value = simd.splat_f32s(value);
                write_registers(simd, core::iter::repeat(value), output, streaming);
            }
        }
    }

    /// Asks for lines as far ahead of those that are written now as [`Lanes::go_on`] does: to write a
    /// line, the core has to have it first.
    #[inline(always)]
    fn fetch_ahead_of<S: Lanes>(
        &self,
        simd: S,
        data: &SharedSlice<'a, f32>,
        target: usize,
        elements: usize,
    ) {
        for element in (0..elements.min(LINES_AHEAD * LINE)).step_by(LINE) {
            simd.prefetch(data.address(target + LINES_AHEAD * LINE + element));
        }
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn write_narrow<T: Narrow>(&self, run: Run, data: &SharedSlice<'a, T>) {
        let output = place(data, run.target..run.target + run.elements);
        match run.values {
            Values::Strip(source, factor) => {
                for (output, value) in output.iter_mut().zip(&self.strip[source..]) {
                    *output = T::narrow(value * factor);
                }
            }
            Values::Constant(value) => output.fill(T::narrow(value)),
        }
    }
}

/// Elements up to the next cache line.
#[inline(always)]
fn elements_to_line(data: &SharedSlice<'_, f32>, index: usize) -> usize {
    data.address(index).align_offset(LINE * size_of::<f32>())
}

/// A part of the output.
#[inline(always)]
#[allow(unsafe_code, reason = "the row's place in the shared output")]
fn place<'a, T>(data: &SharedSlice<'a, T>, range: Range<usize>) -> &'a mut [T] {
    // SAFETY: the strides keep the elements of the output apart, and each (row, segment) is
    // written by one writer only, run after run.
    unsafe { data.slice(range) }
}

#[inline(always)]
fn write_registers<S: Lanes>(
    simd: S,
    values: impl Iterator<Item = S::f32s>,
    output: &mut [f32],
    streaming: bool,
) {
    if streaming {
        for (output, value) in output.chunks_exact_mut(S::F32_LANES).zip(values) {
            simd.stream(output, value);
        }
    } else {
        let (output, _) = S::as_mut_simd_f32s(output);
        for (output, value) in output.iter_mut().zip(values) {
            *output = value;
        }
    }
}
