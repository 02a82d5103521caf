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

/// Keys, and the values that go with them where the output is asked for:
/// `[batch, kv_heads, keys, v_dim]` with any strides. Made from keys alone, or from a pair.
///
/// ```
/// # use softdot::{Attention, Outputs, TensorMut, TensorRef, Workspace};
/// # let data = [0.5f32; 6];
/// # let (query, key) = (TensorRef::new(&data[..4], [2, 2]), TensorRef::new(&data[..], [3, 2]));
/// let value = TensorRef::new(&data[..3], [3, 1]);
/// let mut output = [0.0; 2];
/// let outputs = Outputs::new().output(TensorMut::new(&mut output[..], [2, 1]));
/// Attention::new().run(query, (key, value), outputs, &mut Workspace::new())?;
/// assert_eq!(output, [0.5; 2]);
/// # Ok::<(), softdot::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KeysValues<'a> {
    pub(crate) keys: Keys<'a>,
    pub(crate) values: Option<View<'a>>,
}

impl<'a, T: Element> From<TensorRef<'a, T>> for KeysValues<'a> {
    fn from(keys: TensorRef<'a, T>) -> Self {
        KeysValues { keys: keys.into(), values: None }
    }
}

impl<'a> From<View<'a>> for KeysValues<'a> {
    fn from(keys: View<'a>) -> Self {
        KeysValues { keys: keys.into(), values: None }
    }
}

impl<'a> From<&'a PackedKeys> for KeysValues<'a> {
    fn from(keys: &'a PackedKeys) -> Self {
        KeysValues { keys: keys.into(), values: None }
    }
}

impl<'a> From<Keys<'a>> for KeysValues<'a> {
    fn from(keys: Keys<'a>) -> Self {
        KeysValues { keys, values: None }
    }
}

impl<'a, K: Into<Keys<'a>>, V: Into<View<'a>>> From<(K, V)> for KeysValues<'a> {
    fn from((keys, values): (K, V)) -> Self {
        KeysValues { keys: keys.into(), values: Some(values.into()) }
    }
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
