//! The function `attention`.

use crate::arguments;
use crate::call::Call;
use crate::options::Given;
use crate::results::{Asked, Results};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Attention ``softmax(scale · query · keyᵀ) · value``, without the weights in memory.
///
/// In this order: scale, softcap, bias and ALiBi, exclusion of keys, sink, softmax, values. A row
/// that may attend to no key is 0 throughout. Arrays are read as by :func:`attention_weights`, and
/// the weights are those that it gives.
///
/// Parameters
/// ----------
/// query : array, ``[batch, q_heads, query_rows, head_dim]``
///     Leading axes may be missing, here and in all other arrays.
/// key : array, ``[batch, kv_heads, keys, head_dim]``, or :class:`PackedKeys`
///     ``q_heads`` is a multiple of ``kv_heads``, and query head ``h`` reads key head
///     ``h // (q_heads // kv_heads)``. Keys of one batch entry serve all of the query's.
/// value : array, ``[batch, kv_heads, keys, v_dim]``
///     What the weights are the weights of. ``v_dim`` may be any, the batch that of the query or 1.
#[doc = include_str!("options.txt")]
/// out : writable array, ``[batch, q_heads, query_rows, v_dim]``, optional
///     Where the output goes, with any strides that keep its elements apart; it is returned.
/// returns : name or sequence of names, optional
///     What to return beside the output: "lse", "weights", "max_logit", "max_weight",
///     "max_weight_key", "entropy", "top_k", "key_mass", "key_max". They come of the same pass; see
///     :class:`AttentionResult`.
/// top_k : int, optional
///     How many weights of each row "top_k" has, 1 to 256.
/// mass_rows : int or pair of int, optional
///     The query rows that count for "key_mass" and "key_max": so many of the last ones, or those
///     from a first to before another; all if not given.
/// mass_heads : {"query", "kv"}, optional
///     Whose "key_mass" and "key_max" are: each query head's, or, with "kv", each key head's, over
///     all query heads that read it.
/// heads : sequence of int, optional
///     The query heads whose "weights" are returned, in this order; all if not given. Each costs a
///     pass of its own.
/// dtype : {"float32", "float16", "bfloat16"} or a library's type, optional
///     The elements of output and weights; those of the query (or of ``out``) if not given.
/// isa : {"avx512", "avx2", "neon", "scalar"}, optional
///     The instruction set; the widest of the machine if not given. The bits are the same on each.
/// threads : int, optional
///     How many threads share the work; all if not given. The bits are the same for any number.
///
/// Returns
/// -------
/// array, ``[batch, q_heads, query_rows, v_dim]``, or :class:`AttentionResult`
///     The output; of the query's kind and with as many axes, dense. With ``returns``, an object that
///     has it and what else was asked for.
///
/// Raises
/// ------
/// TypeError
///     For arguments of another type, arrays of another element type, memory of another device.
/// ValueError
///     For arrays that do not fit each other, negative strides, numbers that are not finite, an
///     instruction set that the CPU lacks. Then nothing has been written to ``out``.
/// MemoryError, RuntimeError
///     Where there is no memory, or no such number of ``threads``; then, too, nothing has been written.
#[pyfunction]
#[pyo3(signature = (
    query, key, value, *, scale=None, softcap=None, bias=None, alibi_slopes=None, mask=None,
    causal=None, window=None, key_lengths=None, sinks=None, out=None, returns=None, top_k=None,
    mass_rows=None, mass_heads=None, heads=None, dtype=None, isa=None, threads=None, **others
), text_signature = "\
    (query, key, value, *, scale=None, softcap=None, bias=None, alibi_slopes=None, mask=None, \
    causal=None, window=None, key_lengths=None, sinks=None, out=None, returns=None, top_k=None, \
    mass_rows=None, mass_heads=None, heads=None, dtype=None, isa=None, threads=None)")]
#[allow(clippy::too_many_arguments, reason = "Python's keywords, one each")]
pub fn attention<'py>(
    query: &Bound<'py, PyAny>,
    key: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    scale: Option<&Bound<'py, PyAny>>,
    softcap: Option<&Bound<'py, PyAny>>,
    bias: Option<&Bound<'py, PyAny>>,
    alibi_slopes: Option<&Bound<'py, PyAny>>,
    mask: Option<&Bound<'py, PyAny>>,
    causal: Option<&Bound<'py, PyAny>>,
    window: Option<&Bound<'py, PyAny>>,
    key_lengths: Option<&Bound<'py, PyAny>>,
    sinks: Option<&Bound<'py, PyAny>>,
    out: Option<Bound<'py, PyAny>>,
    returns: Option<&Bound<'py, PyAny>>,
    top_k: Option<&Bound<'py, PyAny>>,
    mass_rows: Option<&Bound<'py, PyAny>>,
    mass_heads: Option<&Bound<'py, PyAny>>,
    heads: Option<&Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
    isa: Option<&Bound<'py, PyAny>>,
    threads: Option<&Bound<'py, PyAny>>,
    others: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    arguments::no_others("attention", others)?;
    let given = Given {
        scale,
        softcap,
        bias,
        alibi_slopes,
        mask,
        causal,
        window,
        key_lengths,
        sinks,
        isa,
        threads,
    };
    let dtype = dtype.map(arguments::dtype).transpose()?;
    let asked = Asked { returns, top_k, mass_rows, mass_heads, heads };
    let call = Call::open(query, key, Some(value), &given)?;
    let wanted = asked.open(&call)?;
    let output = call.result(out, call.v_dim(), dtype)?;
    let mut results = Results::new(&call, output, wanted)?;
    call.run(results.outputs(&call.arrays())?)?;
    match returns {
        Some(_) => results.into_result(query.py()),
        None => results.into_output(),
    }
}
