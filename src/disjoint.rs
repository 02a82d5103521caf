//! Memory that several tasks write at the same time, each its own part.
#![allow(unsafe_code, reason = "the one place where tasks share memory to write")]

use core::{marker::PhantomData, ops::Range};

/// A mutable slice whose disjoint parts can be borrowed from several threads.
#[derive(Debug)]
pub(crate) struct DisjointSlice<'a, T = f32> {
    start: *mut T,
    length: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

impl<T> Clone for DisjointSlice<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for DisjointSlice<'_, T> {}

// SAFETY: it stands for a `&mut [T]`, which is Send; every access goes through `slice`, whose
// caller promises that no two threads hold overlapping parts.
unsafe impl<T: Send> Send for DisjointSlice<'_, T> {}
// SAFETY: a shared reference gives access through `slice` and `read` alone, whose callers promise the
// same.
unsafe impl<T: Send> Sync for DisjointSlice<'_, T> {}

impl<'a, T> DisjointSlice<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), lifetime: PhantomData }
    }

    /// A part of the slice.
    ///
    /// # Panics
    /// If the range is not inside the slice.
    ///
    /// # Safety
    /// While the result lives, no other borrow may overlap the range.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "that is its purpose; the caller keeps parts disjoint")]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.length);
        // SAFETY: inside the slice by the assertion, unaliased by the caller's promise.
        unsafe {
            core::slice::from_raw_parts_mut(self.start.add(range.start), range.end - range.start)
        }
    }

    /// A part of the slice, to be read.
    ///
    /// # Panics
    /// If the range is not inside the slice.
    ///
    /// # Safety
    /// While the result lives, nothing may write to the range.
    #[inline(always)]
    pub(crate) unsafe fn read(&self, range: Range<usize>) -> &'a [T] {
        assert!(range.start <= range.end && range.end <= self.length);
        // SAFETY: inside the slice by the assertion, not written by the caller's promise.
        unsafe { core::slice::from_raw_parts(self.start.add(range.start), range.len()) }
    }

    /// Where an element is; the pointer is not to be dereferenced.
    #[inline(always)]
    pub(crate) fn address(&self, index: usize) -> *const T {
        self.start.wrapping_add(index)
    }
}
