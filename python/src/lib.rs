//! softdot for Python: the module `softdot._softdot`, which the package `softdot` is made of.
#![deny(unsafe_code)]

mod arguments;
mod array;
mod attention;
mod attention_weights;
mod call;
mod error;
mod fork;
mod huge_pages;
mod key;
mod kind;
mod openmp;
mod options;
mod packed_keys;
mod primitives;
mod result;
mod results;
mod target;
mod threads;
mod workspaces;

use array::Array;
use kind::Kind;
use pyo3::prelude::*;
use softdot::{Attention, TensorRef};

/// The compiled part of the package softdot.
#[pymodule(name = "_softdot")]
mod module {
    #[pymodule_export]
    use super::attention::attention;
    #[pymodule_export]
    use super::attention_weights::attention_weights;
    #[pymodule_export]
    use super::packed_keys::PackedKeys;
    #[pymodule_export]
    use super::primitives::{alibi_slopes, dot, scaled_softmax};
    #[pymodule_export]
    use super::result::AttentionResult;
    #[pymodule_export]
    use super::workspaces::release_memory;
    #[pymodule_export]
    use super::{available_isas, isa, new_empty};

    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init(module: &super::Bound<'_, super::PyModule>) -> super::PyResult<()> {
        super::detect();
        super::fork::imported(module.py())
    }
}

/// Lets the library find out about the CPU what it finds out once: not while another thread forks, whose
/// child would wait for the answer forever. A limit in the environment that is none is the error of calls.
fn detect() {
    let view = TensorRef::new(&[0.0f32][..], [1, 1]);
    let _ = Attention::new().plan(view, view);
}

/// The name of the instruction set that runs unless a call says otherwise: the widest of this
/// machine that the environment variable ``SOFTDOT_MAX_ISA`` allows.
#[pyfunction]
fn isa() -> PyResult<&'static str> {
    Ok(arguments::isa(None)?.name())
}

/// The names of this machine's instruction sets, narrowest first.
#[pyfunction]
fn available_isas() -> Vec<&'static str> {
    softdot::Isa::available().map(softdot::Isa::name).collect()
}

/// Memory for a result, an array of the query's kind and element type.
#[pyfunction(name = "_new_empty")]
fn new_empty<'py>(query: &Bound<'py, PyAny>, shape: Vec<usize>) -> PyResult<Bound<'py, PyAny>> {
    let dtype = Array::view("query", query)?.dtype();
    Kind::of(query, dtype)?.empty(query.py(), &shape, dtype)
}
