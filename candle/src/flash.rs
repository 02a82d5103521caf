//! candle-flash-attn's functions on batches of equal lengths, on CPUs.

use crate::attention::Attention;
use crate::error::unexpected;
use crate::inputs::Inputs;
use crate::operand::{Axes, Operand};
use candle_core::{DType, Device, Result, Tensor};

/// Attention with the arguments and the meaning of candle-flash-attn's function of that name.
///
/// - `q`: `[batch, query_rows, q_heads, head_dim]`
/// - `k`: `[batch, keys, kv_heads, head_dim]`, `v`: `[batch, keys, kv_heads, v_dim]`
/// - `causal`: the last query row stands at the last key, and no row attends to keys after it.
///
/// The output is `[batch, query_rows, q_heads, v_dim]`, of `q`'s type: f32 as well as f16 and bf16. A row that
/// attends to nothing is 0.
///
/// # Errors
/// As [`Attention::run`].
pub fn flash_attn(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    softmax_scale: f32,
    causal: bool,
) -> Result<Tensor> {
    flash_attn_windowed(q, k, v, softmax_scale, None, causal.then_some(0))
}

/// As [`flash_attn`], with each row attending to at most `window_size_left` keys before its own position and
/// `window_size_right` after it; `None` is unbounded, and `None` with `Some(0)` is causal.
///
/// # Errors
/// As [`Attention::run`].
pub fn flash_attn_windowed(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    softmax_scale: f32,
    window_size_left: Option<usize>,
    window_size_right: Option<usize>,
) -> Result<Tensor> {
    let attention = Attention::new().rows_first().scale(softmax_scale);
    attention.window(window_size_left, window_size_right).run(q, (k, v))
}

/// As [`flash_attn`], with ALiBi: `−slope · |distance|` is added to the scores, the distance that of the key
/// from the row's position; `alibi_slopes` is `[q_heads]` in f32.
///
/// Without `causal`, keys after a row count as those before it; softdot's own ALiBi has the sign there, so
/// that this case takes a bias of `q_heads · query_rows · keys` elements in f32.
///
/// # Errors
/// Slopes of another type or number, and as [`Attention::run`].
pub fn flash_attn_alibi(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    alibi_slopes: &Tensor,
    softmax_scale: f32,
    causal: bool,
) -> Result<Tensor> {
    let [_, q_heads, query_rows, keys] =
        Inputs::new(q, (k, v).into(), Axes::RowsFirst)?.weights_shape()?;
    Operand::new("alibi_slopes", alibi_slopes)?;
    if alibi_slopes.dims() != [q_heads] || alibi_slopes.dtype() != DType::F32 {
        let expected = format!("shape [{q_heads}] of f32, one for each query head");
        let found = format!("{:?} of {}", alibi_slopes.dims(), alibi_slopes.dtype().as_str());
        return Err(unexpected("alibi_slopes", expected, found));
    }
    let slopes = alibi_slopes.to_vec1::<f32>()?;
    let attention = Attention::new().rows_first().scale(softmax_scale);
    if causal {
        return attention.window(None, 0).alibi_slopes(&slopes).run(q, (k, v));
    }
    attention.bias(&distance_bias(&slopes, query_rows, keys)?).run(q, (k, v))
}

/// `−slope · |key − position of the row|`, `[q_heads, query_rows, keys]`: the last row stands at the last key.
fn distance_bias(slopes: &[f32], query_rows: usize, keys: usize) -> Result<Tensor> {
    let mut bias = Vec::with_capacity(slopes.len() * query_rows * keys);
    for slope in slopes {
        for row in 0..query_rows {
            // Both counted from row 0's key, if the keys began `query_rows` earlier.
            let position = row + keys;
            bias.extend((0..keys).map(|key| -slope * position.abs_diff(key + query_rows) as f32));
        }
    }
    Tensor::from_vec(bias, (slopes.len(), query_rows, keys), &Device::Cpu)
}
