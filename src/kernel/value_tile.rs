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
//!    block pass over them. Between passes the sums are in memory. Row-major values come from memory:
//!    the next pass is prefetched meanwhile.
//! 3. Keys that a row does not attend to have e = +0 and change no sum, unless their values are NaN or
//!    infinite: then the row's result is not finite, and [`super::value_product`] repeats it without
//!    them.

use super::prefetch_cursor::STREAMS;
use super::row_kernel::RowKernel;
use super::value_source::ValuePass;
use crate::element::Elements;
use crate::layout::{LINE, MAX_TILE_ROWS, PANEL};
use crate::simd::{SimdExt, Widen};
use core::array::from_fn;
use core::hint::black_box;
use core::ops::Range;

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
    /// Where the exponentials of some keys are copied for a tile.
    pub(crate) copies: &'a mut ExponentialChunk,
}

/// Exponentials of each row of a tile and of the keys that are unrolled.
pub(crate) type ExponentialChunk = [[f32; CHUNK]; MAX_TILE_ROWS];

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
            let sums = (&mut sums[..(ROWS - 1) * self.sum_pitch + PANELS * PANEL], self.sum_pitch);
            let (key, keys) = (start - self.keys.start, self.keys.len());
            let copies = &mut *self.copies;
            match self.values {
                ValuePass::Packed { panels, pass_keys } => {
                    let values = PackedPanels::new(panels, pass_keys, (key, panel), end - start);
                    multiply::<S, _, ROWS, PANELS, REGISTERS>(
                        simd,
                        exponentials,
                        values,
                        copies,
                        sums,
                    );
                }
                ValuePass::RowMajor { rows, row_stride } => {
                    let stride = (row_stride, row_stride == self.sum_pitch);
                    let place = (key, panel);
                    match rows {
                        Elements::F32(rows) => {
                            let rows = PassRows::new(rows, stride, keys, place);
                            multiply::<S, _, ROWS, PANELS, REGISTERS>(
                                simd,
                                exponentials,
                                rows,
                                copies,
                                sums,
                            );
                        }
                        #[cfg(feature = "half")]
                        Elements::F16(rows) => {
                            let rows = PassRows::new(rows, stride, keys, place);
                            multiply::<S, _, ROWS, PANELS, REGISTERS>(
                                simd,
                                exponentials,
                                rows,
                                copies,
                                sums,
                            );
                        }
                        #[cfg(feature = "half")]
                        Elements::Bf16(rows) => {
                            let rows = PassRows::new(rows, stride, keys, place);
                            multiply::<S, _, ROWS, PANELS, REGISTERS>(
                                simd,
                                exponentials,
                                rows,
                                copies,
                                sums,
                            );
                        }
                    }
                }
            }
        }
        PANELS
    }
}

/// Accumulators: rows × panels × registers of a panel.
type Sums<S, const ROWS: usize, const PANELS: usize, const REGISTERS: usize> =
    [[[<S as pulp::Simd>::f32s; REGISTERS]; PANELS]; ROWS];

/// Some columns of values, key by key.
trait Columns<'a, const PANELS: usize> {
    /// The type of the values.
    type Value: Widen + 'a;

    /// The next key's.
    fn next_row(&mut self) -> [&'a [Self::Value; PANEL]; PANELS];

    /// Is called before each [`CHUNK`] of keys.
    fn prefetch<S: SimdExt>(&mut self, simd: S);
}

/// Some packed panels, from the first key on that a tile multiplies.
struct PackedPanels<'a, const PANELS: usize>([&'a [[f32; PANEL]]; PANELS]);

impl<'a, const PANELS: usize> PackedPanels<'a, PANELS> {
    /// The panels from `panel` on, of `count` keys from `key` on, in a pass of so many keys.
    #[inline(always)]
    fn new(panels: &'a [f32], keys: usize, (key, panel): (usize, usize), count: usize) -> Self {
        let rows = panels.as_chunks().0;
        PackedPanels(from_fn(|i| &rows[(panel + i) * keys + key..][..count]))
    }
}

impl<'a, const PANELS: usize> Columns<'a, PANELS> for PackedPanels<'a, PANELS> {
    type Value = f32;

    #[inline(always)]
    fn next_row(&mut self) -> [&'a [f32; PANEL]; PANELS] {
        from_fn(|i| self.0[i].split_off_first().expect("a row for each key"))
    }

    /// Nothing: the hardware follows these streams.
    #[inline(always)]
    fn prefetch<S: SimdExt>(&mut self, _: S) {}
}

/// Some columns of row-major values, from the first key on that a tile multiplies.
struct PassRows<'a, T> {
    rows: &'a [T],
    row_stride: usize,
    /// What is prefetched meanwhile, to L2: the next pass, as [`STREAMS`] ascending streams.
    next: *const f32,
    /// Distance in words from one of these streams to the next; 0 if rows have gaps between them: then
    /// the columns of the next pass are prefetched row by row.
    stream_words: usize,
    /// Elements of a pass.
    pass: usize,
}

impl<'a, T: Widen> PassRows<'a, T> {
    /// The panels of columns from `panel` on, of the keys from `key` on, in a pass of so many keys.
    #[inline(always)]
    fn new(
        rows: &'a [T],
        (row_stride, dense): (usize, bool),
        keys: usize,
        (key, panel): (usize, usize),
    ) -> Self {
        let pass = keys * row_stride;
        let line = (panel * keys + key) / T::PER_WORD;
        let next = rows.as_ptr().wrapping_add(pass).cast::<f32>();
        PassRows {
            rows: &rows[key * row_stride + panel * PANEL..],
            row_stride,
            next: next.wrapping_add(line / STREAMS * LINE),
            stream_words: if dense { pass / T::PER_WORD / STREAMS } else { 0 },
            pass,
        }
    }
}

