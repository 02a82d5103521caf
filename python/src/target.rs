//! Where a result goes.

use crate::array::{Array, Dtype};
use crate::kind::Kind;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyEllipsis;
use softdot::ViewMut;

/// Memory for a result, and what Python gets of it.
pub struct Target<'py> {
    object: Bound<'py, PyAny>,
    array: Array,
    /// What made the object; `None` if the caller did.
    kind: Option<Kind<'py>>,
    has_columns: bool,
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
        Ok(Target { object: out, array, kind: None, has_columns: true })
    }

    /// A new array of the query's kind and shape, but for its columns.
    ///
    /// # Errors
    /// Those of the library that makes it.
    pub fn new(
        query: &Bound<'py, PyAny>,
        opened: &Array,
        columns: usize,
        dtype: Dtype,
    ) -> PyResult<Self> {
        let kind = Kind::of(query, opened.dtype())?;
        let mut shape = opened.shape().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = columns;
        }
        let object = kind.empty(query.py(), &shape, dtype)?;
        let array = Array::view("out", &object)?;
        Ok(Target { object, array, kind: Some(kind), has_columns: true })
    }

    /// The same memory, but Python gets an array without the axis of columns, of which there is one.
    pub fn without_columns(self) -> Self {
        Target { has_columns: false, ..self }
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

    /// The array, once it has been written.
    ///
    /// # Errors
    /// Those of the library that it is of.
    pub fn finish(self) -> PyResult<Bound<'py, PyAny>> {
        let Target { object, array, kind, has_columns } = self;
        let dtype = array.dtype();
        drop(array);
        let object = match has_columns {
            true => object,
            false => object.get_item((PyEllipsis::get(object.py()), 0))?,
        };
        match kind {
            Some(kind) => kind.wrap(object, dtype),
            None => Ok(object),
        }
    }
}
