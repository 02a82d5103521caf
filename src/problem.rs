//! A call, validated: after this there is no error path.

use crate::attention::Keys;
use crate::attention::Stage;
use crate::error::Error;
use crate::kernel::pack::HeadRows;
use crate::packed_keys::PackedKeys;
use crate::plan::MARGIN;
use crate::shared::SharedSlice;
use crate::tensor::{Strides, TensorMut, TensorRef, element_count};
use core::ops::Range;

/// The extents of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extents {
    pub(crate) batch: usize,
    pub(crate) q_heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) query_rows: usize,
    pub(crate) keys: usize,
    pub(crate) head_dim: usize,
}

impl Extents {
    /// The shape of the result, `[batch, q_heads, query_rows, keys]`.
    pub(crate) fn output_shape(&self) -> [usize; 4] {
        [self.batch, self.q_heads, self.query_rows, self.keys]
    }

    /// Whether the result has no elements.
    pub(crate) fn is_empty(&self) -> bool {
        self.output_shape().contains(&0)
    }

    /// Query heads that read the same key head.
    pub(crate) fn group(&self) -> usize {
        self.q_heads.checked_div(self.kv_heads).unwrap_or(0)
    }

    /// Key heads over the whole batch: each is a small problem of its own.
    pub(crate) fn heads(&self) -> usize {
        self.batch * self.kv_heads
    }

    /// Query rows that read one key head, over all query heads of its group.
    pub(crate) fn rows_per_head(&self) -> usize {
        self.group() * self.query_rows
    }
}

/// What goes in: checked views and the factor for the queries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) extents: Extents,
    /// What query elements are multiplied by when they are packed.
    pub(crate) query_factor: f32,
    query: (&'a [f32], Strides),
    key: CheckedKeys<'a>,
}

/// Keys whose extents are known to fit.
#[derive(Clone, Copy, Debug)]
enum CheckedKeys<'a> {
    View(&'a [f32], Strides),
    Packed(&'a PackedKeys),
}

/// One query row of a head's group, by its place in the query and in the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowIndex {
    pub(crate) batch: usize,
    pub(crate) q_head: usize,
    pub(crate) row: usize,
}

impl<'a> Inputs<'a> {
    /// Checks the views against each other. `scale` is finite or absent.
    pub(crate) fn new(
        query: TensorRef<'a>,
        key: Keys<'a>,
        scale: Option<f32>,
        stage: Stage,
    ) -> Result<Self, Error> {
        if let Some(scale) = scale.filter(|scale| !scale.is_finite()) {
            return Err(Error::NotFinite { argument: "scale", found: scale });
        }
        let query_strides = query.layout.check("query", query.data.len())?;
        let (key_shape, key) = match key {
            Keys::View(view) => {
                let strides = view.layout.check("key", view.data.len())?;
                (view.shape(), CheckedKeys::View(view.data, strides))
            }
            Keys::Packed(packed) => (packed.shape(), CheckedKeys::Packed(packed)),
        };
        let [batch, q_heads, query_rows, head_dim] = query.shape();
        let [key_batch, kv_heads, keys, key_dim] = key_shape;
        expect_extent("key", "batch entries", batch, "as the query", key_batch)?;
        expect_extent("key", "columns (head_dim)", head_dim, "as the query", key_dim)?;
        if q_heads.checked_rem(kv_heads).unwrap_or(q_heads) != 0 {
            return Err(Error::HeadGroups { q_heads, kv_heads });
        }
        let extents = Extents { batch, q_heads, kv_heads, query_rows, keys, head_dim };
        // The result and the packed operands are dense: their sizes have to be numbers too.
        for (argument, shape) in [
            ("output", extents.output_shape()),
            ("query", query.shape()),
            (
                "key",
                [
                    key_batch,
                    kv_heads,
                    keys.saturating_add(if keys > 0 { MARGIN } else { 0 }),
                    key_dim,
                ],
            ),
        ] {
            element_count(argument, shape)?;
        }
        Ok(Inputs {
            extents,
            query_factor: stage.query_factor(scale, head_dim),
            query: (query.data, query_strides),
            key,
        })
    }

