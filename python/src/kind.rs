//! Results of the same kind as the queries.

use crate::array::Dtype;
use crate::huge_pages;
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyMemoryView, PyString, PyTuple, PyType};
use std::ptr;

/// Which library an array is of.
pub enum Kind<'py> {
    /// `numpy.ndarray`, and what speaks DLPack but is of no known kind.
    Numpy,
    /// A `torch.Tensor`, which makes others, and its elements.
    Torch(Bound<'py, PyAny>, Dtype),
    /// A library of the Python array API standard (JAX), by its namespace.
    ArrayApi(Bound<'py, PyAny>),
    /// Anything else with the buffer protocol.
    Buffer,
}

impl<'py> Kind<'py> {
    /// The kind of an array whose elements are known.
    pub fn of(array: &Bound<'py, PyAny>, dtype: Dtype) -> PyResult<Self> {
        static NDARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let py = array.py();
        if array.is_instance(NDARRAY.import(py, "numpy", "ndarray")?)? {
            return Ok(Kind::Numpy);
        }
        if is_torch(array)? {
            return Ok(Kind::Torch(array.clone(), dtype));
        }
        if let Some(namespace) = array.getattr_opt(intern!(py, "__array_namespace__"))? {
            return Ok(Kind::ArrayApi(namespace.call0()?));
        }
        match PyMemoryView::from(array) {
            Ok(_) => Ok(Kind::Buffer),
            Err(_) => Ok(Kind::Numpy),
        }
    }

    /// Memory for a result with these extents: if it is much, in huge pages where torch's allocator did not
    /// ask for them (NumPy's does).
    pub fn empty(
        &self,
        py: Python<'py>,
        shape: &[usize],
        dtype: Dtype,
    ) -> PyResult<Bound<'py, PyAny>> {
        static EMPTY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let bytes = shape.iter().copied().fold(dtype.size(), usize::saturating_mul);
        let shape = PyTuple::new(py, shape)?;
        match self {
            Kind::Torch(tensor, own) => {
                let keywords = PyDict::new(py);
                if dtype != *own {
                    let torch = py.import(intern!(py, "torch"))?;
                    keywords.set_item(intern!(py, "dtype"), torch.getattr(dtype.name())?)?;
                }
                let new = intern!(py, "new_empty");
                let empty = tensor.call_method(new, (shape,), Some(&keywords))?;
                if bytes >= huge_pages::LARGE {
                    let address: usize = empty.call_method0("data_ptr")?.extract()?;
                    huge_pages::request(ptr::without_provenance_mut(address), bytes);
                }
                Ok(empty)
            }
            Kind::Buffer if dtype == Dtype::Bfloat16 => Err(PyValueError::new_err(
                "dtype: expected float32 or float16 for a memoryview, found bfloat16",
            )),
            Kind::Numpy | Kind::ArrayApi(_) | Kind::Buffer => {
                let dtype = match dtype {
                    Dtype::Bfloat16 => py.import("ml_dtypes")?.getattr(dtype.name())?,
                    _ => PyString::new(py, dtype.name()).into_any(),
                };
                EMPTY.import(py, "numpy", "empty")?.call1((shape, dtype))
            }
        }
    }

    /// The array for a result that has been written to what [`Kind::empty`] gave.
    pub fn wrap(self, written: Bound<'py, PyAny>, dtype: Dtype) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Kind::Numpy | Kind::Torch(..) => Ok(written),
            Kind::ArrayApi(namespace) => {
                // NumPy hands bfloat16 to nobody by DLPack.
                let method = if dtype == Dtype::Bfloat16 { "asarray" } else { "from_dlpack" };
                namespace.call_method1(method, (written,))
            }
            Kind::Buffer => Ok(PyMemoryView::from(&written)?.into_any()),
        }
    }
}

/// Whether it is a tensor of torch, which whoever made it has imported.
pub fn is_torch(array: &Bound<'_, PyAny>) -> PyResult<bool> {
    static TENSOR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = array.py();
    if TENSOR.get(py).is_none() {
        let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
        match modules.get_item(intern!(py, "torch")) {
            Err(error) if error.is_instance_of::<PyKeyError>(py) => return Ok(false),
            found => found?,
        };
    }
    array.is_instance(TENSOR.import(py, "torch", "Tensor")?)
}
