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
use super::pack::{Ahead, HeadRows, PANEL, QUERY_RUN, pack_panel};
use crate::lanes::{BLOCK_DIMS, Lanes, LineKernel};
use crate::workspace::LINE;

/// Where a tile's keys come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeySource<'a> {
    /// Packed panels, one after another; `far` if they come from beyond the core's own caches.
    Packed { panels: &'a [f32], far: bool },
    /// The rows of a head from this key on; dimensions are next to each other.
    Rows(HeadRows<'a>, usize),
}

impl<'a> KeySource<'a> {
    /// The same keys from `key` on, the first one of a panel.
    #[inline(always)]
    pub(crate) fn from(self, key: usize, head_dim: usize) -> Self {
        match self {
            KeySource::Packed { panels, far } => {
                KeySource::Packed { panels: &panels[key * head_dim..], far }
            }
            KeySource::Rows(head, first_key) => KeySource::Rows(head, first_key + key),
        }
    }
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
    mut next: Option<Ahead>,
) -> Sums<S, ROWS, PANELS, REGISTERS> {
    let mut sums = [[[simd.splat_f32s(0.0); REGISTERS]; PANELS]; ROWS];
    let runs = panels[0].len() / QUERY_RUN;
    for (run, query) in query[..runs].iter().enumerate() {
        let keys = panels.map(|panel| &panel.as_chunks::<QUERY_RUN>().0[run]);
        if let Some(next) = &mut next {
            for _ in 0..PANELS * (QUERY_RUN / BLOCK_DIMS) {
                next.prefetch_block(simd);
            }
        }
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
    let mut next = Ahead::of_rows(head, first_key + keys, head_dim);
    for block in 0..blocks {
        let first_dim = block * BLOCK_DIMS;
        let query = &query[first_dim / QUERY_RUN];
        for _ in 0..PANELS {
            next.prefetch_block(simd);
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

/// A tile's rows and the keys that they meet in one pass.
#[derive(Debug)]
pub(crate) struct TilePass<'a, 'w> {
    /// The packed rows, at most [`TileShape::rows`](crate::lanes::TileShape::rows).
    pub(crate) query: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) head_dim: usize,
    /// The keys from the first one of the pass on, and how many there are.
    pub(crate) keys: KeySource<'a>,
    pub(crate) valid: usize,
    /// The scores of the rows from that key on; rows are `pitch` elements apart.
    pub(crate) scores: &'a mut [f32],
    pub(crate) pitch: usize,
    /// The running maxima of the rows, a line each, as many lanes of it in use as registers have.
    pub(crate) maxima: &'a mut [f32],
    /// Room for the last panel, where keys are not packed.
    pub(crate) last_panel: &'a mut [f32],
    /// Takes a turn after each step.
    pub(crate) writer: &'a mut Writer<'w>,
}

impl TilePass<'_, '_> {
    /// Computes the scores, and keeps the maxima. The last panel is padded with −∞. Each number of
    /// rows is a function of its own.
    #[inline(always)]
    pub(crate) fn compute<S: Lanes>(self, simd: S) {
        match self.rows.min(S::TILE.rows) {
            0 => {}
            1 => simd.call(TileRows::<1>(self)),
            2 => simd.call(TileRows::<2>(self)),
            3 if const { S::TILE.rows > 2 } => simd.call(TileRows::<3>(self)),
            4 if const { S::TILE.rows > 2 } => simd.call(TileRows::<4>(self)),
            5 if const { S::TILE.rows > 2 } => simd.call(TileRows::<5>(self)),
            6 if const { S::TILE.rows > 2 } => simd.call(TileRows::<6>(self)),
            7 if const { S::TILE.rows > 6 } => simd.call(TileRows::<7>(self)),
            8 if const { S::TILE.rows > 6 } => simd.call(TileRows::<8>(self)),
            _ => const { assert!(matches!(S::TILE.rows, 2 | 6 | 8)) },
        }
    }

    /// Steps of as many panels as there are registers for: few rows leave room for more keys, and
    /// need them to hide the latency of the FMA.
    #[inline(always)]
    fn compute_keys<S: Lanes, const ROWS: usize, const REGISTERS: usize>(mut self, simd: S) {
        let maxima = core::mem::take(&mut self.maxima);
        let maxima = &mut maxima.as_chunks_mut::<LINE>().0[..ROWS];
        let mut running: [S::f32s; ROWS] =
            core::array::from_fn(|row| S::as_simd_f32s(&maxima[row]).0[0]);
        let unpacked = matches!(self.keys, KeySource::Rows(..));
        let mut key = 0;
        if ROWS == 1 && S::F32_LANES > 1 && !unpacked {
            key = self.steps::<S, ROWS, 4, REGISTERS>(simd, key, &mut running);
        }
        if !unpacked && (S::TILE.panels == 2 || (ROWS == 1 && S::F32_LANES > 1)) {
            key = self.steps::<S, ROWS, 2, REGISTERS>(simd, key, &mut running);
        }
        // Of unpacked keys one panel at a time: it and the next one have to stay in L1.
        key = self.steps::<S, ROWS, 1, REGISTERS>(simd, key, &mut running);
        if key < self.valid {
            self.last_step::<S, ROWS, REGISTERS>(simd, key, &mut running);
        }
        for (maxima, running) in maxima.iter_mut().zip(running) {
            S::as_mut_simd_f32s(maxima).0[0] = running;
        }
    }

    /// Steps of `PANELS` whole panels from `first_key` on, as far as they go; the key after them.
    #[inline(always)]
    fn steps<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
        &mut self,
        simd: S,
        first_key: usize,
        running: &mut [S::f32s; ROWS],
    ) -> usize {
        let width = PANELS * PANEL;
        let mut key = first_key;
        while self.valid - key >= width {
            let sums: Sums<S, ROWS, PANELS, REGISTERS> =
                key_sums(simd, self.query, self.keys, key, self.head_dim);
            self.store::<S, ROWS, PANELS, REGISTERS>(key, &sums);
            for (max, sums) in running.iter_mut().zip(&sums) {
                for &scores in sums.as_flattened() {
                    *max = simd.max_f32s(scores, *max);
                }
            }
            self.writer.write_tile(simd, ROWS * width);
            key += width;
        }
        key
    }

    /// The last panel, if some of its keys do not exist: their scores are −∞.
    #[inline(always)]
    fn last_step<S: Lanes, const ROWS: usize, const REGISTERS: usize>(
        &mut self,
        simd: S,
        key: usize,
        running: &mut [S::f32s; ROWS],
    ) {
        let sums: Sums<S, ROWS, 1, REGISTERS> = match self.keys {
            KeySource::Packed { .. } => key_sums(simd, self.query, self.keys, key, self.head_dim),
            KeySource::Rows(head, first_key) => {
                let panel = &mut self.last_panel[..PANEL * self.head_dim];
                pack_panel(simd, &head, first_key + key, panel);
                let keys = KeySource::Packed { panels: panel, far: false };
                key_sums(simd, self.query, keys, 0, self.head_dim)
            }
        };
        self.store::<S, ROWS, 1, REGISTERS>(key, &sums);
        for (scores, max) in self.scores.chunks_mut(self.pitch).zip(running) {
            let scores = &mut scores[key..][..PANEL];
            scores[self.valid - key..].fill(f32::NEG_INFINITY);
            for &scores in S::as_simd_f32s(scores).0 {
                *max = simd.max_f32s(scores, *max);
            }
        }
    }

    #[inline(always)]
    fn store<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
        &mut self,
        key: usize,
        sums: &Sums<S, ROWS, PANELS, REGISTERS>,
    ) {
        let width = PANELS * PANEL;
        let scores = &mut self.scores[key..][..(ROWS - 1) * self.pitch + width];
        for (row, sums) in sums.iter().enumerate() {
            let scores = &mut scores[row * self.pitch..][..width];
            S::as_mut_simd_f32s(scores).0.copy_from_slice(sums.as_flattened());
        }
    }
}

/// A pass whose number of rows is a constant.
#[derive(Debug)]
struct TileRows<'a, 'w, const ROWS: usize>(TilePass<'a, 'w>);

impl<const ROWS: usize> LineKernel for TileRows<'_, '_, ROWS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes, const REGISTERS: usize>(self, simd: S) {
        const { assert!(PANEL == LINE) };
        self.0.compute_keys::<S, ROWS, REGISTERS>(simd);
    }
}

/// The sums of some packed rows and whole panels of keys from `key` on, which counts from the
/// first one of the source.
#[inline(always)]
fn key_sums<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
    simd: S,
    query: &[f32],
    keys: KeySource<'_>,
    key: usize,
    head_dim: usize,
) -> Sums<S, ROWS, PANELS, REGISTERS> {
    let query = &query[..ROWS * head_dim.next_multiple_of(QUERY_RUN)];
    let (query, _) = query.as_chunks::<QUERY_RUN>().0.as_chunks::<ROWS>();
    match keys {
        KeySource::Packed { panels, far } => {
            let panels = &panels[key * head_dim..][..PANELS * PANEL * head_dim];
            // Many rows take longer over a panel than it takes to come.
            let next = (ROWS == 1 && far).then(|| Ahead::behind(panels));
            let (panels, _) = S::as_simd_f32s(panels).0.as_chunks::<REGISTERS>();
            tile(simd, query, core::array::from_fn(|i| &panels[i * head_dim..][..head_dim]), next)
        }
        KeySource::Rows(head, first_key) => {
            tile_of_rows(simd, query, &head, first_key + key, head_dim)
        }
    }
}
