//! The register tile: a few query rows against a few panels of keys.
//!
//! ```text
//! for dim in 0..head_dim:                       one FMA chain per (query, key), ascending,
//!     for row in rows:                          starting at +0
//!         for keys in registers of the panels:
//!             sums[row][keys] = fma(query[row][dim], key[dim][keys], sums[row][keys])
//! ```
//!
//! Keys lie in lanes and a query element is broadcast, so the register width changes how many
//! chains run side by side, never the order inside one. A tile is as large as the register file
//! allows: its independent chains hide the latency of the FMA, and each load of keys serves all its
//! rows. Few registers are left for loads, so these must not be moved up from later dimensions
//! ([`Lanes::end_dimension`]).
//!
//! Where a key is used by few rows, packing it first would cost more than using it: then the tile
//! takes keys row by row as the caller has them and transposes blocks of 4 dimensions in registers
//! on their way to the FMAs ([`KeySource::Rows`]). The chains are the same.
//!
//! What did not help: fetching the next panel by prefetch instructions (the hardware sees the
//! stream); a pointer per query row (the loop runs out of integer registers).

use super::output::Writer;
use super::pack::{HeadRows, PANEL, QUERY_RUN};
use crate::lanes::{BLOCK_DIMS, Lanes};
use crate::workspace::LINE;

/// Where a tile's keys come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeySource<'a> {
    /// Packed panels, one after another.
    Packed(&'a [f32]),
    /// The rows of a head from this key on; dimensions are next to each other.
    Rows(HeadRows<'a>, usize),
}

/// Accumulators: rows × panels × registers of a panel.
type Sums<S, const ROWS: usize, const PANELS: usize, const REGISTERS: usize> =
    [[[<S as pulp::Simd>::f32s; REGISTERS]; PANELS]; ROWS];

/// The scores of `ROWS` packed query rows against `PANELS` packed panels.
///
/// The query comes in runs of [`QUERY_RUN`] dimensions, so that one pointer with constant offsets
/// reaches all rows.
#[inline(always)]
fn tile<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
    simd: S,
    query: &[[[f32; QUERY_RUN]; ROWS]],
    panels: [&[[S::f32s; REGISTERS]]; PANELS],
) -> Sums<S, ROWS, PANELS, REGISTERS> {
    let mut sums = [[[simd.splat_f32s(0.0); REGISTERS]; PANELS]; ROWS];
    let runs = panels[0].len() / QUERY_RUN;
    for (run, query) in query[..runs].iter().enumerate() {
        let keys = panels.map(|panel| &panel.as_chunks::<QUERY_RUN>().0[run]);
        for dim in 0..QUERY_RUN {
            multiply_add(simd, query, dim, keys.map(|keys| keys[dim]), &mut sums);
            simd.end_dimension();
        }
    }
    if let Some(query) = query.get(runs) {
        for dim in 0..panels[0].len() % QUERY_RUN {
            let keys = panels.map(|panel| panel[runs * QUERY_RUN + dim]);
            multiply_add(simd, query, dim, keys, &mut sums);
        }
    }
    sums
}

/// As [`tile`], from the rows of the keys as the caller has them.
#[inline(always)]
fn tile_of_rows<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
    simd: S,
    query: &[[[f32; QUERY_RUN]; ROWS]],
    head: &HeadRows<'_>,
    first_key: usize,
    head_dim: usize,
) -> Sums<S, ROWS, PANELS, REGISTERS> {
    let mut sums = [[[simd.splat_f32s(0.0); REGISTERS]; PANELS]; ROWS];
    let stride = head.row_stride;
    let rows = &head.data[first_key * stride..];
    let registers = |panel| (0..REGISTERS).map(move |i| (i, panel * PANEL + i * S::F32_LANES));
    let blocks = head_dim / BLOCK_DIMS;
    let keys = PANELS * PANEL;
    for block in 0..blocks {
        let first_dim = block * BLOCK_DIMS;
        let query = &query[first_dim / QUERY_RUN];
        // The keys that come next are fetched meanwhile, row after row: the hardware fetches ahead
        // of one ascending stream, not of as many as there are keys.
        for key in keys * block / blocks..keys * (block + 1) / blocks {
            let next = head.data.get((first_key + keys + key) * stride..).unwrap_or(&[]);
            simd.prefetch(&next[..head_dim.min(next.len())]);
        }
        for panel in 0..PANELS {
            for (register, key) in registers(panel) {
                let block = simd.load_transposed(&rows[key * stride + first_dim..], stride);
                for (i, keys) in block.into_iter().enumerate() {
                    for (query, sums) in query.iter().zip(&mut sums) {
                        let element = simd.splat_f32s(query[first_dim % QUERY_RUN + i]);
                        let sum = &mut sums[panel][register];
                        *sum = simd.mul_add_f32s(element, keys, *sum);
                    }
                }
            }
        }
    }
    for dim in blocks * BLOCK_DIMS..head_dim {
        let mut keys = [[simd.splat_f32s(0.0); REGISTERS]; PANELS];
        let lanes: &mut [f32] = pulp::bytemuck::cast_slice_mut(keys.as_flattened_mut());
        for (key, lane) in lanes.iter_mut().enumerate() {
            *lane = rows[key * stride + dim];
        }
        multiply_add(simd, &query[dim / QUERY_RUN], dim % QUERY_RUN, keys, &mut sums);
    }
    sums
}

