//! Query, keys and values of a call, locked for reading.

use crate::keys_values::KeysValues;
use crate::operand::{Axes, Operand};
use candle_core::{Result, Tensor};
use softdot::{Keys, PackedKeys, View};

pub(crate) struct Inputs<'t> {
    axes: Axes,
    query: Operand<'t>,
    key: Key<'t>,
    value: Operand<'t>,
}

/// Where the keys are.
enum Key<'t> {
    Tensor(Operand<'t>),
    Packed(&'t PackedKeys),
}

impl<'t> Inputs<'t> {
    pub(crate) fn new(q: &'t Tensor, keys: KeysValues<'t>, axes: Axes) -> Result<Self> {
        let query = Operand::new("query", q)?;
        let (key, value) = match keys {
            KeysValues::Tensors(k, v) => (Key::Tensor(Operand::new("key", k)?), v),
            KeysValues::Cache(cache) => {
                let (keys, values) = cache.keys_values()?;
                (Key::Packed(keys), values)
            }
        };
        Ok(Inputs { axes, query, key, value: Operand::new("value", value)? })
    }

    pub(crate) fn query(&self) -> Result<View<'_>> {
        self.query.view(self.axes)
    }

    pub(crate) fn keys(&self) -> Result<Keys<'_>> {
        match &self.key {
            Key::Tensor(key) => Ok(key.view(self.axes)?.into()),
            Key::Packed(keys) => Ok((*keys).into()),
        }
    }

    pub(crate) fn values(&self) -> Result<View<'_>> {
        match &self.key {
            Key::Tensor(_) => self.value.view(self.axes),
            Key::Packed(_) => self.value.view(Axes::HeadsFirst),
        }
    }

    /// `[batch, q_heads, query_rows, v_dim]`.
    pub(crate) fn output_shape(&self) -> Result<[usize; 4]> {
        let [batch, heads, rows, _] = self.query()?.shape();
        let [_, _, _, v_dim] = self.values()?.shape();
        Ok([batch, heads, rows, v_dim])
    }

    /// `[batch, q_heads, query_rows, keys]`.
    pub(crate) fn weights_shape(&self) -> Result<[usize; 4]> {
        let [batch, heads, rows, _] = self.query()?.shape();
        let keys = match &self.key {
            Key::Tensor(key) => key.view(self.axes)?.shape()[2],
            Key::Packed(keys) => keys.len(),
        };
        Ok([batch, heads, rows, keys])
    }
}
