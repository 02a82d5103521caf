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
//! takes keys row by row as the caller has them and transposes blocks of 4 words in registers
//! on their way to the FMAs ([`KeySource::Rows`]). The chains are the same.
//!
//! What did not help: fetching the next panel by prefetch instructions (the hardware sees the
//! stream); a pointer per query row (the loop runs out of integer registers).

use super::block::Row;
use super::output::Writer;
use super::pack::{Ahead, HeadRows, PANEL, QUERY_RUN, pack_panel};
use super::widen::Widen;
use crate::element::Elements;
use crate::lanes::{BLOCK_WORDS, Lanes, LineKernel};
use crate::workspace::LINE;
use core::ops::Range;

/// Where a tile's keys come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeySource<'a> {
    /// Packed panels, one after another; `far` if they come from beyond the core's own caches.
    Packed { panels: &'a [f32], far: bool },
    /// The rows of a head from this key on; dimensions are next to each other.
    Rows(HeadRows<Elements<'a>>, usize),
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
            for _ in 0..PANELS * (QUERY_RUN / BLOCK_WORDS) {
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
fn tile_of_rows<
    S: Lanes,
    T: Widen,
    const ROWS: usize,
    const PANELS: usize,
    const REGISTERS: usize,
>(
    simd: S,
    query: &[[[f32; QUERY_RUN]; ROWS]],
    head: &HeadRows<&[T]>,
    first_key: usize,
    head_dim: usize,
) -> Sums<S, ROWS, PANELS, REGISTERS> {
    let mut sums = [[[simd.splat_f32s(0.0); REGISTERS]; PANELS]; ROWS];
    let words = head.words().expect("the plan packs keys that are no words");
    let stride = words.row_stride;
    let rows = &words.data[first_key * stride..];
    let registers = |panel| (0..REGISTERS).map(move |i| (i, panel * PANEL + i * S::F32_LANES));
    let blocks = head_dim / (BLOCK_WORDS * T::PER_WORD);
    let keys = PANELS * PANEL;
    let mut next = Ahead::of_rows(&words, first_key + keys, head_dim / T::PER_WORD);
    for block in 0..blocks {
        let first_word = block * BLOCK_WORDS;
        let first_dim = first_word * T::PER_WORD;
        let query = &query[first_dim / QUERY_RUN];
        for _ in 0..PANELS {
            next.prefetch_block(simd);
        }
        for panel in 0..PANELS {
            for (register, key) in registers(panel) {
                let words = simd.load_transposed(&rows[key * stride + first_word..], stride);
                for (word, keys) in words.into_iter().enumerate() {
                    for (i, keys) in T::unpack(simd, keys)[..T::PER_WORD].iter().enumerate() {
                        let dim = first_dim % QUERY_RUN + word * T::PER_WORD + i;
                        for (query, sums) in query.iter().zip(&mut sums) {
                            let element = simd.splat_f32s(query[dim]);
                            let sum = &mut sums[panel][register];
                            *sum = simd.mul_add_f32s(element, *keys, *sum);
                        }
                    }
                }
            }
        }
    }
    for dim in blocks * BLOCK_WORDS * T::PER_WORD..head_dim {
        let mut keys = [[simd.splat_f32s(0.0); REGISTERS]; PANELS];
        let lanes: &mut [f32] = pulp::bytemuck::cast_slice_mut(keys.as_flattened_mut());
        for (key, lane) in lanes.iter_mut().enumerate() {
            *lane = head.data[(first_key + key) * head.row_stride + dim].widen();
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
    pub(crate) rows: &'a [Row],
    pub(crate) head_dim: usize,
    /// The keys of the pass: whole panels, of which the last one may be padded.
    pub(crate) first_key: usize,
    pub(crate) end_key: usize,
    /// Those to which all rows attend.
    pub(crate) all_rows: Range<usize>,
    /// The keys from the first one of the pass on.
    pub(crate) keys: KeySource<'a>,
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
    /// Computes the scores, and keeps the maxima. The scores of keys to which a row does not attend
    /// are −∞. Each number of rows is a function of its own.
    #[inline(always)]
    pub(crate) fn compute<S: Lanes>(self, simd: S) {
        match self.rows.len() {
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
        let mut running = [simd.splat_f32s(0.0); ROWS];
        for (running, maxima) in running.iter_mut().zip(&*maxima) {
            *running = S::as_simd_f32s(maxima).0[0];
        }
        let unpacked = matches!(self.keys, KeySource::Rows(..));
        let end = self.end_key - self.first_key;
        // Whole panels to which all rows attend.
        let in_pass = |key: usize| key.clamp(self.first_key, self.end_key) - self.first_key;
        let inner_start = in_pass(self.all_rows.start.next_multiple_of(PANEL));
        let inner_end = in_pass(self.all_rows.end / PANEL * PANEL);
        let mut key = self.edge_steps::<S, ROWS, REGISTERS>(simd, 0..inner_start, &mut running);
        if ROWS == 1 && S::F32_LANES > 1 && !unpacked {
            key = self.steps::<S, ROWS, 4, REGISTERS>(simd, key..inner_end, &mut running);
        }
        if !unpacked && (S::TILE.panels == 2 || (ROWS == 1 && S::F32_LANES > 1)) {
            key = self.steps::<S, ROWS, 2, REGISTERS>(simd, key..inner_end, &mut running);
        }
        // Of unpacked keys one panel at a time: it and the next one have to stay in L1.
        key = self.steps::<S, ROWS, 1, REGISTERS>(simd, key..inner_end, &mut running);
        self.edge_steps::<S, ROWS, REGISTERS>(simd, key..end, &mut running);
        for (maxima, running) in maxima.iter_mut().zip(running) {
            S::as_mut_simd_f32s(maxima).0[0] = running;
        }
    }

    /// Steps of `PANELS` panels to which all rows attend, as far as they go; the key after them,
    /// counted from the first one of the pass.
    #[inline(always)]
    fn steps<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
        &mut self,
        simd: S,
        keys: Range<usize>,
        running: &mut [S::f32s; ROWS],
    ) -> usize {
        let width = PANELS * PANEL;
        let mut key = keys.start;
        while key + width <= keys.end {
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

    /// Steps of one panel to which some rows attend in part; the key after them.
    #[inline(always)]
    fn edge_steps<S: Lanes, const ROWS: usize, const REGISTERS: usize>(
        &mut self,
        simd: S,
        keys: Range<usize>,
        running: &mut [S::f32s; ROWS],
    ) -> usize {
        let end = keys.end.max(keys.start);
        for key in keys.step_by(PANEL) {
            let mut sums: Sums<S, ROWS, 1, REGISTERS> = match self.keys {
                KeySource::Rows(head, first_key) if head.rows < first_key + key + PANEL => {
                    let panel = &mut self.last_panel[..PANEL * self.head_dim];
                    pack_panel(simd, &head, first_key + key, panel);
                    let keys = KeySource::Packed { panels: panel, far: false };
                    key_sums(simd, self.query, keys, 0, self.head_dim)
                }
                keys => key_sums(simd, self.query, keys, key, self.head_dim),
            };
            let first = self.first_key + key;
            for ((row, sums), max) in self.rows.iter().zip(&mut sums).zip(&mut *running) {
                let attended = row.keys_in(&(first..first + PANEL));
                let attended = attended.start - first..attended.end - first;
                for (register, score) in sums.as_flattened_mut().iter_mut().enumerate() {
                    let kept = lanes_within(simd, register * S::F32_LANES, &attended);
                    *score = simd.select_f32s(kept, *score, simd.splat_f32s(f32::NEG_INFINITY));
                    *max = simd.max_f32s(*score, *max);
                }
            }
            self.store::<S, ROWS, 1, REGISTERS>(key, &sums);
        }
        end
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

/// Which lanes of a register, the first of which is key `first` of a panel, are in a range of it.
#[inline(always)]
pub(crate) fn lanes_within<S: Lanes>(simd: S, first: usize, kept: &Range<usize>) -> S::m32s {
    let (lanes, _) = S::as_simd_u32s(&LANES[first..]);
    let from_start = simd.sub_u32s(lanes[0], simd.splat_u32s(kept.start as u32));
    simd.less_than_u32s(from_start, simd.splat_u32s(kept.len() as u32))
}

/// The numbers of a panel's keys.
const LANES: [u32; PANEL] = {
    let mut lanes = [0; PANEL];
    let mut lane = 0;
    while lane < PANEL {
        lanes[lane] = lane as u32;
        lane += 1;
    }
    lanes
};

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
            let key = first_key + key;
            match head.data {
                Elements::F32(data) => tile_of_rows(simd, query, &head.with(data), key, head_dim),
                #[cfg(feature = "half")]
                Elements::F16(data) => tile_of_rows(simd, query, &head.with(data), key, head_dim),
                #[cfg(feature = "half")]
                Elements::Bf16(data) => tile_of_rows(simd, query, &head.with(data), key, head_dim),
            }
        }
    }
}
