//! Arrays of other libraries, opened: their memory, element type, shape and strides, used in place.
//!
//! Each comes by the buffer protocol (NumPy, `memoryview`) or by DLPack (torch, JAX).
#![allow(unsafe_code, reason = "memory of other libraries becomes slices here")]

mod dlpack;
mod dtype;
mod layout;

pub use dtype::Dtype;

use half::{bf16, f16};
use layout::{BROADCAST_AXES, Layout, ROW_AXES, VIEW_AXES};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyException, PyMemoryError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyMemoryView, PyType};
use softdot::{Tensor, TensorMut, TensorRef, View, ViewMut};
use std::ffi::c_void;
use std::ops::{Range, RangeInclusive};
use std::slice;

/// An array whose memory stays where it is for as long as this lives.
///
/// Python's rule for memory without the lock holds: whoever writes to an array while a call reads
/// it gets numbers that are old or new, and whoever writes to `out` meanwhile loses.
pub struct Array {
    argument: &'static str,
    dtype: Dtype,
    data: *mut c_void,
    layout: Layout,
    /// What it is instead of memory to write to.
    unwritable: Option<&'static str>,
    _owner: Owner,
}

/// [`Array::unwritable`].
const READ_ONLY: &str = "a read-only array";

/// What keeps the memory.
enum Owner {
    Buffer { _buffer: PyUntypedBuffer },
    Dlpack { _tensor: dlpack::Tensor },
}

/// What an argument may be.
struct Expected {
    argument: &'static str,
    dtypes: &'static [Dtype],
    axes: RangeInclusive<usize>,
}

impl Array {
    /// A view of 2, 3 or 4 axes, of any of the types of floats.
    ///
    /// # Errors
    /// `TypeError` for what is no array of these types, `ValueError` for a layout that is not read
    /// in place. Each begins with the argument's name.
    pub fn view(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Expected { argument, dtypes: Dtype::FLOATS, axes: VIEW_AXES }.open(object)
    }

    /// What broadcasts to a view, of any of the types of floats.
    ///
    /// # Errors
    /// As [`Array::view`].
    pub fn bias(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Expected { argument, dtypes: Dtype::FLOATS, axes: BROADCAST_AXES }.open(object)
    }

    /// What broadcasts to a view, of booleans.
    ///
    /// # Errors
    /// As [`Array::view`], and `ValueError` for bytes that are neither 0 nor 1.
    pub fn mask(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mask =
            Expected { argument, dtypes: Dtype::MASKS, axes: BROADCAST_AXES }.open(object)?;
        match mask.bytes().iter().find(|&&byte| byte > 1) {
            None => Ok(mask),
            Some(byte) => Err(PyValueError::new_err(format!(
                "{argument}: expected bytes that are 0 or 1, found {byte} among its elements or in \
                 the gaps between them"
            ))),
        }
    }

    /// A new array for a result, of 2, 3 or 4 axes.
    ///
    /// # Errors
    /// As [`Array::view`].
    pub fn result(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Expected { argument, dtypes: Dtype::RESULTS, axes: VIEW_AXES }.open(object)
    }

    /// A single row of float32.
    ///
    /// # Errors
    /// As [`Array::view`], and `ValueError` for a row with gaps.
    pub fn row(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let row = Expected { argument, dtypes: Dtype::ROWS, axes: ROW_AXES }.open(object)?;
        match row.layout.strides[3] {
            0 | 1 if row.layout.span() == Some(row.layout.shape[3]) => Ok(row),
            stride => Err(PyValueError::new_err(format!(
                "{argument}: expected elements without gaps, found a stride of {stride}"
            ))),
        }
    }

    /// The numbers of one axis, of any type of floats and any stride; other axes have one element.
    /// Those of float64 are rounded to nearest.
    ///
    /// # Errors
    /// As [`Array::view`], and `ValueError` for several axes of elements, and for numbers that f32 does
    /// not have; `MemoryError`.
    pub fn numbers(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
        let array =
            Expected { argument, dtypes: Dtype::NUMBERS, axes: BROADCAST_AXES }.open(object)?;
        let Layout { shape, strides, .. } = array.layout;
        let mut axes = (0..4).filter(|&axis| shape[axis] != 1);
        let axis = axes.next().unwrap_or(3);
        if axes.next().is_some() {
            return Err(PyValueError::new_err(format!(
                "{argument}: expected elements along 1 axis, found shape {:?}",
                array.shape()
            )));
        }
        let mut numbers = Vec::new();
        numbers.try_reserve_exact(shape[axis]).map_err(|_| {
            PyMemoryError::new_err(format!("{argument}: expected memory for a copy"))
        })?;
        for index in 0..shape[axis] as isize {
            let element = index * strides[axis];
            let number = match array.dtype {
                Dtype::Float16 => array.element::<f16>(element).into(),
                Dtype::Bfloat16 => array.element::<bf16>(element).into(),
                Dtype::Float64 => array.element(element),
                _ => array.element::<f32>(element).into(),
            };
            numbers.push(nearest(number).ok_or_else(|| {
                PyValueError::new_err(format!(
                    "{argument}: expected numbers that float32 has, found {number:e}"
                ))
            })?);
        }
        Ok(numbers)
    }

