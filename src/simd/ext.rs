//! The instructions that the kernels need and pulp lacks, as a trait on pulp's [`Simd`].
//!
//! A *lane block* is what [`SimdExt::load_transposed`] returns: 4 consecutive words of as many
//! consecutive keys as there are lanes, one register per word, keys in lanes. A word is 32 bits: a
//! dimension, or two of a narrow type.
//!
//! These methods move data and select; only the copy of [`SimdExt::drain_step`] rounds, by its one
//! multiplication. So the numerics contract does not depend on which implementation runs.

#[cfg(feature = "half")]
use super::f16;
use super::store_queue::StoreQueue;
use crate::layout::{LINE, TRANSPOSE_WORDS, TileShape};
use pulp::Simd;

/// 1.5·2²³: adding it rounds to an integer, which the low bits of the sum then hold in two's
/// complement.
const ROUNDER: f32 = 12_582_912.0;

/// Eight dimensions of 16 rows of f16: those of a dimension side by side.
#[cfg(feature = "half")]
pub(crate) type Halves = [[u16; 16]; 2 * TRANSPOSE_WORDS];

/// Work that is generic over the instruction set; run by [`SimdExt::run_outlined`]. A struct rather
/// than a closure: a closure's body would not inherit the target features.
pub(crate) trait Kernel {
    type Output;

    /// `REGISTERS` registers make a line of 16 elements. Everything called from here has to be
    /// `#[inline(always)]`, or it is compiled without the target features.
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) -> Self::Output;
}

/// pulp's [`Simd`] and what it lacks.
pub(crate) trait SimdExt: Simd {
    /// The tile that fills the register file: accumulators for rows × panels, a register for each
    /// register of keys, and one broadcast.
    const TILE: TileShape;

    /// The lane block whose key `i` starts at `rows[i * row_stride]`.
    ///
    /// # Panics
    /// If `rows` is shorter than the last key's four elements need.
    fn load_transposed(self, rows: &[f32], row_stride: usize) -> [Self::f32s; TRANSPOSE_WORDS];

    /// The first step of `exp2`: for −126 ≤ x ≤ 0 the difference between x and its nearest integer
    /// (ties to even), and that integer times 2²³, which is 0 for NaN. Unspecified for other x.
    #[inline(always)]
    fn exp2_split(self, x: Self::f32s) -> (Self::f32s, Self::u32s) {
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

    /// The scores in the lanes that `kept` selects, −∞ in the others.
    #[inline(always)]
    fn select_or_neg_inf(self, kept: Self::m32s, scores: Self::f32s) -> Self::f32s {
        self.select_f32s(kept, scores, self.splat_f32s(f32::NEG_INFINITY))
    }

    /// The lanes whose bytes are not 0.
    #[inline(always)]
    fn mask_from_bytes(self, lanes: &[u8]) -> Self::m32s {
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
        [lower, words].map(|upper| f16::widen(self, upper))
    }

    /// As [`SimdExt::load_transposed`], of rows of f16: the two dimensions of each word, widened.
    ///
    /// # Panics
    /// As [`SimdExt::load_transposed`].
    #[cfg(feature = "half")]
    #[inline(always)]
    fn load_transposed_f16(
        self,
        rows: &[f32],
        row_stride: usize,
    ) -> [[Self::f32s; 2]; TRANSPOSE_WORDS] {
        let mut elements = [[self.splat_f32s(0.0); 2]; TRANSPOSE_WORDS];
        for (elements, words) in elements.iter_mut().zip(self.load_transposed(rows, row_stride)) {
            *elements = self.unpack_f16(self.transmute_u32s_f32s(words));
        }
        elements
    }

    /// The halves of four words each of 16 rows, of which row `i` starts at `rows[i * row_stride]`.
    ///
    /// # Panics
    /// If `rows` is shorter than the last row's words need.
    #[cfg(feature = "half")]
    #[inline(always)]
    fn transpose_halves(self, rows: &[f32], row_stride: usize, halves: &mut Halves) {
        for key in 0..halves[0].len() {
            let words = &rows[key * row_stride..][..TRANSPOSE_WORDS];
            let elements: &[u16] = pulp::bytemuck::cast_slice(words);
            for (halves, &element) in halves.iter_mut().zip(elements) {
                halves[key] = element;
            }
        }
    }

    /// The first registers of sixteen f16, widened.
    #[cfg(feature = "half")]
    #[inline(always)]
    fn widen_halves<const REGISTERS: usize>(self, halves: &[u16; 16]) -> [Self::f32s; REGISTERS] {
        let words = halves.map(|half| u32::from(half) << 16);
        let (words, _) = Self::as_simd_u32s(&words);
        core::array::from_fn(|i| f16::widen(self, words[i]))
    }

    /// Writes a register by a non-temporal store, which bypasses the caches. `output` has to be
    /// aligned to a register and as long as one. [`SimdExt::fence`] has to follow the last of them.
    ///
    /// # Panics
    /// If `output` is misaligned or of another length than `values`.
    fn store_nontemporal(self, output: &mut [f32], values: Self::f32s) {
        let (output, _) = Self::as_mut_simd_f32s(output);
        output[0] = values;
    }

    /// Prefetches the cache line at an address, which need not be inside the caller's data.
    #[inline(always)]
    fn prefetch(self, _address: *const f32) {}

    /// As [`SimdExt::prefetch`], but to L2 only, which has more misses in flight than L1.
    #[inline(always)]
    fn prefetch_to_l2(self, _address: *const f32) {}

    /// Runs a kernel in a function that is not inlined into the caller: its loops then have all
    /// registers.
    fn run_outlined<K: Kernel>(self, kernel: K) -> K::Output;

    /// As [`SimdExt::run_outlined`], with registers of half as many lanes if a line is one.
    #[inline(always)]
    fn run_half_width<K: Kernel>(self, kernel: K) -> K::Output {
        self.run_outlined(kernel)
    }

    /// Orders non-temporal stores before the stores that publish them to other threads.
    fn fence(self) {}

    /// Copies at most one line of the queue and prefetches at most one, between two groups of FMAs
    /// of a tile, whose accumulators leave two vector registers. Does nothing where copying after
    /// the tile is as fast.
    #[inline(always)]
    fn drain_step(self, _: &mut StoreQueue) {}

    /// Optimisation barrier: materialises `value` in a register. Without it LLVM sinks the FMAs past
    /// the loads of the next lane blocks and spills. No instruction.
    #[inline(always)]
    fn pin_in_register(self, value: Self::f32s) -> Self::f32s {
        value
    }

    /// Keeps the compiler from moving loads across the dimensions of a tile: where accumulators and
    /// keys leave a handful of registers, hoisting later loads spills accumulators. No instruction.
    #[inline(always)]
    fn scheduling_barrier(self) {}
}
