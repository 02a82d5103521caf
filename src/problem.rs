//! A call, validated: after this there is no error path.

use crate::element::Elements;
use crate::error::Error;
use crate::extents::Extents;
use crate::layout::{PANEL, PANEL_PADDING, SEGMENT};
use crate::options::{Logits, Options, Units, default_scale};
use crate::positions::Positions;
use crate::rows::{HeadRows, KeyPanels, RowIndex};
use crate::targets::{SoftmaxTargets, Target};
use crate::tensor::{Strides, View, element_count, expect_extent};
use core::ops::Range;

/// Keys as they come into a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyInput<'a> {
    View(View<'a>),
    Panels(KeyPanels<'a>),
}

/// Views and options that fit each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) extents: Extents,
    options: Options<'a>,
    query: (Elements<'a>, Strides),
    keys: Keys<'a>,
    values: Option<(Elements<'a>, Strides)>,
    bias: Option<(Elements<'a>, Strides)>,
    mask: Option<(&'a [u8], Strides)>,
}

/// Keys whose extents fit and whose elements are all there.
#[derive(Clone, Copy, Debug)]
enum Keys<'a> {
    View(Elements<'a>, Strides),
    Panels(KeyPanels<'a>),
}

impl<'a> Inputs<'a> {
    /// Checks views and options against each other.
    pub(crate) fn new(
        query: View<'a>,
        keys: KeyInput<'a>,
        values: Option<View<'a>>,
        options: &Options<'a>,
    ) -> Result<Self, Error> {
        check_factors(options)?;
        let query_strides = query.layout.check("query", query.data.len())?;
        let (key_shape, keys) = match keys {
            KeyInput::View(view) => {
                let strides = view.layout.check("key", view.data.len())?;
                (view.shape(), Keys::View(view.data, strides))
            }
            KeyInput::Panels(panels) => (panels.shape, Keys::Panels(panels)),
        };
        let mut extents = check_extents(query.shape(), key_shape)?;
        let values = match values {
            Some(view) => {
                extents.v_dim = check_value_extents(&extents, view.shape())?;
                Some((view.data, view.layout.check("value", view.data.len())?))
            }
            None => None,
        };
        options.positions.check(extents.batch, extents.keys)?;
        check_lengths(options, extents.q_heads)?;
        let shape = extents.weights_shape();
        let bias = match &options.bias {
            Some(bias) => {
                Some((bias.data, bias.layout.check_broadcast("bias", bias.data.len(), shape)?))
            }
            None => None,
        };
        let mask = match &options.mask {
            Some(mask) => {
                Some((mask.data, mask.layout.check_broadcast("mask", mask.data.len(), shape)?))
            }
            None => None,
        };
        let query = (query.data, query_strides);
        Ok(Inputs { extents, options: *options, query, keys, values, bias, mask })
    }
}

impl<'a> Inputs<'a> {
    /// One query head, and the key head that it reads; without values.
    pub(crate) fn of_head(&self, head: usize) -> Self {
        let Inputs { extents, options, query: (query, strides), keys, bias, mask, .. } = *self;
        let key_head = head / extents.group();
        let keys = match keys {
            Keys::View(data, strides) => Keys::View(data.from(key_head * strides.head), strides),
            Keys::Panels(panels) => Keys::Panels(panels.of_head(key_head, extents.kv_heads)),
        };
        let of_head = |factors: &'a [f32]| &factors[head..=head];
        Inputs {
            extents: Extents { q_heads: 1, kv_heads: 1, ..extents },
            options: Options {
                alibi_slopes: options.alibi_slopes.map(of_head),
                sinks: options.sinks.map(of_head),
                ..options
            },
            query: (query.from(head * strides.head), strides),
            keys,
            values: None,
            bias: bias.map(|(data, strides)| (data.from(head * strides.head), strides)),
            mask: mask.map(|(data, strides)| {
                (data.get(head * strides.head..).unwrap_or_default(), strides)
            }),
        }
    }

    pub(crate) fn has_values(&self) -> bool {
        self.values.is_some()
    }
}

fn check_factors(options: &Options<'_>) -> Result<(), Error> {
    if let Some(scale) = options.scale.filter(|scale| !scale.is_finite()) {
        return Err(Error::NotFinite { argument: "scale", found: scale });
    }
    if let Some(cap) = options.softcap.filter(|cap| !(cap.is_finite() && *cap > 0.0)) {
        return Err(Error::NotPositive { argument: "softcap", found: cap });
    }
    Ok(())
}

fn check_extents(query: [usize; 4], key: [usize; 4]) -> Result<Extents, Error> {
    let [batch, q_heads, query_rows, head_dim] = query;
    let [key_batch, kv_heads, keys, key_dim] = key;
    // The stride of an axis of extent 1 is 0: one batch entry serves all of the query's.
    if key_batch != 1 {
        expect_extent("key", "batch entries", batch, "as the query, or 1", key_batch)?;
    }
    expect_extent("key", "columns (head_dim)", head_dim, "as the query", key_dim)?;
    if q_heads.checked_rem(kv_heads).unwrap_or(q_heads) != 0 {
        return Err(Error::HeadGroups { q_heads, kv_heads });
    }
    let extents = Extents { batch, q_heads, kv_heads, query_rows, keys, head_dim, v_dim: 0 };
    // The kernels count pairs, and packed operands are dense: their sizes have to be numbers, too.
    let padded_keys = keys.saturating_add(if keys > 0 { PANEL_PADDING } else { 0 });
    let padded = [batch, kv_heads, padded_keys, key_dim];
    for (argument, shape) in
        [("weights", extents.weights_shape()), ("query", query), ("key", padded)]
    {
        element_count(argument, shape)?;
    }
    Ok(extents)
}

/// The columns of values that fit the keys.
fn check_value_extents(extents: &Extents, value: [usize; 4]) -> Result<usize, Error> {
    let Extents { batch, kv_heads, keys, .. } = *extents;
    let [found_batch, found_heads, found_keys, v_dim] = value;
    if found_batch != 1 {
        expect_extent("value", "batch entries", batch, "as the query, or 1", found_batch)?;
    }
    expect_extent("value", "heads", kv_heads, "as the key", found_heads)?;
    expect_extent("value", "rows (keys)", keys, "as the key", found_keys)?;
    // Packed values are padded to whole passes and panels.
    let padded = |extent: usize, to| if extent > 0 { extent.saturating_add(to) } else { 0 };
    element_count("value", [batch, kv_heads, padded(keys, SEGMENT), padded(v_dim, PANEL)])?;
    element_count("output", [batch, extents.q_heads, extents.query_rows, v_dim])?;
    Ok(v_dim)
}

fn check_lengths(options: &Options<'_>, q_heads: usize) -> Result<(), Error> {
    for (argument, values) in [("alibi_slopes", options.alibi_slopes), ("sinks", options.sinks)] {
        let found = values.map_or(q_heads, <[f32]>::len);
        if found != q_heads {
            let expected = "one for each query head, here";
            return Err(Error::Length { argument, expected, value: q_heads, found });
        }
    }
    Ok(())
}

/// What is computed in one pass over the pairs of query rows and keys: inputs, options in the units
/// of the pass, and where the results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Problem<'a> {
    pub(crate) extents: Extents,
    pub(crate) goal: Goal<'a>,
    natural: NaturalOptions<'a>,
    /// What query elements are multiplied by when they are packed.
    pub(crate) query_factor: f32,
    pub(crate) ops: LogitOptions<'a>,
    units: Units,
    positions: Positions<'a>,
    sinks: Option<&'a [f32]>,
    query: (Elements<'a>, Strides),
    keys: Keys<'a>,
    values: Option<(Elements<'a>, Strides)>,
}

/// What a pass computes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal<'a> {
    /// Logits, as they are at one stage.
    Logits(Logits, Target<'a>),
    /// The softmax of each row, and what follows from it.
    Softmax(&'a SoftmaxTargets<'a>),
}

impl<'a> Goal<'a> {
    /// The result that has an element for each pair of a query row and a key, if there is one.
    pub(crate) fn of_pairs(&self) -> Option<Target<'a>> {
        match self {
            Goal::Logits(_, target) => Some(*target),
            Goal::Softmax(targets) => targets.weights,
        }
    }

    /// Whether there are results with an element for each query row.
    pub(crate) fn has_row_results(&self) -> bool {
        matches!(self, Goal::Softmax(targets) if targets.has_row_results())
    }

    /// Whether there are results that follow from all weights of a row.
    pub(crate) fn has_weight_results(&self) -> bool {
        matches!(self, Goal::Softmax(targets) if targets.has_weight_results())
    }

    /// Whether the entropy of each row is a result.
    pub(crate) fn has_entropy(&self) -> bool {
        matches!(self, Goal::Softmax(targets) if targets.entropy.is_some())
    }

    /// Whether the key of each row's largest weight is a result.
    pub(crate) fn has_largest_keys(&self) -> bool {
        matches!(self, Goal::Softmax(targets) if targets.max_weight_key.is_some())
    }

    /// Whether the product with the values is a result.
    pub(crate) fn has_output(&self) -> bool {
        matches!(self, Goal::Softmax(targets) if targets.output.is_some())
    }

    pub(crate) fn is_softmax(&self) -> bool {
        matches!(self, Goal::Softmax(_))
    }
}

/// What happens to each score between the tile and the softmax, in the units of the pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogitOptions<'a> {
    /// A natural logit of 1.
    pub(crate) unit: f32,
    /// `cap · tanh(score)`.
    pub(crate) cap: Option<f32>,
    pub(crate) bias: Option<(Elements<'a>, Strides)>,
    pub(crate) slopes: Option<&'a [f32]>,
    pub(crate) mask: Option<(&'a [u8], Strides)>,
}

impl LogitOptions<'_> {
    /// Whether scores stay as they are.
    pub(crate) fn is_empty(&self) -> bool {
        self.cap.is_none() && self.bias.is_none() && self.slopes.is_none() && self.mask.is_none()
    }
}

/// Options in natural units, for logits that overflow in units of log2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NaturalOptions<'a> {
    pub(crate) query_factor: f32,
    pub(crate) cap: Option<f32>,
    slopes: Option<&'a [f32]>,
}

impl NaturalOptions<'_> {
    /// The ALiBi slope of a query head.
    pub(crate) fn slope(&self, q_head: usize) -> Option<f32> {
        self.slopes.map(|slopes| slopes[q_head])
    }
}

impl<'a> Problem<'a> {
    pub(crate) fn new(inputs: &Inputs<'a>, goal: Goal<'a>) -> Self {
        let Inputs { extents, options, query, keys, values, bias, mask } = *inputs;
        let (units, capped, biased) = match goal {
            Goal::Logits(Logits::Scores, _) => (Units::Natural, false, false),
            Goal::Logits(Logits::Capped, _) => (Units::Natural, true, false),
            Goal::Logits(Logits::Biased, _) => (Units::Natural, true, true),
            Goal::Softmax(_) => (Units::Log2, true, true),
        };
        let scale = options.scale.unwrap_or_else(|| default_scale(extents.head_dim));
        let cap = options.softcap.filter(|_| capped);
        let scale_of_capped = cap.map(|cap| (f64::from(scale) / f64::from(cap)) as f32);
        Problem {
            extents,
            goal,
            natural: NaturalOptions {
                query_factor: scale_of_capped.unwrap_or(scale),
                cap,
                slopes: options.alibi_slopes,
            },
            query_factor: scale_of_capped.unwrap_or_else(|| units.of(scale)),
            ops: LogitOptions {
                unit: units.of(1.0),
                cap: cap.map(|cap| units.of(cap)),
                bias: bias.filter(|_| biased),
                slopes: options.alibi_slopes.filter(|_| biased),
                mask: mask.filter(|_| biased),
            },
            units,
            positions: if biased { options.positions } else { options.positions.lengths_only() },
            sinks: options.sinks,
            query,
            keys,
            values,
        }
    }

    /// Whether sinks take part in the normalisation.
    pub(crate) fn has_sinks(&self) -> bool {
        self.sinks.is_some()
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
        self.positions.are_uniform().then_some(0..keys)
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

    /// The sink of a query head, in the units of the pass.
    #[inline]
    pub(crate) fn sink(&self, q_head: usize) -> Option<f32> {
        self.sinks.map(|sinks| self.units.of(sinks[q_head]))
    }

    /// The ALiBi slope of a query head, in the units of the pass.
    #[inline]
    pub(crate) fn slope(&self, q_head: usize) -> Option<f32> {
        self.ops.slopes.map(|slopes| self.units.of(slopes[q_head]))
    }

    /// The places of rows of the group of key head `head` (counted over the batch).
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
                next.row = 0;
                next.q_head += 1;
            }
            index
        })
    }

    /// The query and its strides.
    pub(crate) fn query(&self) -> (Elements<'a>, Strides) {
        self.query
    }

    /// The query head of a row.
    pub(crate) fn query_head(&self, index: RowIndex) -> HeadRows<Elements<'a>> {
        let (data, strides) = self.query;
        HeadRows::new(data, strides, index.batch, index.q_head, self.extents.query_rows)
    }

    /// The keys of key head `head` (counted over the batch), of which the batch entry's length
    /// exist; nothing if the caller keeps them in panels.
    #[inline]
    pub(crate) fn key_rows(&self, head: usize) -> Option<HeadRows<Elements<'a>>> {
        let Keys::View(data, strides) = self.keys else { return None };
        let Extents { kv_heads, keys, .. } = self.extents;
        let batch = head / kv_heads;
        let keys = self.positions.keys_of(batch, keys);
        Some(HeadRows::new(data, strides, batch, head % kv_heads, keys))
    }

    /// The keys of key head `head` (counted over the batch), if the caller keeps them in panels.
    #[inline]
    pub(crate) fn key_panels(&self, head: usize) -> Option<&'a [f32]> {
        match self.keys {
            Keys::View(..) => None,
            Keys::Panels(panels) => Some(panels.head(head)),
        }
    }

    /// The values of key head `head` (counted over the batch), of which the batch entry's length exist.
    #[inline]
    pub(crate) fn value_rows(&self, head: usize) -> Option<HeadRows<Elements<'a>>> {
        let (data, strides) = self.values?;
        let Extents { kv_heads, keys, .. } = self.extents;
        let batch = head / kv_heads;
        let keys = self.positions.keys_of(batch, keys);
        Some(HeadRows::new(data, strides, batch, head % kv_heads, keys))
    }

    /// Whether values are rows of contiguous columns, whole panels of them.
    pub(crate) fn values_are_panels(&self) -> bool {
        self.values.is_some_and(|(_, strides)| strides.column == 1)
            && self.extents.v_dim.is_multiple_of(PANEL)
    }

    /// Whether the caller keeps the keys in panels.
    pub(crate) fn has_key_panels(&self) -> bool {
        matches!(self.keys, Keys::Panels(_))
    }

    /// Whether the keys of every head are rows of words.
    pub(crate) fn keys_are_words(&self) -> bool {
        let Extents { batch, kv_heads, .. } = self.extents;
        if self.extents.weights_shape().contains(&0) {
            return false;
        }
        // Heads start at multiples of two strides: those at the corners tell of all.
        let corners = [0, kv_heads.min(2) - 1, (batch.min(2) - 1) * kv_heads];
        corners.into_iter().all(|head| self.key_rows(head).is_some_and(|rows| rows.are_words()))
    }

    pub(crate) fn natural(&self) -> &NaturalOptions<'a> {
        &self.natural
    }

    /// Whether a row attends to a key, by all options.
    pub(crate) fn attends(&self, index: RowIndex, key: usize) -> bool {
        self.allowed_keys(index).contains(&key)
            && self.ops.mask.is_none_or(|(mask, strides)| mask[element(index, key, &strides)] != 0)
            && self.bias_element(index, key) != Some(f32::NEG_INFINITY)
    }

    /// One element of the bias, if there is one.
    pub(crate) fn bias_element(&self, index: RowIndex, key: usize) -> Option<f32> {
        self.ops.bias.map(|(bias, strides)| bias.widened(element(index, key, &strides)))
    }

    /// One element of a query row.
    pub(crate) fn query_element(&self, index: RowIndex, dim: usize) -> f32 {
        let (query, strides) = self.query;
        query.widened(element(index, dim, &strides))
    }

    /// One element of a key that a query row reads.
    pub(crate) fn key_element(&self, index: RowIndex, key: usize, dim: usize) -> f32 {
        let Extents { kv_heads, head_dim, .. } = self.extents;
        let head = index.q_head / self.extents.group();
        match self.keys {
            Keys::View(data, strides) => {
                data.widened(element(RowIndex { q_head: head, row: key, ..index }, dim, &strides))
            }
            Keys::Panels(panels) => {
                let panel =
                    &panels.head(index.batch * kv_heads + head)[key / PANEL * PANEL * head_dim..];
                panel[dim * PANEL + key % PANEL]
            }
        }
    }
}

/// Index of an element of a row.
fn element(index: RowIndex, column: usize, strides: &Strides) -> usize {
    index.start(strides) + column * strides.column
}
