//! The register tile: a few query rows against a few panels of keys.
//!
//! ```text
//! for dim in 0..head_dim:                       one FMA chain per (query, key), ascending,
//!     for row in rows:                          starting at +0
//!         for keys in registers of the panels:
//!             sums[row][keys] = fma(query[row][dim], key[dim][keys], sums[row][keys])
//! ```
//!
//! This is the micro-kernel of BLIS (Van Zee and van de Geijn, 2015): keys lie in lanes and a query
//! element is broadcast, so the register width changes how many chains run side by side, never the
//! order inside one.
//!
//! 1. A tile is as large as the register file allows: its independent chains hide the latency of the
//!    FMA, and each load of keys serves all its rows.
//! 2. Few registers are left for loads, so these must not be hoisted from later dimensions
//!    ([`SimdExt::scheduling_barrier`]).
//! 3. Between groups of FMAs the tile drains a queue of stores and prefetches ([`Background`]).
//! 4. Where few rows use a key, packing it first would cost more than using it: then blocks of 4
//!    words are transposed in registers on their way from the caller's rows to the FMAs
//!    ([`RowMajorKeys`]). The chains are the same.
//! 5. Few rows hide the latency of the FMA by several panels at a time; but panels from beyond L2
//!    come fastest as one ascending stream, one panel after the other, because the hardware then
//!    prefetches at the rate of memory (1.3 to 1.7 times that of several streams with prefetch
//!    instructions, on a Zen 4).
//!
//! What did not help: prefetching the next panel by instructions (the hardware sees the stream); a
//! pointer per query row (the loop runs out of integer registers). More in docs/notes/tiles.md.

use super::key_source::{HeadKeys, PanelKeys, RowMajorKeys, Stream};
use super::lane_masks::exclude;
use super::pages::prefetch_pages;
use super::prefetch_cursor::{PrefetchCursor, STREAMS};
use super::row_kernel::{RowKernel, with_row_count};
use crate::layout::{LINE, PANEL, QUERY_CHUNK, TRANSPOSE_WORDS};
use crate::rows::Row;
#[cfg(feature = "half")]
use crate::simd::Halves;
use crate::simd::{SimdExt, StoreQueue, Widen};
use core::marker::PhantomData;
use core::ops::Range;

/// The work that tiles do besides their own, to hide the latency of memory behind FMAs.
pub(crate) trait Background<'q> {
    /// The queue to drain during the next tile, which has time to prefetch so many lines.
    fn before_tile(&mut self, lines: usize) -> &mut StoreQueue<'q>;

    /// Refills the queue after a tile of so many scores.
    fn after_tile<S: SimdExt>(&mut self, simd: S, scores: usize);
}

/// Keys from which a tile computes sums.
trait Source: Copy {
    /// Whether a single row is better off with registers of half as many lanes.
    const HALF_REGISTERS: bool = false;

    /// Whether a tile of so many rows reads all its keys as several streams side by side.
    fn wants_streams(&self, _rows: usize, _head_dim: usize) -> bool {
        false
    }

    /// The same keys, of which the next step is one of several streams.
    fn in_stream(self, _: Stream) -> Self {
        self
    }

    /// How many panels a tile of so many rows may take at a time.
    fn panels_at_once<S: SimdExt>(&self, rows: usize, head_dim: usize) -> usize;

    /// The sums of some packed rows and whole panels of keys from `key` on, which counts from the
    /// first one of the source.
    fn sums<S: SimdExt, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
        self,
        simd: S,
        query: &[[[f32; QUERY_CHUNK]; ROWS]],
        key: usize,
        head_dim: usize,
        queue: &mut StoreQueue<'_>,
    ) -> Sums<S, ROWS, PANELS, REGISTERS>;
}

impl PanelKeys<'_> {
    /// Whether a tile of `rows` rows is bound by memory rather than compute.
    #[inline(always)]
    fn is_memory_bound(&self, rows: usize) -> bool {
        self.beyond_l2 && rows <= 4
    }
}

impl Source for PanelKeys<'_> {
    #[inline(always)]
    fn panels_at_once<S: SimdExt>(&self, rows: usize, _: usize) -> usize {
        if self.is_memory_bound(rows) { 1 } else { usize::MAX }
    }

    #[inline(always)]
    fn sums<S: SimdExt, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
        self,
        simd: S,
        query: &[[[f32; QUERY_CHUNK]; ROWS]],
        key: usize,
        head_dim: usize,
        queue: &mut StoreQueue<'_>,
    ) -> Sums<S, ROWS, PANELS, REGISTERS> {
        let panels = &self.panels[key * head_dim..][..PANELS * PANEL * head_dim];
        if self.is_memory_bound(ROWS) {
            prefetch_pages(simd, panels.as_ptr_range());
        }
        let (panels, _) = S::as_simd_f32s(panels).0.as_chunks::<REGISTERS>();
        let panel = |i: usize| &panels[i * head_dim..][..head_dim];
        tile(simd, query, core::array::from_fn(panel), Some(queue))
    }
}