    /// The element so far from the first one: one of those that the layout has.
    fn element<T: OfDtype>(&self, offset: isize) -> T {
        assert_eq!(self.dtype, T::DTYPE);
        // SAFETY: the producer promises its elements, of which this is one, for as long as the owner
        // lives. They are aligned, and any bits are a float.
        unsafe { self.data.cast::<T>().offset(offset).read() }
    }

    /// What the elements are.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The array's own extents.
    pub fn shape(&self) -> &[usize] {
        self.layout.own_shape()
    }

    /// [`Array::view`] to read.
    pub fn as_view(&self) -> View<'_> {
        match self.dtype {
            Dtype::Float16 => self.tensor::<f16>().into(),
            Dtype::Bfloat16 => self.tensor::<bf16>().into(),
            _ => self.tensor::<f32>().into(),
        }
    }

    /// [`Array::view`] to write.
    ///
    /// # Errors
    /// Memory that is not to be written, or shared with one of the inputs.
    pub fn as_view_mut(&mut self, inputs: &[&Array]) -> PyResult<ViewMut<'_>> {
        self.expect_own_memory(inputs)?;
        Ok(match self.dtype {
            Dtype::Float16 => self.tensor_mut::<f16>().into(),
            Dtype::Bfloat16 => self.tensor_mut::<bf16>().into(),
            _ => self.tensor_mut::<f32>().into(),
        })
    }

    /// [`Array::result`] to write, of a known element type, all 0.
    ///
    /// # Errors
    /// As [`Array::as_view_mut`].
    pub fn as_zeros_mut<T: OfDtype>(&mut self, inputs: &[&Array]) -> PyResult<TensorMut<'_, T>> {
        self.expect_own_memory(inputs)?;
        self.elements_mut::<T>().fill(T::default());
        Ok(self.tensor_mut())
    }

    /// [`Array::mask`] to read.
    pub fn as_mask(&self) -> Tensor<&[bool]> {
        self.tensor()
    }

    /// [`Array::row`] to read.
    pub fn as_row(&self) -> &[f32] {
        self.elements()
    }

    /// [`Array::row`], or a dense [`Array::result`], to write.
    ///
    /// # Errors
    /// As [`Array::as_view_mut`].
    pub fn as_row_mut(&mut self, inputs: &[&Array]) -> PyResult<&mut [f32]> {
        self.expect_own_memory(inputs)?;
        Ok(self.elements_mut())
    }

    /// Whether they have the same elements in the same places.
    pub fn is_same(&self, other: &Array) -> bool {
        self.addresses() == other.addresses()
    }

    fn tensor<T: OfDtype>(&self) -> TensorRef<'_, T> {
        Tensor::with_strides(self.elements(), self.layout.shape, self.layout.strides)
    }

    fn tensor_mut<T: OfDtype>(&mut self) -> TensorMut<'_, T> {
        let Layout { shape, strides, .. } = self.layout;
        Tensor::with_strides(self.elements_mut(), shape, strides)
    }

    /// All memory from the first to the last element; none for strides that the library refuses.
    fn elements<T: OfDtype>(&self) -> &[T] {
        assert_eq!(self.dtype, T::DTYPE);
        match self.layout.span() {
            None | Some(0) => &[],
            // SAFETY: the producer promises these elements for as long as the owner lives. They
            // are aligned; any bits are a float, and `mask` has looked at booleans. That others may
            // write to them meanwhile is what sharing memory means in Python, and changes only
            // which numbers are read.
            Some(span) => unsafe { slice::from_raw_parts(self.data.cast(), span) },
        }
    }

    /// As [`Array::elements`], once [`Array::expect_own_memory`] has said so.
    fn elements_mut<T: OfDtype>(&mut self) -> &mut [T] {
        assert_eq!(self.dtype, T::DTYPE);
        match self.layout.span() {
            None | Some(0) => &mut [],
            // SAFETY: as in `elements`; the producer allows writing, and no input of this call
            // lies between these elements.
            Some(span) => unsafe { slice::from_raw_parts_mut(self.data.cast(), span) },
        }
    }

    /// The elements, and what is between them.
    fn bytes(&self) -> &[u8] {
        match self.layout.span() {
            None | Some(0) => &[],
            // SAFETY: as in `elements`; all memory is bytes.
            Some(span) => unsafe {
                slice::from_raw_parts(self.data.cast(), span * self.dtype.size())
            },
        }
    }

    fn addresses(&self) -> Range<usize> {
        let start = self.data.addr();
        start..start + self.layout.span().unwrap_or(0) * self.dtype.size()
    }

    fn overlaps(&self, other: &Array) -> bool {
        let (own, other) = (self.addresses(), other.addresses());
        own.start < other.end && other.start < own.end && !own.is_empty() && !other.is_empty()
    }

    fn expect_own_memory(&self, inputs: &[&Array]) -> PyResult<()> {
        let argument = self.argument;
        if let Some(refused) = self.unwritable {
            return Err(PyValueError::new_err(format!(
                "{argument}: expected memory that can be written, found {refused}"
            )));
        }
        match inputs.iter().find(|input| self.overlaps(input)) {
            None => Ok(()),
            Some(input) => Err(PyValueError::new_err(format!(
                "{argument}: expected memory of its own, found some of {}'s",
                input.argument
            ))),
        }
    }
}

