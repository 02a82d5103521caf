//! A call, validated: after this there is no error path.

use crate::attention::{Attention, Keys, Stage, default_scale, in_units_of};
use crate::element::{Elements, ElementsMut};
use crate::error::Error;
use crate::kernel::pack::HeadRows;
use crate::packed_keys::PackedKeys;
use crate::plan::MARGIN;
use crate::positions::Positions;
use crate::shared::SharedSlice;
use crate::tensor::{OUTPUT_AXES, Strides, View, ViewMut, element_count};
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

/// What goes in: checked views, and the options in the units of the stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) extents: Extents,
    /// What query elements are multiplied by when they are packed.
    pub(crate) query_factor: f32,
    pub(crate) adjustments: Adjustments<'a>,
    positions: Positions<'a>,
    sinks: Option<&'a [f32]>,
    pub(crate) query: (Elements<'a>, Strides),
    key: CheckedKeys<'a>,
}

/// What happens to each score between the tile and the softmax.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adjustments<'a> {
    pub(crate) stage: Stage,
    /// A logit of 1 in the units of the stage.
    pub(crate) unit: f32,
    /// `cap · tanh(score)`.
    pub(crate) cap: Option<f32>,
    pub(crate) bias: Option<(Elements<'a>, Strides)>,
    pub(crate) slopes: Option<&'a [f32]>,
    pub(crate) mask: Option<(&'a [bool], Strides)>,
}

impl Adjustments<'_> {
    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.cap.is_none() && self.bias.is_none() && self.slopes.is_none() && self.mask.is_none()
    }
}

/// Keys whose extents are known to fit.
#[derive(Clone, Copy, Debug)]
enum CheckedKeys<'a> {
    View(Elements<'a>, Strides),
    Packed(&'a PackedKeys),
}

/// One query row of a head's group, by its place in the query and in the output.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowIndex {
    pub(crate) batch: usize,
    pub(crate) q_head: usize,
    pub(crate) row: usize,
}

impl RowIndex {
    /// Where the row starts in a tensor of these strides.
    #[inline(always)]
    pub(crate) fn start(self, strides: &Strides) -> usize {
        self.batch * strides.batch + self.q_head * strides.head + self.row * strides.row
    }
}

impl<'a> Inputs<'a> {
    /// Checks views and options against each other.
    pub(crate) fn new(
        query: View<'a>,
        key: Keys<'a>,
        attention: &Attention<'a>,
    ) -> Result<Self, Error> {
        if let Some(scale) = attention.scale.filter(|scale| !scale.is_finite()) {
            return Err(Error::NotFinite { argument: "scale", found: scale });
        }
        if let Some(cap) = attention.softcap.filter(|cap| !(cap.is_finite() && *cap > 0.0)) {
            return Err(Error::NotPositive { argument: "softcap", found: cap });
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
        let padded_keys = keys.saturating_add(if keys > 0 { MARGIN } else { 0 });
        for (argument, shape) in [
            ("output", extents.output_shape()),
            ("query", query.shape()),
            ("key", [key_batch, kv_heads, padded_keys, key_dim]),
        ] {
            element_count(argument, shape)?;
        }
        attention.positions.check(batch, keys)?;
        for (argument, values) in
            [("alibi_slopes", attention.alibi_slopes), ("sinks", attention.sinks)]
        {
            let found = values.map_or(q_heads, <[f32]>::len);
            if found != q_heads {
                let expected = "one for each query head, here";
                return Err(Error::Length { argument, expected, value: q_heads, found });
            }
        }
        let adjustments = Adjustments::new(attention, &extents)?;
        let scale = attention.scale.unwrap_or_else(|| default_scale(head_dim));
        let positions = match attention.stage {
            Stage::Scores | Stage::Capped => attention.positions.lengths_only(),
            Stage::Biased | Stage::Weights => attention.positions,
        };
        Ok(Inputs {
            extents,
            query_factor: match (adjustments.cap, attention.softcap) {
                (Some(_), Some(cap)) => (f64::from(scale) / f64::from(cap)) as f32,
                _ => in_units_of(attention.stage, scale).clamp(f32::MIN, f32::MAX),
            },
            adjustments,
            positions,
            sinks: attention.sinks,
            query: (query.data, query_strides),
            key,
        })
    }

    /// Whether weights are asked for and no option but those of position changes them.
    pub(crate) fn has_only_positions(&self) -> bool {
        let weights = self.adjustments.stage == Stage::Weights;
        weights && self.adjustments.is_empty() && self.sinks.is_none()
    }

    /// The keys that a row may attend to by its position.
    #[inline]
    pub(crate) fn allowed_keys(&self, index: RowIndex) -> Range<usize> {
        let Extents { query_rows, keys, .. } = self.extents;
        self.positions.allowed(index.row, query_rows, self.positions.keys_of(index.batch, keys))
    }

    /// The keys that all rows of key head `head` (counted over the batch) may attend to by their
    /// position, if these are the same.
    pub(crate) fn common_keys(&self, head: usize) -> Option<Range<usize>> {
        let Extents { kv_heads, keys, .. } = self.extents;
        let keys = self.positions.keys_of(head / kv_heads, keys);
        self.positions.are_alike().then_some(0..keys)
    }

    /// The keys of key head `head` (counted over the batch) that any row may attend to.
    pub(crate) fn keys_in_use(&self, head: usize) -> Range<usize> {
        let Extents { kv_heads, query_rows, .. } = self.extents;
        let allowed = |row| self.allowed_keys(RowIndex { batch: head / kv_heads, q_head: 0, row });
        // Later rows never start or end earlier.
        allowed(0).start..allowed(query_rows - 1).end
    }

    /// The key at which a row stands.
    pub(crate) fn position(&self, index: RowIndex) -> i128 {
        let Extents { query_rows, keys, .. } = self.extents;
        self.positions.position(index.row, query_rows, self.positions.keys_of(index.batch, keys))
    }

    /// The sink of a query head, in the units of the stage.
    #[inline]
    pub(crate) fn sink(&self, q_head: usize) -> Option<f32> {
        let stage = self.adjustments.stage;
        self.sinks.map(|sinks| in_units_of(stage, sinks[q_head]))
    }

    /// The ALiBi slope of a query head, in the units of the stage.
    #[inline]
    pub(crate) fn slope(&self, q_head: usize) -> Option<f32> {
        let stage = self.adjustments.stage;
        self.adjustments.slopes.map(|slopes| in_units_of(stage, slopes[q_head]))
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

    /// Whether the caller keeps the keys in panels.
    pub(crate) fn has_panels(&self) -> bool {
        matches!(self.key, CheckedKeys::Packed(_))
    }

    /// What tiles could read keys from.
    pub(crate) fn key_form(&self) -> KeyForm {
        match self.key {
            CheckedKeys::View(..) if self.extents.is_empty() => KeyForm::Strided,
            CheckedKeys::View(..) => {
                // Heads may start anywhere: all of them have to be words.
                let Extents { batch, kv_heads, .. } = self.extents;
                let corners = [0, kv_heads.min(2) - 1, (batch.min(2) - 1) * kv_heads];
                let are_words = |head| match self.key_head(head) {
                    KeyHead::View(head) => head.are_words(),
                    KeyHead::Packed(_) => false,
                };
                if corners.into_iter().all(are_words) { KeyForm::Rows } else { KeyForm::Strided }
            }
            CheckedKeys::Packed(_) => KeyForm::Packed,
        }
    }

    /// The query head of a row.
    pub(crate) fn query_head(&self, index: RowIndex) -> HeadRows<Elements<'a>> {
        let (data, strides) = self.query;
        head_rows(data, strides, index.batch, index.q_head, self.extents.query_rows)
    }

    /// The keys of key head `head` (counted over the batch), as a view gives them.
    pub(crate) fn key_head(&self, head: usize) -> KeyHead<'a> {
        let Extents { kv_heads, keys, .. } = self.extents;
        match self.key {
            CheckedKeys::View(data, strides) => {
                let batch = head / kv_heads;
                let keys = self.positions.keys_of(batch, keys);
                KeyHead::View(head_rows(data, strides, batch, head % kv_heads, keys))
            }
            CheckedKeys::Packed(packed) => KeyHead::Packed(packed.head(head)),
        }
    }
}

