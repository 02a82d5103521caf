//! The product of exponentials and values: the register tile again, a chain over keys instead of
//! dimensions.
//!
//! ```text
//! for key in keys:                              one FMA chain per (row, column), ascending in the
//!     for row in rows:                          keys of a segment, starting at +0
//!         for columns in registers of the panels:
//!             sums[row][columns] = fma(e[row][key], value[key][columns], sums[row][columns])
//! ```
//!
//! 1. Columns lie in lanes and an exponential is broadcast, so the register width does not change the
//!    order inside a chain.
//! 2. Keys come in passes: the values of a pass in one panel group stay in L1 while all tiles of the
//!    block pass over them. Between passes the sums are in memory.
//! 3. Keys that a row does not attend to have e = +0 and change no sum, unless their values are NaN or
//!    infinite: then the row's result is not finite, and [`super::value_product`] repeats it without
//!    them.

use super::row_kernel::RowKernel;
use super::value_source::ValuePass;
use crate::layout::{LINE, PANEL};
use crate::simd::SimdExt;
use core::array::from_fn;
use core::ops::{Index, Range};

/// The rows of a tile and the keys that any of them attends to.
#[derive(Clone, Debug, Default)]
pub(crate) struct TileRows {
    pub(crate) first_row: usize,
    pub(crate) rows: usize,
    pub(crate) keys: Range<usize>,
}

/// Tiles of the same number of rows against one pass of keys.
#[derive(Debug)]
pub(crate) struct ValueTiles<'a> {
    pub(crate) tiles: &'a [TileRows],
    /// The exponentials of the block from key `first_key` on; rows are `pitch` elements apart.
    pub(crate) exponentials: &'a [f32],
    pub(crate) pitch: usize,
    pub(crate) first_key: usize,
    /// The keys of the pass, of which the first is the first of `values`.
    pub(crate) keys: Range<usize>,
    pub(crate) values: ValuePass<'a>,
    /// The sums of the block; rows are `sum_pitch` elements apart, whole panels.
    pub(crate) sums: &'a mut [f32],
    pub(crate) sum_pitch: usize,
}

impl RowKernel for ValueTiles<'_> {
    #[inline(always)]
    fn run<S: SimdExt, const ROWS: usize, const REGISTERS: usize>(mut self, simd: S) {
        let panels = self.sum_pitch / PANEL;
        // A single row hides the latency of the FMA by more panels.
        let at_once = if ROWS == 1 && S::F32_LANES > 1 { 4 } else { S::TILE.panels };
        let mut panel = 0;
        while panel < panels {
            let rest = panels - panel;
            panel += if at_once == 4 && rest >= 4 {
                self.columns::<S, ROWS, 4, REGISTERS>(simd, panel)
            } else if at_once >= 2 && rest >= 2 {
                self.columns::<S, ROWS, 2, REGISTERS>(simd, panel)
            } else {
                self.columns::<S, ROWS, 1, REGISTERS>(simd, panel)
            };
        }
    }
}

impl ValueTiles<'_> {
    /// All tiles on `PANELS` panels of columns; returns how many these are.
    #[inline(always)]
    fn columns<S: SimdExt, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
        &mut self,
        simd: S,
        panel: usize,
    ) -> usize {
        for tile in self.tiles {
            let start = tile.keys.start.max(self.keys.start);
            let end = tile.keys.end.min(self.keys.end);
            if start >= end {
                continue;
            }
            let first = tile.first_row * self.pitch + start - self.first_key;
            let exponentials: [&[f32]; ROWS] =
                from_fn(|row| &self.exponentials[first + row * self.pitch..][..end - start]);
            let sums = &mut self.sums[tile.first_row * self.sum_pitch + panel * PANEL..];
            let sums = &mut sums[..(ROWS - 1) * self.sum_pitch + PANELS * PANEL];
            let mut registers = [[[simd.splat_f32s(0.0); REGISTERS]; PANELS]; ROWS];
            for (row, registers) in registers.iter_mut().enumerate() {
                let sums = &sums[row * self.sum_pitch..][..PANELS * PANEL];
                registers.as_flattened_mut().copy_from_slice(S::as_simd_f32s(sums).0);
            }
            let key = start - self.keys.start;
            match self.values {
                ValuePass::Packed { panels, pass_keys } => {
                    let values = from_fn(|i| {
                        let first = (panel + i) * pass_keys + key;
                        let values = &panels[first * PANEL..][..(end - start) * PANEL];
                        S::as_simd_f32s(values).0.as_chunks::<REGISTERS>().0
                    });
                    multiply_packed(simd, exponentials, values, &mut registers);
                }
                ValuePass::RowMajor { rows, row_stride } => {
                    let values = &rows[key * row_stride + panel * PANEL..];
                    let ahead = self.keys.len() * row_stride;
                    multiply_rows(simd, exponentials, (values, row_stride), ahead, &mut registers);
                }
            }
            for (row, registers) in registers.iter().enumerate() {
                let sums = &mut sums[row * self.sum_pitch..][..PANELS * PANEL];
                S::as_mut_simd_f32s(sums).0.copy_from_slice(registers.as_flattened());
            }
        }
        PANELS
    }
}

