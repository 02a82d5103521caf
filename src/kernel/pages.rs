//! Pages of memory, asked for before their turn.
//!
//! The first access to a page waits for its address: some hundred cycles of looking up tables, that may have
//! to come from memory themselves, and twice as many on a virtual machine. A prefetch waits, too, and until
//! then nothing after it is done with; so prefetches of lines hide memory's latency, but not that of
//! addresses. Several pages asked for at once wait together.

use crate::lanes::Lanes;
use core::ops::Range;

/// Bytes of the smallest pages.
const PAGE: usize = 4 << 10;

/// Pages that are asked for at once: a little more than the lookups that a core has under way.
const AT_ONCE: usize = 8;

/// Bytes from what is in use to them: more than lines are fetched ahead.
const AHEAD: usize = 16 * PAGE;

/// Asks for the next pages of an ascending stream, if this part of it, which follows on the one before, ends
/// among others than it begins.
#[inline(always)]
pub(crate) fn ask_for_pages<S: Lanes>(simd: S, part: Range<*const f32>) {
    let pages = |place: *const f32| place.addr() / (AT_ONCE * PAGE);
    if pages(part.start) != pages(part.end) {
        for page in 0..AT_ONCE {
            simd.prefetch_to_l2(part.end.wrapping_byte_add(AHEAD + page * PAGE));
        }
    }
}
