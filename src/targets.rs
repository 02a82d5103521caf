//! The outputs of a call, validated: where each element goes.

#[cfg(feature = "half")]
use crate::convert::Narrow;
use crate::disjoint::DisjointSlice;
use crate::element::ElementsMut;
use crate::error::Error;
use crate::extents::Extents;
use crate::layout::{MAX_TOP_K, SEGMENT};
use crate::options::Logits;
use crate::outputs::Outputs;
use crate::rows::RowIndex;
use crate::tensor::{
    Layout, RESULT_AXES, Strides, TensorMut, ViewMut, element_count, expect_extent,
};
use core::ops::Range;

/// The outputs of a call, as the passes that compute them see them.
#[derive(Debug)]
pub(crate) struct Targets<'a> {
    /// The logits, for a pass of their own.
    pub(crate) logits: Option<(Logits, Target<'a>)>,
    /// What follows from the softmax.
    pub(crate) softmax: SoftmaxTargets<'a>,
    /// The weights of some query heads, each in a pass of its own.
    pub(crate) weights_of_heads: Option<(&'a [usize], Target<'a>)>,
}

/// What follows from the softmax of each row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SoftmaxTargets<'a> {
    pub(crate) weights: Option<Target<'a>>,
    pub(crate) max_logit: Option<Target<'a>>,
    pub(crate) max_weight: Option<Target<'a>>,
    pub(crate) max_weight_key: Option<KeyTarget<'a>>,
    pub(crate) entropy: Option<Target<'a>>,
    pub(crate) top_k: Option<TopKTargets<'a>>,
    pub(crate) key_mass: Option<KeyMassTargets<'a>>,
    pub(crate) lse: Option<Target<'a>>,
    pub(crate) output: Option<Target<'a>>,
}

impl SoftmaxTargets<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_row_results()
            && !self.has_weight_results()
            && self.weights.is_none()
            && self.output.is_none()
    }

    /// Whether there are outputs that follow from all weights of a row.
    pub(crate) fn has_weight_results(&self) -> bool {
        self.top_k.is_some() || self.key_mass.is_some()
    }

    /// Whether there are outputs with one element for each query row.
    pub(crate) fn has_row_results(&self) -> bool {
        self.max_logit.is_some()
            || self.max_weight.is_some()
            || self.max_weight_key.is_some()
            || self.entropy.is_some()
            || self.lse.is_some()
    }
}

impl<'a> Targets<'a> {
    /// Checks every view against the shape of its output.
    pub(crate) fn new(outputs: Outputs<'a>, extents: &Extents) -> Result<Self, Error> {
        let Outputs { weights, logits, max_logit, max_weight, entropy, output, lse, .. } = outputs;
        let Outputs { max_weight_key, top_k, key_mass, key_max, mass_rows, .. } = outputs;
        let Outputs { weights_of_heads, .. } = outputs;
        let (of_pairs, of_rows) = (extents.weights_shape(), extents.rows_shape());
        let check = |argument, shape, view: Option<ViewMut<'a>>| {
            view.map(|view| Target::new(argument, shape, view)).transpose()
        };
        let (stage, logits) = logits.unzip();
        let weights_of_heads = weights_of_heads
            .map(|(heads, view)| {
                let q_heads = extents.q_heads;
                if let Some(&found) = heads.iter().find(|&&head| head >= q_heads) {
                    return Err(Error::OutOfRange {
                        argument: "weights_of_heads",
                        expected: "query heads below",
                        limit: q_heads,
                        found,
                    });
                }
                let [batch, _, rows, keys] = of_pairs;
                let shape = [batch, heads.len(), rows, keys];
                Ok((heads, Target::new("weights_of_heads", shape, view)?))
            })
            .transpose()?;
        Ok(Targets {
            weights_of_heads,
            logits: stage.zip(check("logits", of_pairs, logits)?),
            softmax: SoftmaxTargets {
                weights: check("weights", of_pairs, weights)?,
                max_logit: check("max_logit", of_rows, max_logit)?,
                max_weight: check("max_weight", of_rows, max_weight)?,
                max_weight_key: max_weight_key
                    .map(|view| KeyTarget::new("max_weight_key", of_rows, view))
                    .transpose()?,
                entropy: check("entropy", of_rows, entropy)?,
                top_k: top_k
                    .map(|(weights, keys)| TopKTargets::new(of_rows, weights, keys))
                    .transpose()?
                    .filter(|targets| targets.k > 0),
                key_mass: KeyMassTargets::new(extents, (key_mass, key_max), mass_rows)?,
                lse: check("lse", of_rows, lse)?,
                output: check("output", extents.output_shape(), output)?,
            },
        })
    }

    /// The heads whose weights are asked for by themselves, and where those of each go.
    pub(crate) fn of_heads(&self) -> impl Iterator<Item = (usize, SoftmaxTargets<'a>)> {
        self.weights_of_heads.into_iter().flat_map(|(heads, target)| {
            heads.iter().enumerate().map(move |(place, &head)| {
                let weights = Some(target.of_head(place, heads.len()));
                (head, SoftmaxTargets { weights, ..SoftmaxTargets::default() })
            })
        })
    }
}

