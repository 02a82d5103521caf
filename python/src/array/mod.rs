//! Arrays of other libraries, opened: their memory, element type, shape and strides, used in place.
//!
//! Each comes by the buffer protocol (NumPy, `memoryview`) or by DLPack (torch, JAX).
#![allow(unsafe_code, reason = "memory of other libraries becomes slices here")]

mod dlpack;
mod dtype;
mod layout;

use dtype::Dtype;
use layout::{Layout, ROW_AXES, VIEW_AXES};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use softdot::{TensorMut, TensorRef};
use std::ffi::c_void;
use std::ops::{Range, RangeInclusive};
use std::slice;

/// An array whose memory stays where it is for as long as this lives.
///
/// Python's rule for memory without the lock holds: whoever writes to an array while a call reads
/// it gets numbers that are old or new, and whoever writes to `out` meanwhile loses.
pub struct Array {
    argument: &'static str,
    data: *mut c_void,
    layout: Layout,
    writable: bool,
    _owner: Owner,
}

/// What keeps the memory.
enum Owner {
    Buffer { _buffer: PyUntypedBuffer },
    Dlpack { _tensor: dlpack::Tensor },
}

impl Array {
    /// A view of 2, 3 or 4 axes.
    ///
    /// # Errors
    /// `TypeError` for what is no array of float32, `ValueError` for a layout that is not read in
    /// place. Each begins with the argument's name.
    pub fn view(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::open(argument, object, &VIEW_AXES)
    }

    /// A single row.
    ///
    /// # Errors
    /// As [`Array::view`], and `ValueError` for a row with gaps.
    pub fn row(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let row = Self::open(argument, object, &ROW_AXES)?;
        match row.layout.strides[3] {
            0 | 1 if row.layout.span() == Some(row.layout.shape[3]) => Ok(row),
            stride => Err(PyValueError::new_err(format!(
                "{argument}: expected elements without gaps, found a stride of {stride}"
            ))),
        }
    }

    fn open(
        argument: &'static str,
        object: &Bound<'_, PyAny>,
        axes: &RangeInclusive<usize>,
    ) -> PyResult<Self> {
        // A type may speak both and still not have a buffer for each of its element types.
        let array = match PyUntypedBuffer::get(object) {
            Ok(buffer) => Self::from_buffer(argument, object, axes, buffer),
            Err(_) => match dlpack::Tensor::of(object) {
                Ok(Some(tensor)) => Self::from_dlpack(argument, object, axes, tensor),
                Ok(None) => Err(wrong_type(argument, object)),
                Err(error) => Err(refused(argument, object, error)),
            },
        }?;
        if !array.data.cast::<f32>().is_aligned() {
            return Err(PyValueError::new_err(format!(
                "{argument}: expected memory aligned to {} bytes, found address {:p}",
                align_of::<f32>(),
                array.data
            )));
        }
        Ok(array)
    }

    fn from_buffer(
        argument: &'static str,
        object: &Bound<'_, PyAny>,
        axes: &RangeInclusive<usize>,
        buffer: PyUntypedBuffer,
    ) -> PyResult<Self> {
        let dtype =
            Dtype::from_format(buffer.format()).ok_or_else(|| wrong_type(argument, object))?;
        if buffer.suboffsets().is_some_and(|offsets| offsets.iter().any(|&offset| offset >= 0)) {
            return Err(PyValueError::new_err(format!(
                "{argument}: expected elements in one block of memory, found pointers to others"
            )));
        }
        Ok(Array {
            argument,
            data: buffer.buf_ptr(),
            layout: Layout::new(argument, axes, dtype, buffer.shape(), buffer.strides())?,
            writable: !buffer.readonly(),
            _owner: Owner::Buffer { _buffer: buffer },
        })
    }

    fn from_dlpack(
        argument: &'static str,
        object: &Bound<'_, PyAny>,
        axes: &RangeInclusive<usize>,
        tensor: dlpack::Tensor,
    ) -> PyResult<Self> {
        let dtype =
            Dtype::from_dlpack(tensor.dtype()).ok_or_else(|| wrong_type(argument, object))?;
        let shape = tensor.shape();
        let byte_strides: Vec<isize> = match tensor.strides() {
            Some(strides) => {
                strides.iter().map(|&stride| stride as isize * dtype.size() as isize).collect()
            }
            None => (0..shape.len())
                .map(|axis| (shape[axis + 1..].iter().product::<usize>() * dtype.size()) as isize)
                .collect(),
        };
        Ok(Array {
            argument,
            data: tensor.data(),
            layout: Layout::new(argument, axes, dtype, &shape, &byte_strides)?,
            writable: tensor.is_writable(),
            _owner: Owner::Dlpack { _tensor: tensor },
        })
    }

