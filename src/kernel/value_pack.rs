//! Packing values: from the caller's strides to panels of 16 columns.
//!
//! `panels[(panel · pass_keys + key) · 16 + column]`: a pass of keys is contiguous, and a tile reads
//! each of its panels as one ascending stream. Missing columns and keys are zeros.

use crate::element::Elements;
use crate::layout::PANEL;
use crate::rows::HeadRows;
use crate::simd::{SimdExt, Widen};
use core::ops::Range;

/// Packs the values of some keys, as many as the panels have room for; those that do not exist are
/// zeros.
#[inline(always)]
pub(crate) fn pack_values<S: SimdExt, const REGISTERS: usize>(
    simd: S,
    head: &HeadRows<Elements<'_>>,
    keys: Range<usize>,
    v_dim: usize,
    panels: &mut [f32],
) {
    match head.data {
        Elements::F32(data) => {
            pack_rows::<S, _, REGISTERS>(simd, &head.with(data), keys, v_dim, panels)
        }
        #[cfg(feature = "half")]
        Elements::F16(data) => {
            pack_rows::<S, _, REGISTERS>(simd, &head.with(data), keys, v_dim, panels)
        }
        #[cfg(feature = "half")]
        Elements::Bf16(data) => {
            pack_rows::<S, _, REGISTERS>(simd, &head.with(data), keys, v_dim, panels)
        }
    }
}

#[inline(always)]
fn pack_rows<S: SimdExt, T: Widen, const REGISTERS: usize>(
    simd: S,
    head: &HeadRows<&[T]>,
    keys: Range<usize>,
    v_dim: usize,
    panels: &mut [f32],
) {
    let pass_keys = keys.len();
    let existing = keys.start.min(head.rows)..keys.end.min(head.rows);
    if existing.len() < pass_keys || !v_dim.is_multiple_of(PANEL) {
        panels.fill(0.0);
    }
    let (panels, _) = panels.as_chunks_mut::<PANEL>();
    for key in existing {
        let row = &head.data[key * head.row_stride..];
        let places = panels[key - keys.start..].iter_mut().step_by(pass_keys);
        if head.dim_stride == 1 {
            let (whole, rest) = row[..v_dim].as_chunks::<PANEL>();
            let rest = (!rest.is_empty()).then_some(rest);
            let mut places = places;
            for (columns, place) in whole.iter().zip(places.by_ref()) {
                let registers: [_; REGISTERS] = T::widen_columns(simd, columns);
                S::as_mut_simd_f32s(place).0.copy_from_slice(&registers);
            }
            if let (Some(place), Some(rest)) = (places.next(), rest) {
                for (place, column) in place.iter_mut().zip(rest) {
                    *place = column.widen();
                }
            }
        } else {
            for (panel, place) in places.enumerate() {
                let first = panel * PANEL;
                for (i, place) in place.iter_mut().enumerate().take(v_dim.saturating_sub(first)) {
                    *place = row[(first + i) * head.dim_stride].widen();
                }
            }
        }
    }
}
