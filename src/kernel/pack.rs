//! Packing keys: from the caller's strides to what the tile reads.
//!
//! Keys become *panels* of 16, dimension by dimension, `panel[dim · 16 + key]`, so that keys lie in
//! lanes and a tile reads ascending streams; 16 is a whole number of registers everywhere, so packed
//! keys serve every instruction set. Missing keys of the last panel are zeros. Nothing below this
//! knows strides. These are the packed panels of BLIS (Van Zee and van de Geijn, 2015).

use super::prefetch_cursor::PrefetchCursor;
use crate::element::Elements;
use crate::layout::{PANEL, TRANSPOSE_WORDS};
use crate::rows::HeadRows;
use crate::simd::{SimdExt, Widen};
use core::ops::Range;

/// Writes one panel of `KEYS` keys: `first_key..` of the head, zeros where there are none.
#[inline(always)]
pub(crate) fn pack_panel<S: SimdExt, const KEYS: usize>(
    simd: S,
    head: &HeadRows<Elements<'_>>,
    first_key: usize,
    pad: &mut PadBuffer<KEYS>,
    panel: &mut [f32],
) {
    match head.data {
        Elements::F32(data) => {
            pack_rows::<S, _, KEYS>(simd, &head.with(data), first_key, pad, panel)
        }
        #[cfg(feature = "half")]
        Elements::F16(data) => {
            pack_rows::<S, _, KEYS>(simd, &head.with(data), first_key, pad, panel)
        }
        #[cfg(feature = "half")]
        Elements::Bf16(data) => {
            pack_rows::<S, _, KEYS>(simd, &head.with(data), first_key, pad, panel)
        }
    }
}

/// [`pack_panel`] of rows whose type is known.
#[inline(always)]
pub(crate) fn pack_rows<S: SimdExt, T: Widen, const KEYS: usize>(
    simd: S,
    head: &HeadRows<&[T]>,
    first_key: usize,
    pad: &mut PadBuffer<KEYS>,
    panel: &mut [f32],
) {
    let head_dim = panel.len() / KEYS;
    let keys = KEYS.min(head.rows.saturating_sub(first_key));
    match head.words() {
        Some(words) if keys == KEYS && head_dim > 0 => {
            let next = PrefetchCursor::of_rows(&words, first_key + KEYS, head_dim / T::PER_WORD);
            // Packing takes less time than memory does: a long distance.
            let mut next = next.with_l2_distance(4 * KEYS);
            for _ in 0..head_dim / (TRANSPOSE_WORDS * T::PER_WORD) {
                next.prefetch_block(simd);
            }
            let rows = &words.data[first_key * words.row_stride..];
            pack_words::<S, T, KEYS>(simd, rows, words.row_stride, panel);
            let rest =
                head_dim / TRANSPOSE_WORDS / T::PER_WORD * TRANSPOSE_WORDS * T::PER_WORD..head_dim;
            if !rest.is_empty() {
                pack_elements::<T, KEYS>(head, first_key, 0..KEYS, rest, panel);
            }
        }
        Some(words) if head_dim > 0 => {
            pack_padded::<S, T, KEYS>(simd, head, &words, first_key, keys, pad, panel)
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
fn pack_words<S: SimdExt, T: Widen, const KEYS: usize>(
    simd: S,
    rows: &[f32],
    row_stride: usize,
    panel: &mut [f32],
) {
    let block_dims = TRANSPOSE_WORDS * T::PER_WORD;
    for register in (0..KEYS).step_by(S::F32_LANES) {
        let rows = &rows[register * row_stride..];
        for (i, packed) in panel.chunks_exact_mut(block_dims * KEYS).enumerate() {
            let block = T::load_transposed(simd, &rows[i * TRANSPOSE_WORDS..], row_stride);
            let mut packed = packed.as_chunks_mut::<KEYS>().0.iter_mut();
            for word in &block {
                for (element, packed) in word[..T::PER_WORD].iter().zip(&mut packed) {
                    S::as_mut_simd_f32s(&mut packed[register..][..S::F32_LANES]).0[0] = *element;
                }
            }
        }
    }
}

/// Words of a row that are copied at a time where a panel has fewer keys than its width.
const PAD_WORDS: usize = 32;

/// Buffer for the rows of an incomplete panel, padded with rows of zeros.
#[derive(Debug)]
pub(crate) struct PadBuffer<const KEYS: usize>([[f32; PAD_WORDS]; KEYS]);

impl<const KEYS: usize> PadBuffer<KEYS> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        PadBuffer([[0.0; PAD_WORDS]; KEYS])
    }
}

/// An incomplete panel: its keys are first copied beside rows of zeros, some words at a time.
#[inline(always)]
fn pack_padded<S: SimdExt, T: Widen, const KEYS: usize>(
    simd: S,
    head: &HeadRows<&[T]>,
    words: &HeadRows<&[f32]>,
    first_key: usize,
    keys: usize,
    PadBuffer(pad): &mut PadBuffer<KEYS>,
    panel: &mut [f32],
) {
    let head_dim = panel.len() / KEYS;
    let block_dims = TRANSPOSE_WORDS * T::PER_WORD;
    let whole_dims = head_dim / block_dims * block_dims;
    pad[keys..].fill([0.0; PAD_WORDS]);
    let whole = panel[..whole_dims * KEYS].chunks_mut(PAD_WORDS * T::PER_WORD * KEYS);
    for (i, packed) in whole.enumerate() {
        let words_now = packed.len() / (T::PER_WORD * KEYS);
        for (key, row) in (first_key..).zip(&mut pad[..keys]) {
            let from = &words.data[key * words.row_stride + i * PAD_WORDS..][..words_now];
            match from.first_chunk() {
                Some(from) => *row = *from,
                None => copy_blocks(from, row),
            }
        }
        pack_words::<S, T, KEYS>(simd, pad.as_flattened(), PAD_WORDS, packed);
    }
    if whole_dims < head_dim {
        panel[whole_dims * KEYS..].fill(0.0);
        pack_elements::<T, KEYS>(head, first_key, 0..keys, whole_dims..head_dim, panel);
    }
}

/// Copies whole blocks of words, too few for a call of `memcpy`.
#[inline(always)]
fn copy_blocks(from: &[f32], to: &mut [f32]) {
    let (from, to) =
        (from.as_chunks::<TRANSPOSE_WORDS>().0, to.as_chunks_mut::<TRANSPOSE_WORDS>().0);
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

/// Element by element: some dimensions of keys from `first_key` on, to some lanes. Not inlined: the
/// addresses that LLVM would hoist out of it cost more than the loop.
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
