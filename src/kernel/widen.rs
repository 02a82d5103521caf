//! From the caller's element type to f32 and back: exact on the way in, to nearest even on the way
//! out.
//!
//! Memory is read in *words* of 32 bits, each one f32 or two neighbouring narrow elements, so that
//! narrow keys have the same blocks, of twice as many dimensions. bf16 are transposed by the same
//! instructions as f32, two dimensions at a time, and widened afterwards; f16 as the instruction set
//! does it best ([`Lanes::load_transposed_f16`], [`Lanes::transpose_halves`]).

use crate::lanes::{BLOCK_WORDS, Lanes};

/// An element type that widens to f32 without loss.
pub(crate) trait Widen: Copy {
    /// Elements of a word.
    const PER_WORD: usize;

    /// Whether they are f16.
    #[cfg(feature = "half")]
    const HALVES: bool = false;

    fn widen(self) -> f32;

    /// The data as words, if it is aligned to them.
    fn words(data: &[Self]) -> Option<&[f32]>;

    /// The elements of words, in order; as many as a word has are in use.
    fn unpack<S: Lanes>(simd: S, words: S::f32s) -> [S::f32s; 2];

    /// As [`Lanes::load_transposed`], the elements of each word as [`Widen::unpack`] has them.
    #[inline(always)]
    fn load_transposed<S: Lanes>(
        simd: S,
        rows: &[f32],
        row_stride: usize,
    ) -> [[S::f32s; 2]; BLOCK_WORDS] {
        unpack_block::<S, Self>(simd, simd.load_transposed(rows, row_stride))
    }
}

impl Widen for f32 {
    const PER_WORD: usize = 1;

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn words(data: &[f32]) -> Option<&[f32]> {
        Some(data)
    }

    #[inline(always)]
    fn unpack<S: Lanes>(_: S, words: S::f32s) -> [S::f32s; 2] {
        [words; 2]
    }
}

#[cfg(feature = "half")]
impl Widen for half::bf16 {
    const PER_WORD: usize = 2;

    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn words(data: &[half::bf16]) -> Option<&[f32]> {
        pulp::bytemuck::try_cast_slice(&data[..data.len() / 2 * 2]).ok()
    }

    #[inline(always)]
    fn unpack<S: Lanes>(simd: S, words: S::f32s) -> [S::f32s; 2] {
        let words = simd.transmute_u32s_f32s(words);
        let first = simd.wrapping_dyn_shl_u32s(words, simd.splat_u32s(16));
        let second = simd.and_u32s(words, simd.splat_u32s(0xffff_0000));
        [simd.transmute_f32s_u32s(first), simd.transmute_f32s_u32s(second)]
    }
}

/// The bits of the magnitude, moved to where f32 has them, make a number that is 2⁻¹¹² of what it
/// should be; infinities and NaNs need the largest exponent besides.
#[cfg(feature = "half")]
impl Widen for half::f16 {
    const PER_WORD: usize = 2;
    const HALVES: bool = true;

    #[inline(always)]
    fn widen(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let magnitude = (bits & 0x7fff) << 13;
        let special = if magnitude >= F16_SPECIAL { F32_SPECIAL } else { 0 };
        let finite = (f32::from_bits(magnitude) * F16_SCALE).to_bits();
        f32::from_bits(finite | special | (bits & 0x8000) << 16)
    }

    #[inline(always)]
    fn words(data: &[half::f16]) -> Option<&[f32]> {
        pulp::bytemuck::try_cast_slice(&data[..data.len() / 2 * 2]).ok()
    }

    #[inline(always)]
    fn unpack<S: Lanes>(simd: S, words: S::f32s) -> [S::f32s; 2] {
        simd.unpack_f16(simd.transmute_u32s_f32s(words))
    }

    #[inline(always)]
    fn load_transposed<S: Lanes>(
        simd: S,
        rows: &[f32],
        row_stride: usize,
    ) -> [[S::f32s; 2]; BLOCK_WORDS] {
        simd.load_transposed_f16(rows, row_stride)
    }
}

/// The elements of each word of a lane block.
#[inline(always)]
pub(crate) fn unpack_block<S: Lanes, T: Widen>(
    simd: S,
    block: [S::f32s; BLOCK_WORDS],
) -> [[S::f32s; 2]; BLOCK_WORDS] {
    let mut elements = [[simd.splat_f32s(0.0); 2]; BLOCK_WORDS];
    for (elements, words) in elements.iter_mut().zip(block) {
        *elements = T::unpack(simd, words);
    }
    elements
}

/// The f16 in the upper half of each lane, widened: as [`Widen::widen`], where there is no
/// instruction for it.
#[cfg(feature = "half")]
#[inline(always)]
pub(crate) fn widen_f16<S: Lanes>(simd: S, halves: S::u32s) -> S::f32s {
    let sign = simd.and_u32s(halves, simd.splat_u32s(0x8000_0000));
    let magnitude = simd.and_u32s(halves, simd.splat_u32s(0x7fff_0000));
    let magnitude = simd.wrapping_dyn_shr_u32s(magnitude, simd.splat_u32s(3));
    let is_finite = simd.less_than_u32s(magnitude, simd.splat_u32s(F16_SPECIAL));
    let scaled = simd.mul_f32s(simd.transmute_f32s_u32s(magnitude), simd.splat_f32s(F16_SCALE));
    let scaled = simd.transmute_u32s_f32s(scaled);
    let special = simd.or_u32s(scaled, simd.splat_u32s(F32_SPECIAL));
    simd.transmute_f32s_u32s(simd.or_u32s(simd.select_u32s(is_finite, scaled, special), sign))
}

/// 2¹¹².
#[cfg(feature = "half")]
const F16_SCALE: f32 = f32::from_bits((127 + 112) << 23);

/// The first infinity or NaN of f16, moved to where f32 has its bits.
#[cfg(feature = "half")]
const F16_SPECIAL: u32 = 0x0f80_0000;

/// The exponent of infinities and NaNs in f32.
#[cfg(feature = "half")]
const F32_SPECIAL: u32 = 0x7f80_0000;

/// An element type that f32 is rounded to, to nearest, ties to even.
#[cfg(feature = "half")]
pub(crate) trait Narrow: Copy {
    fn narrow(value: f32) -> Self;
}

#[cfg(feature = "half")]
impl Narrow for half::bf16 {
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        let quiet = bits >> 16 | 0x40;
        half::bf16::from_bits(if value.is_nan() { quiet } else { rounded } as u16)
    }
}

/// Numbers below the smallest normal one of the narrow type are rounded by an addition that moves
/// their last bit to where f32 has its last one; the others as integers, of which the mantissa may
/// carry into the exponent.
#[cfg(feature = "half")]
impl Narrow for half::f16 {
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        const SMALLEST_NORMAL: u32 = (127 - 14) << 23;
        const OVERFLOW: u32 = (127 + 16) << 23;
        const MAGIC: f32 = 0.5;
        let sign = value.to_bits() >> 16 & 0x8000;
        let magnitude = value.to_bits() & 0x7fff_ffff;
        let special = if value.is_nan() { 0x7e00 } else { 0x7c00 };
        let subnormal = (f32::from_bits(magnitude) + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits());
        let odd = magnitude >> 13 & 1;
        let normal = magnitude.wrapping_sub((127 - 15) << 23).wrapping_add(0x0fff + odd) >> 13;
        let rounded = if magnitude < SMALLEST_NORMAL { subnormal } else { normal };
        let rounded = if magnitude >= OVERFLOW { special } else { rounded };
        half::f16::from_bits((sign | rounded) as u16)
    }
}