/// One dimension of a tile.
#[inline(always)]
fn multiply_add<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
    simd: S,
    query: &[[f32; QUERY_RUN]; ROWS],
    dim: usize,
    keys: [[S::f32s; REGISTERS]; PANELS],
    sums: &mut Sums<S, ROWS, PANELS, REGISTERS>,
) {
    for (query, sums) in query.iter().zip(sums) {
        let element = simd.splat_f32s(query[dim]);
        for (keys, sum) in keys.as_flattened().iter().zip(sums.as_flattened_mut()) {
            *sum = simd.mul_add_f32s(element, *keys, *sum);
        }
    }
}

/// Some panels of keys and the rows that meet them.
#[derive(Debug)]
pub(crate) struct PanelScores<'a> {
    /// The packed rows, tile by tile.
    pub(crate) query: &'a [f32],
    pub(crate) head_dim: usize,
    pub(crate) rows: usize,
    pub(crate) keys: KeySource<'a>,
    /// Panels, and keys of theirs that exist.
    pub(crate) panels: usize,
    pub(crate) valid: usize,
    /// The scores of the segment, from the first of these keys on; rows are `pitch` elements apart.
    pub(crate) scores: &'a mut [f32],
    pub(crate) pitch: usize,
    /// The running maxima of the rows, a line each, as many lanes of it in use as registers have.
    pub(crate) maxima: &'a mut [f32],
}

/// Panels that are computed at a time for so many rows: few rows leave registers for more keys,
/// and need them to hide the latency of the FMA.
#[inline(always)]
pub(crate) fn panels_at_a_time<S: Lanes>(rows: usize, keys: KeySource<'_>) -> usize {
    match keys {
        KeySource::Packed(_) if rows == 1 && S::F32_LANES > 1 => 4,
        KeySource::Rows(..) if rows == 1 && S::F32_LANES > 1 => 2,
        // Enough chains; and the compiler would no longer unroll two panels.
        KeySource::Rows(..) if rows >= 4 => 1,
        _ => S::TILE.panels,
    }
}

