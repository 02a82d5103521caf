//! Element types.

use super::dlpack::DataType;
use pyo3::buffer::ElementType;
use std::ffi::CStr;

/// What an array's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit floats.
    Float32,
}

impl Dtype {
    /// From the buffer protocol's format, a string of the module `struct`; `None` for what softdot
    /// does not compute with, and for the other byte order.
    pub fn from_format(format: &CStr) -> Option<Dtype> {
        let swapped: &[u8] = if cfg!(target_endian = "little") { b">!" } else { b"<" };
        if swapped.contains(&format.to_bytes().first().copied().unwrap_or_default()) {
            return None;
        }
        match ElementType::from_format(format) {
            ElementType::Float { bytes: 4 } => Some(Dtype::Float32),
            _ => None,
        }
    }

    /// From DLPack's description; `None` for what softdot does not compute with.
    pub fn from_dlpack(dtype: DataType) -> Option<Dtype> {
        match dtype {
            DataType { code: DataType::FLOAT, bits: 32, lanes: 1 } => Some(Dtype::Float32),
            _ => None,
        }
    }

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Dtype::Float32 => size_of::<f32>(),
        }
    }
}
