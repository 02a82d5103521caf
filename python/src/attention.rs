//! The function `attention_weights`.

use crate::arguments;
use crate::array::Array;
use crate::error;
use crate::kind::Kind;
use crate::packed_keys::PackedKeys;
use crate::threads::Threads;
use pyo3::prelude::*;
use softdot::{Attention, Keys};
use std::sync::Arc;

/// Keys as Python has them.
enum Key {
    Array(Array),
    Packed(Arc<softdot::PackedKeys>),
}

impl Key {
    fn open(key: &Bound<'_, PyAny>) -> PyResult<Self> {
        match key.cast::<PackedKeys>() {
            Ok(packed) => Ok(Key::Packed(packed.get().snapshot(key.py()))),
            Err(_) => Array::view("key", key).map(Key::Array),
        }
    }

    fn as_keys(&self) -> Keys<'_> {
        match self {
            Key::Array(array) => array.tensor().into(),
            Key::Packed(packed) => (&**packed).into(),
        }
    }

    /// Keys per head.
    fn keys(&self) -> usize {
        match self {
            Key::Array(array) => array.tensor().shape()[2],
            Key::Packed(packed) => packed.len(),
        }
    }
}

/// Attention weights ``softmax(scale · query · keyᵀ)`` over the keys: each row sums to 1.
///
/// Parameters
/// ----------
/// query : array of float32, ``[batch, q_heads, query_rows, head_dim]``
///     With any non-negative strides, read in place; leading axes may be missing. NumPy arrays,
///     torch tensors on the CPU, anything with DLPack or the buffer protocol.
/// key : array of float32, ``[batch, kv_heads, keys, head_dim]``, or :class:`PackedKeys`
///     As ``query``; ``q_heads`` is a multiple of ``kv_heads``, and query head ``h`` reads key head
///     ``h // (q_heads // kv_heads)``.
/// scale : float, optional
///     What dot products are multiplied by. Finite; ``1/√head_dim`` if not given.
/// stage : {"weights", "scores"}
///     What to compute: the weights, or the scaled scores before the softmax.
/// out : writable array of float32, optional
///     Where the result goes, ``[batch, q_heads, query_rows, keys]``, with any strides that keep its
///     elements apart; it is returned.
/// isa : {"avx512", "avx2", "neon", "scalar"}, optional
///     The instruction set; the widest of the machine if not given. The bits are the same on each.
/// threads : int, optional
///     How many threads share the work; all if not given. The bits are the same for any number.
///
/// Returns
/// -------
/// array of float32, ``[batch, q_heads, query_rows, keys]``
///     Of the query's kind and with as many axes; dense.
///
/// Raises
/// ------
/// TypeError
///     For arguments of another type, arrays of another element type, memory of another device.
/// ValueError
///     For arrays that do not fit each other, negative strides, a scale that is not finite, an
///     instruction set that the CPU lacks. Then nothing has been written to ``out``.
#[pyfunction]
#[pyo3(signature = (query, key, *, scale=None, stage="weights", out=None, isa=None, threads=None))]
#[allow(clippy::too_many_arguments, reason = "Python's keywords, one each")]
pub fn attention_weights<'py>(
    py: Python<'py>,
    query: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    scale: Option<f32>,
    stage: &str,
    out: Option<Bound<'py, PyAny>>,
    isa: Option<&str>,
    threads: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let threads = Threads::parse(threads)?;
    let mut attention = Attention::new()
        .stage(arguments::stage(stage)?)
        .isa(arguments::isa(isa)?)
        .threads(threads.of_library());
    if let Some(scale) = scale {
        attention = attention.scale(scale);
    }
    let query_array = Array::view("query", query)?;
    let key = Key::open(key)?;

    let (query_view, key_view) = (query_array.tensor(), key.as_keys());
    // Before there is memory for a result: it may be of any size if they do not fit.
    let plan = attention.plan(query_view, key_view).map_err(error::to_python)?;
    let mut inputs = vec![&query_array];
    if let Key::Array(array) = &key {
        inputs.push(array);
    }
    let compute_into = |result: &Bound<'py, PyAny>| {
        let mut output = Array::view("out", result)?;
        let output = output.tensor_mut(&inputs)?;
        threads.run(py, plan.threads, |workspace| {
            attention.compute_into(query_view, key_view, output, workspace)
        })
    };
    match out {
        Some(out) => {
            compute_into(&out)?;
            Ok(out)
        }
        None => {
            let kind = Kind::of(query)?;
            let mut shape = query_array.shape().to_vec();
            if let Some(columns) = shape.last_mut() {
                *columns = key.keys();
            }
            let result = kind.empty(py, &shape)?;
            compute_into(&result)?;
            kind.wrap(result)
        }
    }
}
