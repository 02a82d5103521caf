//! Widening f16 without an instruction for it.

use crate::convert::{F16_SCALE, F16_SPECIAL, F32_SPECIAL};
use pulp::Simd;

/// The f16 in the upper half of each lane, widened: as [`Storage::widen`], where there is no
/// instruction for it.
#[inline(always)]
pub(crate) fn widen<S: Simd>(simd: S, halves: S::u32s) -> S::f32s {
    let sign = simd.and_u32s(halves, simd.splat_u32s(0x8000_0000));
    let magnitude = simd.and_u32s(halves, simd.splat_u32s(0x7fff_0000));
    let magnitude = simd.wrapping_dyn_shr_u32s(magnitude, simd.splat_u32s(3));
    let is_finite = simd.less_than_u32s(magnitude, simd.splat_u32s(F16_SPECIAL));
    let scaled = simd.mul_f32s(simd.transmute_f32s_u32s(magnitude), simd.splat_f32s(F16_SCALE));
    let scaled = simd.transmute_u32s_f32s(scaled);
    let special = simd.or_u32s(scaled, simd.splat_u32s(F32_SPECIAL));
    simd.transmute_f32s_u32s(simd.or_u32s(simd.select_u32s(is_finite, scaled, special), sign))
}
