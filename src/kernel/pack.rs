//! Packing keys: from the caller's strides to what the tile reads.
//!
//! Keys become *panels* of 16, dimension by dimension, `panel[dim · 16 + key]`, so that keys lie in
//! lanes and a tile reads ascending streams; 16 is a whole number of registers everywhere, so packed
//! keys serve every instruction set. Missing keys of the last panel are zeros. Nothing below this
//! knows strides.

use super::widen::Widen;
use crate::element::Elements;
use crate::lanes::{BLOCK_WORDS, Lanes};
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
    /// Elements to the line that is asked for at the same time, to L2; 0 if none is.
    further: usize,
    /// Rows that are left, for [`Ahead::take`].
    rows: usize,
}

impl Ahead {
    pub(crate) const NOTHING: Ahead = Ahead {
        row: core::ptr::null(),
        row_stride: 0,
        line: 0,
        lines_per_row: 1,
        further: 0,
        rows: 0,
    };

    /// From row `first` of a head on, which need not exist.
    #[inline(always)]
    pub(crate) fn of_rows(head: &HeadRows<&[f32]>, first: usize, row_words: usize) -> Self {
        let row = head.data.as_ptr().wrapping_add(first * head.row_stride);
        let lines_per_row = row_words.div_ceil(LINE).max(1);
        let rows = head.rows.saturating_sub(first);
        Ahead { row, row_stride: head.row_stride, line: 0, lines_per_row, further: 0, rows }
    }

    /// Asks for what is so many rows further, too, but only to L2. L1 waits for too few lines at a
    /// time to keep memory busy.
    #[inline(always)]
    pub(crate) fn and_further(self, rows: usize) -> Self {
        Ahead { further: rows * self.row_stride, ..self }
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
        let next = self.row.wrapping_add(self.line * LINE);
        for line in 0..LINES {
            simd.prefetch(next.wrapping_add(line * LINE));
        }
        if self.further > 0 {
            let further = next.wrapping_add(self.further);
            for line in 0..LINES {
                simd.prefetch_to_l2(further.wrapping_add(line * LINE));
            }
        }
        self.line += LINES;
        while self.line >= self.lines_per_row {
            self.line -= self.lines_per_row;
            self.row = self.row.wrapping_add(self.row_stride);
        }
    }
}

/// Writes one panel of `KEYS` keys: `first_key..` of the head, zeros where there are none.
#[inline(always)]
pub(crate) fn pack_panel<S: Lanes, const KEYS: usize>(
    simd: S,
    head: &HeadRows<Elements<'_>>,
    first_key: usize,
    room: &mut FewRows<KEYS>,
    panel: &mut [f32],
) {
    match head.data {
        Elements::F32(data) => {
            pack_rows::<S, _, KEYS>(simd, &head.with(data), first_key, room, panel)
        }
        #[cfg(feature = "half")]
        Elements::F16(data) => {
            pack_rows::<S, _, KEYS>(simd, &head.with(data), first_key, room, panel)
        }
        #[cfg(feature = "half")]
        Elements::Bf16(data) => {
            pack_rows::<S, _, KEYS>(simd, &head.with(data), first_key, room, panel)
        }
    }
}

#[inline(always)]
fn pack_rows<S: Lanes, T: Widen, const KEYS: usize>(
    simd: S,
    head: &HeadRows<&[T]>,
    first_key: usize,
    room: &mut FewRows<KEYS>,
    panel: &mut [f32],
) {
    let head_dim = panel.len() / KEYS;
    let keys = KEYS.min(head.rows.saturating_sub(first_key));
    match head.words() {
        Some(words) if keys == KEYS && head_dim > 0 => {
            let next = Ahead::of_rows(&words, first_key + KEYS, head_dim / T::PER_WORD);
            // Packing a panel takes no longer than it takes to come: far ahead, then.
            let mut next = next.and_further(4 * KEYS);
            for _ in 0..head_dim / (BLOCK_WORDS * T::PER_WORD) {
                next.prefetch_block(simd);
            }
            let rows = &words.data[first_key * words.row_stride..];
            pack_words::<S, T, KEYS>(simd, rows, words.row_stride, panel);
            let rest = head_dim / BLOCK_WORDS / T::PER_WORD * BLOCK_WORDS * T::PER_WORD..head_dim;
            if !rest.is_empty() {
                pack_elements::<T, KEYS>(head, first_key, 0..KEYS, rest, panel);
            }
        }
        Some(words) if head_dim > 0 => {
            pack_few::<S, T, KEYS>(simd, head, &words, first_key, keys, room, panel)
        }
        _ => {
            if keys < KEYS {
                panel.fill(0.0);
            }
            pack_elements::<T, KEYS>(head, first_key, 0..keys, 0..head_dim, panel);
        }
    }
}

