//! candle-nn's function of scaled dot-product attention, on CPUs.

use crate::attention::Attention;
use candle_core::{Result, Tensor};
use softdot::Causal;

/// Scaled dot-product attention with the arguments of [candle-nn's `sdpa`], which has a kernel for Metal alone.
///
/// - `q`: `[batch, q_heads, query_rows, head_dim]`
/// - `k`: `[batch, kv_heads, keys, head_dim]`, `v`: `[batch, kv_heads, keys, v_dim]`
/// - `mask`: added to the scaled, capped scores; any shape that candle broadcasts to
///   `[batch, q_heads, query_rows, keys]`. A mask is the whole mask: with one, `do_causal` has no effect, as
///   in candle-nn. Errors call it the bias, which it is.
/// - `do_causal`: the last query row stands at the last key, and no row attends to keys after it.
/// - `scale`: what `q·k` is multiplied by.
/// - `softcapping`: `softcapping · tanh(score / softcapping)`; 1.0 is none, as there.
///
/// The output is `[batch, q_heads, query_rows, v_dim]`, of `q`'s type. Unlike there, a mask counts for a
/// single query row too, softcapping for several; any head_dim will do; and a row that attends to nothing
/// is 0.
///
/// [candle-nn's `sdpa`]: https://docs.rs/candle-nn/latest/candle_nn/ops/fn.sdpa.html
///
/// # Errors
/// As [`Attention::run`].
pub fn sdpa(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: Option<&Tensor>,
    do_causal: bool,
    scale: f32,
    softcapping: f32,
) -> Result<Tensor> {
    let mut attention = Attention::new().scale(scale);
    if softcapping != 1.0 {
        attention = attention.softcap(softcapping);
    }
    match mask {
        Some(mask) => attention = attention.bias(mask),
        None if do_causal => attention = attention.causal(Causal::BottomRight),
        None => {}
    }
    attention.run(q, (k, v))
}
