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
//! Few rows hide the latency of the FMA by several panels at a time, but keys from beyond the core's own
//! caches come fastest as one ascending stream, a panel after the other: the hardware then fetches
//! ahead at the rate of memory (1.3 to 1.7 times that of several streams with prefetch instructions).
//!
//! What did not help: fetching the next panel by prefetch instructions (the hardware sees the
//! stream); a pointer per query row (the loop runs out of integer registers).

use super::block::Row;
use super::output::Writer;
use super::pack::{Ahead, HeadRows, PANEL};
use super::pages::ask_for_pages;
use super::queries::QUERY_RUN;
use super::tile_work::{TileWork, call_for_rows};
use super::upcoming::Upcoming;
use super::widen::Widen;
use crate::element::Elements;
#[cfg(feature = "half")]
use crate::lanes::Halves;
use crate::lanes::{BLOCK_WORDS, Lanes, Meanwhile};
use crate::plan::Plan;
use crate::workspace::LINE;
use core::ops::Range;

/// Where a tile's keys come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeySource<'a> {
    Packed(Packed<'a>),
    Rows(Unpacked<Elements<'a>>),
}

/// Packed panels, one after another; `far` if they come from beyond the core's own caches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed<'a> {
    pub(crate) panels: &'a [f32],
    pub(crate) far: bool,
}

/// The rows of a head from a key on, as the caller has them; dimensions are next to each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unpacked<Data> {
    pub(crate) head: HeadRows<Data>,
    pub(crate) first_key: usize,
    pub(crate) far: bool,
}

impl<Data> Unpacked<Data> {
    /// The same keys of other data.
    #[inline(always)]
    fn with<Other>(&self, data: Other) -> Unpacked<Other> {
        let Unpacked { ref head, first_key, far } = *self;
        Unpacked { head: head.with(data), first_key, far }
    }
}

impl<'a> KeySource<'a> {
    /// All panels of a head.
    #[inline(always)]
    pub(crate) fn packed(panels: &'a [f32], plan: &Plan) -> Self {
        KeySource::Packed(Packed { panels, far: plan.keys_are_far })
    }

    /// All keys of a head.
    #[inline(always)]
    pub(crate) fn rows(head: HeadRows<Elements<'a>>, plan: &Plan) -> Self {
        KeySource::Rows(Unpacked { head, first_key: 0, far: plan.keys_are_far })
    }

    /// The same keys from `key` on, the first one of a panel.
    #[inline(always)]
    pub(crate) fn from(self, key: usize, head_dim: usize) -> Self {
        match self {
            KeySource::Packed(Packed { panels, far }) => {
                KeySource::Packed(Packed { panels: &panels[key * head_dim..], far })
            }
            KeySource::Rows(rows) => {
                KeySource::Rows(Unpacked { first_key: rows.first_key + key, ..rows })
            }
        }
    }
}

/// Keys of which a tile computes the sums.
trait Source: Copy {
    /// Whether a single row is better off with registers of half as many lanes.
    const HALF_REGISTERS: bool = false;

    /// How many panels a tile of so many rows may take at a time.
    fn panels_at_once<S: Lanes>(&self, rows: usize, head_dim: usize) -> usize;

    /// The sums of some packed rows and whole panels of keys from `key` on, which counts from the
    /// first one of the source.
    fn sums<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
        self,
        simd: S,
        query: &[[[f32; QUERY_RUN]; ROWS]],
        key: usize,
        head_dim: usize,
        meanwhile: &mut Meanwhile,
    ) -> Sums<S, ROWS, PANELS, REGISTERS>;
}

impl Packed<'_> {
    /// Whether so many rows wait for panels: more take longer over one than it takes to come.
    #[inline(always)]
    fn waits(&self, rows: usize) -> bool {
        self.far && rows <= 4
    }
}

impl Source for Packed<'_> {
    #[inline(always)]
    fn panels_at_once<S: Lanes>(&self, rows: usize, _: usize) -> usize {
        if self.waits(rows) { 1 } else { usize::MAX }
    }

    #[inline(always)]
    fn sums<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
        self,
        simd: S,
        query: &[[[f32; QUERY_RUN]; ROWS]],
        key: usize,
        head_dim: usize,
        meanwhile: &mut Meanwhile,
    ) -> Sums<S, ROWS, PANELS, REGISTERS> {
        let panels = &self.panels[key * head_dim..][..PANELS * PANEL * head_dim];
        if self.waits(ROWS) {
            ask_for_pages(simd, panels.as_ptr_range());
        }
        let (panels, _) = S::as_simd_f32s(panels).0.as_chunks::<REGISTERS>();
        let panel = |i: usize| &panels[i * head_dim..][..head_dim];
        tile(simd, query, core::array::from_fn(panel), Some(meanwhile))
    }
}

