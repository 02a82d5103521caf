//! DLPack: how array libraries hand each other their memory without a copy.
//!
//! The structs are those of its C header (version 1). A tensor comes in one of two ways: through
//! the table of C functions that a type may offer as `__dlpack_c_exchange_api__`, in a tenth of a
//! microsecond, or in a capsule from the method `__dlpack__`, in some microseconds of Python.
#![allow(unsafe_code, reason = "a C interface")]

use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};
use pyo3::{ffi, intern};
use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;
use std::slice;

/// The version whose structs these are; minor versions only add to it.
const MAJOR: u32 = 1;

/// Kinds of devices whose memory the CPU reads: its own, and what CUDA has pinned of it.
const CPU_DEVICES: [i32; 2] = [1, 3];

const FLAG_READ_ONLY: u64 = 1;

const FLAG_COPIED: u64 = 2;

const EXCHANGE_API: &CStr = c"dlpack_exchange_api";
const VERSIONED: &CStr = c"dltensor_versioned";
const UNVERSIONED: &CStr = c"dltensor";

#[repr(C)]
struct Version {
    major: u32,
    minor: u32,
}

#[repr(C)]
struct Device {
    kind: i32,
    id: i32,
}

/// `DLDataType`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DataType {
    /// The kind of number.
    pub code: u8,
    /// Bits of a number.
    pub bits: u8,
    /// Numbers of an element.
    pub lanes: u16,
}

impl DataType {
    /// The code of signed whole numbers.
    pub const INT: u8 = 0;
    /// The code of IEEE floats.
    pub const FLOAT: u8 = 2;
    /// The code of bfloat16.
    pub const BFLOAT: u8 = 4;
    /// The code of booleans.
    pub const BOOL: u8 = 6;
}

#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device: Device,
    axes: i32,
    dtype: DataType,
    shape: *const i64,
    strides: *const i64,
    byte_offset: u64,
}

#[repr(C)]
struct ManagedTensor {
    tensor: DlTensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut ManagedTensor)>,
}

#[repr(C)]
struct VersionedTensor {
    version: Version,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut VersionedTensor)>,
    flags: u64,
    tensor: DlTensor,
}

/// As far as it is used.
#[repr(C)]
struct ExchangeApi {
    version: Version,
    previous: *const c_void,
    allocate: *const c_void,
    from_object:
        Option<unsafe extern "C" fn(*mut ffi::PyObject, *mut *mut VersionedTensor) -> c_int>,
}

/// A tensor of another library, which keeps its memory for as long as this lives.
pub struct Tensor {
    pointer: Pointer,
    /// What gives the tensor back when it goes, since its name stays as it is. Without one, that is
    /// up to us.
    capsule: Option<Py<PyCapsule>>,
}

#[derive(Clone, Copy)]
enum Pointer {
    Versioned(NonNull<VersionedTensor>),
    Unversioned(NonNull<ManagedTensor>),
}

impl Tensor {
    /// The object's memory; `None` if it does not speak DLPack.
    ///
    /// # Errors
    /// What the object raises, and memory that is not the CPU's.
    pub fn of(object: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let object = &plain(object)?;
        let handed_over = exchange(object).and_then(|tensor| match tensor {
            Some(tensor) => Ok(Some(tensor)),
            None => capsule(object)?.map(Self::from_capsule).transpose(),
        });
        let Some(tensor) = handed_over.map_err(|error| without_memory(object, error))? else {
            return Ok(None);
        };
        let kind = tensor.tensor().device.kind;
        match CPU_DEVICES.contains(&kind) {
            true => Ok(Some(tensor)),
            false => Err(PyTypeError::new_err(format!(
                "expected memory of the CPU, found that of a device of DLPack's kind {kind}"
            ))),
        }
    }

    fn from_capsule(capsule: Bound<'_, PyCapsule>) -> PyResult<Self> {
        let pointer = if capsule.is_valid_checked(Some(VERSIONED)) {
            let tensor = capsule.pointer_checked(Some(VERSIONED))?.cast::<VersionedTensor>();
            // SAFETY: a capsule of this name holds such a tensor. Its first fields are the same in
            // all versions.
            expect_version(unsafe { &tensor.as_ref().version })?;
            Pointer::Versioned(tensor)
        } else {
            Pointer::Unversioned(capsule.pointer_checked(Some(UNVERSIONED))?.cast())
        };
        Ok(Tensor { pointer, capsule: Some(capsule.unbind()) })
    }

    fn tensor(&self) -> &DlTensor {
        // SAFETY: the tensor is there until it is given back, when this is dropped.
        unsafe {
            match &self.pointer {
                Pointer::Versioned(tensor) => &tensor.as_ref().tensor,
                Pointer::Unversioned(tensor) => &tensor.as_ref().tensor,
            }
        }
    }

    /// Whether the producer forbids writing, as far as it can say.
    pub fn is_read_only(&self) -> bool {
        self.flags() & FLAG_READ_ONLY != 0
    }

    /// Whether this is a copy: the object would not see what is written.
    pub fn is_copy(&self) -> bool {
        self.flags() & FLAG_COPIED != 0
    }

    fn flags(&self) -> u64 {
        match &self.pointer {
            // SAFETY: as in `tensor`.
            Pointer::Versioned(tensor) => unsafe { tensor.as_ref().flags },
            Pointer::Unversioned(_) => 0,
        }
    }

    /// What the elements are.
    pub fn dtype(&self) -> DataType {
        self.tensor().dtype
    }

