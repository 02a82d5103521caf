//! Kernels on the rows of a tile, compiled once for each number of rows: loops over a constant number
//! of them are unrolled and stay in registers.

use crate::simd::{Kernel, SimdExt};

/// A kernel in which the number of rows is a constant.
pub(crate) trait RowKernel: Sized {
    /// Whether a single row is better off with registers of half as many lanes.
    const HALF_REGISTERS: bool = false;

    /// As [`Kernel::run`].
    fn run<S: SimdExt, const ROWS: usize, const REGISTERS: usize>(self, simd: S);
}

/// Runs the kernel that was compiled for so many rows, in a function of its own.
#[inline(always)]
pub(crate) fn with_row_count<S: SimdExt, K: RowKernel>(simd: S, rows: usize, kernel: K) {
    match rows {
        0 => {}
        1 if const { K::HALF_REGISTERS } => simd.run_half_width(OfRows::<_, 1>(kernel)),
        1 => simd.run_outlined(OfRows::<_, 1>(kernel)),
        2 => simd.run_outlined(OfRows::<_, 2>(kernel)),
        3 if const { S::TILE.rows > 2 } => simd.run_outlined(OfRows::<_, 3>(kernel)),
        4 if const { S::TILE.rows > 2 } => simd.run_outlined(OfRows::<_, 4>(kernel)),
        5 if const { S::TILE.rows > 2 } => simd.run_outlined(OfRows::<_, 5>(kernel)),
        6 if const { S::TILE.rows > 2 } => simd.run_outlined(OfRows::<_, 6>(kernel)),
        7 if const { S::TILE.rows > 6 } => simd.run_outlined(OfRows::<_, 7>(kernel)),
        8 if const { S::TILE.rows > 6 } => simd.run_outlined(OfRows::<_, 8>(kernel)),
        _ => const { assert!(matches!(S::TILE.rows, 2 | 6 | 8)) },
    }
}

/// A kernel on so many rows.
struct OfRows<K, const ROWS: usize>(K);

impl<K: RowKernel, const ROWS: usize> Kernel for OfRows<K, ROWS> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        self.0.run::<S, ROWS, REGISTERS>(simd);
    }
}
