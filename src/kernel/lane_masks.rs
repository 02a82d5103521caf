//! Which lanes of a panel's registers hold keys that a row attends to.

use crate::layout::PANEL;
use crate::rows::Row;
use crate::simd::SimdExt;
use core::ops::Range;

/// Sets the scores of keys to which rows do not attend by their position to −∞: those of a panel
/// for each row, of which `first` is the first key of the first panel.
#[inline(always)]
pub(crate) fn exclude<
    S: SimdExt,
    const ROWS: usize,
    const PANELS: usize,
    const REGISTERS: usize,
>(
    simd: S,
    rows: &[Row; ROWS],
    first: usize,
    scores: &mut [[[S::f32s; REGISTERS]; PANELS]; ROWS],
) {
    for (row, scores) in rows.iter().zip(scores) {
        for (panel, scores) in scores.iter_mut().enumerate() {
            let first = first + panel * PANEL;
            let attended = row.keys_in(&(first..first + PANEL));
            let attended = attended.start - first..attended.end - first;
            for (register, score) in scores.iter_mut().enumerate() {
                let kept = lanes_within(simd, register * S::F32_LANES, &attended);
                *score = simd.select_or_neg_inf(kept, *score);
            }
        }
    }
}

/// The lanes of a register, the first of which is key `first` of a panel, that are in a range of the
/// panel's keys.
#[inline(always)]
pub(crate) fn lanes_within<S: SimdExt>(simd: S, first: usize, kept: &Range<usize>) -> S::m32s {
    let (lanes, _) = S::as_simd_u32s(&LANES[first..]);
    let from_start = simd.sub_u32s(lanes[0], simd.splat_u32s(kept.start as u32));
    simd.less_than_u32s(from_start, simd.splat_u32s(kept.len() as u32))
}

/// The numbers of a panel's keys.
const LANES: [u32; PANEL] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
