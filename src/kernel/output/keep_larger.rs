//! The larger of each two weights.

use crate::simd::SimdExt;

/// `max = larger(max, e · factor)` for each of some exponentials. By registers: what the compiler makes
/// of a loop over elements stores under masks.
#[inline(always)]
pub(super) fn keep_larger<S: SimdExt>(
    simd: S,
    maxima: &mut [f32],
    exponentials: &[f32],
    factor: f32,
) {
    let (maxima, last_maxima) = S::as_mut_simd_f32s(maxima);
    let (exponentials, last) = S::as_simd_f32s(exponentials);
    let factors = simd.splat_f32s(factor);
    for (max, &e) in maxima.iter_mut().zip(exponentials) {
        *max = simd.max_f32s(simd.mul_f32s(e, factors), *max);
    }
    for (max, e) in last_maxima.iter_mut().zip(last) {
        *max = max.max(e * factor);
    }
}
