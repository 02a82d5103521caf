//! Memory that several tasks write at once, each its own part.
#![allow(unsafe_code, reason = "the one place where tasks share memory to write")]

use core::{marker::PhantomData, ops::Range};

/// A mutable slice whose disjoint parts can be borrowed from several threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedSlice<'a> {
    start: *mut f32,
    length: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for a `&mut [f32]`, which is Send; every access goes through `slice`, whose
// caller promises that no two threads hold overlapping parts.
unsafe impl Send for SharedSlice<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedSlice<'_> {}

impl<'a> SharedSlice<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
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
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &'a mut [f32] {
        assert!(range.start <= range.end && range.end <= self.length);
        // SAFETY: inside the slice by the assertion, unaliased by the caller's promise.
        unsafe {
            core::slice::from_raw_parts_mut(self.start.add(range.start), range.end - range.start)
        }
    }

    /// Where an element is; the pointer is not to be dereferenced.
    #[inline(always)]
    pub(crate) fn address(&self, index: usize) -> *const f32 {
        self.start.wrapping_add(index)
    }
}
