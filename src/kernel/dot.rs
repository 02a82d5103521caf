//! The dot product of two slices.
//!
//! 64 virtual lanes, so that the latency of the FMA is hidden at every register width: 4 registers
//! of 16, 8 of 8, 16 of 4. Each lane is one chain; the tree at the end adds halves.

use crate::simd::{Kernel, SimdExt};

const LANES: usize = 64;

#[derive(Debug)]
pub(crate) struct DotProduct<'a> {
    pub(crate) a: &'a [f32],
    /// As long as `a`.
    pub(crate) b: &'a [f32],
}

impl Kernel for DotProduct<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) -> f32 {
        let registers = const { LANES / S::F32_LANES };
        let (a, a_tail) = self.a.as_chunks::<LANES>();
        let (b, b_tail) = self.b.as_chunks::<LANES>();
        let mut sums = [simd.splat_f32s(0.0); LANES];
        for (a, b) in a.iter().zip(b) {
            let (a, b) = (S::as_simd_f32s(a).0, S::as_simd_f32s(b).0);
            for register in 0..registers {
                sums[register] = simd.mul_add_f32s(a[register], b[register], sums[register]);
            }
        }
        let mut lanes = [0.0; LANES];
        lanes.copy_from_slice(pulp::bytemuck::cast_slice(&sums[..registers]));
        for ((lane, &a), &b) in lanes.iter_mut().zip(a_tail).zip(b_tail) {
            *lane = fused(simd, a, b, *lane);
        }
        for half in [32, 16, 8, 4, 2, 1] {
            for lane in 0..half {
                lanes[lane] += lanes[lane + half];
            }
        }
        lanes[0]
    }
}

/// One fused multiply-add, whatever the features of the standard library.
#[inline(always)]
fn fused<S: SimdExt>(simd: S, a: f32, b: f32, c: f32) -> f32 {
    let sum = simd.mul_add_f32s(simd.splat_f32s(a), simd.splat_f32s(b), simd.splat_f32s(c));
    let lanes: &[f32] = pulp::bytemuck::cast_slice(core::slice::from_ref(&sum));
    lanes[0]
}