impl<T: Widen> Source for RowMajorKeys<'_, T> {
    /// f32 come from memory 1.1 times faster by eight lanes, with huge pages.
    const HALF_REGISTERS: bool = T::PER_WORD == 1;

    /// Few rows of keys from beyond L2 are bound by memory. Rows with gaps between them are no stream.
    #[inline(always)]
    fn wants_streams(&self, rows: usize, head_dim: usize) -> bool {
        self.beyond_l2 && rows <= 4 && self.words.row_stride * T::PER_WORD == head_dim
    }

    #[inline(always)]
    fn in_stream(self, stream: Stream) -> Self {
        RowMajorKeys { stream: Some(stream), ..self }
    }

    /// What the tile reads and what comes next has to stay in L1. Two panels of narrow elements do,
    /// and for a single row, which has one or two chains a panel, are 1.1 to 1.2 times faster.
    #[inline(always)]
    fn panels_at_once<S: SimdExt>(&self, rows: usize, head_dim: usize) -> usize {
        const HALF_OF_L1: usize = 16 << 10;
        let narrow = T::PER_WORD > 1 && 4 * PANEL * head_dim * size_of::<T>() <= HALF_OF_L1;
        if narrow && rows == 1 { 2 } else { 1 }
    }

    #[inline(always)]
    fn sums<S: SimdExt, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
        self,
        simd: S,
        query: &[[[f32; QUERY_CHUNK]; ROWS]],
        key: usize,
        head_dim: usize,
        _: &mut StoreQueue<'_>,
    ) -> Sums<S, ROWS, PANELS, REGISTERS> {
        row_major_tile(simd, query, &self.from(key), head_dim)
    }
}

/// Accumulators: rows × panels × registers of a panel.
type Sums<S, const ROWS: usize, const PANELS: usize, const REGISTERS: usize> =
    [[[<S as pulp::Simd>::f32s; REGISTERS]; PANELS]; ROWS];

/// The scores of `ROWS` packed query rows against `PANELS` packed panels.
///
/// The query comes in chunks of [`QUERY_CHUNK`] dimensions, so that one pointer with constant offsets
/// reaches all rows.
#[inline(always)]
pub(crate) fn tile<S: SimdExt, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
    simd: S,
    query: &[[[f32; QUERY_CHUNK]; ROWS]],
    panels: [&[[S::f32s; REGISTERS]]; PANELS],
    mut queue: Option<&mut StoreQueue<'_>>,
) -> Sums<S, ROWS, PANELS, REGISTERS> {
    let mut sums = [[[simd.splat_f32s(0.0); REGISTERS]; PANELS]; ROWS];
    let chunks = panels[0].len() / QUERY_CHUNK;
    for (chunk, query) in query[..chunks].iter().enumerate() {
        let keys = panels.map(|panel| &panel.as_chunks::<QUERY_CHUNK>().0[chunk]);
        for dim in 0..QUERY_CHUNK / 2 {
            multiply_add(simd, query, dim, keys.map(|keys| keys[dim]), &mut sums);
            simd.scheduling_barrier();
        }
        // Large tiles have time for a line every half a chunk. (Of a loop over halves the compiler
        // makes a loop.)
        if const { ROWS * PANELS > 8 }
            && let Some(queue) = &mut queue
        {
            simd.drain_step(queue);
        }
        for dim in QUERY_CHUNK / 2..QUERY_CHUNK {
            multiply_add(simd, query, dim, keys.map(|keys| keys[dim]), &mut sums);
            simd.scheduling_barrier();
        }
        if const { ROWS > 1 }
            && let Some(queue) = &mut queue
        {
            simd.drain_step(queue);
        }
    }
    if let Some(query) = query.get(chunks) {
        for dim in 0..panels[0].len() % QUERY_CHUNK {
            let keys = panels.map(|panel| panel[chunks * QUERY_CHUNK + dim]);
            multiply_add(simd, query, dim, keys, &mut sums);
        }
    }
    sums
}

/// As [`tile`], from the caller's rows.
#[inline(always)]
fn row_major_tile<
    S: SimdExt,
    T: Widen,
    const ROWS: usize,
    const PANELS: usize,
    const REGISTERS: usize,
