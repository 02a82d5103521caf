//! The class `PackedKeys`.

use crate::arguments::number;
use crate::array::Array;
use crate::error;
use pyo3::prelude::*;
use softdot::Error;
use std::sync::{Arc, Mutex, PoisonError};

/// Keys in the order in which the kernels read them, kept from call to call.
///
/// Usable wherever keys are, with the same bits: packing is paid once per key instead of once per
/// call. A decoder appends the keys of each new token. ``PackedKeys(batch, kv_heads, head_dim)``
/// has no keys yet.
///
/// A call computes with the keys as they were when it began, whatever other threads append
/// meanwhile; appending meanwhile copies the keys.
#[pyclass(frozen, module = "softdot")]
pub struct PackedKeys {
    /// Readers take a reference and leave; who changes the keys has them to itself or copies them.
    keys: Mutex<Arc<softdot::PackedKeys>>,
}

impl PackedKeys {
    /// The keys as they are now.
    pub fn snapshot(&self, py: Python<'_>) -> Arc<softdot::PackedKeys> {
        py.detach(|| self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// The lock is never taken while attached to Python: whoever holds it may be at work.
    fn change<R: Send>(
        &self,
        py: Python<'_>,
        change: impl FnOnce(&mut softdot::PackedKeys) -> R + Send,
    ) -> R {
        py.detach(|| {
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            change(Arc::make_mut(&mut keys))
        })
    }

    fn try_change(
        &self,
        py: Python<'_>,
        change: impl FnOnce(&mut softdot::PackedKeys) -> Result<(), Error> + Send,
    ) -> PyResult<()> {
        self.change(py, change).map_err(error::to_python)
    }
}

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
        self.try_change(py, |keys| keys.append(view))
    }

    /// Make room for so many more keys per head.
    fn reserve(&self, additional: &Bound<'_, PyAny>) -> PyResult<()> {
        let count = number("additional", additional, 0..=isize::MAX as usize)?;
        self.try_change(additional.py(), |keys| keys.reserve(count))
    }

    /// Keep the first ``keys`` keys of every head; more than there are changes nothing.
    fn truncate(&self, keys: &Bound<'_, PyAny>) -> PyResult<()> {
        let count = number("keys", keys, 0..=isize::MAX as usize)?;
        self.change(keys.py(), |keys| keys.truncate(count));
        Ok(())
    }

    /// Keys that are independent of these.
    fn copy(&self, py: Python<'_>) -> Self {
        PackedKeys { keys: Mutex::new(self.snapshot(py)) }
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
