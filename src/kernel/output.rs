//! The last step: rows times their factors, from a strip into the caller's memory.

use super::Call;
use super::block::BlockRows;
use super::softmax::SEGMENT;
use super::strip::Strip;
#[cfg(feature = "half")]
use super::widen::Narrow;
use crate::attention::Stage;
use crate::lanes::{Lanes, Meanwhile};
use crate::problem::{Output, OutputData};
use crate::shared::SharedSlice;
use crate::workspace::LINE;
use core::{mem, ops::Range};

/// Writes a block, as much at a time as its caller likes: one run after another. A row's are the keys
/// before those that it may attend to, these, segment by segment, and the keys after them.
///
/// A store across a line boundary costs several, and one of a part of a line waits for the rest of
/// it to come from memory: a dense output is written by whole lines, which wait for their turn
/// between the dimensions of tiles ([`Meanwhile`]). A line of several runs is put together first.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    call: Call<'a>,
    /// The output, if it is written by lines: dense and in f32.
    dense: Option<SharedSlice<'a, f32>>,
    /// The keys of a row that are written: those of the segments that the strip holds.
    keys: Range<usize>,
    /// What is written from.
    strip: Strip<'a>,
    block: BlockRows<'a>,
    /// Whether each row of the block is one run: all keys, in the only segment.
    plain: bool,
    /// The run that comes next: of this row, from this key on.
    row: usize,
    key: usize,
    /// Lines that wait to be written.
    meanwhile: Meanwhile,
    /// How many these were when tiles were last made up for.
    waiting: usize,
    /// The part of the output that the line that is being put together is for.
    edge: Range<usize>,
    /// Elements to write for each that a tile computes.
    pace: usize,
    /// Elements to write since tiles were last made up for.
    owed: usize,
}

/// A part of a row.
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

    #[inline(always)]
    fn place(&self) -> Range<usize> {
        self.target..self.target + self.elements
    }
}

/// Elements of a turn: few enough for the store queue to take them while the next tile computes.
const TURN: usize = 256;

/// Lines that wait, if there are so many: more than a tile leaves time for.
const ENOUGH_LINES: usize = 64;

/// Copies that a run may become, and the line that it begins.
const COPIES_OF_RUN: usize = 3;

impl<'a> Writer<'a> {
    /// A writer of what stands in a strip of these segments, if `block` has rows.
    #[inline(always)]
    pub(crate) fn new(
        call: Call<'a>,
        segments: Range<usize>,
        strip: Strip<'a>,
        block: BlockRows<'a>,
    ) -> Self {
        let dense = match call.output.data {
            OutputData::F32(data) if call.output.strides.column == 1 => Some(data),
            _ => None,
        };
        let keys = call.plan.keys_of(&segments);
        Writer {
            call,
            dense,
            strip,
            plain: false,
            block,
            row: 0,
            key: keys.start,
            keys,
            meanwhile: Meanwhile::nothing(call.plan.streaming),
            waiting: 0,
            edge: 0..0,
            pace: 1,
            owed: 0,
        }
    }

    /// Takes up a block and the strip where it stands, and leaves those of the block before, which
    /// is done.
    #[inline(always)]
    pub(crate) fn start(&mut self, strip: &mut Strip<'a>, block: &mut BlockRows<'a>) {
        mem::swap(&mut self.strip, strip);
        mem::swap(&mut self.block, block);
        (self.row, self.key) = (0, self.keys.start);
        let plan = self.call.plan;
        self.plain = plan.segments() == 1 && self.block.all_attend_to(&(0..plan.keys));
    }

    /// Gives back the strip for another, once all is written.
    #[inline(always)]
    pub(crate) fn give_back(&mut self, strip: &mut Strip<'a>) {
        mem::swap(&mut self.strip, strip);
    }

    /// Writes all that is left.
    #[inline(always)]
    pub(crate) fn finish<S: Lanes>(&mut self, simd: S) {
        while self.has_runs() {
            while self.meanwhile.has_room_for(COPIES_OF_RUN) && self.has_runs() {
                self.take_run(simd);
            }
            self.meanwhile.copy(simd, usize::MAX);
        }
        self.meanwhile.copy(simd, usize::MAX);
        self.write_edge();
        (self.waiting, self.owed) = (0, 0);
    }

    /// Sets the pace so that all is written by the time that these rows are computed, of which some
    /// keys may be left out.
    #[inline(always)]
    pub(crate) fn keep_pace_with(&mut self, rows: &BlockRows<'_>, keys: &Range<usize>) {
        let to_write = self.block.rows().len() * keys.len();
        self.pace = to_write.div_ceil(rows.pairs_in(keys).max(1));
    }

