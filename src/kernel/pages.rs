//! Prefetching the pages of an ascending stream.
//!
//! The first access to a page misses the TLB: the page walk takes hundreds of cycles, twice as many on a
//! virtual machine, and more if the page tables come from memory. A prefetch instruction waits for it,
//! too, and blocks retirement until then; so prefetches of lines hide the latency of memory but not that
//! of TLB misses. Several page walks started together overlap.

use crate::simd::SimdExt;
use core::ops::Range;

/// Bytes of the smallest pages.
const PAGE: usize = 4 << 10;

/// Pages that are prefetched together: a little more than the page walks that a core overlaps.
const AT_ONCE: usize = 8;

/// Distance in bytes from what is in use: further than lines are prefetched.
const AHEAD: usize = 16 * PAGE;

/// Prefetches the next pages of an ascending stream when this part of it, which continues the one
/// before, crosses into another group of pages.
#[inline(always)]
pub(crate) fn prefetch_pages<S: SimdExt>(simd: S, part: Range<*const f32>) {
    let pages = |place: *const f32| place.addr() / (AT_ONCE * PAGE);
    if pages(part.start) != pages(part.end) {
        for page in 0..AT_ONCE {
            simd.prefetch_to_l2(part.end.wrapping_byte_add(AHEAD + page * PAGE));
        }
    }
}
