//! The hash of a result.

/// A number, as its hash sees it.
pub trait Bits: Copy {
    /// Its bytes in little-endian order; those of one NaN for all NaN, as the numerics contract has it.
    fn bytes(self) -> impl IntoIterator<Item = u8>;
}

impl Bits for f32 {
    fn bytes(self) -> impl IntoIterator<Item = u8> {
        let bits = if self.is_nan() { 0x7fc0_0000 } else { self.to_bits() };
        bits.to_le_bytes()
    }
}

impl Bits for f64 {
    fn bytes(self) -> impl IntoIterator<Item = u8> {
        let bits = if self.is_nan() { 0x7ff8_0000_0000_0000 } else { self.to_bits() };
        bits.to_le_bytes()
    }
}

impl Bits for i64 {
    fn bytes(self) -> impl IntoIterator<Item = u8> {
        self.to_le_bytes()
    }
}

/// FNV-1a with 64 bits, over the bytes of all numbers.
pub fn fnv1a<T: Bits>(values: &[T]) -> u64 {
    let bytes = values.iter().flat_map(|&value| value.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
