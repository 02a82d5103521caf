//! The function `attention`.

use crate::arguments;
use crate::call::Call;
use crate::options::Given;
use crate::result::{AttentionResult, Returns};
use crate::target::Target;
use pyo3::prelude::*;
use softdot::Outputs;

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
///     ``h // (q_heads // kv_heads)``.
/// value : array, ``[batch, kv_heads, keys, v_dim]``
///     What the weights are the weights of. ``v_dim`` may be any.
#[doc = include_str!("options.txt")]
/// out : writable array, ``[batch, q_heads, query_rows, v_dim]``, optional
///     Where the output goes, with any strides that keep its elements apart; it is returned.
/// returns : {"lse", "weights", "max_logit", "max_weight", "entropy"} or sequence of them, optional
///     What to return beside the output, of the same pass; see :class:`AttentionResult`.
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
#[pyfunction]
#[pyo3(signature = (
    query, key, value, *, scale=None, softcap=None, bias=None, alibi_slopes=None, mask=None,
    causal=None, window=None, key_lengths=None, sinks=None, out=None, returns=None, dtype=None,
    isa=None, threads=None
))]
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
    dtype: Option<&Bound<'py, PyAny>>,
    isa: Option<&str>,
    threads: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
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
    let has_others = returns.is_some();
    let returns = returns.map(Returns::parse).transpose()?.unwrap_or_default();
    let dtype = dtype.map(arguments::dtype).transpose()?;
    let call = Call::open(query, key, Some(value), &given)?;

    let mut output = call.result(out, call.v_dim(), dtype)?;
    let mut weights =
        returns.weights.then(|| call.new_result(call.keys(), output.dtype())).transpose()?;
    let mut lse = returns.lse.then(|| call.new_row_result()).transpose()?;
    let mut max_logit = returns.max_logit.then(|| call.new_row_result()).transpose()?;
    let mut max_weight = returns.max_weight.then(|| call.new_row_result()).transpose()?;
    let mut entropy = returns.entropy.then(|| call.new_row_result()).transpose()?;

    let inputs = call.arrays();
    let mut outputs = Outputs::new().output(output.as_view_mut(&inputs)?);
    if let Some(weights) = &mut weights {
        outputs = outputs.weights(weights.as_view_mut(&inputs)?);
    }
    if let Some(lse) = &mut lse {
        outputs = outputs.lse(lse.as_view_mut(&inputs)?);
    }
    if let Some(max_logit) = &mut max_logit {
        outputs = outputs.max_logit(max_logit.as_view_mut(&inputs)?);
    }
    if let Some(max_weight) = &mut max_weight {
        outputs = outputs.max_weight(max_weight.as_view_mut(&inputs)?);
    }
    if let Some(entropy) = &mut entropy {
        outputs = outputs.entropy(entropy.as_view_mut(&inputs)?);
    }
    call.run(outputs)?;

    let output = output.finish()?;
    if !has_others {
        return Ok(output);
    }
    let finish = |target: Option<Target<'py>>| {
        target.map(|target| target.finish().map(Bound::unbind)).transpose()
    };
    let result = AttentionResult {
        output: output.unbind(),
        lse: finish(lse)?,
        weights: finish(weights)?,
        max_logit: finish(max_logit)?,
        max_weight: finish(max_weight)?,
        entropy: finish(entropy)?,
    };
    Ok(Bound::new(query.py(), result)?.into_any())
}
