//! From the caller's element types to f32 and back, one element at a time: exact on the way in, to
//! nearest, ties to even, on the way out.

/// How an element type is stored, and its value in f32, which is exact.
pub(crate) trait Storage: Copy {
    /// Elements of a word of 32 bits.
    const PER_WORD: usize;

    fn widen(self) -> f32;

    /// The data as words, if it is aligned to them. An odd element at the end is left out.
    fn words(data: &[Self]) -> Option<&[f32]>;
}

impl Storage for f32 {
    const PER_WORD: usize = 1;

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn words(data: &[f32]) -> Option<&[f32]> {
        Some(data)
    }
}

#[cfg(feature = "half")]
impl Storage for half::bf16 {
    const PER_WORD: usize = 2;

    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn words(data: &[half::bf16]) -> Option<&[f32]> {
        pulp::bytemuck::try_cast_slice(&data[..data.len() / 2 * 2]).ok()
    }
}

/// The magnitude's bits, shifted to where f32 has them, are the number times 2⁻¹¹²; infinities and
/// NaNs also need the largest exponent.
#[cfg(feature = "half")]
impl Storage for half::f16 {
    const PER_WORD: usize = 2;

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
}

/// 2¹¹².
#[cfg(feature = "half")]
pub(crate) const F16_SCALE: f32 = f32::from_bits((127 + 112) << 23);

/// The first infinity or NaN of f16, shifted to where f32 has its bits.
#[cfg(feature = "half")]
pub(crate) const F16_SPECIAL: u32 = 0x0f80_0000;

/// The exponent of infinities and NaNs in f32.
#[cfg(feature = "half")]
pub(crate) const F32_SPECIAL: u32 = 0x7f80_0000;

/// An element type that f32 results are rounded to, to nearest, ties to even.
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
