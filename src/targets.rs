//! The outputs of a call, validated: where each element goes.

#[cfg(feature = "half")]
use crate::convert::Narrow;
use crate::disjoint::DisjointSlice;
use crate::element::ElementsMut;
use crate::error::Error;
use crate::extents::Extents;
use crate::options::Logits;
use crate::outputs::Outputs;
use crate::rows::RowIndex;
use crate::tensor::{RESULT_AXES, Strides, ViewMut, element_count, expect_extent};
use core::ops::Range;

/// The outputs of a call, as the passes that compute them see them.
#[derive(Debug)]
pub(crate) struct Targets<'a> {
    /// The logits, for a pass of their own.
    pub(crate) logits: Option<(Logits, Target<'a>)>,
    /// What follows from the softmax.
    pub(crate) softmax: SoftmaxTargets<'a>,
}

/// What follows from the softmax of each row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SoftmaxTargets<'a> {
    pub(crate) weights: Option<Target<'a>>,
    pub(crate) max_logit: Option<Target<'a>>,
    pub(crate) lse: Option<Target<'a>>,
    pub(crate) output: Option<Target<'a>>,
}

impl SoftmaxTargets<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_row_results() && self.weights.is_none() && self.output.is_none()
    }

    /// Whether there are outputs with one element for each query row.
    pub(crate) fn has_row_results(&self) -> bool {
        self.max_logit.is_some() || self.lse.is_some()
    }
}

impl<'a> Targets<'a> {
    /// Checks every view against the shape of its output.
    pub(crate) fn new(outputs: Outputs<'a>, extents: &Extents) -> Result<Self, Error> {
        let Outputs { weights, logits, max_logit, output, lse } = outputs;
        let (of_pairs, of_rows) = (extents.weights_shape(), extents.rows_shape());
        let check = |argument, shape, view: Option<ViewMut<'a>>| {
            view.map(|view| Target::new(argument, shape, view)).transpose()
        };
        let (stage, logits) = logits.unzip();
        Ok(Targets {
            logits: stage.zip(check("logits", of_pairs, logits)?),
            softmax: SoftmaxTargets {
                weights: check("weights", of_pairs, weights)?,
                max_logit: check("max_logit", of_rows, max_logit)?,
                lse: check("lse", of_rows, lse)?,
                output: check("output", extents.output_shape(), output)?,
            },
        })
    }
}

/// One output: its memory, and where the elements of a row stand in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) data: TargetData<'a>,
    pub(crate) strides: Strides,
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
        let (columns, columns_from) = match argument {
            "output" => ("columns (v_dim)", "as the value"),
            "weights" | "logits" => ("columns (keys)", "as query and key"),
            _ => ("columns", "one for each row"),
        };
        let [batch, heads, rows, _] = RESULT_AXES;
        let from = "as query and key";
        let axes = [(batch, from), (heads, from), (rows, from), (columns, columns_from)];
        for (((axis, from), expected), found) in axes.into_iter().zip(shape).zip(view.shape()) {
            expect_extent(argument, axis, expected, from, found)?;
        }
        let strides = view.layout.check_disjoint(argument, view.data.len())?;
        let data = match view.data {
            ElementsMut::F32(data) => TargetData::F32(DisjointSlice::new(data)),
            #[cfg(feature = "half")]
            ElementsMut::F16(data) => TargetData::F16(DisjointSlice::new(data)),
            #[cfg(feature = "half")]
            ElementsMut::Bf16(data) => TargetData::Bf16(DisjointSlice::new(data)),
        };
        Ok(Target { data, strides, elements: element_count(argument, shape)? })
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
        index.start(&self.strides)
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

/// A part of an output's memory.
#[inline(always)]
#[allow(unsafe_code, reason = "each element of an output is written by one task")]
pub(crate) fn part<'a, T>(data: &DisjointSlice<'a, T>, range: Range<usize>) -> &'a mut [T] {
    // SAFETY: `check_disjoint` proved that no two elements of the output share memory, and the plan
    // gives each row and segment to one task, which writes them one after another; the borrow ends
    // before the task's next one.
    unsafe { data.slice(range) }
}
