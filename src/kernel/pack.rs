//! Packing: from the caller's strides to what the tile reads.
//!
//! Queries are multiplied once by the factor that turns the tile's sums into scores, and laid out
//! tile by tile: `query[run · rows + row][dimension in run]`. Keys become *panels* of 16, dimension
//! by dimension, `panel[dim · 16 + key]`, so that keys lie in lanes and a tile reads ascending
//! streams; 16 is a whole number of registers everywhere, so packed keys serve every instruction
//! set. Missing keys of the last panel are zeros. Nothing below this knows strides.

use super::widen::Widen;
use crate::element::Elements;
use crate::lanes::{BLOCK_DIMS, Lanes};
use crate::workspace::LINE;
use core::ops::Range;

/// Keys of a panel.
pub(crate) const PANEL: usize = 16;

/// The rows of one head in the caller's memory: element (row, dim) is
/// `data[row · row_stride + dim · dim_stride]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadRows<Data> {
    pub(crate) data: Data,
    pub(crate) row_stride: usize,
    pub(crate) dim_stride: usize,
    pub(crate) rows: usize,
}

impl<Data> HeadRows<Data> {
    /// The same rows of other data.
    #[inline(always)]
    pub(crate) fn with<Other>(&self, data: Other) -> HeadRows<Other> {
        let HeadRows { row_stride, dim_stride, rows, .. } = *self;
        HeadRows { data, row_stride, dim_stride, rows }
    }
}

/// What will be read next, line by line: a walk over rows that asks for it in the order in which
/// it stands in memory. The hardware fetches ahead of one ascending stream, not of as many as a tile
/// reads at a time.
#[derive(Debug)]
pub(crate) struct Ahead {
    row: *const f32,
    row_stride: usize,
    line: usize,
    lines_per_row: usize,
}

impl Ahead {
    /// From row `first` of a head on, which need not exist.
    #[inline(always)]
    pub(crate) fn of_rows(head: &HeadRows<&[f32]>, first: usize, head_dim: usize) -> Self {
        let row = head.data.as_ptr().wrapping_add(first * head.row_stride);
        let lines_per_row = head_dim.div_ceil(LINE).max(1);
        Ahead { row, row_stride: head.row_stride, line: 0, lines_per_row }
    }

    /// What stands behind some packed panels.
    #[inline(always)]
    pub(crate) fn behind(panels: &[f32]) -> Self {
        let row = panels.as_ptr_range().end;
        Ahead { row, row_stride: 0, line: 0, lines_per_row: usize::MAX }
    }

    /// Asks for as much as a block of dimensions of one panel is.
    #[inline(always)]
    pub(crate) fn prefetch_block<S: Lanes>(&mut self, simd: S) {
        const LINES: usize = BLOCK_DIMS * PANEL / LINE;
        // Past the end of a row, it is the next one if rows are dense.
        for line in self.line..self.line + LINES {
            simd.prefetch(self.row.wrapping_add(line * LINE));
        }
        self.line += LINES;
        while self.line >= self.lines_per_row {
            self.line -= self.lines_per_row;
            self.row = self.row.wrapping_add(self.row_stride);
        }
    }
}

/// Dimensions of a query row that stand together; see [`pack_query`].
pub(crate) const QUERY_RUN: usize = 8;

/// Writes `row · factor` in runs of [`QUERY_RUN`] dimensions, `pitch` runs apart, so that the runs
/// of a tile's rows stand side by side.
#[inline(always)]
pub(crate) fn pack_query(
    head: &HeadRows<Elements<'_>>,
    row: usize,
    head_dim: usize,
    factor: f32,
    packed: &mut [[f32; QUERY_RUN]],
    pitch: usize,
) {
    let from = row * head.row_stride;
    match head.data {
        Elements::F32(data) => pack_row(&head.with(&data[from..]), head_dim, factor, packed, pitch),
        #[cfg(feature = "half")]
        Elements::F16(data) => pack_row(&head.with(&data[from..]), head_dim, factor, packed, pitch),
        #[cfg(feature = "half")]
        Elements::Bf16(data) => {
            pack_row(&head.with(&data[from..]), head_dim, factor, packed, pitch)
        }
    }
}

/// The first row of a head.
#[inline(always)]
fn pack_row<T: Widen>(
    head: &HeadRows<&[T]>,
    head_dim: usize,
    factor: f32,
    packed: &mut [[f32; QUERY_RUN]],
    pitch: usize,
) {
    let elements = head.data;
    let mut packed = packed.iter_mut().step_by(pitch);
    if head.dim_stride == 1 {
        let (runs, rest) = elements[..head_dim].as_chunks::<QUERY_RUN>();
        for (run, packed) in runs.iter().zip(&mut packed) {
            *packed = run.map(|element| element.widen() * factor);
        }
        for (packed, element) in packed.flatten().zip(rest) {
            *packed = element.widen() * factor;
        }
    } else {
        for (dim, packed) in packed.flatten().enumerate().take(head_dim) {
            *packed = elements[dim * head.dim_stride].widen() * factor;
        }
    }
}

/// Writes one panel: keys `first_key..` of the head, zeros where there are none.
#[inline(always)]
pub(crate) fn pack_panel<S: Lanes>(
    simd: S,
    head: &HeadRows<Elements<'_>>,
    first_key: usize,
    panel: &mut [f32],
) {
    match head.data {
        Elements::F32(data) => pack_wide_panel(simd, &head.with(data), first_key, panel),
        #[cfg(feature = "half")]
        Elements::F16(data) => pack_narrow_panel(simd, &head.with(data), first_key, panel),
        #[cfg(feature = "half")]
        Elements::Bf16(data) => pack_narrow_panel(simd, &head.with(data), first_key, panel),
    }
}