    /// The array's own extents.
    pub fn shape(&self) -> &[usize] {
        self.layout.own_shape()
    }

    /// To read.
    pub fn tensor(&self) -> TensorRef<'_> {
        TensorRef::with_strides(self.elements(), self.layout.shape, self.layout.strides)
    }

    /// To write.
    ///
    /// # Errors
    /// Memory that is not to be written, or shared with one of the inputs.
    pub fn tensor_mut(&mut self, inputs: &[&Array]) -> PyResult<TensorMut<'_>> {
        let Layout { shape, strides, .. } = self.layout;
        Ok(TensorMut::with_strides(self.elements_mut(inputs)?, shape, strides))
    }

    /// All memory from the first to the last element.
    pub fn elements(&self) -> &[f32] {
        match self.layout.span() {
            None | Some(0) => &[],
            // SAFETY: the producer promises these elements for as long as the owner lives. They
            // are aligned, and any bits are a number. That others may write to them meanwhile is
            // what sharing memory means in Python, and changes only which numbers are read.
            Some(span) => unsafe { slice::from_raw_parts(self.data.cast(), span) },
        }
    }

    /// As [`Array::elements`], to write.
    ///
    /// # Errors
    /// As [`Array::tensor_mut`].
    pub fn elements_mut(&mut self, inputs: &[&Array]) -> PyResult<&mut [f32]> {
        if !self.writable {
            return Err(PyValueError::new_err(format!(
                "{}: expected memory that can be written, found a read-only array",
                self.argument
            )));
        }
        if let Some(input) = inputs.iter().find(|input| self.overlaps(input)) {
            return Err(PyValueError::new_err(format!(
                "{}: expected memory of its own, found some of {}'s",
                self.argument, input.argument
            )));
        }
        match self.layout.span() {
            None | Some(0) => Ok(&mut []),
            // SAFETY: as in `elements`; the producer allows writing, and no input of this call
            // lies between these elements.
            Some(span) => Ok(unsafe { slice::from_raw_parts_mut(self.data.cast(), span) }),
        }
    }

    /// Whether they have the same elements in the same places.
    pub fn is_same(&self, other: &Array) -> bool {
        self.addresses() == other.addresses()
    }

    fn overlaps(&self, other: &Array) -> bool {
        let (own, other) = (self.addresses(), other.addresses());
        own.start < other.end && other.start < own.end && !own.is_empty() && !other.is_empty()
    }

    fn addresses(&self) -> Range<usize> {
        let start = self.data.addr();
        start..start + size_of_val(self.elements())
    }
}

/// An object of another type, or an array of another element type.
fn wrong_type(argument: &str, object: &Bound<'_, PyAny>) -> PyErr {
    let found = dtype_name(object).unwrap_or_else(|| type_name(object));
    PyTypeError::new_err(format!("{argument}: expected an array of float32, found {found}"))
}

/// An array that does not give its memory away, and its reason: the first line of it, since
/// torch's go on with a trace. Interrupts stay what they are.
fn refused(argument: &str, object: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = object.py();
    if !error.is_instance_of::<PyException>(py) {
        return error;
    }
    if dtype_name(object).is_some_and(|name| !name.ends_with("float32")) {
        return wrong_type(argument, object);
    }
    let reason = error.value(py).to_string();
    let reason = reason.lines().next().unwrap_or_default();
    let refusal = PyTypeError::new_err(format!("{argument}: {}: {reason}", type_name(object)));
    refusal.set_cause(py, Some(error));
    refusal
}

/// What an array says that its elements are.
fn dtype_name(object: &Bound<'_, PyAny>) -> Option<String> {
    let dtype = object.getattr_opt(intern!(object.py(), "dtype")).ok()??;
    Some(dtype.str().ok()?.to_string())
}

/// The name of an object's type.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "an unknown type".into(), |name| name.to_string())
}
