//! candle-flash-attn's functions on sequences of mixed lengths one after another, on CPUs.

use crate::attention::Attention;
use crate::error::unexpected;
use crate::inputs::Inputs;
use crate::memory::{tensor, zeros};
use crate::operand::Axes;
use candle_core::{DType, Result, Tensor, WithDType};
use half::{bf16, f16};
use rayon::prelude::*;
use softdot::{Element, Workspace};
use std::ops::Range;

/// Attention with the arguments and the meaning of candle-flash-attn's function of that name: each sequence
/// attends to itself alone.
///
/// - `q`: `[total_q, q_heads, head_dim]`
/// - `k`: `[total_k, kv_heads, head_dim]`, `v`: `[total_k, kv_heads, v_dim]`
/// - `seqlens_q`, `seqlens_k`: where sequences begin and the last one ends, `[sequences + 1]` in u32, such as
///   `[0, 3, 3 + 5, …]`
/// - `max_seqlen_q`, `max_seqlen_k`: at least the longest of these sequences
/// - `causal`: the last query row of a sequence stands at its last key, and no row attends to keys after it.
///
/// The output is `[total_q, q_heads, v_dim]`, of `q`'s type; rows of no sequence, and rows that attend to
/// nothing, are 0. Each sequence has the bits that it has alone. Sequences are computed in parallel, as are
/// the rows of long ones.
///
/// # Errors
/// Sequences that do not ascend, reach past the rows or are longer than said; and as [`Attention::run`].
#[allow(clippy::too_many_arguments)] // candle-flash-attn's
pub fn flash_attn_varlen(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    seqlens_q: &Tensor,
    seqlens_k: &Tensor,
    max_seqlen_q: usize,
    max_seqlen_k: usize,
    softmax_scale: f32,
    causal: bool,
) -> Result<Tensor> {
    let right = causal.then_some(0);
    flash_attn_varlen_windowed(
        q,
        k,
        v,
        seqlens_q,
        seqlens_k,
        max_seqlen_q,
        max_seqlen_k,
        softmax_scale,
        None,
        right,
    )
}

/// As [`flash_attn_varlen`], with each row attending to at most `window_size_left` keys before its own
/// position and `window_size_right` after it; `None` is unbounded, and `None` with `Some(0)` is causal.
///
/// # Errors
/// As [`flash_attn_varlen`].
#[allow(clippy::too_many_arguments)] // candle-flash-attn's
pub fn flash_attn_varlen_windowed(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    seqlens_q: &Tensor,
    seqlens_k: &Tensor,
    max_seqlen_q: usize,
    max_seqlen_k: usize,
    softmax_scale: f32,
    window_size_left: Option<usize>,
    window_size_right: Option<usize>,
) -> Result<Tensor> {
    let attention = Attention::new().rows_first().scale(softmax_scale);
    let attention = attention.window(window_size_left, window_size_right);
    let rows = sequences("seqlens_q", seqlens_q, rows_of("query", q)?, max_seqlen_q)?;
    let keys = sequences("seqlens_k", seqlens_k, rows_of("key", k)?, max_seqlen_k)?;
    if rows.len() != keys.len() {
        let expected = format!("{} elements, as seqlens_q", rows.len() + 1);
        return Err(unexpected("seqlens_k", expected, keys.len() + 1));
    }
    if rows_of("value", v)? != k.dim(0)? {
        let expected = format!("{} rows, as the key", k.dim(0)?);
        return Err(unexpected("value", expected, v.dim(0)?));
    }
    let sequences = rows.into_iter().zip(keys).collect();
    match q.dtype() {
        DType::F16 => run_as::<f16>(&attention, [q, k, v], sequences),
        DType::BF16 => run_as::<bf16>(&attention, [q, k, v], sequences),
        // Any other type is refused where the query is read.
        _ => run_as::<f32>(&attention, [q, k, v], sequences),
    }
}

/// Rows `[total, heads, columns]` of a tensor.
fn rows_of(argument: &str, tensor: &Tensor) -> Result<usize> {
    match *tensor.dims() {
        [rows, _, _] => Ok(rows),
        _ => {
            let found = format!("shape {:?}", tensor.dims());
            Err(unexpected(argument, "3 axes [rows, heads, columns]", found))
        }
    }
}

/// The rows of each sequence, among `rows`.
fn sequences(
    argument: &str,
    bounds: &Tensor,
    rows: usize,
    longest: usize,
) -> Result<Vec<Range<usize>>> {
    if bounds.rank() != 1 || bounds.dtype() != DType::U32 || bounds.elem_count() == 0 {
        let found = format!("shape {:?} of {}", bounds.dims(), bounds.dtype().as_str());
        return Err(unexpected(argument, "shape [sequences + 1] of u32", found));
    }
    let bounds = bounds.to_vec1::<u32>()?;
    let mut sequences = Vec::with_capacity(bounds.len() - 1);
    for (sequence, pair) in bounds.windows(2).enumerate() {
        let (start, end) = (pair[0] as usize, pair[1] as usize);
        if start > end || end > rows {
            let expected = format!("bounds that ascend, up to {rows} rows");
            return Err(unexpected(argument, expected, format!("{start} before {end}")));
        }
        if end - start > longest {
            let expected = format!("sequences of at most {longest} rows");
            let found = format!("{} for sequence {sequence}", end - start);
            return Err(unexpected(argument, expected, found));
        }
        sequences.push(start..end);
    }
    Ok(sequences)
}

/// The call of a query of type `T`: each sequence into its rows of the output.
fn run_as<T: Element + WithDType>(
    attention: &Attention<'_>,
    [q, k, v]: [&Tensor; 3],
    sequences: Vec<(Range<usize>, Range<usize>)>,
) -> Result<Tensor> {
    let (total, q_heads, _) = q.dims3()?;
    let v_dim = v.dim(2)?;
    let mut output = zeros::<T>("output", [1, total, q_heads, v_dim])?;
    let (mut rest, mut done) = (&mut output[..], 0);
    let mut parts = Vec::with_capacity(sequences.len());
    for (rows, keys) in sequences {
        let (part, after) = rest[(rows.start - done) * q_heads * v_dim..]
            .split_at_mut(rows.len() * q_heads * v_dim);
        (rest, done) = (after, rows.end);
        parts.push((part, rows, keys));
    }
    parts.into_par_iter().try_for_each_init(Workspace::new, |workspace, (part, rows, keys)| {
        let part_of = |tensor: &Tensor, rows: &Range<usize>| {
            tensor.narrow(0, rows.start, rows.len())?.unsqueeze(0)
        };
        let (q, k, v) = (part_of(q, &rows)?, part_of(k, &keys)?, part_of(v, &keys)?);
        let inputs = Inputs::new(&q, (&k, &v).into(), Axes::RowsFirst)?;
        attention.write(&inputs, part, softdot::Outputs::new(), workspace)
    })?;
    tensor(output, (total, q_heads, v_dim))
}