impl<'a, T: Widen, const PANELS: usize> Columns<'a, PANELS> for PassRows<'a, T> {
    type Value = T;

    #[inline(always)]
    fn next_row(&mut self) -> [&'a [T; PANEL]; PANELS] {
        let row = self.rows.as_chunks().0.first_chunk::<PANELS>().expect("whole panels");
        self.rows = self.rows.get(self.row_stride..).unwrap_or_default();
        row.each_ref()
    }

    /// Prefetches as much of the next pass as some panels of the next [`CHUNK`] keys are.
    #[inline(always)]
    fn prefetch<S: SimdExt>(&mut self, simd: S) {
        if self.stream_words > 0 {
            for _ in 0..CHUNK * PANELS / T::PER_WORD / STREAMS {
                for stream in 0..STREAMS {
                    simd.prefetch_to_l2(self.next.wrapping_add(stream * self.stream_words));
                }
                self.next = self.next.wrapping_add(LINE);
            }
            return;
        }
        for key in 0..CHUNK {
            for panel in 0..PANELS {
                let element = self.pass + key * self.row_stride + panel * PANEL;
                simd.prefetch_to_l2(self.rows.as_ptr().wrapping_add(element).cast());
            }
        }
    }
}

/// Keys whose exponentials are copied together: enough for their FMAs to hide the way through memory.
const CHUNK: usize = 16;

/// Adds the product of a tile's exponentials with some columns to the sums, rows of which are so many
/// elements apart.
#[inline(always)]
fn multiply<
    'a,
    S: SimdExt,
    C: Columns<'a, PANELS>,
    const ROWS: usize,
    const PANELS: usize,
    const REGISTERS: usize,
>(
    simd: S,
    exponentials: [&[f32]; ROWS],
    mut columns: C,
    copies: &mut ExponentialChunk,
    (sums, pitch): (&mut [f32], usize),
) {
    let mut registers = [[[simd.splat_f32s(0.0); REGISTERS]; PANELS]; ROWS];
    for (row, registers) in registers.iter_mut().enumerate() {
        let sums = &sums[row * pitch..][..PANELS * PANEL];
        registers.as_flattened_mut().copy_from_slice(S::as_simd_f32s(sums).0);
    }
    let copies = copies.first_chunk_mut::<ROWS>().expect("as many rows as a tile");
    let whole = exponentials[0].len() / CHUNK * CHUNK;
    for first in (0..whole).step_by(CHUNK) {
        columns.prefetch(simd);
        copy_chunk(&exponentials, first..first + CHUNK, copies);
        for key in 0..CHUNK {
            multiply_add(simd, copies, key, columns.next_row(), &mut registers);
            simd.scheduling_barrier();
        }
    }
    let rest = whole..exponentials[0].len();
    copy_chunk(&exponentials, rest.clone(), copies);
    for key in 0..rest.len() {
        multiply_add(simd, copies, key, columns.next_row(), &mut registers);
        simd.scheduling_barrier();
    }
    for (row, registers) in registers.iter().enumerate() {
        let sums = &mut sums[row * pitch..][..PANELS * PANEL];
        S::as_mut_simd_f32s(sums).0.copy_from_slice(registers.as_flattened());
    }
}

/// Copies the exponentials of a chunk of keys side by side, so that one pointer with constant offsets reaches
/// all rows: with a pointer for each, the loop runs out of integer registers, and sums are spilled.
#[inline(always)]
fn copy_chunk<const ROWS: usize>(
    exponentials: &[&[f32]; ROWS],
    keys: Range<usize>,
    copies: &mut [[f32; CHUNK]; ROWS],
) {
    for (copy, exponentials) in copies.iter_mut().zip(exponentials) {
        copy[..keys.len()].copy_from_slice(&exponentials[keys.clone()]);
    }
    // Else the compiler would read the rows from where they were.
    black_box(copies);
}

/// One key of a tile: an exponential of each row, and the columns of some panels.
#[inline(always)]
fn multiply_add<
    S: SimdExt,
    T: Widen,
    const ROWS: usize,
    const PANELS: usize,
    const REGISTERS: usize,
>(
    simd: S,
    exponentials: &[[f32; CHUNK]; ROWS],
    key: usize,
    values: [&[T; PANEL]; PANELS],
    sums: &mut Sums<S, ROWS, PANELS, REGISTERS>,
) {
    // A single row uses each column once: panel by panel, as all columns beside all sums are more than
    // NEON has registers.
    if const { ROWS == 1 } {
        let e = simd.splat_f32s(exponentials[0][key]);
        for (values, sums) in values.into_iter().zip(&mut sums[0]) {
            let columns: [_; REGISTERS] = T::widen_columns(simd, values);
            for (value, sum) in columns.iter().zip(sums) {
                *sum = simd.mul_add_f32s(e, *value, *sum);
            }
            simd.scheduling_barrier();
        }
        return;
    }
    let mut columns = [[simd.splat_f32s(0.0); REGISTERS]; PANELS];
    for (columns, values) in columns.iter_mut().zip(values) {
        *columns = T::widen_columns(simd, values);
    }
    for (e, sums) in exponentials.iter().zip(sums) {
        let e = simd.splat_f32s(e[key]);
        for (value, sum) in columns.as_flattened().iter().zip(sums.as_flattened_mut()) {
            *sum = simd.mul_add_f32s(e, *value, *sum);
        }
    }
}
