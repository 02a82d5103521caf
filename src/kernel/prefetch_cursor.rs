//! A position in rows of memory, for prefetching them line by line in the order in which they lie.
//!
//! The hardware prefetches one ascending stream, not as many as a transposing tile has rows.

use crate::convert::Storage;
use crate::element::Elements;
use crate::layout::{LINE, PANEL, TRANSPOSE_WORDS};
use crate::rows::HeadRows;
use crate::simd::SimdExt;
use core::ops::Range;

/// Streams that are prefetched side by side. Several ascending streams saturate memory where one does
/// not: on a Zen 3 four are read 1.4 times as fast as one, with or without prefetch instructions.
pub(crate) const STREAMS: usize = 4;

/// The next line to prefetch.
#[derive(Debug)]
pub(crate) struct PrefetchCursor {
    row: *const f32,
    row_stride: usize,
    line: usize,
    lines_per_row: usize,
    /// Distance in elements to a second line, which is prefetched to L2; 0 if none is.
    l2_distance: usize,
    /// Distance in elements from one of [`STREAMS`] streams to the next; 0 if there is one.
    stream_distance: usize,
    /// Rows to go, for [`PrefetchCursor::take`].
    rows: usize,
}

impl PrefetchCursor {
    pub(crate) const NOTHING: PrefetchCursor = PrefetchCursor {
        row: core::ptr::null(),
        row_stride: 0,
        line: 0,
        lines_per_row: 1,
        l2_distance: 0,
        stream_distance: 0,
        rows: 0,
    };

    /// From row `first` of a head on, which need not exist.
    #[inline(always)]
    pub(crate) fn of_rows(head: &HeadRows<&[f32]>, first: usize, row_words: usize) -> Self {
        let row = head.data.as_ptr().wrapping_add(first * head.row_stride);
        let lines_per_row = row_words.div_ceil(LINE).max(1);
        let rows = head.rows.saturating_sub(first);
        PrefetchCursor {
            row,
            row_stride: head.row_stride,
            line: 0,
            lines_per_row,
            l2_distance: 0,
            stream_distance: 0,
            rows,
        }
    }

    /// Prefetches the lines so many rows further, too, but only to L2: L1 has too few misses in
    /// flight to saturate memory.
    #[inline(always)]
    pub(crate) fn with_l2_distance(self, rows: usize) -> Self {
        PrefetchCursor { l2_distance: rows * self.row_stride, ..self }
    }

    /// Prefetches a line of each of [`STREAMS`] streams, so many rows apart, instead of as many lines of
    /// one.
    #[inline(always)]
    pub(crate) fn with_streams(self, rows: usize) -> Self {
        PrefetchCursor { stream_distance: rows * self.row_stride, ..self }
    }

    /// Some rows of a head of any type; nothing of rows that are no words.
    #[inline(always)]
    pub(crate) fn of_head(
        head: &HeadRows<Elements<'_>>,
        rows: Range<usize>,
        head_dim: usize,
    ) -> Self {
        #[inline(always)]
        fn of<T: Storage>(head: HeadRows<&[T]>, first: usize, head_dim: usize) -> PrefetchCursor {
            let of_words = |words| PrefetchCursor::of_rows(&words, first, head_dim / T::PER_WORD);
            head.words().map_or(PrefetchCursor::NOTHING, of_words)
        }
        let cursor = match head.data {
            Elements::F32(data) => of(head.with(data), rows.start, head_dim),
            #[cfg(feature = "half")]
            Elements::F16(data) => of(head.with(data), rows.start, head_dim),
            #[cfg(feature = "half")]
            Elements::Bf16(data) => of(head.with(data), rows.start, head_dim),
        };
        PrefetchCursor { rows: cursor.rows.min(rows.len()), ..cursor }
    }

    /// The next contiguous lines, `most` at most; advances past them.
    #[inline(always)]
    pub(crate) fn take(&mut self, most: usize) -> (*const f32, usize) {
        if self.rows == 0 {
            return (self.row, 0);
        }
        let next = self.row.wrapping_add(self.line * LINE);
        let lines = most.min(self.lines_per_row - self.line);
        self.line += lines;
        if self.line == self.lines_per_row {
            self.line = 0;
            self.rows -= 1;
            self.row = self.row.wrapping_add(self.row_stride);
        }
        (next, lines)
    }

    /// Prefetches as much as one transposed block of words of a panel.
    #[inline(always)]
    pub(crate) fn prefetch_block<S: SimdExt>(&mut self, simd: S) {
        const LINES: usize = TRANSPOSE_WORDS * PANEL / LINE;
        const { assert!(LINES == STREAMS) };
        // Past the end of a row, it is the next one if rows are dense.
        let next = self.row.wrapping_add(self.line * LINE);
        let distance = if self.stream_distance > 0 { self.stream_distance } else { LINE };
        for line in 0..LINES {
            simd.prefetch(next.wrapping_add(line * distance));
        }
        if self.l2_distance > 0 {
            let further = next.wrapping_add(self.l2_distance);
            for line in 0..LINES {
                simd.prefetch_to_l2(further.wrapping_add(line * distance));
            }
        }
        self.line += if self.stream_distance > 0 { 1 } else { LINES };
        while self.line >= self.lines_per_row {
            self.line -= self.lines_per_row;
            self.row = self.row.wrapping_add(self.row_stride);
        }
    }
}