#[inline(always)]
fn pack_wide_panel<S: Lanes>(
    simd: S,
    head: &HeadRows<&[f32]>,
    first_key: usize,
    panel: &mut [f32],
) {
    let head_dim = panel.len() / PANEL;
    let keys = PANEL.min(head.rows.saturating_sub(first_key));
    if keys < PANEL {
        panel.fill(0.0);
    }
    if keys < PANEL && head.dim_stride == 1 {
        pack_few(head, first_key, keys, panel);
    } else if head_dim > 0 && head.dim_stride == 1 {
        let mut next = Ahead::of_rows(head, first_key + PANEL, head_dim);
        for _ in 0..head_dim / BLOCK_DIMS {
            next.prefetch_block(simd);
        }
        for key in (0..PANEL).step_by(S::F32_LANES) {
            pack_register(simd, head, first_key + key, &mut panel[key..]);
        }
    } else if head.row_stride == 1 {
        for (dim, packed) in panel.chunks_exact_mut(PANEL).enumerate() {
            let start = dim * head.dim_stride + first_key;
            packed[..keys].copy_from_slice(&head.data[start..start + keys]);
        }
    } else {
        pack_lanes(head, first_key, 0..keys, panel);
    }
}

/// Keys of 16 bits: widened a few dimensions at a time, then packed as wide ones.
#[cfg(feature = "half")]
#[inline(always)]
fn pack_narrow_panel<S: Lanes, T: Widen>(
    simd: S,
    head: &HeadRows<&[T]>,
    first_key: usize,
    panel: &mut [f32],
) {
    let head_dim = panel.len() / PANEL;
    let keys = PANEL.min(head.rows.saturating_sub(first_key));
    if keys < PANEL || head.dim_stride != 1 || !head_dim.is_multiple_of(LINE) {
        panel.fill(0.0);
        pack_lanes(head, first_key, 0..keys, panel);
        return;
    }
    let mut rows = [[0.0; LINE]; PANEL];
    for (block, packed) in panel.chunks_exact_mut(LINE * PANEL).enumerate() {
        for (key, wide) in rows.iter_mut().enumerate() {
            let narrow = &head.data[(first_key + key) * head.row_stride + block * LINE..][..LINE];
            T::widen_line(simd, narrow, wide);
        }
        let rows =
            HeadRows { data: rows.as_flattened(), row_stride: LINE, dim_stride: 1, rows: PANEL };
        for key in (0..PANEL).step_by(S::F32_LANES) {
            pack_register(simd, &rows, key, &mut packed[key..]);
        }
    }
}

/// One register of keys, all dimensions, through transposing loads.
#[inline(always)]
fn pack_register<S: Lanes>(simd: S, head: &HeadRows<&[f32]>, first_key: usize, packed: &mut [f32]) {
    let head_dim = packed.len().div_ceil(PANEL);
    let blocked = head_dim / BLOCK_DIMS * BLOCK_DIMS;
    let rows = &head.data[first_key * head.row_stride..];
    for dim in (0..blocked).step_by(BLOCK_DIMS) {
        let block = simd.load_transposed(&rows[dim..], head.row_stride);
        for (i, register) in block.into_iter().enumerate() {
            let packed = &mut packed[(dim + i) * PANEL..][..S::F32_LANES];
            S::as_mut_simd_f32s(packed).0[0] = register;
        }
    }
    for dim in blocked..head_dim {
        for key in 0..S::F32_LANES {
            packed[dim * PANEL + key] = rows[key * head.row_stride + dim];
        }
    }
}

/// Fewer keys than a panel has, four at a time. Of the last four, a key that does not
/// exist is the last one that does: no result depends on it.
#[inline(always)]
fn pack_few(head: &HeadRows<&[f32]>, first_key: usize, keys: usize, panel: &mut [f32]) {
    let head_dim = panel.len() / PANEL;
    for key in (0..keys).step_by(FEW) {
        let mut rows = [&[][..]; FEW];
        for (i, row) in rows.iter_mut().enumerate() {
            *row =
                &head.data[(first_key + (key + i).min(keys - 1)) * head.row_stride..][..head_dim];
        }
        for (dim, packed) in panel.chunks_exact_mut(PANEL).enumerate() {
            for (row, packed) in rows.iter().zip(&mut packed[key..][..FEW]) {
                *packed = row[dim];
            }
        }
    }
}

/// Keys that are packed side by side where there are few.
const FEW: usize = 4;

/// Writes keys `first_key..` of the head to some lanes of a panel.
#[inline(always)]
pub(crate) fn pack_keys(
    head: &HeadRows<Elements<'_>>,
    first_key: usize,
    lanes: Range<usize>,
    panel: &mut [f32],
) {
    match head.data {
        Elements::F32(data) => pack_lanes(&head.with(data), first_key, lanes, panel),
        #[cfg(feature = "half")]
        Elements::F16(data) => pack_lanes(&head.with(data), first_key, lanes, panel),
        #[cfg(feature = "half")]
        Elements::Bf16(data) => pack_lanes(&head.with(data), first_key, lanes, panel),
    }
}

/// Element by element.
#[inline(always)]
fn pack_lanes<T: Widen>(
    head: &HeadRows<&[T]>,
    first_key: usize,
    lanes: Range<usize>,
    panel: &mut [f32],
) {
    for (key, lane) in lanes.enumerate() {
        let elements = &head.data[(first_key + key) * head.row_stride..];
        for (dim, packed) in panel.iter_mut().skip(lane).step_by(PANEL).enumerate() {
            *packed = elements[dim * head.dim_stride].widen();
        }
    }
}
