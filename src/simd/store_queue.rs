//! A queue of cache-line copies and prefetches that the tile drains between groups of FMAs, hiding
//! memory latency behind compute.
//!
//! [`SimdExt::drain_step`](super::SimdExt::drain_step) takes one line at a time,
//! [`StoreQueue::copy`] as many as it is told.
#![allow(unsafe_code, reason = "pointers to lines whose owners promise that they stay")]

use crate::disjoint::DisjointSlice;
use crate::layout::LINE;
use core::ops::Range;

/// Distance in lines between a copy and the prefetch of its target: far enough that the line is
/// owned by this core when it is written.
pub(super) const PREFETCH_LINES: usize = 32;

/// Copies that the queue holds: a power of two.
const CAPACITY: usize = 16;

/// The source of lines that repeat one value: ones, times the factor.
static ONES: [f32; LINE] = [1.0; LINE];

/// Lines of 16 elements to be copied, `target = source · factor`, and others to be prefetched.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct StoreQueue<'a> {
    /// The copy at the head of the queue, which may be done: its place in the ring, in bytes.
    pub(super) head: usize,
    /// Lines to be copied, over all copies.
    pub(super) lines: usize,
    /// 1 if targets are written by non-temporal stores, else 0.
    pub(super) nontemporal: usize,
    /// The next line to be prefetched, which need not exist, and how many there are.
    pub(super) prefetch: *const f32,
    pub(super) prefetch_lines: usize,
    /// The place in the ring that the next copy takes.
    tail: usize,
    /// A ring.
    pub(super) copies: [LineCopy; CAPACITY],
    /// A line for each place of the ring, for its owner to assemble.
    staging: &'a mut Staging,
}

/// Room for lines that are assembled before they are copied: for each place of the ring a line, and
/// another behind it, so that whole lines can be written from any element on.
pub(crate) type Staging = [[f32; 2 * LINE]; CAPACITY];

/// A copy of consecutive lines.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct LineCopy {
    pub(super) source: *const f32,
    pub(super) target: *mut f32,
    /// Lines that are still to be copied.
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

impl<'a> StoreQueue<'a> {
    /// The largest place in the ring, in bytes: a mask.
    pub(super) const PLACES: usize = (CAPACITY - 1) * size_of::<LineCopy>();

    /// An empty queue.
    #[inline(always)]
    pub(crate) fn new(nontemporal: bool, staging: &'a mut Staging) -> Self {
        StoreQueue {
            head: Self::PLACES,
            lines: 0,
            nontemporal: usize::from(nontemporal),
            prefetch: core::ptr::null(),
            prefetch_lines: 0,
            tail: 0,
            copies: [LineCopy::DONE; CAPACITY],
            staging,
        }
    }

    /// Lines to be copied.
    #[inline(always)]
    pub(crate) fn lines(&self) -> usize {
        self.lines
    }

    /// Whether so many more copies fit in.
    #[inline(always)]
    pub(crate) fn has_room_for(&self, copies: usize) -> bool {
        let head = self.head / size_of::<LineCopy>();
        head.wrapping_sub(self.tail) % CAPACITY >= copies
    }

    /// Where the next line is assembled, for [`StoreQueue::copy_staged`]: a line, and room for
    /// another behind it.
    #[inline(always)]
    pub(crate) fn staging(&mut self) -> &mut [f32; 2 * LINE] {
        &mut self.staging[self.tail]
    }

    /// Enqueues the line in [`StoreQueue::staging`].
    ///
    /// # Safety
    /// As for [`StoreQueue::copy_lines`], of the target.
    #[inline(always)]
    pub(crate) unsafe fn copy_staged(&mut self, target: Range<usize>, output: &DisjointSlice<f32>) {
        let source: *const [f32] = &self.staging[self.tail][..LINE];
        // SAFETY: the line is borrowed for 'a, and not written again before its place in the ring is
        // free, when its copy is done; the target is the caller's promise.
        unsafe { self.push(source.cast(), 0, 1.0, target, output) }
    }

    /// Enqueues `source · factor`, to be copied to a range of the output: whole lines, the first of
    /// which starts at a cache line.
    ///
    /// # Safety
    /// Until [`StoreQueue::lines`] is 0 or the queue is dropped, `source` stays allocated where it
    /// is and is not written, and nothing else reads or writes the target.
    ///
    /// # Panics
    /// If the lengths differ, or the target is not aligned to a line or outside of the output.
    #[inline(always)]
    pub(crate) unsafe fn copy_lines(
        &mut self,
        source: &[f32],
        factor: f32,
        target: Range<usize>,
        output: &DisjointSlice<f32>,
    ) {
        assert!(source.len() == target.len());
        // SAFETY: as long as the target; the rest is the caller's promise.
        unsafe { self.push(source.as_ptr(), size_of::<[f32; LINE]>(), factor, target, output) }
    }

    /// Enqueues lines that repeat one value.
    ///
    /// # Safety
    /// As for [`StoreQueue::copy_lines`], of the target.
    #[inline(always)]
    pub(crate) unsafe fn fill_lines(
        &mut self,
        value: f32,
        target: Range<usize>,
        output: &DisjointSlice<f32>,
    ) {
        // SAFETY: the source is a static line, read again and again; the target is the caller's
        // promise.
        unsafe { self.push(ONES.as_ptr(), 0, value, target, output) }
    }

    /// # Safety
    /// `source` has a line for each of the target, `source_step` bytes apart; the rest as for
    /// [`StoreQueue::copy_lines`].
    #[inline(always)]
    unsafe fn push(
        &mut self,
        source: *const f32,
        source_step: usize,
        factor: f32,
        target: Range<usize>,
        output: &DisjointSlice<f32>,
    ) {
        assert!(self.has_room_for(1));
        let lines = target.len() / LINE;
        // SAFETY: `slice` asserts that it is inside the output; the caller keeps others away.
        let target = unsafe { output.slice(target) }.as_mut_ptr();
        assert!(target.addr().is_multiple_of(LINE * size_of::<f32>()));
        self.copies[self.tail] = LineCopy { source, target, lines, source_step, factor };
        self.tail = (self.tail + 1) % CAPACITY;
        self.lines += lines;
    }

    /// Sets the lines to be prefetched, which need not exist.
    #[inline(always)]
    pub(crate) fn set_prefetch(&mut self, (first, lines): (*const f32, usize)) {
        (self.prefetch, self.prefetch_lines) = (first, lines);
    }
}