/// One output: its memory, and where the elements of a row stand in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) data: TargetData<'a>,
    pub(crate) strides: Strides,
    /// Where the first row begins.
    start: usize,
    /// Elements over all rows.
    elements: usize,
}

/// The memory of an output.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TargetData<'a> {
    F32(DisjointSlice<'a, f32>),
    #[cfg(feature = "half")]
    F16(DisjointSlice<'a, half::f16>),
    #[cfg(feature = "half")]
    Bf16(DisjointSlice<'a, half::bf16>),
}

impl<'a> Target<'a> {
    fn new(argument: &'static str, shape: [usize; 4], view: ViewMut<'a>) -> Result<Self, Error> {
        let strides = check_layout(argument, shape, &view.layout, view.data.len())?;
        let data = match view.data {
            ElementsMut::F32(data) => TargetData::F32(DisjointSlice::new(data)),
            #[cfg(feature = "half")]
            ElementsMut::F16(data) => TargetData::F16(DisjointSlice::new(data)),
            #[cfg(feature = "half")]
            ElementsMut::Bf16(data) => TargetData::Bf16(DisjointSlice::new(data)),
        };
        Ok(Target { data, strides, start: 0, elements: element_count(argument, shape)? })
    }

    /// The rows of one of its heads.
    pub(crate) fn of_head(&self, head: usize, heads: usize) -> Self {
        let start = self.start + head * self.strides.head;
        Target { start, elements: self.elements / heads, ..*self }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// Bytes that the output's elements take.
    pub(crate) fn bytes(&self) -> usize {
        let element = match self.data {
            TargetData::F32(_) => size_of::<f32>(),
            #[cfg(feature = "half")]
            TargetData::F16(_) | TargetData::Bf16(_) => size_of::<half::f16>(),
        };
        self.elements.saturating_mul(element)
    }

    /// The memory, if it is f32 and the columns of a row are contiguous.
    #[inline(always)]
    pub(crate) fn dense(&self) -> Option<DisjointSlice<'a, f32>> {
        match self.data {
            TargetData::F32(data) if self.strides.column == 1 => Some(data),
            _ => None,
        }
    }

    /// Index of the first element of a row in the memory.
    #[inline(always)]
    pub(crate) fn row_start(&self, index: RowIndex) -> usize {
        self.start + index.start(&self.strides)
    }

    /// Writes one element.
    #[inline(always)]
    pub(crate) fn write(&self, index: usize, value: f32) {
        match self.data {
            TargetData::F32(data) => part(&data, index..index + 1)[0] = value,
            #[cfg(feature = "half")]
            TargetData::F16(data) => part(&data, index..index + 1)[0] = half::f16::narrow(value),
            #[cfg(feature = "half")]
            TargetData::Bf16(data) => part(&data, index..index + 1)[0] = half::bf16::narrow(value),
        }
    }
}

/// An output whose elements are numbers of keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyTarget<'a> {
    data: DisjointSlice<'a, i64>,
    strides: Strides,
}

impl<'a> KeyTarget<'a> {
    fn new(
        argument: &'static str,
        shape: [usize; 4],
        view: TensorMut<'a, i64>,
    ) -> Result<Self, Error> {
        let strides = check_layout(argument, shape, &view.layout, view.data.len())?;
        Ok(KeyTarget { data: DisjointSlice::new(view.data), strides })
    }

    /// Writes one column of a row; −1 stands for no key.
    pub(crate) fn write(&self, row: RowIndex, column: usize, key: Option<usize>) {
        let index = row.start(&self.strides) + column * self.strides.column;
        let key = key.and_then(|key| i64::try_from(key).ok());
        part(&self.data, index..index + 1)[0] = key.unwrap_or(-1);
    }
}

/// The largest weights of each row, and their keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopKTargets<'a> {
    /// Weights of each row.
    pub(crate) k: usize,
    weights: Target<'a>,
    keys: KeyTarget<'a>,
}

