//! Shapes and strides as the library wants them: four axes, in elements.

use super::dtype::Dtype;
use pyo3::exceptions::PyValueError;
use pyo3::{PyErr, PyResult};
use std::ops::RangeInclusive;

/// The axes that views have: `[batch, heads, rows, columns]`, leading ones may be missing.
pub const VIEW_AXES: RangeInclusive<usize> = 2..=4;

/// The axes of what broadcasts to a view.
pub const BROADCAST_AXES: RangeInclusive<usize> = 1..=4;

/// The axes that single rows have.
pub const ROW_AXES: RangeInclusive<usize> = 1..=1;

/// Extents and strides of four axes, the last `axes` of them the array's own.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// How many axes the array has.
    pub axes: usize,
    /// Extents, with leading ones.
    pub shape: [usize; 4],
    /// Strides in elements; 0 where there is nothing to step over.
    pub strides: [isize; 4],
}

impl Layout {
    /// # Errors
    /// Too few or too many axes, strides that are no whole number of elements.
    pub fn new(
        argument: &str,
        expected_axes: &RangeInclusive<usize>,
        dtype: Dtype,
        shape: &[usize],
        byte_strides: &[isize],
    ) -> PyResult<Self> {
        if !expected_axes.contains(&shape.len()) {
            return Err(wrong_axes(argument, expected_axes, shape.len()));
        }
        let axes = shape.len();
        let mut layout = Layout { axes, shape: [1; 4], strides: [0; 4] };
        layout.shape[4 - axes..].copy_from_slice(shape);
        if shape.contains(&0) {
            return Ok(layout);
        }
        let size = dtype.size() as isize;
        let own_strides = &mut layout.strides[4 - axes..];
        for ((stride, &bytes), &extent) in own_strides.iter_mut().zip(byte_strides).zip(shape) {
            // What an axis of one element has for a stride means nothing.
            if extent > 1 {
                if bytes % size != 0 {
                    return Err(PyValueError::new_err(format!(
                        "{argument}: expected strides of whole elements of {size} bytes, found \
                         {byte_strides:?} bytes"
                    )));
                }
                *stride = bytes / size;
            }
        }
        Ok(layout)
    }

    /// Elements from the first to the last that the strides reach; `None` where some are negative
    /// or memory has no room for them, which the library refuses.
    pub fn span(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        let steps = self.shape.iter().zip(self.strides);
        let span = steps.into_iter().try_fold(1usize, |span, (&extent, stride)| {
            span.checked_add((extent - 1).checked_mul(usize::try_from(stride).ok()?)?)
        });
        span.filter(|&span| span <= isize::MAX as usize / size_of::<f32>())
    }

    /// The array's own extents.
    pub fn own_shape(&self) -> &[usize] {
        &self.shape[4 - self.axes..]
    }
}

fn wrong_axes(argument: &str, expected: &RangeInclusive<usize>, found: usize) -> PyErr {
    let expected = match (expected.start(), expected.end()) {
        (_, 1) => "1 axis",
        (1, _) => "1 to 4 axes",
        _ => "2, 3 or 4 axes",
    };
    PyValueError::new_err(format!("{argument}: expected {expected}, found {found}"))
}
