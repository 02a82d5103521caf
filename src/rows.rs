//! Rows: of the query by index, of one head in the caller's memory, of a block as the kernels see
//! them.

use crate::convert::Storage;
use crate::element::Elements;
use crate::tensor::Strides;
use core::ops::Range;

/// A query row by its place in the batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowIndex {
    pub(crate) batch: usize,
    pub(crate) q_head: usize,
    pub(crate) row: usize,
}

impl RowIndex {
    /// Index of the row's first element in a tensor of these strides.
    #[inline(always)]
    pub(crate) fn start(self, strides: &Strides) -> usize {
        self.batch * strides.batch + self.q_head * strides.head + self.row * strides.row
    }
}

/// A row of a block, and the keys that it may attend to by its position.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    pub(crate) index: RowIndex,
    /// From this key on.
    pub(crate) first_key: usize,
    /// To before this one.
    pub(crate) end_key: usize,
}

impl Row {
    /// The keys of `range` that the row may attend to by its position.
    #[inline(always)]
    pub(crate) fn keys_in(&self, range: &Range<usize>) -> Range<usize> {
        let end = self.end_key.clamp(range.start, range.end);
        self.first_key.clamp(range.start, end)..end
    }
}

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

impl<'a> HeadRows<Elements<'a>> {
    /// The rows of a head whose tensor has these strides.
    pub(crate) fn new(
        data: Elements<'a>,
        strides: Strides,
        batch: usize,
        head: usize,
        rows: usize,
    ) -> Self {
        HeadRows {
            data: data.from(batch * strides.batch + head * strides.head),
            row_stride: strides.row,
            dim_stride: strides.column,
            rows,
        }
    }

    /// Whether the rows can be read as words of 32 bits.
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

impl<'a, T: Storage> HeadRows<&'a [T]> {
    /// The rows as words of 32 bits, if dimensions are contiguous and every row starts at a word.
    #[inline(always)]
    pub(crate) fn words(&self) -> Option<HeadRows<&'a [f32]>> {
        let aligned = self.dim_stride == 1 && self.row_stride.is_multiple_of(T::PER_WORD);
        let words = T::words(self.data).filter(|_| aligned)?;
        Some(HeadRows { row_stride: self.row_stride / T::PER_WORD, ..self.with(words) })
    }
}

/// Keys that the caller keeps in panels, head by head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyPanels<'a> {
    pub(crate) data: &'a [f32],
    /// Elements of one head.
    pub(crate) head_elements: usize,
    /// Elements from one head to the next.
    pub(crate) head_stride: usize,
    /// `[batch, kv_heads, keys, head_dim]`.
    pub(crate) shape: [usize; 4],
}

impl<'a> KeyPanels<'a> {
    /// The panels of one head, counted over the batch of the query: one entry may serve all of it.
    pub(crate) fn head(&self, head: usize) -> &'a [f32] {
        let [batch, heads, ..] = self.shape;
        let head = if batch == 1 { head % heads } else { head };
        &self.data[head * self.head_stride..][..self.head_elements]
    }

    /// One key head of each batch entry, of so many.
    pub(crate) fn of_head(&self, head: usize, heads: usize) -> Self {
        let [batch, _, keys, head_dim] = self.shape;
        KeyPanels {
            data: self.data.get(head * self.head_stride..).unwrap_or_default(),
            head_stride: heads * self.head_stride,
            head_elements: self.head_elements,
            shape: [batch, 1, keys, head_dim],
        }
    }
}