/// Rust's types for the elements of each [`Dtype`].
pub trait OfDtype: Copy + Default {
    /// Which one it is.
    const DTYPE: Dtype;
}

impl OfDtype for f32 {
    const DTYPE: Dtype = Dtype::Float32;
}

impl OfDtype for f16 {
    const DTYPE: Dtype = Dtype::Float16;
}

impl OfDtype for bf16 {
    const DTYPE: Dtype = Dtype::Bfloat16;
}

impl OfDtype for f64 {
    const DTYPE: Dtype = Dtype::Float64;
}

impl OfDtype for i64 {
    const DTYPE: Dtype = Dtype::Int64;
}

impl OfDtype for bool {
    const DTYPE: Dtype = Dtype::Bool;
}

impl Expected {
    fn open(&self, object: &Bound<'_, PyAny>) -> PyResult<Array> {
        expect_unmasked(self.argument, object)?;
        // A type may speak both and still not have a buffer for each of its element types.
        let array = match PyUntypedBuffer::get(object) {
            Ok(buffer) => self.open_formatted(object, buffer),
            Err(_) => match dlpack::Tensor::of(object) {
                Ok(Some(tensor)) => self.open_dlpack(object, tensor),
                Ok(None) => match memoryview_buffer(object) {
                    Some(buffer) => self.open_formatted(object, buffer),
                    None => Err(self.wrong_type(object)),
                },
                Err(error) => match numpy_bfloat16(object) {
                    Some(buffer) => self.open_buffer(object, Some(Dtype::Bfloat16), buffer),
                    None => Err(self.refused(object, error)),
                },
            },
        }?;
        if array.data.is_null() && array.layout.span() != Some(0) {
            // Such as torch's fake tensors, whose device is the CPU.
            let found = type_name(object);
            return Err(PyTypeError::new_err(format!(
                "{}: expected elements in memory, found a {found} without any",
                self.argument
            )));
        }
        match array.data.addr().is_multiple_of(array.dtype.size()) {
            true => Ok(array),
            false => Err(PyValueError::new_err(format!(
                "{}: expected memory aligned to {} bytes, found address {:p}",
                self.argument,
                array.dtype.size(),
                array.data
            ))),
        }
    }

    fn open_formatted(
        &self,
        object: &Bound<'_, PyAny>,
        buffer: PyUntypedBuffer,
    ) -> PyResult<Array> {
        self.open_buffer(object, Dtype::from_format(buffer.format()), buffer)
    }

    fn open_buffer(
        &self,
        object: &Bound<'_, PyAny>,
        dtype: Option<Dtype>,
        buffer: PyUntypedBuffer,
    ) -> PyResult<Array> {
        let dtype = self.check_dtype(object, dtype)?;
        if buffer.suboffsets().is_some_and(|offsets| offsets.iter().any(|&offset| offset >= 0)) {
            return Err(PyValueError::new_err(format!(
                "{}: expected elements in one block of memory, found pointers to others",
                self.argument
            )));
        }
        Ok(Array {
            argument: self.argument,
            dtype,
            data: buffer.buf_ptr(),
            layout: self.layout(dtype, buffer.shape(), buffer.strides())?,
            unwritable: buffer.readonly().then_some(READ_ONLY),
            _owner: Owner::Buffer { _buffer: buffer },
        })
    }

