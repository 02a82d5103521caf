//! Keys as a call takes them.

use crate::element::Element;
use crate::packed_keys::PackedKeys;
use crate::tensor::{TensorRef, View};

/// Keys as a view, or packed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Keys<'a> {
    /// `[batch, kv_heads, keys, head_dim]` with any strides.
    View(View<'a>),
    /// Kept in panels from call to call.
    Packed(&'a PackedKeys),
}

impl<'a, T: Element> From<TensorRef<'a, T>> for Keys<'a> {
    fn from(view: TensorRef<'a, T>) -> Self {
        Keys::View(view.into())
    }
}

impl<'a> From<View<'a>> for Keys<'a> {
    fn from(view: View<'a>) -> Self {
        Keys::View(view)
    }
}

impl<'a> From<&'a PackedKeys> for Keys<'a> {
    fn from(packed: &'a PackedKeys) -> Self {
        Keys::Packed(packed)
    }
}