    /// Where the first element is.
    pub fn data(&self) -> *mut c_void {
        let tensor = self.tensor();
        tensor.data.wrapping_byte_add(tensor.byte_offset as usize)
    }

    /// Extents.
    pub fn shape(&self) -> Vec<usize> {
        self.per_axis(self.tensor().shape).iter().map(|&extent| extent as usize).collect()
    }

    /// Strides in elements; `None` for dense rows.
    pub fn strides(&self) -> Option<&[i64]> {
        let strides = self.tensor().strides;
        (!strides.is_null()).then(|| self.per_axis(strides))
    }

    fn per_axis(&self, values: *const i64) -> &[i64] {
        match usize::try_from(self.tensor().axes).unwrap_or(0) {
            0 => &[],
            // SAFETY: there is one value for each axis, and they live as long as the tensor does.
            axes => unsafe { slice::from_raw_parts(values, axes) },
        }
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        if let (Pointer::Versioned(tensor), None) = (self.pointer, &self.capsule) {
            // SAFETY: it is ours, and this is the last that is done with it.
            unsafe {
                if let Some(deleter) = tensor.as_ref().deleter {
                    deleter(tensor.as_ptr());
                }
            }
        }
    }
}

fn expect_version(version: &Version) -> PyResult<()> {
    match version.major {
        MAJOR => Ok(()),
        major => Err(PyBufferError::new_err(format!(
            "expected version {MAJOR} of DLPack, found {major}.{}",
            version.minor
        ))),
    }
}

/// An object without what torch knows of its tensors and DLPack has no word for: a gradient that is
/// required, but not now.
fn plain<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let mut plain = object.clone();
    if let Some(flag) = object.getattr_opt(intern!(py, "requires_grad"))?
        && flag.is_truthy()?
    {
        // The gradient would end here without a word.
        if records_gradients(py)? {
            return Err(PyBufferError::new_err(
                "expected one without a gradient (detach(), or torch.no_grad()), found one that \
                 requires it",
            ));
        }
        // `__dlpack__` refuses it even then.
        plain = object.call_method0(intern!(py, "detach"))?;
    }
    // Such as the imaginary part of a conjugate: its memory has the other sign.
    if let Some(method) = object.getattr_opt(intern!(py, "is_neg"))?
        && method.call0()?.is_truthy()?
    {
        return Err(PyBufferError::new_err(
            "expected numbers as memory has them (resolve_neg()), found a negated view",
        ));
    }
    Ok(plain)
}

/// Whether torch records what gradients need; so does whoever else knows of gradients.
fn records_gradients(py: Python<'_>) -> PyResult<bool> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    match modules.cast::<PyDict>()?.get_item(intern!(py, "torch"))? {
        Some(torch) => torch.call_method0(intern!(py, "is_grad_enabled"))?.is_truthy(),
        None => Ok(true),
    }
}

/// The error of a tensor of torch that has no memory to hand over, in words; other errors as they are.
fn without_memory(object: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let text = |name: &str| object.getattr(name).ok()?.str().ok().map(|text| text.to_string());
    let found = match (text("is_nested").as_deref(), text("layout"), text("device").as_deref()) {
        (Some("True"), ..) => "a nested one".into(),
        (_, Some(layout), _) if layout != "torch.strided" => format!("one of {layout}"),
        (Some(_), Some(_), Some("cpu")) => "one without memory (as inside torch.vmap)".into(),
        _ => return error,
    };
    let refused = PyBufferError::new_err(format!("expected a dense tensor, found {found}"));
    refused.set_cause(object.py(), Some(error));
    refused
}

/// The tensor by the type's table of functions, if there is one of our version.
fn exchange(object: &Bound<'_, PyAny>) -> PyResult<Option<Tensor>> {
    let py = object.py();
    let attribute = object.get_type().getattr_opt(intern!(py, "__dlpack_c_exchange_api__"))?;
    let Some(capsule) = attribute.as_ref().and_then(|found| found.cast::<PyCapsule>().ok()) else {
        return Ok(None);
    };
    let api = capsule.pointer_checked(Some(EXCHANGE_API))?.cast::<ExchangeApi>();
    // SAFETY: a capsule of this name holds such a table, which lives as long as the process. Its
    // version comes first in all versions.
    let api = unsafe { api.as_ref() };
    let (MAJOR, Some(from_object)) = (api.version.major, api.from_object) else {
        return Ok(None);
    };
    let mut tensor = std::ptr::null_mut();
    // SAFETY: the object is of the table's type, and we are attached to Python.
    let status = unsafe { from_object(object.as_ptr(), &raw mut tensor) };
    match NonNull::new(tensor) {
        Some(tensor) if status == 0 => {
            Ok(Some(Tensor { pointer: Pointer::Versioned(tensor), capsule: None }))
        }
        _ => Err(PyErr::fetch(py)),
    }
}

/// The capsule that `__dlpack__` returns; of the version before 1 where it knows no other.
fn capsule<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyCapsule>>> {
    let py = object.py();
    let Some(method) = object.getattr_opt(intern!(py, "__dlpack__"))? else {
        return Ok(None);
    };
    let arguments = PyDict::new(py);
    arguments.set_item(intern!(py, "max_version"), (MAJOR, 0))?;
    let capsule = match method.call((), Some(&arguments)) {
        Err(error) if error.is_instance_of::<PyTypeError>(py) => method.call0(),
        answer => answer,
    }?;
    Ok(Some(capsule.cast_into::<PyCapsule>()?))
}