    /// What a tile may go on with between its dimensions.
    #[inline(always)]
    pub(crate) fn meanwhile(&mut self) -> &mut Meanwhile {
        &mut self.meanwhile
    }

    /// Takes a turn after a tile of `computed` elements: writes what it has left of what keeps pace
    /// with it, if that is enough to be worth it, and sees to it that lines wait for the next one.
    #[inline(always)]
    pub(crate) fn write_tile<S: Lanes>(&mut self, simd: S, computed: usize) {
        let written = (self.waiting - self.meanwhile.lines()) * LINE;
        self.owed = (self.owed + computed * self.pace).saturating_sub(written);
        loop {
            while self.wants_run() {
                self.take_run(simd);
            }
            let lines = self.meanwhile.lines().min(self.owed / LINE);
            if lines < TURN / LINE {
                break;
            }
            self.meanwhile.copy(simd, lines);
            self.owed -= lines * LINE;
        }
        self.waiting = self.meanwhile.lines();
        if self.waiting == 0 && !self.has_runs() {
            self.owed = 0;
        }
    }

    #[inline(always)]
    fn has_runs(&self) -> bool {
        self.row < self.block.rows().len()
    }

    /// Whether too little waits.
    #[inline(always)]
    fn wants_run(&self) -> bool {
        let wants = match self.dense {
            Some(_) => {
                self.meanwhile.lines() < ENOUGH_LINES && self.meanwhile.has_room_for(COPIES_OF_RUN)
            }
            None => self.owed >= TURN,
        };
        wants && self.has_runs()
    }

    /// Takes up the next run: its lines wait from now on. What is not dense is written at once.
    #[inline(always)]
    fn take_run<S: Lanes>(&mut self, simd: S) {
        let output = self.call.output;
        let run = self.find_next_run();
        if let Some(data) = self.dense {
            return self.queue_lines(simd, run, &data);
        }
        match output.data {
            #[cfg(feature = "half")]
            OutputData::F16(data) if output.strides.column == 1 => self.write_narrow(run, &data),
            #[cfg(feature = "half")]
            OutputData::Bf16(data) if output.strides.column == 1 => self.write_narrow(run, &data),
            _ => self.write_elements(run, output.strides.column),
        }
        self.owed = self.owed.saturating_sub(run.elements);
    }

    /// Lets the whole lines of a run wait, and puts its ends to those of its neighbours.
    #[inline(always)]
    #[allow(unsafe_code, reason = "the row's place in the shared output")]
    fn queue_lines<S: Lanes>(&mut self, simd: S, run: Run, data: &SharedSlice<'a, f32>) {
        let head = elements_to_line(data, run.target).min(run.elements);
        let lines = head..run.elements - (run.elements - head) % LINE;
        if self.edge.end != run.target {
            self.write_edge();
        }
        self.add_to_edge(simd, run.part(0..head), data);
        if !lines.is_empty() {
            let lines = run.part(lines.clone());
            // SAFETY: strip and place are the writer's, which leaves both alone until the lines are
            // copied.
            unsafe {
                match lines.values {
                    Values::Strip(source, factor) => {
                        let source = &self.strip.from(source)[..lines.elements];
                        self.meanwhile.copy_lines(source, factor, lines.place(), data);
                    }
                    Values::Constant(value) => {
                        self.meanwhile.fill_lines(value, lines.place(), data);
                    }
                }
            }
        }
        self.add_to_edge(simd, run.part(lines.end..run.elements), data);
    }

    /// Puts a part of a line to what there is of it.
    #[inline(always)]
    #[allow(unsafe_code, reason = "the row's place in the shared output")]
    fn add_to_edge<S: Lanes>(&mut self, simd: S, part: Run, data: &SharedSlice<'a, f32>) {
        if part.elements == 0 {
            return;
        }
        if self.edge.is_empty() {
            self.edge = part.target..part.target;
        }
        // A whole line, of which the part is the beginning: the strip's rows are padded by one.
        let line = &mut self.meanwhile.composed()[self.edge.len()..][..LINE];
        let (line, _) = S::as_mut_simd_f32s(line);
        match part.values {
            Values::Strip(source, factor) => {
                let (source, _) = S::as_simd_f32s(&self.strip.from(source)[..LINE]);
                for (value, &source) in line.iter_mut().zip(source) {
                    *value = simd.mul_f32s(source, simd.splat_f32s(factor));
                }
            }
            Values::Constant(value) => line.fill(simd.splat_f32s(value)),
        }
        self.edge.end += part.elements;
        if self.edge.len() == LINE {
            // SAFETY: the place is the writer's, and so is the line.
            unsafe { self.meanwhile.copy_composed(self.edge.clone(), data) };
            self.edge = 0..0;
        } else if elements_to_line(data, self.edge.end) == 0 {
            self.write_edge();
        }
    }

