//! Words and numbers from Python as the library's options.

use crate::array::type_name;
use crate::error;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use softdot::{Isa, Stage};
use std::ops::RangeInclusive;

/// The stages by their names.
const STAGES: [(&str, Stage); 2] = [("scores", Stage::Scores), ("weights", Stage::Weights)];

/// What to compute.
pub fn stage(name: &str) -> PyResult<Stage> {
    let found = STAGES.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, stage)| stage).ok_or_else(|| {
        let known = STAGES.map(|(known, _)| known).join(", ");
        PyValueError::new_err(format!("stage: expected one of {known}, found {name:?}"))
    })
}

/// The instruction set of that name, or the one that detection chooses.
pub fn isa(name: Option<&str>) -> PyResult<Isa> {
    match name {
        Some(name) => name.parse(),
        None => Isa::detect().map(|selection| selection.isa),
    }
    .map_err(error::to_python)
}

/// A whole number within limits.
pub fn number(
    argument: &str,
    value: &Bound<'_, PyAny>,
    limits: RangeInclusive<usize>,
) -> PyResult<usize> {
    match value.extract::<usize>() {
        Ok(number) if limits.contains(&number) => Ok(number),
        Err(error) if !error.is_instance_of::<PyOverflowError>(value.py()) => {
            Err(PyTypeError::new_err(format!(
                "{argument}: expected a whole number, found {}",
                type_name(value)
            )))
        }
        _ => Err(PyValueError::new_err(format!(
            "{argument}: expected a number from {} to {}, found {value}",
            limits.start(),
            limits.end()
        ))),
    }
}