impl<T: Widen> Source for Unpacked<&[T]> {
    /// f32 come from memory 1.1 times faster by eight lanes, with huge pages.
    const HALF_REGISTERS: bool = T::PER_WORD == 1;

    /// What the tile reads and what comes next has to stay in L1. Two panels of narrow elements do,
    /// and for a single row, which has one or two chains a panel, are 1.1 to 1.2 times faster.
    #[inline(always)]
    fn panels_at_once<S: Lanes>(&self, rows: usize, head_dim: usize) -> usize {
        const HALF_OF_L1: usize = 16 << 10;
        let narrow = T::PER_WORD > 1 && 4 * PANEL * head_dim * size_of::<T>() <= HALF_OF_L1;
        if narrow && rows == 1 { 2 } else { 1 }
    }

    #[inline(always)]
    fn sums<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
        self,
        simd: S,
        query: &[[[f32; QUERY_RUN]; ROWS]],
        key: usize,
        head_dim: usize,
        _: &mut Meanwhile,
    ) -> Sums<S, ROWS, PANELS, REGISTERS> {
        let keys = Unpacked { first_key: self.first_key + key, ..self };
        tile_of_rows(simd, query, &keys, head_dim)
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
pub(crate) fn tile<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
    simd: S,
    query: &[[[f32; QUERY_RUN]; ROWS]],
    panels: [&[[S::f32s; REGISTERS]]; PANELS],
    mut meanwhile: Option<&mut Meanwhile>,
) -> Sums<S, ROWS, PANELS, REGISTERS> {
    let mut sums = [[[simd.splat_f32s(0.0); REGISTERS]; PANELS]; ROWS];
    let runs = panels[0].len() / QUERY_RUN;
    for (run, query) in query[..runs].iter().enumerate() {
        let keys = panels.map(|panel| &panel.as_chunks::<QUERY_RUN>().0[run]);
        for dim in 0..QUERY_RUN / 2 {
            multiply_add(simd, query, dim, keys.map(|keys| keys[dim]), &mut sums);
            simd.end_dimension();
        }
        // Large tiles have time for a line every half a run. (Of a loop over halves the compiler makes
        // a loop.)
        if const { ROWS * PANELS > 8 }
            && let Some(meanwhile) = &mut meanwhile
        {
            simd.go_on(meanwhile);
        }
        for dim in QUERY_RUN / 2..QUERY_RUN {
            multiply_add(simd, query, dim, keys.map(|keys| keys[dim]), &mut sums);
            simd.end_dimension();
        }
        if const { ROWS > 1 }
            && let Some(meanwhile) = &mut meanwhile
        {
            simd.go_on(meanwhile);
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
    &Unpacked { head, first_key, far }: &Unpacked<&[T]>,
    head_dim: usize,
) -> Sums<S, ROWS, PANELS, REGISTERS> {
    let mut sums = [[[simd.splat_f32s(0.0); REGISTERS]; PANELS]; ROWS];
    let words = head.words().expect("the plan packs keys that are no words");
    let stride = words.row_stride;
    let rows = &words.data[first_key * stride..];
    let blocks = head_dim / (BLOCK_WORDS * T::PER_WORD);
    let keys = PANELS * PANEL;
    let row_words = head_dim / T::PER_WORD;
    let mut next = Ahead::of_rows(&words, first_key + keys, row_words);
    if far {
        next = next.and_further(2 * PANEL);
        // Rows that do not follow on each other are no stream.
        if stride == row_words {
            ask_for_pages(simd, rows[..keys * stride].as_ptr_range());
        }
    }
    #[cfg(feature = "half")]
    let mut halves = [Halves::default(); PANELS];
    for block in 0..blocks {
        let first_word = block * BLOCK_WORDS;
        let first_dim = first_word * T::PER_WORD;
        let query = &query[first_dim / QUERY_RUN];
        let words = Words { rows: &rows[first_word..], stride, first_dim: first_dim % QUERY_RUN };
        #[cfg(feature = "half")]
        if const { by_way_of_l1::<T>(ROWS, PANELS, REGISTERS) } {
            let sums = sums[0].as_flattened_mut();
            words.multiply_add_halves(simd, &query[0], &mut next, &mut halves, sums);
            continue;
        }
        for panel in 0..PANELS {
            next.prefetch_block(simd);
            let registers = panel * REGISTERS..(panel + 1) * REGISTERS;
            // A single row has one chain a register: two of a panel side by side share each element of
            // the query.
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

/// Whether keys are transposed as halves of words into L1, where an instruction widens what it loads: f16 for a
/// single row with registers of eight lanes.
#[cfg(feature = "half")]
const fn by_way_of_l1<T: Widen>(rows: usize, panels: usize, registers: usize) -> bool {
    T::HALVES && rows == 1 && panels == 2 && registers == 2
}

/// Some words of keys as the caller has them.
struct Words<'a> {
    /// The rows of the keys from these words on.
    rows: &'a [f32],
    stride: usize,
    /// The first dimension, of those in a run of the query.
    first_dim: usize,
}

impl Words<'_> {
    /// All their dimensions of some panels for a single row, [by way of L1](by_way_of_l1); asks for as much of what is
    /// next.
    #[cfg(feature = "half")]
    #[inline(always)]
    fn multiply_add_halves<S: Lanes>(
        &self,
        simd: S,
        query: &[f32; QUERY_RUN],
        next: &mut Ahead,
        panels: &mut [Halves],
        sums: &mut [S::f32s],
    ) {
        for (i, panel) in panels.iter_mut().enumerate() {
            next.prefetch_block(simd);
            simd.transpose_halves(&self.rows[i * PANEL * self.stride..], self.stride, panel);
        }
        for dim in 0..2 * BLOCK_WORDS {
            let element = simd.splat_f32s(query[self.first_dim + dim]);
            let (registers, _) = sums.as_chunks_mut::<2>();
            for (sums, panel) in registers.iter_mut().zip(&*panels) {
                let keys = simd.widen_halves(&panel[dim]);
                for (sum, keys) in sums.iter_mut().zip(keys) {
                    *sum = simd.mul_add_f32s(element, keys, *sum);
                }
            }
        }
        for sum in sums {
            *sum = simd.settled(*sum);
        }
        simd.end_dimension();
    }

    /// All their dimensions of `TOGETHER` registers of keys, the first of which is this one of all.
    #[inline(always)]
    fn multiply_add<
        S: Lanes,
        T: Widen,
        const ROWS: usize,
        const PANELS: usize,
        const REGISTERS: usize,
        const TOGETHER: usize,
    >(
        &self,
        simd: S,
        query: &[[f32; QUERY_RUN]; ROWS],
        register: usize,
        sums: &mut Sums<S, ROWS, PANELS, REGISTERS>,
    ) {
        let mut blocks = [[[simd.splat_f32s(0.0); 2]; BLOCK_WORDS]; TOGETHER];
        for (i, block) in blocks.iter_mut().enumerate() {
            let key = (register + i) * S::F32_LANES;
            *block = T::load_transposed(simd, &self.rows[key * self.stride..], self.stride);
        }
        // What all registers have is more than AVX2 can hold; the sums of these are.
        let mut part = [[simd.splat_f32s(0.0); TOGETHER]; ROWS];
        for (part, sums) in part.iter_mut().zip(&*sums) {
            part.copy_from_slice(&sums.as_flattened()[register..][..TOGETHER]);
        }
        for word in 0..BLOCK_WORDS {
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
                *sum = simd.settled(*part);
            }
        }
        simd.end_dimension();
    }
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
    /// Takes a turn after each step.
    pub(crate) writer: &'a mut Writer<'w>,
    pub(crate) upcoming: &'a mut Upcoming,
}

impl TilePass<'_, '_> {
    /// Computes the scores, and keeps the maxima. The scores of keys to which a row does not attend
    /// are −∞.
    #[inline(always)]
    pub(crate) fn compute<S: Lanes>(self, simd: S) {
        match self.keys {
            KeySource::Packed(packed) => self.compute_from(simd, packed),
            KeySource::Rows(rows) => match rows.head.data {
                Elements::F32(data) => self.compute_from(simd, rows.with(data)),
                #[cfg(feature = "half")]
                Elements::F16(data) => self.compute_from(simd, rows.with(data)),
                #[cfg(feature = "half")]
                Elements::Bf16(data) => self.compute_from(simd, rows.with(data)),
            },
        }
    }

    #[inline(always)]
    fn compute_from<S: Lanes, K: Source>(self, simd: S, keys: K) {
        call_for_rows(simd, self.rows.len(), PassFrom(self, keys));
    }
}

/// A pass whose kind of keys is a constant.
#[derive(Debug)]
struct PassFrom<'a, 'w, K>(TilePass<'a, 'w>, K);

impl<K: Source> TileWork for PassFrom<'_, '_, K> {
    const HALF_REGISTERS: bool = K::HALF_REGISTERS;

    /// Steps of as many panels as there are registers for: few rows leave room for more keys, and
    /// need them to hide the latency of the FMA. Panels to which some rows attend in part come one
    /// by one.
    #[inline(always)]
    fn run<S: Lanes, const ROWS: usize, const REGISTERS: usize>(mut self, simd: S) {
        const { assert!(PANEL == LINE) };
        let at_once = if ROWS == 1 && S::F32_LANES > 1 { 4 } else { S::TILE.panels };
        let at_once = at_once.min(self.1.panels_at_once::<S>(ROWS, self.0.head_dim));
        let TilePass { first_key, end_key, .. } = self.0;
        let in_pass = |key: usize| key.clamp(first_key, end_key) - first_key;
        let end = end_key - first_key;
        // Whole panels to which all rows attend.
        let inner_start = in_pass(self.0.all_rows.start.next_multiple_of(PANEL));
        let inner_end = in_pass(self.0.all_rows.end / PANEL * PANEL);
        let mut key = 0;
        while key < end {
            let inner = if key < inner_start { 0 } else { inner_end.saturating_sub(key) };
            key += if at_once == 4 && inner >= 4 * PANEL {
                self.step::<S, ROWS, 4, REGISTERS>(simd, key, true)
            } else if at_once >= 2 && inner >= 2 * PANEL {
                self.step::<S, ROWS, 2, REGISTERS>(simd, key, true)
            } else {
                self.step::<S, ROWS, 1, REGISTERS>(simd, key, inner > 0)
            };
        }
    }
}

impl<K: Source> PassFrom<'_, '_, K> {
    /// `PANELS` panels from `key` on, which counts from the first one of the pass; returns how many
    /// keys these are. `whole` if all rows attend to all of them.
    #[inline(always)]
    fn step<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
        &mut self,
        simd: S,
        key: usize,
        whole: bool,
    ) -> usize {
        let PassFrom(pass, keys) = self;
        let query = &pass.query[..ROWS * pass.head_dim.next_multiple_of(QUERY_RUN)];
        let (query, _) = query.as_chunks::<QUERY_RUN>().0.as_chunks::<ROWS>();
        let upcoming = pass.upcoming.take(pass.head_dim / QUERY_RUN);
        let meanwhile = pass.writer.meanwhile();
        meanwhile.fetch(upcoming);
        let mut sums: Sums<S, ROWS, PANELS, REGISTERS> =
            keys.sums(simd, query, key, pass.head_dim, meanwhile);
        if !whole {
            // As many rows as sums, known to the compiler: else it keeps these in memory throughout.
            let rows = pass.rows.first_chunk::<ROWS>().expect("a row for each sum");
            exclude(simd, rows, pass.first_key + key, &mut sums);
        }
        let width = PANELS * PANEL;
        let scores = &mut pass.scores[key..][..(ROWS - 1) * pass.pitch + width];
        // The maxima stay in memory: in registers they would be too many beside the sums.
        let maxima = pass.maxima.as_chunks_mut::<LINE>().0[..ROWS].iter_mut();
        for ((row, sums), maxima) in sums.iter().enumerate().zip(maxima) {
            let scores = &mut scores[row * pass.pitch..][..width];
            S::as_mut_simd_f32s(scores).0.copy_from_slice(sums.as_flattened());
            let max = &mut S::as_mut_simd_f32s(maxima).0[0];
            for &scores in sums.as_flattened() {
                *max = simd.max_f32s(scores, *max);
            }
        }
        pass.writer.write_tile(simd, ROWS * width);
        width
    }
}

/// −∞ for keys to which rows do not attend. The first one is `first`.
#[inline(always)]
pub(crate) fn exclude<S: Lanes, const ROWS: usize, const PANELS: usize, const REGISTERS: usize>(
    simd: S,
    rows: &[Row; ROWS],
    first: usize,
    sums: &mut Sums<S, ROWS, PANELS, REGISTERS>,
) {
    for (row, sums) in rows.iter().zip(sums) {
        for (panel, sums) in sums.iter_mut().enumerate() {
            let first = first + panel * PANEL;
            let attended = row.keys_in(&(first..first + PANEL));
            let attended = attended.start - first..attended.end - first;
            for (register, score) in sums.iter_mut().enumerate() {
                let kept = lanes_within(simd, register * S::F32_LANES, &attended);
                *score = simd.keep(kept, *score);
            }
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
const LANES: [u32; PANEL] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
