//! From the caller's element type to f32 and back: exact on the way in, to nearest even on the way
//! out.

#[cfg(feature = "half")]
use crate::lanes::Lanes;
#[cfg(feature = "half")]
use crate::workspace::LINE;

/// An element type that widens to f32 without loss.
pub(crate) trait Widen: Copy {
    fn widen(self) -> f32;

    /// 16 elements at a time.
    #[cfg(feature = "half")]
    #[inline(always)]
    fn widen_line<S: Lanes>(_: S, narrow: &[Self], wide: &mut [f32; LINE]) {
        for (wide, narrow) in wide.iter_mut().zip(narrow) {
            *wide = narrow.widen();
        }
    }
}

impl Widen for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

#[cfg(feature = "half")]
impl Widen for half::bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

/// The bits of the magnitude, moved to where f32 has them, make a number that is 2⁻¹¹² of what it
/// should be; infinities and NaNs need the largest exponent besides.
#[cfg(feature = "half")]
impl Widen for half::f16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        const SCALE: f32 = f32::from_bits((127 + 112) << 23);
        const SPECIAL: u32 = 0x0f80_0000;
        let bits = u32::from(self.to_bits());
        let magnitude = (bits & 0x7fff) << 13;
        let special = if magnitude >= SPECIAL { 0x7f80_0000 } else { 0 };
        let finite = (f32::from_bits(magnitude) * SCALE).to_bits();
        f32::from_bits(finite | special | (bits & 0x8000) << 16)
    }
}

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
