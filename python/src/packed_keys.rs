//! The class `PackedKeys`.

use crate::arguments::number;
use crate::array::{Array, Dtype};
use crate::error;
use crate::fork;
use crate::kind::Kind;
use pyo3::prelude::*;
use pyo3::types::PyType;
use softdot::Error;
use std::sync::{Arc, Mutex, PoisonError};

/// Keys in the order in which the kernels read them, kept from call to call.
///
/// Usable wherever keys are, with the same bits: packing is paid once per key instead of once per
/// call. A decoder appends the keys of each new token. ``PackedKeys(batch, kv_heads, head_dim)``
/// has no keys yet.
///
/// A call computes with the keys as they were when it began, whatever other threads append
/// meanwhile; appending meanwhile copies the keys. Keys of one batch entry serve queries of any batch,
/// as those of a prompt that all beams read. They can be copied and pickled.
#[pyclass(frozen, module = "softdot")]
pub struct PackedKeys {
    /// Readers take a reference and leave; who changes the keys has them to itself or copies them.
    keys: Mutex<Arc<softdot::PackedKeys>>,
}

impl PackedKeys {
    /// The keys as they are now.
    pub fn snapshot(&self, py: Python<'_>) -> Arc<softdot::PackedKeys> {
        self.locked(py, |keys| keys.clone())
    }

    /// The lock is never taken while attached to Python: whoever holds it may be at work. Forks wait
    /// until nobody holds it.
    fn locked<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Arc<softdot::PackedKeys>) -> R + Send,
    ) -> R {
        py.detach(|| {
            let _held_off = fork::hold_off();
            work(&mut self.keys.lock().unwrap_or_else(PoisonError::into_inner))
        })
    }

    /// Changes the keys, of which the change keeps the first so many, and makes room for more. Where
    /// readers or a copy share them, it changes a copy of those that it keeps.
    fn change(
        &self,
        py: Python<'_>,
        (kept, additional): (usize, usize),
        change: impl FnOnce(&mut softdot::PackedKeys) -> Result<(), Error> + Send,
    ) -> PyResult<()> {
        self.locked(py, |shared| match Arc::get_mut(shared) {
            Some(keys) => change(keys),
            None => {
                let mut keys = shared.prefix(kept, additional)?;
                change(&mut keys)?;
                *shared = Arc::new(keys);
                Ok(())
            }
        })
        .map_err(error::to_python)
    }
}

/// A class, the arguments that make one, and what it is told then.
type Pickled<'py> = (Bound<'py, PyType>, (usize, usize, usize), Bound<'py, PyAny>);

impl From<softdot::PackedKeys> for PackedKeys {
    fn from(keys: softdot::PackedKeys) -> Self {
        PackedKeys { keys: Mutex::new(Arc::new(keys)) }
    }
}

#[pymethods]
impl PackedKeys {
    #[new]
    fn new(
        batch: &Bound<'_, PyAny>,
        kv_heads: &Bound<'_, PyAny>,
        head_dim: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let extent = |argument, value| number(argument, value, 0..=isize::MAX as usize);
        Ok(softdot::PackedKeys::new(
            extent("batch", batch)?,
            extent("kv_heads", kv_heads)?,
            extent("head_dim", head_dim)?,
        )
        .into())
    }

    /// The keys of an array ``[batch, kv_heads, keys, head_dim]``; leading axes may be missing.
    #[staticmethod]
    fn from_view(py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Self> {
        let key = Array::view("key", key)?;
        let view = key.as_view();
        let packed = py.detach(|| softdot::PackedKeys::from_view(view));
        Ok(packed.map_err(error::to_python)?.into())
    }

    /// Append keys ``[batch, kv_heads, new keys, head_dim]`` to every head.
    ///
    /// Raises ``ValueError`` unless batch, heads and head_dim are those of the packed keys; then
    /// nothing has changed.
    fn append(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let key = Array::view("key", key)?;
        let view = key.as_view();
        let [_, _, new_keys, _] = view.shape();
        self.change(py, (usize::MAX, new_keys), |keys| keys.append(view))
    }

    /// Make room for so many more keys per head.
    fn reserve(&self, additional: &Bound<'_, PyAny>) -> PyResult<()> {
        let count = number("additional", additional, 0..=isize::MAX as usize)?;
        self.change(additional.py(), (usize::MAX, count), |keys| keys.reserve(count))
    }

    /// Keep the first ``keys`` keys of every head; more than there are changes nothing.
    fn truncate(&self, keys: &Bound<'_, PyAny>) -> PyResult<()> {
        let count = number("keys", keys, 0..=isize::MAX as usize)?;
        self.change(keys.py(), (count, 0), |keys| {
            keys.truncate(count);
            Ok(())
        })
    }

    /// Keys that are independent of these. They share memory until one of them changes.
    fn copy(&self, py: Python<'_>) -> Self {
        PackedKeys { keys: Mutex::new(self.snapshot(py)) }
    }

    fn __copy__(&self, py: Python<'_>) -> Self {
        self.copy(py)
    }

    fn __deepcopy__(&self, memo: &Bound<'_, PyAny>) -> Self {
        self.copy(memo.py())
    }

    /// For pickle: the class, its extents, and the keys as an array of NumPy.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Pickled<'py>> {
        let py = slf.py();
        let keys = slf.get().snapshot(py);
        let [batch, kv_heads, _, head_dim] = keys.shape();
        let rows = Kind::Numpy.empty(py, &keys.shape(), Dtype::Float32)?;
        let mut array = Array::result("rows", &rows)?;
        let elements = array.as_row_mut(&[])?;
        py.detach(|| keys.unpack(elements)).map_err(error::to_python)?;
        Ok((slf.get_type(), (batch, kv_heads, head_dim), rows))
    }

    /// Append the keys of a pickle.
    fn __setstate__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        self.append(key.py(), key)
    }

    /// ``(batch, kv_heads, keys, head_dim)``.
    #[getter]
    fn shape(&self, py: Python<'_>) -> (usize, usize, usize, usize) {
        self.snapshot(py).shape().into()
    }

    /// Keys per head that fit without moving.
    #[getter]
    fn capacity(&self, py: Python<'_>) -> usize {
        self.snapshot(py).capacity()
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.snapshot(py).len()
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("PackedKeys(shape={:?})", self.shape(py))
    }
}
