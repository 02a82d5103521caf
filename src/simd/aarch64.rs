//! NEON.
#![allow(unsafe_code, reason = "intrinsics; every one is wrapped in a checked, safe function")]

use super::ext::{Kernel, SimdExt};
use crate::layout::{TRANSPOSE_WORDS, TileShape};
use core::arch::aarch64::*;
use core::sync::atomic::{Ordering, compiler_fence};
use pulp::aarch64::Neon;

impl SimdExt for Neon {
    /// Accumulators and keys take 28 of 32 registers.
    const TILE: TileShape = TileShape::NEON;

    #[inline(always)]
    fn run_outlined<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(never)]
        #[target_feature(enable = "neon")]
        fn outlined<K: Kernel>(simd: Neon, kernel: K) -> K::Output {
            kernel.run::<Neon, 4>(simd)
        }
        // SAFETY: `self` proves NEON.
        unsafe { outlined(self, kernel) }
    }

    /// Assembly for the conversion, whose intrinsic wants a type that stable Rust 1.89 lacks.
    #[cfg(feature = "half")]
    #[inline(always)]
    fn unpack_f16(self, words: Self::u32s) -> [Self::f32s; 2] {
        let words = pulp::cast(words);
        // SAFETY: `self` proves NEON.
        let halves = unsafe { [vmovn_u32(words), vshrn_n_u32::<16>(words)] };
        halves.map(|halves| {
            let wide: float32x4_t;
            // SAFETY: `self` proves NEON; the assembly touches its registers only.
            unsafe {
                core::arch::asm!(
                    "fcvtl {wide:v}.4s, {halves:v}.4h",
                    wide = lateout(vreg) wide,
                    halves = in(vreg) halves,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            pulp::cast(wide)
        })
    }

    #[inline(always)]
    fn load_transposed(self, rows: &[f32], row_stride: usize) -> [Self::f32s; TRANSPOSE_WORDS] {
        assert!(rows.len() >= 3 * row_stride + TRANSPOSE_WORDS);
        // SAFETY: `self` proves NEON; the assertion keeps row 3, the last one, inside `rows`.
        unsafe {
            let quad = |row: usize| vld1q_f32(rows.as_ptr().add(row * row_stride));
            let (a, b, c, d) = (quad(0), quad(1), quad(2), quad(3));
            let (ac_low, ac_high) = (vzip1q_f32(a, c), vzip2q_f32(a, c));
            let (bd_low, bd_high) = (vzip1q_f32(b, d), vzip2q_f32(b, d));
            [
                vzip1q_f32(ac_low, bd_low),
                vzip2q_f32(ac_low, bd_low),
                vzip1q_f32(ac_high, bd_high),
                vzip2q_f32(ac_high, bd_high),
            ]
            .map(pulp::cast)
        }
    }

    /// Without it LLVM pairs query loads across dimensions and spills: 82 of the 372 instructions of 8
    /// dimensions then access the stack. The fence is no instruction.
    #[inline(always)]
    fn scheduling_barrier(self) {
        compiler_fence(Ordering::SeqCst);
    }
}
