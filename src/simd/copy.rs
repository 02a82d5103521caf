//! Copying lines of a [`StoreQueue`] outside of tiles.
#![allow(unsafe_code, reason = "pointers to lines whose owners promise that they stay")]

use super::ext::SimdExt;
use super::store_queue::{LineCopy, PREFETCH_LINES, StoreQueue};
use crate::layout::LINE;

impl StoreQueue<'_> {
    /// Copies up to so many lines.
    #[inline(always)]
    pub(crate) fn copy<S: SimdExt>(&mut self, simd: S, mut lines: usize) {
        while lines.min(self.lines) > 0 {
            if self.copies[self.head / size_of::<LineCopy>()].lines == 0 {
                self.head = (self.head + size_of::<LineCopy>()) & Self::PLACES;
            }
            let copy = &mut self.copies[self.head / size_of::<LineCopy>()];
            let now = lines.min(copy.lines);
            copy.lines -= now;
            lines -= now;
            self.lines -= now;
            let factor = simd.splat_f32s(copy.factor);
            for _ in 0..now {
                // SAFETY: whoever enqueued the copy promised that `lines` lines of both are there, and
                // that nothing else uses the target.
                let (source, target) = unsafe { (&*copy.source.cast(), &mut *copy.target.cast()) };
                copy_line(simd, source, factor, target, self.nontemporal != 0);
                copy.source = copy.source.wrapping_byte_add(copy.source_step);
                copy.target = copy.target.wrapping_add(LINE);
            }
        }
    }
}

#[inline(always)]
fn copy_line<S: SimdExt>(
    simd: S,
    source: &[f32; LINE],
    factor: S::f32s,
    target: &mut [f32; LINE],
    nontemporal: bool,
) {
    if !nontemporal {
        simd.prefetch(target.as_ptr().wrapping_add(PREFETCH_LINES * LINE));
    }
    let target = target.chunks_exact_mut(S::F32_LANES);
    for (target, &source) in target.zip(S::as_simd_f32s(source).0) {
        let value = simd.mul_f32s(source, factor);
        if nontemporal {
            simd.store_nontemporal(target, value);
        } else {
            S::as_mut_simd_f32s(target).0[0] = value;
        }
    }
}
