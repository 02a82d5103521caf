//! The argument `key`.

use crate::array::Array;
use crate::packed_keys::PackedKeys;
use pyo3::prelude::*;
use softdot::Keys;
use std::sync::Arc;

/// Keys as Python has them.
pub enum Key {
    Array(Array),
    Packed(Arc<softdot::PackedKeys>),
}

impl Key {
    /// # Errors
    /// Those of [`Array::view`].
    pub fn open(key: &Bound<'_, PyAny>) -> PyResult<Self> {
        match key.cast::<PackedKeys>() {
            Ok(packed) => Ok(Key::Packed(packed.get().snapshot(key.py()))),
            Err(_) => Array::view("key", key).map(Key::Array),
        }
    }

    pub fn as_keys(&self) -> Keys<'_> {
        match self {
            Key::Array(array) => array.as_view().into(),
            Key::Packed(packed) => (&**packed).into(),
        }
    }

    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Key::Array(array) => Some(array),
            Key::Packed(_) => None,
        }
    }

    /// `[batch, kv_heads, keys, head_dim]`.
    pub fn shape(&self) -> [usize; 4] {
        match self {
            Key::Array(array) => array.as_view().shape(),
            Key::Packed(packed) => packed.shape(),
        }
    }
}
