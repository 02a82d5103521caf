//! Work on the rows of a tile, compiled once for each number of rows that there may be: loops over a
//! constant number of them stay in registers.

use crate::lanes::{Kernel, Lanes};

/// Work on a tile, in which the number of its rows is a constant.
pub(crate) trait TileWork: Sized {
    /// Whether a single row is better off with registers of half as many lanes.
    const HALF_REGISTERS: bool = false;

    /// As [`Kernel::run`].
    fn run<S: Lanes, const ROWS: usize, const REGISTERS: usize>(self, simd: S);
}

/// Does work on a tile of so many rows, as a function of its own for each number of them.
#[inline(always)]
pub(crate) fn call_for_rows<S: Lanes, W: TileWork>(simd: S, rows: usize, work: W) {
    match rows {
        0 => {}
        1 if const { W::HALF_REGISTERS } => simd.call_half(OfRows::<_, 1>(work)),
        1 => simd.call(OfRows::<_, 1>(work)),
        2 => simd.call(OfRows::<_, 2>(work)),
        3 if const { S::TILE.rows > 2 } => simd.call(OfRows::<_, 3>(work)),
        4 if const { S::TILE.rows > 2 } => simd.call(OfRows::<_, 4>(work)),
        5 if const { S::TILE.rows > 2 } => simd.call(OfRows::<_, 5>(work)),
        6 if const { S::TILE.rows > 2 } => simd.call(OfRows::<_, 6>(work)),
        7 if const { S::TILE.rows > 6 } => simd.call(OfRows::<_, 7>(work)),
        8 if const { S::TILE.rows > 6 } => simd.call(OfRows::<_, 8>(work)),
        _ => const { assert!(matches!(S::TILE.rows, 2 | 6 | 8)) },
    }
}

/// Work on so many rows.
struct OfRows<W, const ROWS: usize>(W);

impl<W: TileWork, const ROWS: usize> Kernel for OfRows<W, ROWS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes, const REGISTERS: usize>(self, simd: S) {
        self.0.run::<S, ROWS, REGISTERS>(simd);
    }
}