>(
    simd: S,
    query: &[[[f32; QUERY_CHUNK]; ROWS]],
    &RowMajorKeys { rows: elements, words, first_key, beyond_l2, stream }: &RowMajorKeys<'_, T>,
    head_dim: usize,
) -> Sums<S, ROWS, PANELS, REGISTERS> {
    let mut sums = [[[simd.splat_f32s(0.0); REGISTERS]; PANELS]; ROWS];
    let stride = words.row_stride;
    let rows = &words.data[first_key * stride..];
    let blocks = head_dim / (TRANSPOSE_WORDS * T::PER_WORD);
    let keys = PANELS * PANEL;
    let row_words = head_dim / T::PER_WORD;
    let mut next = PrefetchCursor::of_rows(&words, first_key + keys, row_words);
    if let Some(stream) = stream {
        // In each step a part of the next panels of all streams: by their next turn they are there.
        let part = keys / STREAMS;
        let first = first_key - stream.index * stream.keys + keys + stream.index * part;
        next = PrefetchCursor::of_rows(&words, first, row_words).with_streams(stream.keys);
        next = next.with_l2_distance(keys);
    } else if beyond_l2 {
        next = next.with_l2_distance(2 * PANEL);
        // Rows with gaps between them are no stream.
        if stride == row_words {
            prefetch_pages(simd, rows[..keys * stride].as_ptr_range());
        }
    }
    #[cfg(feature = "half")]
    let mut halves = [Halves::default(); PANELS];
    for block in 0..blocks {
        let first_word = block * TRANSPOSE_WORDS;
        let first_dim = first_word * T::PER_WORD;
        let query = &query[first_dim / QUERY_CHUNK];
        let words = Words { rows: &rows[first_word..], stride, first_dim: first_dim % QUERY_CHUNK };
        #[cfg(feature = "half")]
        if const { through_l1::<T>(ROWS, PANELS, REGISTERS) } {
            let sums = sums[0].as_flattened_mut();
            words.multiply_add_halves(simd, &query[0], &mut next, &mut halves, sums);
            continue;
        }
        for panel in 0..PANELS {
            next.prefetch_block(simd);
            let registers = panel * REGISTERS..(panel + 1) * REGISTERS;
            // A single row has one chain per register: two registers of a panel side by side share
            // each broadcast of the query.
            if const { ROWS == 1 && REGISTERS.is_multiple_of(2) } {
                for register in registers.step_by(2) {
                    words.multiply_add::<S, T, _, _, _, 2>(simd, query, register, &mut sums);
                }
            } else {
                for register in registers {
                    words.multiply_add::<S, T, _, _, _, 1>(simd, query, register, &mut sums);
                }
            }
        }
    }
    for dim in blocks * TRANSPOSE_WORDS * T::PER_WORD..head_dim {
        let mut keys = [[simd.splat_f32s(0.0); REGISTERS]; PANELS];
        let lanes: &mut [f32] = pulp::bytemuck::cast_slice_mut(keys.as_flattened_mut());
        for (key, lane) in lanes.iter_mut().enumerate() {
            *lane = elements.data[(first_key + key) * elements.row_stride + dim].widen();
        }
        multiply_add(simd, &query[dim / QUERY_CHUNK], dim % QUERY_CHUNK, keys, &mut sums);
    }
    sums
}

/// Whether keys are transposed as 16-bit halves into L1, from where an instruction loads and widens
/// them: f16 for a single row with registers of eight lanes.
#[cfg(feature = "half")]
const fn through_l1<T: Widen>(rows: usize, panels: usize, registers: usize) -> bool {
    T::IS_F16 && rows == 1 && panels == 2 && registers == 2
}

/// Some words of row-major keys.
struct Words<'a> {
    /// The rows of the keys from these words on.
    rows: &'a [f32],
    stride: usize,
    /// The first dimension, of those in a chunk of the query.
    first_dim: usize,
}

