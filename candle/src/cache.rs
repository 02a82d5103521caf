//! Keys and values kept from token to token.

use crate::error::{of_softdot, unexpected};
use crate::operand::{Axes, Operand};
use candle_core::{Result, Tensor};
use softdot::PackedKeys;

/// The keys and values of one layer: keys in softdot's panels ([`PackedKeys`], f32), which attention reads at the
/// rate of memory; values in a tensor of their own type, with room for more.
///
/// ```
/// # use candle_core::{DType, Device, Tensor};
/// # use softdot_candle::{Attention, KvCache, softdot::Causal};
/// let attention = Attention::new().causal(Causal::BottomRight);
/// let mut cache = KvCache::new(64);
/// // A prompt of 5 tokens and one more: 4 query heads on 2 key heads of 8 dimensions.
/// for tokens in [5, 1] {
///     let q = Tensor::ones((1, 4, tokens, 8), DType::F32, &Device::Cpu)?;
///     let kv = Tensor::ones((1, 2, tokens, 8), DType::F32, &Device::Cpu)?;
///     cache.append(&kv, &kv)?;
///     assert_eq!(attention.run(&q, &cache)?.dims(), [1, 4, tokens, 8]);
/// }
/// assert_eq!(cache.len(), 6);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct KvCache {
    /// Keys that there is to be room for at first.
    room: usize,
    filled: Option<Filled>,
}

#[derive(Debug)]
struct Filled {
    keys: PackedKeys,
    /// `[batch, kv_heads, capacity, v_dim]`.
    memory: Tensor,
    /// The part of `memory` that is filled.
    values: Tensor,
}

impl KvCache {
    /// Nothing yet. The first keys and values say how many batch entries, heads and columns there are; memory
    /// is got for `room` keys then, and for twice as many whenever that is full.
    pub fn new(room: usize) -> Self {
        KvCache { room, filled: None }
    }

    /// Appends keys `[batch, kv_heads, new keys, head_dim]` and values `[batch, kv_heads, new keys, v_dim]`,
    /// f32, f16 or bf16, any strides.
    ///
    /// # Errors
    /// Keys and values that do not fit each other or those before them, and tensors that
    /// [`Attention::run`](crate::Attention::run) refuses. Then nothing has changed.
    pub fn append(&mut self, k: &Tensor, v: &Tensor) -> Result<()> {
        let key = Operand::new("key", k)?;
        let key = key.view(Axes::HeadsFirst)?;
        let [batch, kv_heads, new, head_dim] = key.shape();
        let [v_batch, v_heads, v_new, v_dim] =
            Operand::new("value", v)?.view(Axes::HeadsFirst)?.shape();
        if [batch, kv_heads, new] != [v_batch, v_heads, v_new] {
            let expected = format!("shape {:?}, as the key", [batch, kv_heads, new, v_dim]);
            return Err(unexpected("value", expected, format!("{:?}", v.dims())));
        }
        match &mut self.filled {
            Some(filled) => filled.append(key, v),
            None => {
                let room = (batch, kv_heads, self.room.max(new), v_dim);
                let memory = Tensor::zeros(room, v.dtype(), v.device())?;
                let mut keys = PackedKeys::new(batch, kv_heads, head_dim);
                keys.reserve(self.room).map_err(of_softdot)?;
                let mut filled = Filled { keys, values: memory.narrow(2, 0, 0)?, memory };
                filled.append(key, v)?;
                self.filled = Some(filled);
                Ok(())
            }
        }
    }

    /// Keys per head.
    pub fn len(&self) -> usize {
        self.filled.as_ref().map_or(0, |filled| filled.keys.len())
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the first `keys` keys and values of every head; more than there are changes nothing.
    ///
    /// # Errors
    /// None that candle's `narrow` is known to have; then nothing has changed.
    pub fn truncate(&mut self, keys: usize) -> Result<()> {
        if let Some(filled) = &mut self.filled {
            filled.values = filled.memory.narrow(2, 0, keys.min(filled.keys.len()))?;
            filled.keys.truncate(keys);
        }
        Ok(())
    }

    /// Drops all, and the memory; what is appended next may have other extents and types.
    pub fn reset(&mut self) {
        self.filled = None;
    }

    /// What there is to attend to.
    pub(crate) fn keys_values(&self) -> Result<(&PackedKeys, &Tensor)> {
        match &self.filled {
            Some(filled) => Ok((&filled.keys, &filled.values)),
            None => Err(unexpected("cache", "keys and values, by append", "an empty cache")),
        }
    }
}

impl Filled {
    fn append(&mut self, key: softdot::View<'_>, v: &Tensor) -> Result<()> {
        let v_dim = self.memory.dim(3)?;
        if v.dim(3)? != v_dim || v.dtype() != self.memory.dtype() {
            let kind = |tensor: &Tensor, v_dim| format!("{v_dim} columns of {:?}", tensor.dtype());
            let expected = format!("{}, as the cache", kind(&self.memory, v_dim));
            return Err(unexpected("value", expected, kind(v, v.dim(3)?)));
        }
        let len = self.keys.len();
        self.keys.append(key).map_err(of_softdot)?;
        let appended = self.append_values(v, len);
        if appended.is_err() {
            self.keys.truncate(len);
        }
        appended
    }

    /// Values behind the `len` that are there, whose keys have been appended.
    fn append_values(&mut self, v: &Tensor, len: usize) -> Result<()> {
        let keys = self.keys.len();
        if keys > self.memory.dim(2)? {
            let [batch, kv_heads, ..] = self.keys.shape();
            let room = (batch, kv_heads, keys.max(2 * len), v.dim(3)?);
            let memory = Tensor::zeros(room, v.dtype(), v.device())?;
            memory.slice_set(&self.values.contiguous()?, 2, 0)?;
            self.memory = memory;
        }
        self.memory.slice_set(&v.contiguous()?, 2, len)?;
        self.values = self.memory.narrow(2, 0, keys)?;
        Ok(())
    }
}