impl PanelScores<'_> {
    /// Computes the scores, and keeps the maxima. Keys that do not exist get −∞. After each tile
    /// the writer takes a turn.
    #[inline(always)]
    pub(crate) fn compute<S: Lanes>(mut self, simd: S, writer: &mut Writer<'_>) {
        match S::F32_LANES {
            1 => self.compute_panels::<S, 16>(simd, writer),
            4 => self.compute_panels::<S, 4>(simd, writer),
            8 => self.compute_panels::<S, 2>(simd, writer),
            16 => self.compute_panels::<S, 1>(simd, writer),
            _ => const { assert!(PANEL.is_multiple_of(S::F32_LANES)) },
        }
        if self.valid < self.panels * PANEL {
            self.exclude_missing_keys(simd);
        }
    }

    /// The number of panels becomes a constant.
    #[inline(always)]
    fn compute_panels<S: Lanes, const REGISTERS: usize>(
        &mut self,
        simd: S,
        writer: &mut Writer<'_>,
    ) {
        match self.panels {
            4 => self.compute_tile::<S, 1, 4, REGISTERS>(simd, 0),
            2 if S::TILE.panels == 2 => self.compute_rows::<S, 2, REGISTERS>(simd, writer),
            2 => self.compute_tile::<S, 1, 2, REGISTERS>(simd, 0),
            _ => self.compute_rows::<S, 1, REGISTERS>(simd, writer),
        }
    }

    /// Whole tiles of rows, then what is left as one tile of fewer rows.
    #[inline(always)]
    fn compute_rows<S: Lanes, const PANELS: usize, const REGISTERS: usize>(
        &mut self,
        simd: S,
        writer: &mut Writer<'_>,
    ) {
        let whole = self.rows / S::TILE.rows * S::TILE.rows;
        for row in (0..whole).step_by(S::TILE.rows) {
            match S::TILE.rows {
                2 => self.compute_tile::<S, 2, PANELS, REGISTERS>(simd, row),
                6 => self.compute_tile::<S, 6, PANELS, REGISTERS>(simd, row),
                8 => self.compute_tile::<S, 8, PANELS, REGISTERS>(simd, row),
                _ => const { assert!(matches!(S::TILE.rows, 2 | 6 | 8)) },
            }
            writer.write_tile(simd, S::TILE.rows * PANELS * PANEL);
        }
        match (self.rows - whole).min(S::TILE.rows - 1) {
            0 => {}
            1 => self.compute_tile::<S, 1, PANELS, REGISTERS>(simd, whole),
            2 => self.compute_tile::<S, 2, PANELS, REGISTERS>(simd, whole),
            3 => self.compute_tile::<S, 3, PANELS, REGISTERS>(simd, whole),
            4 => self.compute_tile::<S, 4, PANELS, REGISTERS>(simd, whole),
            5 => self.compute_tile::<S, 5, PANELS, REGISTERS>(simd, whole),
            6 => self.compute_tile::<S, 6, PANELS, REGISTERS>(simd, whole),
            _ => self.compute_tile::<S, 7, PANELS, REGISTERS>(simd, whole),
        }
    }

    /// One tile: scores to the strip, maxima kept.
    #[inline(always)]
    fn compute_tile<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
        &mut self,
        simd: S,
        first_row: usize,
    ) {
        let row_elements = self.head_dim.next_multiple_of(QUERY_RUN);
        let query = &self.query[first_row * row_elements..][..ROWS * row_elements];
        let (query, _) = query.as_chunks::<QUERY_RUN>().0.as_chunks::<ROWS>();
        let sums: Sums<S, ROWS, PANELS, REGISTERS> = match self.keys {
            KeySource::Packed(packed) => {
                let (packed, _) = S::as_simd_f32s(packed).0.as_chunks::<REGISTERS>();
                let panel = |i: usize| &packed[i * self.head_dim..][..self.head_dim];
                tile(simd, query, core::array::from_fn(panel))
            }
            KeySource::Rows(head, first_key) => {
                tile_of_rows(simd, query, &head, first_key, self.head_dim)
            }
        };

        let width = PANELS * PANEL;
        let scores = &mut self.scores[first_row * self.pitch..];
        let scores = &mut scores[..(ROWS - 1) * self.pitch + width];
        for (row, sums) in sums.iter().enumerate() {
            let scores = &mut scores[row * self.pitch..][..width];
            S::as_mut_simd_f32s(scores).0.copy_from_slice(sums.as_flattened());
        }
        if self.valid == width {
            let maxima = &mut self.maxima[first_row * LINE..][..ROWS * LINE];
            for (max, sums) in maxima.chunks_exact_mut(LINE).zip(sums) {
                let max = &mut S::as_mut_simd_f32s(max).0[0];
                for &scores in sums.as_flattened() {
                    *max = simd.max_f32s(scores, *max);
                }
            }
        }
    }

    /// −∞ for keys that do not exist; the maxima of the others.
    #[inline(always)]
    fn exclude_missing_keys<S: Lanes>(&mut self, simd: S) {
        let width = self.panels * PANEL;
        let rows = self.scores.chunks_mut(self.pitch).zip(self.maxima.chunks_exact_mut(LINE));
        for (scores, max) in rows.take(self.rows) {
            scores[self.valid..width].fill(f32::NEG_INFINITY);
            let max = &mut S::as_mut_simd_f32s(max).0[0];
            for &scores in S::as_simd_f32s(&scores[..width]).0 {
                *max = simd.max_f32s(scores, *max);
            }
        }
    }
}
