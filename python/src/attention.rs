//! The function `attention_weights`.

use crate::arguments;
use crate::array::Array;
use crate::error;
use crate::kind::Kind;
use crate::options::Options;
use crate::packed_keys::PackedKeys;
use crate::threads::Threads;
use pyo3::exceptions::PyValueError;
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
            Key::Array(array) => array.as_view().into(),
            Key::Packed(packed) => (&**packed).into(),
        }
    }

    fn as_array(&self) -> Option<&Array> {
        match self {
            Key::Array(array) => Some(array),
            Key::Packed(_) => None,
        }
    }

    /// Keys per head.
    fn keys(&self) -> usize {
        match self {
            Key::Array(array) => array.as_view().shape()[2],
            Key::Packed(packed) => packed.len(),
        }
    }
}

/// Attention weights ``softmax(scale · query · keyᵀ)`` over the keys: each row sums to 1.
///
/// In this order: scale, softcap, bias and ALiBi, exclusion of keys, sink, softmax. A row that may
/// attend to no key is 0 throughout. Arrays are NumPy's, torch's on the CPU, or anything with DLPack
/// or the buffer protocol, of float32, float16 or bfloat16 (ml_dtypes or torch), with any
/// non-negative strides; they are read in place. Narrow ones are widened exactly, and narrow results
/// are rounded once.
///
/// Parameters
/// ----------
/// query : array, ``[batch, q_heads, query_rows, head_dim]``
///     Leading axes may be missing, here and in all other arrays.
/// key : array, ``[batch, kv_heads, keys, head_dim]``, or :class:`PackedKeys`
///     ``q_heads`` is a multiple of ``kv_heads``, and query head ``h`` reads key head
///     ``h // (q_heads // kv_heads)``.
/// scale : float, optional
///     What dot products are multiplied by. Finite; ``1/√head_dim`` if not given.
/// softcap : float, optional
///     Caps scores softly, ``softcap · tanh(score / softcap)``. Finite and above 0.
/// bias : array, ``[batch, q_heads, query_rows, keys]``, optional
///     What is added to scores, each extent as that of the result or 1. ``-inf`` excludes.
/// alibi_slopes : row of float32, ``[q_heads]``, or sequence of floats, optional
///     Adds ``slope · (key position - query position)``; :func:`alibi_slopes` has the usual ones.
/// mask : array of bool, ``[batch, q_heads, query_rows, keys]``, optional
///     Which keys each row may attend to, True = attend; each extent as that of the result or 1.
/// causal : {"top-left", "bottom-right"} or int, optional
///     No row attends to keys after its own position. Row 0 stands at key 0, or where the last row
///     stands at the last key, or at the key of that number. (Without it, options that count from a
///     row's position take "bottom-right".)
/// window : pair of int or None, optional
///     Keys before and after its own position that a row attends to; None is unbounded.
/// key_lengths : row or sequence of int, ``[batch]``, optional
///     How many keys each batch entry has, the first ones.
/// sinks : row of float32, ``[q_heads]``, or sequence of floats, optional
///     A logit for each query head that takes part in the normalisation and gets no weight.
/// stage : {"weights", "biased", "capped", "scores"}
///     What to compute: the weights; or the logits that the softmax sees; or those before bias,
///     ALiBi and exclusion; or those before softcap, too.
/// out : writable array, ``[batch, q_heads, query_rows, keys]``, optional
///     Where the result goes, with any strides that keep its elements apart; it is returned.
/// dtype : {"float32", "float16", "bfloat16"} or a library's type, optional
///     The elements of the result; those of the query (or of ``out``) if not given.
/// isa : {"avx512", "avx2", "neon", "scalar"}, optional
///     The instruction set; the widest of the machine if not given. The bits are the same on each.
/// threads : int, optional
///     How many threads share the work; all if not given. The bits are the same for any number.
///
/// Returns
/// -------
/// array, ``[batch, q_heads, query_rows, keys]``
///     Of the query's kind and with as many axes; dense.
///
/// Raises
/// ------
/// TypeError
///     For arguments of another type, arrays of another element type, memory of another device.
/// ValueError
///     For arrays that do not fit each other, negative strides, numbers that are not finite, an
///     instruction set that the CPU lacks. Then nothing has been written to ``out``.
#[pyfunction]
#[pyo3(signature = (
    query, key, *, scale=None, softcap=None, bias=None, alibi_slopes=None, mask=None, causal=None,
    window=None, key_lengths=None, sinks=None, stage="weights", out=None, dtype=None, isa=None,
    threads=None
))]
#[allow(clippy::too_many_arguments, reason = "Python's keywords, one each")]
pub fn attention_weights<'py>(
    py: Python<'py>,
    query: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    scale: Option<&Bound<'py, PyAny>>,
    softcap: Option<&Bound<'py, PyAny>>,
    bias: Option<&Bound<'py, PyAny>>,
    alibi_slopes: Option<&Bound<'py, PyAny>>,
    mask: Option<&Bound<'py, PyAny>>,
    causal: Option<&Bound<'py, PyAny>>,
    window: Option<&Bound<'py, PyAny>>,
    key_lengths: Option<&Bound<'py, PyAny>>,
    sinks: Option<&Bound<'py, PyAny>>,
    stage: &str,
    out: Option<Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
    isa: Option<&str>,
    threads: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let options = Options::open(bias, alibi_slopes, mask, key_lengths, sinks)?;
    let threads = Threads::parse(threads)?;
    let stage = arguments::stage(stage)?;
    let mut attention = Attention::new().isa(arguments::isa(isa)?).threads(threads.of_library());
    if let Some(scale) = scale {
        attention = attention.scale(arguments::real("scale", scale)?);
    }
    if let Some(softcap) = softcap {
        attention = attention.softcap(arguments::real("softcap", softcap)?);
    }
    if let Some(causal) = causal {
        attention = attention.causal(arguments::causal(causal)?);
    }
    if let Some(window) = window {
        let (left, right) = arguments::window(window)?;
        attention = attention.window(left, right);
    }
    let attention = options.apply(attention);
    let dtype = dtype.map(arguments::dtype).transpose()?;

    let query_array = Array::view("query", query)?;
    let key = Key::open(key)?;
    let (query_view, key_view) = (query_array.as_view(), key.as_keys());
    // Before there is memory for a result: it may be of any size if they do not fit.
    let plan = attention.plan(query_view, key_view).map_err(error::to_python)?;
    let inputs: Vec<&Array> =
        [&query_array].into_iter().chain(key.as_array()).chain(options.arrays()).collect();
    let compute_into = |mut output: Array| {
        let output = output.as_view_mut(&inputs)?;
        threads.run(py, plan.threads, |workspace| {
            attention.run(query_view, key_view, stage.outputs(output), workspace)
        })
    };
    match out {
        Some(out) => {
            let output = Array::view("out", &out)?;
            if let Some(dtype) = dtype.filter(|&dtype| dtype != output.dtype()) {
                let found = output.dtype();
                return Err(PyValueError::new_err(format!(
                    "out: expected an array of {dtype} (as dtype), found {found}"
                )));
            }
            compute_into(output)?;
            Ok(out)
        }
        None => {
            let kind = Kind::of(query, query_array.dtype())?;
            let dtype = dtype.unwrap_or(query_array.dtype());
            let mut shape = query_array.shape().to_vec();
            if let Some(columns) = shape.last_mut() {
                *columns = key.keys();
            }
            let result = kind.empty(py, &shape, dtype)?;
            compute_into(Array::view("out", &result)?)?;
            kind.wrap(result, dtype)
        }
    }
}
