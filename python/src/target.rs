//! Where a result goes.

use crate::array::{Array, Dtype, OfDtype};
use crate::kind::Kind;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyEllipsis, PySlice};
use softdot::{TensorMut, ViewMut};

/// Memory for a result, and what Python gets of it.
pub struct Target<'py> {
    object: Bound<'py, PyAny>,
    array: Array,
    /// What made the object; `None` if the caller did.
    kind: Option<Kind<'py>>,
    axes: Axes,
}

/// Which axes Python gets of those that the library writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axes {
    All,
    /// All but the columns, of which there is one.
    NoColumns,
    /// All but the rows, of which there is one.
    NoRows,
}

impl<'py> Target<'py> {
    /// The argument `out`.
    ///
    /// # Errors
    /// Those of [`Array::view`], and elements that are not those asked for.
    pub fn given(out: Bound<'py, PyAny>, dtype: Option<Dtype>) -> PyResult<Self> {
        let array = Array::view("out", &out)?;
        if let Some(dtype) = dtype.filter(|&dtype| dtype != array.dtype()) {
            let found = array.dtype();
            return Err(PyValueError::new_err(format!(
                "out: expected an array of {dtype} (as dtype), found {found}"
            )));
        }
        Ok(Target { object: out, array, kind: None, axes: Axes::All })
    }

    /// A new array of the query's kind.
    ///
    /// # Errors
    /// Those of the library that makes it.
    pub fn new(
        query: &Bound<'py, PyAny>,
        opened: &Array,
        shape: &[usize],
        axes: Axes,
        dtype: Dtype,
    ) -> PyResult<Self> {
        let kind = Kind::of(query, opened.dtype())?;
        let object = kind.empty(query.py(), shape, dtype)?;
        let array = Array::result("out", &object)?;
        Ok(Target { object, array, kind: Some(kind), axes })
    }

    /// What the elements are.
    pub fn dtype(&self) -> Dtype {
        self.array.dtype()
    }

    /// The memory to write to.
    ///
    /// # Errors
    /// Those of [`Array::as_view_mut`].
    pub fn as_view_mut(&mut self, inputs: &[&Array]) -> PyResult<ViewMut<'_>> {
        self.array.as_view_mut(inputs)
    }

    /// The memory to write to, all 0.
    ///
    /// # Errors
    /// Those of [`Array::as_view_mut`].
    pub fn as_zeros_mut<T: OfDtype>(&mut self, inputs: &[&Array]) -> PyResult<TensorMut<'_, T>> {
        self.array.as_zeros_mut(inputs)
    }

    /// The array, once it has been written.
    ///
    /// # Errors
    /// Those of the library that it is of.
    pub fn finish(self) -> PyResult<Bound<'py, PyAny>> {
        let Target { object, array, kind, axes } = self;
        let dtype = array.dtype();
        drop(array);
        let every = PyEllipsis::get(object.py());
        let object = match axes {
            Axes::All => object,
            Axes::NoColumns => object.get_item((every, 0))?,
            Axes::NoRows => object.get_item((every, 0, PySlice::full(object.py())))?,
        };
        match kind {
            Some(kind) => kind.wrap(object, dtype),
            None => Ok(object),
        }
    }
}
