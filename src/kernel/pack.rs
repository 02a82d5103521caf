//! Packing: from the caller's strides to what the tile reads.
//!
//! Queries are multiplied once by the factor that turns the tile's sums into scores, and laid out
//! tile by tile: `query[run · rows + row][dimension in run]`. Keys become *panels* of 16, dimension
//! by dimension, `panel[dim · 16 + key]`, so that keys lie in lanes and a tile reads ascending
//! streams; 16 is a whole number of registers everywhere, so packed keys serve every instruction
//! set. Missing keys of the last panel are zeros. Nothing below this knows strides.

use super::widen::Widen;
use crate::element::Elements;
use crate::lanes::{BLOCK_WORDS, Lanes};
use crate::workspace::LINE;
use core::array::from_fn;
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

impl<'a, T: Widen> HeadRows<&'a [T]> {
    /// The rows as words, if dimensions are next to each other and rows start with a word.
    #[inline(always)]
    pub(crate) fn words(&self) -> Option<HeadRows<&'a [f32]>> {
        let aligned = self.dim_stride == 1 && self.row_stride.is_multiple_of(T::PER_WORD);
        let words = T::words(self.data).filter(|_| aligned)?;
        Some(HeadRows { row_stride: self.row_stride / T::PER_WORD, ..self.with(words) })
    }
}

impl HeadRows<Elements<'_>> {
    /// Whether tiles can read the rows as they are.
    pub(crate) fn are_words(&self) -> bool {
        match self.data {
            Elements::F32(data) => self.with(data).words().is_some(),
            #[cfg(feature = "half")]
            Elements::F16(data) => self.with(data).words().is_some(),
            #[cfg(feature = "half")]
            Elements::Bf16(data) => self.with(data).words().is_some(),
        }
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
    /// Rows that are left, for [`Ahead::take`].
    rows: usize,
}

impl Ahead {
    pub(crate) const NOTHING: Ahead =
        Ahead { row: core::ptr::null(), row_stride: 0, line: 0, lines_per_row: 1, rows: 0 };

    /// From row `first` of a head on, which need not exist.
    #[inline(always)]
    pub(crate) fn of_rows(head: &HeadRows<&[f32]>, first: usize, row_words: usize) -> Self {
        let row = head.data.as_ptr().wrapping_add(first * head.row_stride);
        let lines_per_row = row_words.div_ceil(LINE).max(1);
        let rows = head.rows.saturating_sub(first);
        Ahead { row, row_stride: head.row_stride, line: 0, lines_per_row, rows }
    }

    /// Some rows of a head of any type; nothing of rows that are no words.
    #[inline(always)]
    pub(crate) fn of_head(
        head: &HeadRows<Elements<'_>>,
        rows: Range<usize>,
        head_dim: usize,
    ) -> Self {
        #[inline(always)]
        fn of<T: Widen>(head: HeadRows<&[T]>, first: usize, head_dim: usize) -> Ahead {
            let of_words = |words| Ahead::of_rows(&words, first, head_dim / T::PER_WORD);
            head.words().map_or(Ahead::NOTHING, of_words)
        }
        let ahead = match head.data {
            Elements::F32(data) => of(head.with(data), rows.start, head_dim),
            #[cfg(feature = "half")]
            Elements::F16(data) => of(head.with(data), rows.start, head_dim),
            #[cfg(feature = "half")]
            Elements::Bf16(data) => of(head.with(data), rows.start, head_dim),
        };
        Ahead { rows: ahead.rows.min(rows.len()), ..ahead }
    }

    /// The next lines that stand together, `most` at most, which counts them as asked for.
    #[inline(always)]
    pub(crate) fn take(&mut self, most: usize) -> (*const f32, usize) {
        if self.rows == 0 {
            return (self.row, 0);
        }
        let next = self.row.wrapping_add(self.line * LINE);
        let lines = most.min(self.lines_per_row - self.line);
        self.line += lines;
        if self.line == self.lines_per_row {
            (self.line, self.rows) = (0, self.rows - 1);
            self.row = self.row.wrapping_add(self.row_stride);
        }
        (next, lines)
    }