/// Accumulators: rows × panels × registers of a panel.
type Sums<S, const ROWS: usize, const PANELS: usize, const REGISTERS: usize> =
    [[[<S as pulp::Simd>::f32s; REGISTERS]; PANELS]; ROWS];

/// Distance in passes to lines that are prefetched to L2.
const L2_PASSES: usize = 4;

/// Keys that are unrolled.
const UNROLL: usize = 8;

#[inline(always)]
fn multiply_packed<S: SimdExt, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
    simd: S,
    exponentials: [&[f32]; ROWS],
    values: [&[[S::f32s; REGISTERS]]; PANELS],
    sums: &mut Sums<S, ROWS, PANELS, REGISTERS>,
) {
    let chunks = exponentials[0].len() / UNROLL;
    for chunk in 0..chunks {
        let mut rows = [&[0.0; UNROLL]; ROWS];
        for (row, exponentials) in rows.iter_mut().zip(&exponentials) {
            *row = &exponentials.as_chunks().0[chunk];
        }
        let mut panels = [&values[0].as_chunks::<UNROLL>().0[chunk]; PANELS];
        for (panel, values) in panels.iter_mut().zip(&values) {
            *panel = &values.as_chunks().0[chunk];
        }
        for key in 0..UNROLL {
            multiply_add(simd, &rows, &panels, key, sums);
            simd.scheduling_barrier();
        }
    }
    for key in chunks * UNROLL..exponentials[0].len() {
        multiply_add(simd, &exponentials, &values, key, sums);
    }
}

/// `ahead` is the distance in elements to the same columns of the next pass, which are prefetched.
#[inline(always)]
fn multiply_rows<S: SimdExt, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
    simd: S,
    exponentials: [&[f32]; ROWS],
    (values, row_stride): (&[f32], usize),
    ahead: usize,
    sums: &mut Sums<S, ROWS, PANELS, REGISTERS>,
) {
    for key in 0..exponentials[0].len() {
        let row = &values[key * row_stride..][..PANELS * PANEL];
        for line in 0..PANELS * PANEL / LINE {
            let line = row.as_ptr().wrapping_add(line * LINE);
            simd.prefetch(line.wrapping_add(ahead));
            simd.prefetch_to_l2(line.wrapping_add(L2_PASSES * ahead));
        }
        let (registers, _) = S::as_simd_f32s(row).0.as_chunks::<REGISTERS>();
        for (exponentials, sums) in exponentials.iter().zip(&mut *sums) {
            let e = simd.splat_f32s(exponentials[key]);
            for (value, sum) in registers.as_flattened().iter().zip(sums.as_flattened_mut()) {
                *sum = simd.mul_add_f32s(e, *value, *sum);
            }
        }
        simd.scheduling_barrier();
    }
}

/// One key of a tile, of rows of exponentials and of panels of values.
#[inline(always)]
fn multiply_add<
    S: SimdExt,
    E: Index<usize, Output = f32> + ?Sized,
    V: Index<usize, Output = [S::f32s; REGISTERS]> + ?Sized,
    const ROWS: usize,
    const PANELS: usize,
    const REGISTERS: usize,
>(
    simd: S,
    exponentials: &[&E; ROWS],
    values: &[&V; PANELS],
    key: usize,
    sums: &mut Sums<S, ROWS, PANELS, REGISTERS>,
) {
    let mut columns = [[simd.splat_f32s(0.0); REGISTERS]; PANELS];
    for (columns, values) in columns.iter_mut().zip(values) {
        *columns = values[key];
    }
    for (exponentials, sums) in exponentials.iter().zip(sums) {
        let e = simd.splat_f32s(exponentials[key]);
        for (value, sum) in columns.as_flattened().iter().zip(sums.as_flattened_mut()) {
            *sum = simd.mul_add_f32s(e, *value, *sum);
        }
    }
}
