//! The functions `alibi_slopes`, `dot` and `scaled_softmax`.

use crate::arguments;
use crate::array::Array;
use crate::error;
use crate::kind::Kind;
use pyo3::prelude::*;
use softdot::Primitives;

/// Heads that have slopes at most, so that a slip of the pen does not fill the memory.
const MOST_HEADS: usize = 1 << 16;

/// The standard slopes of ALiBi for any number of heads, for the option ``alibi_slopes``.
///
/// Those of Press, Smith and Lewis, *Train Short, Test Long*, 2022: for 2ᵏ heads the powers
/// ``2 ** (-8 * i / 2ᵏ)``, ``i = 1 …``.
#[pyfunction]
pub fn alibi_slopes(heads: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    Ok(softdot::alibi_slopes(arguments::number("heads", heads, 0..=MOST_HEADS)?))
}

/// The dot product ``Σ a_i · b_i`` of two rows of float32 without gaps, of the same length.
///
/// The bits are the same on every instruction set ``isa``.
#[pyfunction]
#[pyo3(signature = (a, b, *, isa=None))]
pub fn dot(
    py: Python<'_>,
    a: &Bound<'_, PyAny>,
    b: &Bound<'_, PyAny>,
    isa: Option<&Bound<'_, PyAny>>,
) -> PyResult<f32> {
    let isa = arguments::isa(isa)?;
    let (a, b) = (Array::row("a", a)?, Array::row("b", b)?);
    let (a, b) = (a.as_row(), b.as_row());
    py.detach(|| Primitives::on(isa)?.dot(a, b)).map_err(error::to_python)
}

/// ``softmax(scale · row)`` of one row of float32 without gaps: what attention does to scores.
///
/// The result goes to ``out``, a row of the same length, if it is given; ``out=row`` computes in
/// place. Otherwise it is a new array of the row's kind. ``scale`` is finite. The bits are the same
/// on every instruction set ``isa``.
#[pyfunction]
#[pyo3(signature = (row, scale, *, out=None, isa=None))]
pub fn scaled_softmax<'py>(
    py: Python<'py>,
    row: &Bound<'py, PyAny>,
    scale: &Bound<'py, PyAny>,
    out: Option<Bound<'py, PyAny>>,
    isa: Option<&Bound<'_, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (scale, isa) = (arguments::real("scale", scale)?, arguments::isa(isa)?);
    let input = Array::row("row", row)?;
    let compute_into = |result: &Bound<'py, PyAny>| {
        let mut output = Array::row("out", result)?;
        if output.is_same(&input) {
            let row = output.as_row_mut(&[])?;
            py.detach(|| Primitives::on(isa)?.scaled_softmax_in_place(row, scale))
        } else {
            let (row, output) = (input.as_row(), output.as_row_mut(&[&input])?);
            py.detach(|| Primitives::on(isa)?.scaled_softmax(row, scale, output))
        }
        .map_err(error::to_python)
    };
    match out {
        Some(out) => {
            compute_into(&out)?;
            Ok(out)
        }
        None => {
            let kind = Kind::of(row, input.dtype())?;
            let result = kind.empty(py, input.shape(), input.dtype())?;
            compute_into(&result)?;
            kind.wrap(result, input.dtype())
        }
    }
}