impl<'a> TopKTargets<'a> {
    fn new(
        [batch, heads, rows, _]: [usize; 4],
        weights: ViewMut<'a>,
        keys: TensorMut<'a, i64>,
    ) -> Result<Self, Error> {
        let [.., k] = weights.shape();
        if k > MAX_TOP_K {
            return Err(Error::Extent {
                argument: "top_k weights",
                axis: "columns (k)",
                expected: MAX_TOP_K,
                expected_from: "at most",
                found: k,
            });
        }
        let shape = [batch, heads, rows, k];
        let weights = Target::new("top_k weights", shape, weights)?;
        Ok(TopKTargets { k, weights, keys: KeyTarget::new("top_k keys", shape, keys)? })
    }

    /// Writes one column of a row; no key is −1.
    pub(crate) fn write(&self, row: RowIndex, column: usize, weight: f32, key: Option<usize>) {
        let start = self.weights.row_start(row);
        self.weights.write(start + column * self.weights.strides.column, weight);
        self.keys.write(row, column, key);
    }
}

/// What each key receives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyMassTargets<'a> {
    sums: Option<HeadTarget<'a, f64>>,
    maxima: Option<HeadTarget<'a, f32>>,
    first_row: usize,
    end_row: usize,
}

/// An output with a row for each query head, or for each key head.
#[derive(Clone, Copy, Debug)]
struct HeadTarget<'a, T> {
    data: DisjointSlice<'a, T>,
    strides: Strides,
    per_key_head: bool,
}

impl<'a> KeyMassTargets<'a> {
    fn new(
        extents: &Extents,
        (sums, maxima): (Option<TensorMut<'a, f64>>, Option<TensorMut<'a, f32>>),
        rows: Option<Range<usize>>,
    ) -> Result<Option<Self>, Error> {
        let rows = rows.unwrap_or(0..extents.query_rows);
        for (found, most) in [(rows.end, extents.query_rows), (rows.start, rows.end)] {
            if found > most {
                let (argument, expected) = ("mass_rows", "an ascending range of rows up to");
                return Err(Error::OutOfRange { argument, expected, limit: most, found });
            }
        }
        if sums.is_none() && maxima.is_none() {
            return Ok(None);
        }
        Ok(Some(KeyMassTargets {
            sums: sums.map(|view| HeadTarget::new("key_mass", extents, view)).transpose()?,
            maxima: maxima.map(|view| HeadTarget::new("key_max", extents, view)).transpose()?,
            first_row: rows.start,
            end_row: rows.end,
        }))
    }

    /// The query rows that count.
    pub(crate) fn rows(&self) -> Range<usize> {
        self.first_row..self.end_row
    }

