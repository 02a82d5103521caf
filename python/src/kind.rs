//! Results of the same kind as the queries.

use pyo3::exceptions::PyKeyError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyMemoryView, PyTuple, PyType};

/// Which library an array is of.
pub enum Kind<'py> {
    /// `numpy.ndarray`, and what speaks DLPack but is of no known kind.
    Numpy,
    /// A `torch.Tensor`: new ones are made by it.
    Torch(Bound<'py, PyAny>),
    /// A library of the Python array API standard (JAX), by its namespace.
    ArrayApi(Bound<'py, PyAny>),
    /// Anything else with the buffer protocol.
    Buffer,
}

impl<'py> Kind<'py> {
    /// The array's kind.
    pub fn of(array: &Bound<'py, PyAny>) -> PyResult<Self> {
        static NDARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let py = array.py();
        if array.is_instance(NDARRAY.import(py, "numpy", "ndarray")?)? {
            return Ok(Kind::Numpy);
        }
        if is_torch(array)? {
            return Ok(Kind::Torch(array.clone()));
        }
        if let Some(namespace) = array.getattr_opt(intern!(py, "__array_namespace__"))? {
            return Ok(Kind::ArrayApi(namespace.call0()?));
        }
        match PyMemoryView::from(array) {
            Ok(_) => Ok(Kind::Buffer),
            Err(_) => Ok(Kind::Numpy),
        }
    }

    /// Memory for a result of float32 with these extents.
    pub fn empty(&self, py: Python<'py>, shape: &[usize]) -> PyResult<Bound<'py, PyAny>> {
        static EMPTY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let shape = PyTuple::new(py, shape)?;
        match self {
            Kind::Torch(tensor) => tensor.call_method1(intern!(py, "new_empty"), (shape,)),
            Kind::Numpy | Kind::ArrayApi(_) | Kind::Buffer => {
                EMPTY.import(py, "numpy", "empty")?.call1((shape, intern!(py, "float32")))
            }
        }
    }

    /// The array for a result that has been written to what [`Kind::empty`] gave.
    pub fn wrap(self, written: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Kind::Numpy | Kind::Torch(_) => Ok(written),
            Kind::ArrayApi(namespace) => {
                namespace.call_method1(intern!(written.py(), "from_dlpack"), (written,))
            }
            Kind::Buffer => Ok(PyMemoryView::from(&written)?.into_any()),
        }
    }
}

/// Whether it is a tensor of torch, which whoever made it has imported.
fn is_torch(array: &Bound<'_, PyAny>) -> PyResult<bool> {
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
