//! The instructions that the kernels need and pulp lacks, one implementation per instruction set.
//!
//! A *lane block* is what [`Lanes::load_transposed`] returns: 4 consecutive words of as many
//! consecutive keys as there are lanes, one register per word, keys in lanes. A word is 32 bits: a
//! dimension, or two of a narrow type.
//!
//! These move data and choose; only the copy of [`Lanes::go_on`] rounds, by the one multiplication
//! that it is. So the numerics contract does not depend on them.
#![allow(unsafe_code, reason = "intrinsics; every one is wrapped in a checked, safe function")]

#[cfg(feature = "half")]
use crate::kernel::widen;
use crate::workspace::LINE;
use pulp::Simd;

/// Words of a key that one transposing load covers.
pub(crate) const BLOCK_WORDS: usize = 4;

/// 1.5·2²³: adding it rounds to an integer, which the low bits of the sum then hold in two's
/// complement.
const ROUNDER: f32 = 12_582_912.0;

/// Eight dimensions of 16 rows of f16: those of a dimension side by side.
#[cfg(feature = "half")]
pub(crate) type Halves = [[u16; 16]; 2 * BLOCK_WORDS];

/// The shape of a register tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileShape {
    /// Query rows: one broadcast each.
    pub(crate) rows: usize,
    /// Panels of 16 keys.
    pub(crate) panels: usize,
    /// For up to so many rows of a head, transposing its keys for each tile takes less than packing them.
    pub(crate) few_rows: usize,
}

/// Work that is generic over the instruction set; run by [`Lanes::call`]. A struct rather than a
/// closure: a closure's body would not inherit the target features.
pub(crate) trait Kernel {
    type Output;

    /// `REGISTERS` make a line of 16 elements. The whole of this has to be `#[inline(always)]`, down to
    /// the last helper.
    fn run<S: Lanes, const REGISTERS: usize>(self, simd: S) -> Self::Output;
}

/// pulp's [`Simd`] and what it lacks.
pub(crate) trait Lanes: Simd {
    /// The tile that fills the register file: accumulators for rows × panels, a register for each
    /// register of keys, and one broadcast.
    const TILE: TileShape;

    /// The lane block whose key `i` starts at `rows[i * row_stride]`.
    ///
    /// # Panics
    /// If `rows` is shorter than the last key's four elements need.
    fn load_transposed(self, rows: &[f32], row_stride: usize) -> [Self::f32s; BLOCK_WORDS];

    /// What is left of x between −126 and +0 after its nearest integer, ties to even, and that
    /// integer times 2²³; 0 for NaN. Of other x, whatever comes of it.
    #[inline(always)]
    fn split(self, x: Self::f32s) -> (Self::f32s, Self::u32s) {
        let rounder = self.splat_f32s(ROUNDER);
        let rounded = self.add_f32s(x, rounder);
        let fraction = self.sub_f32s(x, self.sub_f32s(rounded, rounder));
        // The largest that such an x gives, with zeros at the end: a NaN's bits may be anything.
        let most = self.splat_u32s(ROUNDER.to_bits());
        let rounded = self.min_u32s(self.transmute_u32s_f32s(rounded), most);
        (fraction, self.wrapping_dyn_shl_u32s(rounded, self.splat_u32s(23)))
    }

    /// `values + addend` as integers, with +0 wherever `x < bound`; a NaN in `x` keeps the sum.
    #[inline(always)]
    fn add_or_zero_below(
        self,
        values: Self::f32s,
        addend: Self::u32s,
        x: Self::f32s,
        bound: f32,
    ) -> Self::f32s {
        let sum = self.add_u32s(self.transmute_u32s_f32s(values), addend);
        let sum = self.transmute_f32s_u32s(sum);
        let below = self.less_than_f32s(x, self.splat_f32s(bound));
        self.select_f32s(below, self.splat_f32s(0.0), sum)
    }

    /// Scores where they are kept, −∞ elsewhere.
    #[inline(always)]
    fn keep(self, kept: Self::m32s, scores: Self::f32s) -> Self::f32s {
        self.select_f32s(kept, scores, self.splat_f32s(f32::NEG_INFINITY))
    }

    /// Lanes from as many booleans.
    #[inline(always)]
    fn mask_of(self, lanes: &[bool]) -> Self::m32s {
        let mut wide = [0; LINE];
        for (wide, &lane) in wide.iter_mut().zip(lanes) {
            *wide = u32::from(lane);
        }
        self.less_than_u32s(self.splat_u32s(0), Self::as_simd_u32s(&wide).0[0])
    }

    /// The two f16 of each lane, widened: first those of the lower halves.
    #[cfg(feature = "half")]
    #[inline(always)]
    fn unpack_f16(self, words: Self::u32s) -> [Self::f32s; 2] {
        let lower = self.wrapping_dyn_shl_u32s(words, self.splat_u32s(16));
        [lower, words].map(|upper| widen::widen_f16(self, upper))
    }

    /// As [`Lanes::load_transposed`], of rows of f16: the two dimensions of each word, widened.
    ///
    /// # Panics
    /// As [`Lanes::load_transposed`].
    #[cfg(feature = "half")]
    #[inline(always)]
    fn load_transposed_f16(
        self,
        rows: &[f32],
        row_stride: usize,
    ) -> [[Self::f32s; 2]; BLOCK_WORDS] {
        widen::unpack_block::<Self, half::f16>(self, self.load_transposed(rows, row_stride))
    }