impl Words<'_> {
    /// All their dimensions of some panels for a single row, [through L1](through_l1); prefetches as
    /// much of what is next.
    #[cfg(feature = "half")]
    #[inline(always)]
    fn multiply_add_halves<S: SimdExt>(
        &self,
        simd: S,
        query: &[f32; QUERY_CHUNK],
        next: &mut PrefetchCursor,
        panels: &mut [Halves],
        sums: &mut [S::f32s],
    ) {
        for (i, panel) in panels.iter_mut().enumerate() {
            next.prefetch_block(simd);
            simd.transpose_halves(&self.rows[i * PANEL * self.stride..], self.stride, panel);
        }
        for dim in 0..2 * TRANSPOSE_WORDS {
            let element = simd.splat_f32s(query[self.first_dim + dim]);
            let (registers, _) = sums.as_chunks_mut::<2>();
            for (sums, panel) in registers.iter_mut().zip(&*panels) {
                let keys = simd.widen_halves::<2>(&panel[dim]);
                for (sum, keys) in sums.iter_mut().zip(keys) {
                    *sum = simd.mul_add_f32s(element, keys, *sum);
                }
            }
        }
        for sum in sums {
            *sum = simd.pin_in_register(*sum);
        }
        simd.scheduling_barrier();
    }

    /// All their dimensions of `TOGETHER` registers of keys, `register` and those after it.
    #[inline(always)]
    fn multiply_add<
        S: SimdExt,
        T: Widen,
        const ROWS: usize,
        const PANELS: usize,
        const REGISTERS: usize,
        const TOGETHER: usize,
    >(
        &self,
        simd: S,
        query: &[[f32; QUERY_CHUNK]; ROWS],
        register: usize,
        sums: &mut Sums<S, ROWS, PANELS, REGISTERS>,
    ) {
        let mut blocks = [[[simd.splat_f32s(0.0); 2]; TRANSPOSE_WORDS]; TOGETHER];
        for (i, block) in blocks.iter_mut().enumerate() {
            let key = (register + i) * S::F32_LANES;
            *block = T::load_transposed(simd, &self.rows[key * self.stride..], self.stride);
        }
        // AVX2 cannot hold the sums of all registers, but those of these.
        let mut part = [[simd.splat_f32s(0.0); TOGETHER]; ROWS];
        for (part, sums) in part.iter_mut().zip(&*sums) {
            part.copy_from_slice(&sums.as_flattened()[register..][..TOGETHER]);
        }
        for word in 0..TRANSPOSE_WORDS {
            for half in 0..T::PER_WORD {
                let dim = self.first_dim + word * T::PER_WORD + half;
                for (query, part) in query.iter().zip(&mut part) {
                    let element = simd.splat_f32s(query[dim]);
                    for (block, part) in blocks.iter().zip(part) {
                        *part = simd.mul_add_f32s(element, block[word][half], *part);
                    }
                }
            }
        }
        for (part, sums) in part.iter().zip(sums) {
            for (part, sum) in part.iter().zip(&mut sums.as_flattened_mut()[register..]) {
                *sum = simd.pin_in_register(*part);
            }
        }
        simd.scheduling_barrier();
    }
}

/// One dimension of a tile.
#[inline(always)]
fn multiply_add<S: SimdExt, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
    simd: S,
    query: &[[f32; QUERY_CHUNK]; ROWS],
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
pub(crate) struct TilePass<'a, B> {
    /// The packed rows, at most [`TileShape::rows`](crate::layout::TileShape::rows).
    pub(crate) query: &'a [f32],
    pub(crate) rows: &'a [Row],
    pub(crate) head_dim: usize,
    /// The keys of the pass: whole panels, of which the last one may be padded.
    pub(crate) first_key: usize,
    pub(crate) end_key: usize,
    /// Those to which all rows attend.
    pub(crate) all_rows: Range<usize>,
    /// The scores of the rows from that key on; rows are `pitch` elements apart.
    pub(crate) scores: &'a mut [f32],
    pub(crate) pitch: usize,
    /// The running maxima of the rows, a line each, as many lanes of it in use as registers have.
    pub(crate) maxima: &'a mut [f32],
    pub(crate) background: &'a mut B,
}

impl<'q, B: Background<'q>> TilePass<'_, B> {
    /// Computes the scores and the running maxima against the keys from the first one of the pass on.
    /// The scores of keys to which a row does not attend by its position are −∞.
    #[inline(always)]
    pub(crate) fn compute<S: SimdExt>(self, simd: S, keys: HeadKeys<'_>) {
        match keys {
            HeadKeys::Panels(keys) => self.compute_from(simd, keys),
            HeadKeys::F32(keys) => self.compute_from(simd, keys),
            #[cfg(feature = "half")]
            HeadKeys::F16(keys) => self.compute_from(simd, keys),
            #[cfg(feature = "half")]
            HeadKeys::Bf16(keys) => self.compute_from(simd, keys),
        }
    }

    #[inline(always)]
    fn compute_from<S: SimdExt, K: Source>(self, simd: S, keys: K) {
        let background = PhantomData;
        with_row_count(simd, self.rows.len(), PassFrom { pass: self, keys, background });
    }
}

