//! Keys and values as a call takes them.

use crate::cache::KvCache;
use candle_core::Tensor;

/// Keys `[batch, kv_heads, keys, head_dim]` and values `[batch, kv_heads, keys, v_dim]`: made from a pair of
/// tensors, or from a cache.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum KeysValues<'k> {
    /// Keys and values as tensors.
    Tensors(&'k Tensor, &'k Tensor),
    /// Those that a cache keeps.
    Cache(&'k KvCache),
}

impl<'k> From<(&'k Tensor, &'k Tensor)> for KeysValues<'k> {
    fn from((keys, values): (&'k Tensor, &'k Tensor)) -> Self {
        KeysValues::Tensors(keys, values)
    }
}

impl<'k> From<&'k KvCache> for KeysValues<'k> {
    fn from(cache: &'k KvCache) -> Self {
        KeysValues::Cache(cache)
    }
}