    /// Writes the part of a line that is there.
    #[inline(always)]
    fn write_edge(&mut self) {
        if let (Some(data), false) = (&self.dense, self.edge.is_empty()) {
            let line = &self.meanwhile.composed()[..self.edge.len()];
            place(data, self.edge.clone()).copy_from_slice(line);
        }
        self.edge = 0..0;
    }

    /// The next run; moves on to the one after it. What would be empty is left out.
    #[inline(always)]
    fn find_next_run(&mut self) -> Run {
        let Call { output, plan, .. } = self.call;
        let row_index = self.row;
        let row = &self.block.rows()[row_index];
        if self.plain {
            self.row += 1;
            let factor = self.strip.sum(0, row_index);
            let values = Values::Strip(self.strip.row_start(0, row_index), factor);
            return Run { target: row.start, elements: plan.keys, values };
        }
        let (first, attended) = (self.key, row.keys_in(&self.keys));
        let segment = first / SEGMENT;
        let factor = self.strip.sum(segment, row_index);
        let (end, values) = if attended.contains(&first) {
            let start = self.strip.row_start(segment, row_index);
            let end = attended.end.min(plan.segment_keys(segment).end);
            (end, Values::Strip(start + first % SEGMENT, factor))
        } else {
            let end = if first < attended.start { attended.start } else { self.keys.end };
            // A weight of 0, or NaN if the row's are.
            let value = if plan.stage == Stage::Weights { 0.0 * factor } else { f32::NEG_INFINITY };
            (end, Values::Constant(value))
        };
        self.key = end;
        if end == self.keys.end {
            (self.row, self.key) = (row_index + 1, self.keys.start);
        }
        let target = row.start + first * output.strides.column;
        Run { target, elements: end - first, values }
    }

    #[cold]
    #[inline(never)]
    fn write_elements(&self, run: Run, stride: usize) {
        for column in 0..run.elements {
            let value = match run.values {
                Values::Strip(source, factor) => self.strip.from(source)[column] * factor,
                Values::Constant(value) => value,
            };
            write_element(self.call.output.data, run.target + column * stride, value);
        }
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn write_narrow<T: Narrow>(&self, run: Run, data: &SharedSlice<'a, T>) {
        let output = place(data, run.place());
        match run.values {
            Values::Strip(source, factor) => {
                for (output, value) in output.iter_mut().zip(self.strip.from(source)) {
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

/// Writes the first keys of a row, at most two lines of them.
#[inline(always)]
pub(crate) fn write_few(output: &Output<'_>, start: usize, values: &[f32]) {
    match output.data {
        OutputData::F32(data) if output.strides.column == 1 => {
            copy_few(place(&data, start..start + values.len()), values);
        }
        _ => write_each(output, start, values),
    }
}

#[cold]
#[inline(never)]
fn write_each(output: &Output<'_>, start: usize, values: &[f32]) {
    for (column, &value) in values.iter().enumerate() {
        write_element(output.data, start + column * output.strides.column, value);
    }
}

#[inline(always)]
fn write_element(output: OutputData<'_>, index: usize, value: f32) {
    match output {
        OutputData::F32(data) => place(&data, index..index + 1)[0] = value,
        #[cfg(feature = "half")]
        OutputData::F16(data) => place(&data, index..index + 1)[0] = half::f16::narrow(value),
        #[cfg(feature = "half")]
        OutputData::Bf16(data) => place(&data, index..index + 1)[0] = half::bf16::narrow(value),
    }
}

/// Copies at most 32 elements: the first and the last power of two of them, which may overlap.
#[inline(always)]
fn copy_few(to: &mut [f32], from: &[f32]) {
    #[inline(always)]
    fn copy_ends<const N: usize>(to: &mut [f32], from: &[f32]) {
        if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
            *to.first_chunk_mut().expect("as long as what it is copied from") = *first;
            *to.last_chunk_mut().expect("as long as what it is copied from") = *last;
        }
    }
    match from.len() {
        17.. => copy_ends::<16>(to, from),
        8.. => copy_ends::<8>(to, from),
        4.. => copy_ends::<4>(to, from),
        2.. => copy_ends::<2>(to, from),
        _ => copy_ends::<1>(to, from),
    }
}
