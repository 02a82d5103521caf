//! What goes on between the dimensions of tiles: memory is waited for while multiply-adds wait for
//! nothing.

use super::Lanes;
use crate::shared::SharedSlice;
use crate::workspace::LINE;
use core::ops::Range;

/// How far ahead of a copy its target is fetched, to be the core's own when its turn comes.
pub(crate) const LINES_AHEAD: usize = 32;

/// Copies that may wait at a time: a power of two.
const ROOM: usize = 16;

/// The source of lines that are all the same, up to their factor.
static ONES: [f32; LINE] = [1.0; LINE];

/// Lines of 16 elements that wait to be copied, `target = source · factor`, and others that wait to
/// be fetched. [`Lanes::go_on`] takes a few at a time, [`Meanwhile::copy`] as many as it is told.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Meanwhile {
    /// The copy in hand, which may be done: its place among all, in bytes.
    pub(super) in_hand: usize,
    /// Lines that wait to be copied.
    pub(super) lines: usize,
    /// Whether targets are written past the caches.
    pub(super) streaming: usize,
    /// The next line to be fetched, which need not exist, and how many there are.
    pub(super) upcoming: *const f32,
    pub(super) upcoming_lines: usize,
    /// Where the next copy goes: its place among all.
    next: usize,
    /// A ring.
    pub(super) copies: [LineCopy; ROOM],
    /// A line for each of them that its owner puts together, and room behind it.
    composed: [[f32; 2 * LINE]; ROOM],
}

/// A copy of some lines.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct LineCopy {
    pub(super) source: *const f32,
    pub(super) target: *mut f32,
    /// What is left.
    pub(super) lines: usize,
    /// From one line of the source to the next, in bytes; 0 repeats it.
    pub(super) source_step: usize,
    pub(super) factor: f32,
}

impl LineCopy {
    const DONE: LineCopy = LineCopy {
        source: core::ptr::null(),
        target: core::ptr::null_mut(),
        lines: 0,
        source_step: 0,
        factor: 0.0,
    };
}

impl Meanwhile {
    /// The bits of a place in the ring, in bytes.
    pub(super) const PLACES: usize = (ROOM - 1) * size_of::<LineCopy>();

    /// Nothing to do.
    #[inline(always)]
    pub(crate) fn nothing(streaming: bool) -> Self {
        Meanwhile {
            in_hand: Self::PLACES,
            lines: 0,
            streaming: usize::from(streaming),
            upcoming: core::ptr::null(),
            upcoming_lines: 0,
            next: 0,
            copies: [LineCopy::DONE; ROOM],
            composed: [[0.0; 2 * LINE]; ROOM],
        }
    }

    /// Lines that wait to be copied.
    #[inline(always)]
    pub(crate) fn lines(&self) -> usize {
        self.lines
    }

    /// Whether so many more copies may wait.
    #[inline(always)]
    pub(crate) fn has_room_for(&self, copies: usize) -> bool {
        let in_hand = self.in_hand / size_of::<LineCopy>();
        in_hand.wrapping_sub(self.next) % ROOM >= copies
    }

    /// Room to put the next line together, for [`Meanwhile::copy_composed`].
    #[inline(always)]
    pub(crate) fn composed(&mut self) -> &mut [f32; 2 * LINE] {
        &mut self.composed[self.next]
    }

    /// Lets the line that was put together wait to be copied.
    ///
    /// # Safety
    /// As for [`Meanwhile::copy_lines`].
    #[inline(always)]
    pub(crate) unsafe fn copy_composed(&mut self, target: Range<usize>, output: &SharedSlice<f32>) {
        let source: *const [f32] = &self.composed[self.next][..LINE];
        // SAFETY: the line stays as it is until its copy is done; the rest is the caller's promise.
        unsafe { self.push(source.cast(), 0, 1.0, target, output) }
    }

    /// Lets `source · factor` wait to be copied to a range of the output, whole lines.
    ///
    /// # Safety
    /// Until it is copied, `source` is not written and nothing else reads or writes the target.
    #[inline(always)]
    pub(crate) unsafe fn copy_lines(
        &mut self,
        source: &[f32],
        factor: f32,
        target: Range<usize>,
        output: &SharedSlice<f32>,
    ) {
        assert!(source.len() == target.len());
        // SAFETY: as long as the target; the rest is the caller's promise.
        unsafe { self.push(source.as_ptr(), size_of::<[f32; LINE]>(), factor, target, output) }
    }

    /// As [`Meanwhile::copy_lines`], of one value.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub(crate) unsafe fn fill_lines(
        &mut self,
        value: f32,
        target: Range<usize>,
        output: &SharedSlice<f32>,
    ) {
        // SAFETY: one line, again and again; the rest is the caller's promise.
        unsafe { self.push(ONES.as_ptr(), 0, value, target, output) }
    }

    #[inline(always)]
    unsafe fn push(
        &mut self,
        source: *const f32,
        source_step: usize,
        factor: f32,
        target: Range<usize>,
        output: &SharedSlice<f32>,
    ) {
        assert!(self.has_room_for(1));
        let lines = target.len() / LINE;
        // SAFETY: inside the output by the assertion there; the caller keeps others away.
        let target = unsafe { output.slice(target) }.as_mut_ptr();
        self.copies[self.next] = LineCopy { source, target, lines, source_step, factor };
        self.next = (self.next + 1) % ROOM;
        self.lines += lines;
    }

    /// Lets some lines wait to be fetched, which need not exist.
    #[inline(always)]
    pub(crate) fn fetch(&mut self, (upcoming, lines): (*const f32, usize)) {
        (self.upcoming, self.upcoming_lines) = (upcoming, lines);
    }

    /// Copies some of the lines that wait.
    #[inline(always)]
    pub(crate) fn copy<S: Lanes>(&mut self, simd: S, mut lines: usize) {
        while lines.min(self.lines) > 0 {
            if self.copies[self.in_hand / size_of::<LineCopy>()].lines == 0 {
                self.in_hand = (self.in_hand + size_of::<LineCopy>()) & Self::PLACES;
            }
            let copy = &mut self.copies[self.in_hand / size_of::<LineCopy>()];
            let now = lines.min(copy.lines);
            (copy.lines, lines, self.lines) = (copy.lines - now, lines - now, self.lines - now);
            let factor = simd.splat_f32s(copy.factor);
            for _ in 0..now {
                // SAFETY: whoever pushed the copy promised both.
                let (source, target) = unsafe { (&*copy.source.cast(), &mut *copy.target.cast()) };
                copy_line(simd, source, factor, target, self.streaming != 0);
                copy.source = copy.source.wrapping_byte_add(copy.source_step);
                copy.target = copy.target.wrapping_add(LINE);
            }
        }
    }
}

#[inline(always)]
fn copy_line<S: Lanes>(
    simd: S,
    source: &[f32; LINE],
    factor: S::f32s,
    target: &mut [f32; LINE],
    streaming: bool,
) {
    if !streaming {
        simd.prefetch(target.as_ptr().wrapping_add(LINES_AHEAD * LINE));
    }
    let target = target.chunks_exact_mut(S::F32_LANES);
    for (target, &source) in target.zip(S::as_simd_f32s(source).0) {
        let value = simd.mul_f32s(source, factor);
        match streaming {
            true => simd.stream(target, value),
            false => S::as_mut_simd_f32s(target).0[0] = value,
        }
    }
}
