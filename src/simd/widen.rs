//! From the caller's element type to f32, whole registers.
//!
//! Memory is read in *words* of 32 bits, each one f32 or two neighbouring narrow elements, so narrow
//! keys have the same blocks, of twice as many dimensions. bf16 is transposed by the same
//! instructions as f32, two dimensions at a time, and widened afterwards; f16 as suits the
//! instruction set best ([`SimdExt::load_transposed_f16`], [`SimdExt::transpose_halves`]).

use super::ext::SimdExt;
use crate::convert::Storage;
use crate::layout::{PANEL, TRANSPOSE_WORDS};
use core::array::from_fn;

/// An element type that registers widen to f32 without loss.
pub(crate) trait Widen: Storage {
    /// Whether it is f16.
    #[cfg(feature = "half")]
    const IS_F16: bool = false;

    /// The elements of words, in order; the first [`Storage::PER_WORD`] of the two are used.
    fn unpack<S: SimdExt>(simd: S, words: S::f32s) -> [S::f32s; 2];

    /// The first registers of a panel's columns.
    fn widen_columns<S: SimdExt, const REGISTERS: usize>(
        simd: S,
        columns: &[Self; PANEL],
    ) -> [S::f32s; REGISTERS];

    /// As [`SimdExt::load_transposed`], the elements of each word as [`Widen::unpack`] has them.
    #[inline(always)]
    fn load_transposed<S: SimdExt>(
        simd: S,
        rows: &[f32],
        row_stride: usize,
    ) -> [[S::f32s; 2]; TRANSPOSE_WORDS] {
        unpack_block::<S, Self>(simd, simd.load_transposed(rows, row_stride))
    }
}

impl Widen for f32 {
    #[inline(always)]
    fn unpack<S: SimdExt>(_: S, words: S::f32s) -> [S::f32s; 2] {
        [words; 2]
    }

    #[inline(always)]
    fn widen_columns<S: SimdExt, const REGISTERS: usize>(
        _: S,
        columns: &[f32; PANEL],
    ) -> [S::f32s; REGISTERS] {
        let (registers, _) = S::as_simd_f32s(columns);
        from_fn(|i| registers[i])
    }
}

#[cfg(feature = "half")]
impl Widen for half::bf16 {
    #[inline(always)]
    fn unpack<S: SimdExt>(simd: S, words: S::f32s) -> [S::f32s; 2] {
        let words = simd.transmute_u32s_f32s(words);
        let first = simd.wrapping_dyn_shl_u32s(words, simd.splat_u32s(16));
        let second = simd.and_u32s(words, simd.splat_u32s(0xffff_0000));
        [simd.transmute_f32s_u32s(first), simd.transmute_f32s_u32s(second)]
    }

    #[inline(always)]
    fn widen_columns<S: SimdExt, const REGISTERS: usize>(
        simd: S,
        columns: &[half::bf16; PANEL],
    ) -> [S::f32s; REGISTERS] {
        f32::widen_columns(simd, &columns.map(Storage::widen))
    }
}

#[cfg(feature = "half")]
impl Widen for half::f16 {
    const IS_F16: bool = true;

    #[inline(always)]
    fn unpack<S: SimdExt>(simd: S, words: S::f32s) -> [S::f32s; 2] {
        simd.unpack_f16(simd.transmute_u32s_f32s(words))
    }

    #[inline(always)]
    fn widen_columns<S: SimdExt, const REGISTERS: usize>(
        simd: S,
        columns: &[half::f16; PANEL],
    ) -> [S::f32s; REGISTERS] {
        simd.widen_halves(pulp::bytemuck::cast_ref(columns))
    }

    #[inline(always)]
    fn load_transposed<S: SimdExt>(
        simd: S,
        rows: &[f32],
        row_stride: usize,
    ) -> [[S::f32s; 2]; TRANSPOSE_WORDS] {
        simd.load_transposed_f16(rows, row_stride)
    }
}

/// The elements of each word of a lane block.
#[inline(always)]
pub(crate) fn unpack_block<S: SimdExt, T: Widen>(
    simd: S,
    block: [S::f32s; TRANSPOSE_WORDS],
) -> [[S::f32s; 2]; TRANSPOSE_WORDS] {
    let mut elements = [[simd.splat_f32s(0.0); 2]; TRANSPOSE_WORDS];
    for (elements, words) in elements.iter_mut().zip(block) {
        *elements = T::unpack(simd, words);
    }
    elements
}