/// A pass whose kind of keys is a constant.
#[derive(Debug)]
struct PassFrom<'a, 'q, B, K> {
    pass: TilePass<'a, B>,
    keys: K,
    background: PhantomData<StoreQueue<'q>>,
}

impl<'q, B: Background<'q>, K: Source> RowKernel for PassFrom<'_, 'q, B, K> {
    const HALF_REGISTERS: bool = K::HALF_REGISTERS;

    /// Steps of as many panels as there are registers for: few rows leave room for more keys, and
    /// need them to hide the latency of the FMA. Panels to which some rows attend in part come one
    /// by one.
    #[inline(always)]
    fn run<S: SimdExt, const ROWS: usize, const REGISTERS: usize>(mut self, simd: S) {
        const { assert!(PANEL == LINE) };
        let at_once = if ROWS == 1 && S::F32_LANES > 1 { 4 } else { S::TILE.panels };
        let at_once = at_once.min(self.keys.panels_at_once::<S>(ROWS, self.pass.head_dim));
        let TilePass { first_key, end_key, .. } = self.pass;
        let in_pass = |key: usize| key.clamp(first_key, end_key) - first_key;
        let end = end_key - first_key;
        // Whole panels to which all rows attend.
        let inner_start = in_pass(self.pass.all_rows.start.next_multiple_of(PANEL));
        let inner_end = in_pass(self.pass.all_rows.end / PANEL * PANEL);
        // Streams of whole units of panels, all of them attended.
        let unit = at_once.min(2) * PANEL;
        let streamed = self.keys.wants_streams(ROWS, self.pass.head_dim)
            && inner_start == 0
            && inner_end == end
            && end.is_multiple_of(STREAMS * unit);
        let mut position = 0;
        while position < end {
            let mut key = position;
            let mut inner = if key < inner_start { 0 } else { inner_end.saturating_sub(key) };
            if streamed {
                let (index, keys) = (position / unit % STREAMS, end / STREAMS);
                key = index * keys + position / (STREAMS * unit) * unit;
                inner = unit;
                self.keys = self.keys.in_stream(Stream { index, keys });
            }
            position += if at_once == 4 && inner >= 4 * PANEL {
                self.step::<S, ROWS, 4, REGISTERS>(simd, key, true)
            } else if at_once >= 2 && inner >= 2 * PANEL {
                self.step::<S, ROWS, 2, REGISTERS>(simd, key, true)
            } else {
                self.step::<S, ROWS, 1, REGISTERS>(simd, key, inner > 0)
            };
        }
    }
}

impl<'q, B: Background<'q>, K: Source> PassFrom<'_, 'q, B, K> {
    /// `PANELS` panels from `key` on, which counts from the first one of the pass; returns how many
    /// keys these are. `whole` if all rows attend to all of them.
    #[inline(always)]
    fn step<S: SimdExt, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
        &mut self,
        simd: S,
        key: usize,
        whole: bool,
    ) -> usize {
        let PassFrom { pass, keys, .. } = self;
        let query = &pass.query[..ROWS * pass.head_dim.next_multiple_of(QUERY_CHUNK)];
        let (query, _) = query.as_chunks::<QUERY_CHUNK>().0.as_chunks::<ROWS>();
        let queue = pass.background.before_tile(pass.head_dim / QUERY_CHUNK);
        let mut sums: Sums<S, ROWS, PANELS, REGISTERS> =
            keys.sums(simd, query, key, pass.head_dim, queue);
        if !whole {
            // As an array of as many rows as sums: else the compiler keeps the sums in memory.
            let rows = pass.rows.first_chunk::<ROWS>().expect("a row for each sum");
            exclude(simd, rows, pass.first_key + key, &mut sums);
        }
        let width = PANELS * PANEL;
        let scores = &mut pass.scores[key..][..(ROWS - 1) * pass.pitch + width];
        // The maxima stay in memory: the sums take all registers.
        let maxima = pass.maxima.as_chunks_mut::<LINE>().0[..ROWS].iter_mut();
        for ((row, sums), maxima) in sums.iter().enumerate().zip(maxima) {
            let scores = &mut scores[row * pass.pitch..][..width];
            S::as_mut_simd_f32s(scores).0.copy_from_slice(sums.as_flattened());
            let max = &mut S::as_mut_simd_f32s(maxima).0[0];
            for &scores in sums.as_flattened() {
                *max = simd.max_f32s(scores, *max);
            }
        }
        pass.background.after_tile(simd, ROWS * width);
        width
    }
}
