//! The function `attention_weights`.

use crate::arguments;
use crate::call::Call;
use crate::options::Given;
use pyo3::prelude::*;
use pyo3::types::PyDict;

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
///     ``h // (q_heads // kv_heads)``. Keys of one batch entry serve all of the query's.
#[doc = include_str!("options.txt")]
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
/// MemoryError, RuntimeError
///     Where there is no memory, or no such number of ``threads``; then, too, nothing has been written.
#[pyfunction]
#[pyo3(signature = (
    query, key, *, scale=None, softcap=None, bias=None, alibi_slopes=None, mask=None, causal=None,
    window=None, key_lengths=None, sinks=None, stage=None, out=None, dtype=None, isa=None,
    threads=None, **others
), text_signature = "\
    (query, key, *, scale=None, softcap=None, bias=None, alibi_slopes=None, mask=None, \
    causal=None, window=None, key_lengths=None, sinks=None, stage=\"weights\", out=None, \
    dtype=None, isa=None, threads=None)")]
#[allow(clippy::too_many_arguments, reason = "Python's keywords, one each")]
pub fn attention_weights<'py>(
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
    stage: Option<&Bound<'py, PyAny>>,
    out: Option<Bound<'py, PyAny>>,
    dtype: Option<&Bound<'py, PyAny>>,
    isa: Option<&Bound<'py, PyAny>>,
    threads: Option<&Bound<'py, PyAny>>,
    others: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    arguments::no_others("attention_weights", others)?;
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
    let stage = stage.map(arguments::stage).transpose()?.unwrap_or_default();
    let dtype = dtype.map(arguments::dtype).transpose()?;
    let call = Call::open(query, key, None, &given)?;
    let mut result = call.result(out, call.keys(), dtype)?;
    call.run(stage.outputs(result.as_view_mut(&call.arrays())?))?;
    result.finish()
}