    /// Where rows of the group of key head `head` (counted over the batch) stand.
    #[inline(always)]
    pub(crate) fn row_indices(
        &self,
        head: usize,
        rows: Range<usize>,
    ) -> impl Iterator<Item = RowIndex> + use<> {
        let Extents { kv_heads, query_rows, .. } = self.extents;
        let mut next = RowIndex {
            batch: head / kv_heads,
            q_head: head % kv_heads * self.extents.group() + rows.start / query_rows,
            row: rows.start % query_rows,
        };
        rows.map(move |_| {
            let index = next;
            next.row += 1;
            if next.row == query_rows {
                (next.row, next.q_head) = (0, next.q_head + 1);
            }
            index
        })
    }

    /// What tiles could read keys from.
    pub(crate) fn key_form(&self) -> KeyForm {
        match self.key {
            CheckedKeys::View(_, Strides { column: 1, .. }) => KeyForm::Rows,
            CheckedKeys::View(..) => KeyForm::Strided,
            CheckedKeys::Packed(_) => KeyForm::Packed,
        }
    }

    /// The query head of a row.
    pub(crate) fn query_head(&self, index: RowIndex) -> HeadRows<'a> {
        let (data, strides) = self.query;
        head_rows(data, strides, index.batch, index.q_head, self.extents.query_rows)
    }

    /// The keys of key head `head` (counted over the batch), as a view gives them.
    pub(crate) fn key_head(&self, head: usize) -> KeyHead<'a> {
        let Extents { kv_heads, keys, .. } = self.extents;
        match self.key {
            CheckedKeys::View(data, strides) => {
                KeyHead::View(head_rows(data, strides, head / kv_heads, head % kv_heads, keys))
            }
            CheckedKeys::Packed(packed) => KeyHead::Packed(packed.head(head)),
        }
    }
}

/// The keys of one head.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyHead<'a> {
    View(HeadRows<'a>),
    /// In panels.
    Packed(&'a [f32]),
}

/// What tiles could read keys from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyForm {
    /// A view whose dimensions are next to each other.
    Rows,
    /// Any other view.
    Strided,
    /// Panels that the caller keeps.
    Packed,
}

pub(crate) fn head_rows(
    data: &[f32],
    strides: Strides,
    batch: usize,
    head: usize,
    rows: usize,
) -> HeadRows<'_> {
    HeadRows {
        data: data.get(batch * strides.batch + head * strides.head..).unwrap_or(&[]),
        row_stride: strides.row,
        dim_stride: strides.column,
        rows,
    }
}

/// Where the rows of the result go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output<'a> {
    pub(crate) data: SharedSlice<'a>,
    pub(crate) strides: Strides,
}

impl<'a> Output<'a> {
    /// Checks the view against the shape that the result will have.
    pub(crate) fn new(output: TensorMut<'a>, extents: &Extents) -> Result<Self, Error> {
        let expected = extents.output_shape();
        let axes = ["batch entries", "heads", "rows", "columns (keys)"];
        for ((axis, expected), found) in axes.into_iter().zip(expected).zip(output.shape()) {
            expect_extent("output", axis, expected, "as query and key", found)?;
        }
        let strides = output.layout.check_disjoint("output", output.data.len())?;
        Ok(Output { data: SharedSlice::new(output.data), strides })
    }

    /// Index of the first element of a row in the data.
    #[inline(always)]
    pub(crate) fn row_start(&self, index: RowIndex) -> usize {
        index.batch * self.strides.batch
            + index.q_head * self.strides.head
            + index.row * self.strides.row
    }
}

pub(crate) fn expect_extent(
    argument: &'static str,
    axis: &'static str,
    expected: usize,
    expected_from: &'static str,
    found: usize,
) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Extent { argument, axis, expected, expected_from, found })
}