    pub(crate) fn has_sums(&self) -> bool {
        self.sums.is_some()
    }

    pub(crate) fn has_maxima(&self) -> bool {
        self.maxima.is_some()
    }

    /// A number for the query heads that add to the same rows.
    pub(crate) fn head_of(&self, q_head: usize, group: usize) -> usize {
        let per_key_head = self.sums.is_none_or(|target| target.per_key_head)
            && self.maxima.is_none_or(|target| target.per_key_head);
        if per_key_head { q_head / group } else { q_head }
    }

    /// Adds to some keys' sums and maxima, those of a row's head, while no other task does.
    pub(crate) fn add(
        &self,
        group: usize,
        row: RowIndex,
        keys: &Range<usize>,
        (sums, maxima): (&[f64; SEGMENT], &[f32; SEGMENT]),
    ) {
        if let Some(target) = self.sums {
            for (key, &sum) in keys.clone().zip(sums) {
                *target.element(group, row, key) += sum;
            }
        }
        if let Some(target) = self.maxima {
            for (key, &max) in keys.clone().zip(maxima) {
                let element = target.element(group, row, key);
                if max > *element || max.is_nan() {
                    *element = max;
                }
            }
        }
    }
}

impl<'a, T> HeadTarget<'a, T> {
    fn new(
        argument: &'static str,
        extents: &Extents,
        view: TensorMut<'a, T>,
    ) -> Result<Self, Error> {
        let Extents { batch, q_heads, kv_heads, keys, .. } = *extents;
        let [_, found, ..] = view.shape();
        let per_key_head = found == kv_heads;
        let heads = if per_key_head { kv_heads } else { q_heads };
        let strides =
            check_layout(argument, [batch, heads, 1, keys], &view.layout, view.data.len())?;
        Ok(HeadTarget { data: DisjointSlice::new(view.data), strides, per_key_head })
    }

    /// The element of a key in the row of a query head.
    #[inline(always)]
    fn element(&self, group: usize, row: RowIndex, key: usize) -> &'a mut T {
        let q_head = if self.per_key_head { row.q_head / group } else { row.q_head };
        let start = RowIndex { q_head, row: 0, ..row }.start(&self.strides);
        let index = start + key * self.strides.column;
        &mut part(&self.data, index..index + 1)[0]
    }
}

/// Checks an output's layout against the shape that it has to have.
fn check_layout(
    argument: &'static str,
    shape: [usize; 4],
    layout: &Layout,
    elements: usize,
) -> Result<Strides, Error> {
    let (columns, columns_from) = match argument {
        "output" => ("columns (v_dim)", "as the value"),
        "weights" | "weights_of_heads" | "logits" => ("columns (keys)", "as query and key"),
        "key_mass" | "key_max" => ("columns (keys)", "as the key"),
        "top_k weights" | "top_k keys" => ("columns (k)", "as the top_k weights"),
        _ => ("columns", "one for each row"),
    };
    let [batch, heads, rows, _] = RESULT_AXES;
    let from = "as query and key";
    let heads_from = if argument == "weights_of_heads" { "as the list" } else { from };
    let axes = [(batch, from), (heads, heads_from), (rows, from), (columns, columns_from)];
    for (((axis, from), expected), found) in axes.into_iter().zip(shape).zip(layout.shape) {
        expect_extent(argument, axis, expected, from, found)?;
    }
    layout.check_disjoint(argument, elements)
}

/// A part of an output's memory.
#[inline(always)]
#[allow(unsafe_code, reason = "each element of an output is written by one task")]
pub(crate) fn part<'a, T>(data: &DisjointSlice<'a, T>, range: Range<usize>) -> &'a mut [T] {
    // SAFETY: `check_disjoint` proved that no two elements of the output share memory. The plan gives
    // each row and segment to one task, which writes them one after another; sums over rows are added
    // to under a lock. The borrow ends before the task's next one.
    unsafe { data.slice(range) }
}