    /// Asks for as much as a block of words of one panel is.
    #[inline(always)]
    pub(crate) fn prefetch_block<S: Lanes>(&mut self, simd: S) {
        const LINES: usize = BLOCK_WORDS * PANEL / LINE;
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
    if head.dim_stride != 1 {
        let packed = packed.iter_mut().step_by(pitch).flatten();
        for (dim, packed) in packed.enumerate().take(head_dim) {
            *packed = elements[dim * head.dim_stride].widen() * factor;
        }
        return;
    }
    let (runs, rest) = elements[..head_dim].as_chunks::<QUERY_RUN>();
    for (run, packed) in runs.iter().zip(packed.chunks_mut(pitch)) {
        packed[0] = run.map(|element| element.widen() * factor);
    }
    if !rest.is_empty() {
        for (packed, element) in packed[runs.len() * pitch].iter_mut().zip(rest) {
            *packed = element.widen() * factor;
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
        Elements::F32(data) => pack_rows(simd, &head.with(data), first_key, panel),
        #[cfg(feature = "half")]
        Elements::F16(data) => pack_rows(simd, &head.with(data), first_key, panel),
        #[cfg(feature = "half")]
        Elements::Bf16(data) => pack_rows(simd, &head.with(data), first_key, panel),
    }
}

#[inline(always)]
fn pack_rows<S: Lanes, T: Widen>(
    simd: S,
    head: &HeadRows<&[T]>,
    first_key: usize,
    panel: &mut [f32],
) {
    let head_dim = panel.len() / PANEL;
    let keys = PANEL.min(head.rows.saturating_sub(first_key));
    if keys < PANEL {
        panel.fill(0.0);
    }
    match head.words() {
        Some(words) if keys == PANEL && head_dim > 0 => {
            let mut next = Ahead::of_rows(&words, first_key + PANEL, head_dim / T::PER_WORD);
            for _ in 0..head_dim / (BLOCK_WORDS * T::PER_WORD) {
                next.prefetch_block(simd);
            }
            for key in (0..PANEL).step_by(S::F32_LANES) {
                pack_register(simd, head, &words, first_key + key, &mut panel[key..]);
            }
        }
        _ if head.dim_stride == 1 => pack_few(head, first_key, keys, panel),
        _ if head.row_stride == 1 => {
            for (dim, packed) in panel.chunks_exact_mut(PANEL).enumerate() {
                let start = dim * head.dim_stride + first_key;
                for (packed, element) in packed.iter_mut().zip(&head.data[start..][..keys]) {
                    *packed = element.widen();
                }
            }
        }
        _ => pack_lanes(head, first_key, 0..keys, panel),
    }
}

/// One register of keys, all dimensions, through transposing loads of words.
#[inline(always)]
fn pack_register<S: Lanes, T: Widen>(
    simd: S,
    head: &HeadRows<&[T]>,
    words: &HeadRows<&[f32]>,
    first_key: usize,
    packed: &mut [f32],
) {
    let head_dim = packed.len().div_ceil(PANEL);
    let blocks = head_dim / (BLOCK_WORDS * T::PER_WORD);
    let rows = &words.data[first_key * words.row_stride..];
    for block in 0..blocks {
        let first_word = block * BLOCK_WORDS;
        let words = simd.load_transposed(&rows[first_word..], words.row_stride);
        for (word, elements) in (first_word..).zip(words) {
            for (i, element) in T::unpack(simd, elements)[..T::PER_WORD].iter().enumerate() {
                let packed = &mut packed[(word * T::PER_WORD + i) * PANEL..][..S::F32_LANES];
                S::as_mut_simd_f32s(packed).0[0] = *element;
            }
        }
    }
    for dim in blocks * BLOCK_WORDS * T::PER_WORD..head_dim {
        for key in 0..S::F32_LANES {
            let element = head.data[(first_key + key) * head.row_stride + dim];
            packed[dim * PANEL + key] = element.widen();
        }
    }
}

/// Fewer keys than a panel has, four at a time. Of the last four, a key that does not
/// exist is the last one that does: no result depends on it.
#[inline(always)]
fn pack_few<T: Widen>(head: &HeadRows<&[T]>, first_key: usize, keys: usize, panel: &mut [f32]) {
    let head_dim = panel.len() / PANEL;
    for key in (0..keys.min(PANEL)).step_by(FEW) {
        let row = |i: usize| {
            let row = first_key + (key + i).min(keys - 1);
            head.data[row * head.row_stride..][..head_dim].as_chunks::<FEW>()
        };
        let [(a, a_rest), (b, b_rest), (c, c_rest), (d, d_rest)] = from_fn(row);
        let (blocks, rest) = panel.as_chunks_mut::<{ FEW * PANEL }>();
        for ((((a, b), c), d), packed) in a.iter().zip(b).zip(c).zip(d).zip(blocks) {
            // Of fixed size, it is transposed in registers.
            for dim in 0..FEW {
                let elements = [a[dim], b[dim], c[dim], d[dim]].map(Widen::widen);
                packed[dim * PANEL..][..PANEL][key..][..FEW].copy_from_slice(&elements);
            }
        }
        for (dim, packed) in rest.chunks_exact_mut(PANEL).enumerate() {
            let elements = [a_rest[dim], b_rest[dim], c_rest[dim], d_rest[dim]].map(Widen::widen);
            packed[key..][..FEW].copy_from_slice(&elements);
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