/// The keys of one head.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyHead<'a> {
    View(HeadRows<Elements<'a>>),
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

impl<'a> Adjustments<'a> {
    fn new(attention: &Attention<'a>, extents: &Extents) -> Result<Self, Error> {
        let shape = extents.output_shape();
        let bias = match &attention.bias {
            Some(bias) => {
                Some((bias.data, bias.layout.check_broadcast("bias", bias.data.len(), shape)?))
            }
            None => None,
        };
        let mask = match &attention.mask {
            Some(mask) => {
                Some((mask.data, mask.layout.check_broadcast("mask", mask.data.len(), shape)?))
            }
            None => None,
        };
        let stage = attention.stage;
        let biased = matches!(stage, Stage::Biased | Stage::Weights);
        Ok(Adjustments {
            stage,
            unit: in_units_of(stage, 1.0),
            cap: attention
                .softcap
                .filter(|_| stage != Stage::Scores)
                .map(|cap| in_units_of(stage, cap)),
            bias: bias.filter(|_| biased),
            slopes: attention.alibi_slopes.filter(|_| biased),
            mask: mask.filter(|_| biased),
        })
    }
}

pub(crate) fn head_rows(
    data: Elements<'_>,
    strides: Strides,
    batch: usize,
    head: usize,
    rows: usize,
) -> HeadRows<Elements<'_>> {
    HeadRows {
        data: data.from(batch * strides.batch + head * strides.head),
        row_stride: strides.row,
        dim_stride: strides.column,
        rows,
    }
}

/// Where the rows of the result go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output<'a> {
    pub(crate) data: OutputData<'a>,
    pub(crate) strides: Strides,
}

/// The result's elements.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OutputData<'a> {
    F32(SharedSlice<'a, f32>),
    #[cfg(feature = "half")]
    F16(SharedSlice<'a, half::f16>),
    #[cfg(feature = "half")]
    Bf16(SharedSlice<'a, half::bf16>),
}

impl<'a> Output<'a> {
    /// Checks the view against the shape that the result will have.
    pub(crate) fn new(output: ViewMut<'a>, extents: &Extents) -> Result<Self, Error> {
        let expected = extents.output_shape();
        for ((axis, expected), found) in OUTPUT_AXES.into_iter().zip(expected).zip(output.shape()) {
            expect_extent("output", axis, expected, "as query and key", found)?;
        }
        let strides = output.layout.check_disjoint("output", output.data.len())?;
        let data = match output.data {
            ElementsMut::F32(data) => OutputData::F32(SharedSlice::new(data)),
            #[cfg(feature = "half")]
            ElementsMut::F16(data) => OutputData::F16(SharedSlice::new(data)),
            #[cfg(feature = "half")]
            ElementsMut::Bf16(data) => OutputData::Bf16(SharedSlice::new(data)),
        };
        Ok(Output { data, strides })
    }

    /// Index of the first element of a row in the data.
    #[inline(always)]
    pub(crate) fn row_start(&self, index: RowIndex) -> usize {
        index.start(&self.strides)
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