    /// The halves of four words each of 16 rows, of which row `i` starts at `rows[i * row_stride]`.
    ///
    /// # Panics
    /// If `rows` is shorter than the last row's words need.
    #[cfg(feature = "half")]
    #[inline(always)]
    fn transpose_halves(self, rows: &[f32], row_stride: usize, halves: &mut Halves) {
        for key in 0..halves[0].len() {
            let words = &rows[key * row_stride..][..BLOCK_WORDS];
            let elements: &[u16] = pulp::bytemuck::cast_slice(words);
            for (halves, &element) in halves.iter_mut().zip(elements) {
                halves[key] = element;
            }
        }
    }

    /// The first two registers of sixteen f16, widened.
    #[cfg(feature = "half")]
    #[inline(always)]
    fn widen_halves(self, halves: &[u16; 16]) -> [Self::f32s; 2] {
        let mut registers = [self.splat_f32s(0.0); 2];
        let lanes: &mut [f32] = pulp::bytemuck::cast_slice_mut(&mut registers);
        for (lane, &half) in lanes.iter_mut().zip(halves) {
            *lane = widen::Widen::widen(half::f16::from_bits(half));
        }
        registers
    }

    /// Writes whole registers past the caches. `output` has to be aligned to a register and a
    /// multiple of it long. The caller ends a run of these with [`Lanes::fence`].
    ///
    /// # Panics
    /// If `output` is misaligned or of another length than `values`.
    fn stream(self, output: &mut [f32], values: Self::f32s) {
        let (output, _) = Self::as_mut_simd_f32s(output);
        output[0] = values;
    }

    /// Asks for the cache line at an address that may be read soon, inside the caller's data or
    /// not.
    #[inline(always)]
    fn prefetch(self, _address: *const f32) {}

    /// As [`Lanes::prefetch`], but to L2 only, which waits for more lines at a time than L1.
    #[inline(always)]
    fn prefetch_to_l2(self, _address: *const f32) {}

    /// Runs a kernel as a function of its own, not as a part of the caller: its loops then have the
    /// registers to themselves.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// As [`Lanes::call`], with registers of half as many lanes if a line is one.
    #[inline(always)]
    fn call_half<K: Kernel>(self, kernel: K) -> K::Output {
        self.call(kernel)
    }

    /// Orders streamed writes before whatever publishes them to other threads.
    fn fence(self) {}

    /// Copies a few of the lines that wait, and fetches one, between the dimensions of a tile: its
    /// accumulators leave hardly a register. Nothing where copying all after the tile serves as
    /// well.
    #[inline(always)]
    fn go_on(self, _: &mut Meanwhile) {}

    /// The same value, computed by here and in a register. Otherwise the compiler may put off what it takes
    /// until the next lane blocks are loaded, for which there are no registers then. No instruction.
    #[inline(always)]
    fn settled(self, value: Self::f32s) -> Self::f32s {
        value
    }

    /// Keeps the compiler from moving loads between the dimensions of a tile. Where accumulators
    /// and keys leave a handful of registers, loading for later dimensions early spills them.
    #[inline(always)]
    fn end_dimension(self) {}
}

/// A lane block gathered element by element.
#[inline(always)]
fn gather_transposed<S: Lanes>(simd: S, rows: &[f32], row_stride: usize) -> [S::f32s; BLOCK_WORDS] {
    let mut block = [simd.splat_f32s(0.0); BLOCK_WORDS];
    for (dim, register) in block.iter_mut().enumerate() {
        let lanes: &mut [f32] = pulp::bytemuck::cast_slice_mut(core::slice::from_mut(register));
        for (key, lane) in lanes.iter_mut().enumerate() {
            *lane = rows[key * row_stride + dim];
        }
    }
    block
}

macro_rules! portable_lanes {
    ($simd:ty, $registers:literal, $tile:expr $(, half: $half:expr)?) => {
        impl Lanes for $simd {
            const TILE: TileShape = $tile;

            #[inline(always)]
            fn load_transposed(self, rows: &[f32], row_stride: usize) -> [Self::f32s; BLOCK_WORDS] {
                gather_transposed(self, rows, row_stride)
            }

            #[inline(never)]
            fn call<K: Kernel>(self, kernel: K) -> K::Output {
                kernel.run::<Self, $registers>(self)
            }

            $(
                #[inline(always)]
                fn call_half<K: Kernel>(self, kernel: K) -> K::Output {
                    $half.call(kernel)
                }
            )?
        }
    };
}

portable_lanes!(pulp::Scalar, 16, TileShape { rows: 2, panels: 1, few_rows: 2 });
#[cfg(feature = "testing")]
portable_lanes!(pulp::Scalar128b, 4, TileShape { rows: 6, panels: 1, few_rows: 6 });
#[cfg(feature = "testing")]
portable_lanes!(pulp::Scalar256b, 2, TileShape { rows: 6, panels: 1, few_rows: 6 });
#[cfg(feature = "testing")]
portable_lanes!(pulp::Scalar512b, 1, TileShape { rows: 8, panels: 2, few_rows: 24 }, half: pulp::Scalar256b);

mod meanwhile;
pub(crate) use meanwhile::Meanwhile;

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
mod aarch64;
