//! The library's errors as Python's.

use pyo3::PyErr;
use pyo3::exceptions::{PyMemoryError, PyValueError};
use softdot::Error;

/// `ValueError` with the library's message; `MemoryError` where there was no memory. The result of a
/// call, which Rust calls by what it is, is `out` in Python, and the list of heads `heads`.
pub fn to_python(error: Error) -> PyErr {
    let message = error.to_string();
    let message = match message.split_once(": ") {
        Some(("weights" | "logits" | "output", rest)) => format!("out: {rest}"),
        Some(("weights_of_heads", rest)) => format!("heads: {rest}"),
        _ => message,
    };
    match error {
        Error::Allocation { .. } => PyMemoryError::new_err(message),
        _ => PyValueError::new_err(message),
    }
}