    fn open_dlpack(&self, object: &Bound<'_, PyAny>, tensor: dlpack::Tensor) -> PyResult<Array> {
        let dtype = self.check_dtype(object, Dtype::from_dlpack(tensor.dtype()))?;
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
            argument: self.argument,
            dtype,
            data: tensor.data(),
            layout: self.layout(dtype, &shape, &byte_strides)?,
            unwritable: match tensor.is_copy() {
                true => Some("a copy of it"),
                false => tensor.is_read_only().then_some(READ_ONLY),
            },
            _owner: Owner::Dlpack { _tensor: tensor },
        })
    }

    fn check_dtype(&self, object: &Bound<'_, PyAny>, found: Option<Dtype>) -> PyResult<Dtype> {
        found.filter(|dtype| self.dtypes.contains(dtype)).ok_or_else(|| self.wrong_type(object))
    }

    fn layout(&self, dtype: Dtype, shape: &[usize], byte_strides: &[isize]) -> PyResult<Layout> {
        Layout::new(self.argument, &self.axes, dtype, shape, byte_strides)
    }

    /// An object of another type, or an array of another element type.
    fn wrong_type(&self, object: &Bound<'_, PyAny>) -> PyErr {
        PyTypeError::new_err(format!(
            "{}: expected an array of {}, found {}",
            self.argument,
            Dtype::list(self.dtypes),
            dtype_name(object).unwrap_or_else(|| type_and_format(object))
        ))
    }

    /// An array that does not give its memory away, and its reason: the first line of it, since
    /// torch's go on with a trace. Interrupts stay what they are.
    fn refused(&self, object: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
        let py = object.py();
        if !error.is_instance_of::<PyException>(py) {
            return error;
        }
        let named = |name: String| self.dtypes.iter().any(|dtype| name.ends_with(dtype.name()));
        if dtype_name(object).is_some_and(|name| !named(name)) {
            return self.wrong_type(object);
        }
        let reason = error.value(py).to_string();
        let reason = reason.lines().next().unwrap_or_default();
        let refusal =
            PyTypeError::new_err(format!("{}: {}: {reason}", self.argument, type_name(object)));
        refusal.set_cause(py, Some(error));
        refusal
    }
}

/// The memory of a NumPy array of ml_dtypes' bfloat16, for which neither protocol has a name that
/// NumPy would use: as integers of the same size.
fn numpy_bfloat16(object: &Bound<'_, PyAny>) -> Option<PyUntypedBuffer> {
    if dtype_name(object)? != Dtype::Bfloat16.name() {
        return None;
    }
    let py = object.py();
    let integers = object.call_method1(intern!(py, "view"), (intern!(py, "uint16"),)).ok()?;
    PyUntypedBuffer::get(&integers).ok()
}

/// The buffer of an object whose own has no strides (ctypes): a memoryview of it works them out.
fn memoryview_buffer(object: &Bound<'_, PyAny>) -> Option<PyUntypedBuffer> {
    PyUntypedBuffer::get(PyMemoryView::from(object).ok()?.as_any()).ok()
}

/// What an array says that its elements are.
fn dtype_name(object: &Bound<'_, PyAny>) -> Option<String> {
    let dtype = object.getattr_opt(intern!(object.py(), "dtype")).ok()??;
    Some(dtype.str().ok()?.to_string())
}

/// Refuses NumPy's masked arrays: what they mask would count.
pub fn expect_unmasked(argument: &str, object: &Bound<'_, PyAny>) -> PyResult<()> {
    static MASKED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match object.is_instance(MASKED.import(object.py(), "numpy.ma", "MaskedArray")?)? {
        false => Ok(()),
        true => Err(PyTypeError::new_err(format!(
            "{argument}: expected an array without a mask of its own (filled()), found {}",
            type_name(object)
        ))),
    }
}

/// A number in f32, rounded to nearest; nothing if it is finite and f32 has none as large.
pub fn nearest(number: f64) -> Option<f32> {
    let rounded = number as f32;
    (rounded.is_finite() || !number.is_finite()).then_some(rounded)
}

/// The name of an object's type, and what its buffer says of its elements if it has one.
fn type_and_format(object: &Bound<'_, PyAny>) -> String {
    let found = type_name(object);
    match memoryview_buffer(object) {
        Some(buffer) => format!("{found} of format {:?}", buffer.format()),
        None => found,
    }
}

/// The name of an object's type.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "an unknown type".into(), |name| name.to_string())
}