/// A panel of rows of words that start `row_stride` words apart: whole blocks of these.
#[inline(always)]
fn pack_words<S: Lanes, T: Widen, const KEYS: usize>(
    simd: S,
    rows: &[f32],
    row_stride: usize,
    panel: &mut [f32],
) {
    let block_dims = BLOCK_WORDS * T::PER_WORD;
    for register in (0..KEYS).step_by(S::F32_LANES) {
        let rows = &rows[register * row_stride..];
        for (i, packed) in panel.chunks_exact_mut(block_dims * KEYS).enumerate() {
            let block = T::load_transposed(simd, &rows[i * BLOCK_WORDS..], row_stride);
            let mut packed = packed.as_chunks_mut::<KEYS>().0.iter_mut();
            for word in &block {
                for (element, packed) in word[..T::PER_WORD].iter().zip(&mut packed) {
                    S::as_mut_simd_f32s(&mut packed[register..][..S::F32_LANES]).0[0] = *element;
                }
            }
        }
    }
}

/// Words of a row that are copied at a time where keys are fewer than a panel has.
const FEW_WORDS: usize = 32;

/// Room for the rows of a panel that has not all its keys.
#[derive(Debug)]
pub(crate) struct FewRows<const KEYS: usize>([[f32; FEW_WORDS]; KEYS]);

impl<const KEYS: usize> FewRows<KEYS> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        FewRows([[0.0; FEW_WORDS]; KEYS])
    }
}

/// Fewer keys than a panel has: copied first, some words at a time, next to rows of zeros.
#[inline(always)]
fn pack_few<S: Lanes, T: Widen, const KEYS: usize>(
    simd: S,
    head: &HeadRows<&[T]>,
    words: &HeadRows<&[f32]>,
    first_key: usize,
    keys: usize,
    FewRows(room): &mut FewRows<KEYS>,
    panel: &mut [f32],
) {
    let head_dim = panel.len() / KEYS;
    let block_dims = BLOCK_WORDS * T::PER_WORD;
    let whole_dims = head_dim / block_dims * block_dims;
    room[keys..].fill([0.0; FEW_WORDS]);
    let whole = panel[..whole_dims * KEYS].chunks_mut(FEW_WORDS * T::PER_WORD * KEYS);
    for (i, packed) in whole.enumerate() {
        let words_now = packed.len() / (T::PER_WORD * KEYS);
        for (key, row) in (first_key..).zip(&mut room[..keys]) {
            let from = &words.data[key * words.row_stride + i * FEW_WORDS..][..words_now];
            match from.first_chunk() {
                Some(from) => *row = *from,
                None => copy_blocks(from, row),
            }
        }
        pack_words::<S, T, KEYS>(simd, room.as_flattened(), FEW_WORDS, packed);
    }
    if whole_dims < head_dim {
        panel[whole_dims * KEYS..].fill(0.0);
        pack_elements::<T, KEYS>(head, first_key, 0..keys, whole_dims..head_dim, panel);
    }
}

/// Copies whole blocks of words, which are too few for a call.
#[inline(always)]
fn copy_blocks(from: &[f32], to: &mut [f32]) {
    let (from, to) = (from.as_chunks::<BLOCK_WORDS>().0, to.as_chunks_mut::<BLOCK_WORDS>().0);
    for (from, to) in from.iter().zip(to) {
        *to = *from;
    }
}

/// Writes keys `first_key..` of the head to some lanes of a panel.
#[inline(always)]
pub(crate) fn pack_keys(
    head: &HeadRows<Elements<'_>>,
    first_key: usize,
    lanes: Range<usize>,
    panel: &mut [f32],
) {
    let dims = 0..panel.len() / PANEL;
    match head.data {
        Elements::F32(data) => {
            pack_elements::<_, PANEL>(&head.with(data), first_key, lanes, dims, panel)
        }
        #[cfg(feature = "half")]
        Elements::F16(data) => {
            pack_elements::<_, PANEL>(&head.with(data), first_key, lanes, dims, panel)
        }
        #[cfg(feature = "half")]
        Elements::Bf16(data) => {
            pack_elements::<_, PANEL>(&head.with(data), first_key, lanes, dims, panel)
        }
    }
}

/// Element by element: some dimensions of keys from `first_key` on, to some lanes. A function of its
/// own: inlined, what the compiler computes ahead for it takes longer than all else.
#[inline(never)]
fn pack_elements<T: Widen, const KEYS: usize>(
    head: &HeadRows<&[T]>,
    first_key: usize,
    lanes: Range<usize>,
    dims: Range<usize>,
    panel: &mut [f32],
) {
    for dim in dims {
        let elements = &head.data[dim * head.dim_stride..];
        let packed = &mut panel[dim * KEYS..][lanes.clone()];
        for (key, packed) in (first_key..).zip(packed) {
            *packed = elements[key * head.row_stride].widen();
        }
    }
}
