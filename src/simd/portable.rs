//! Plain Rust: one lane, and for tests 4, 8 and 16 emulated lanes.

use super::ext::{Kernel, SimdExt};
use crate::layout::{TRANSPOSE_WORDS, TileShape};

/// A lane block gathered element by element.
#[inline(always)]
fn gather_transposed<S: SimdExt>(
    simd: S,
    rows: &[f32],
    row_stride: usize,
) -> [S::f32s; TRANSPOSE_WORDS] {
    let mut block = [simd.splat_f32s(0.0); TRANSPOSE_WORDS];
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
        impl SimdExt for $simd {
            const TILE: TileShape = $tile;

            #[inline(always)]
            fn load_transposed(self, rows: &[f32], row_stride: usize) -> [Self::f32s; TRANSPOSE_WORDS] {
                gather_transposed(self, rows, row_stride)
            }

            #[inline(never)]
            fn run_outlined<K: Kernel>(self, kernel: K) -> K::Output {
                kernel.run::<Self, $registers>(self)
            }

            $(
                #[inline(always)]
                fn run_half_width<K: Kernel>(self, kernel: K) -> K::Output {
                    $half.run_outlined(kernel)
                }
            )?
        }
    };
}

portable_lanes!(pulp::Scalar, 16, TileShape::SCALAR);
#[cfg(feature = "testing")]
portable_lanes!(pulp::Scalar128b, 4, TileShape::EMULATED);
#[cfg(feature = "testing")]
portable_lanes!(pulp::Scalar256b, 2, TileShape::EMULATED);
#[cfg(feature = "testing")]
portable_lanes!(pulp::Scalar512b, 1, TileShape::EMULATED_16, half: pulp::Scalar256b);
