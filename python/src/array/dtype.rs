//! Element types.

use super::dlpack::DataType;
use pyo3::buffer::ElementType;
use std::ffi::CStr;
use std::fmt;

/// What an array's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit floats.
    Float32,
    /// IEEE's 16-bit floats.
    Float16,
    /// The upper halves of 32-bit floats.
    Bfloat16,
    /// Bytes that are 0 or 1.
    Bool,
    /// 64-bit floats.
    Float64,
    /// 64-bit whole numbers.
    Int64,
}

impl Dtype {
    /// What queries, keys, biases and results are made of.
    pub const FLOATS: &[Dtype] = &[Dtype::Float32, Dtype::Float16, Dtype::Bfloat16];

    /// What results are made of.
    pub const RESULTS: &[Dtype] =
        &[Dtype::Float32, Dtype::Float16, Dtype::Bfloat16, Dtype::Float64, Dtype::Int64];

    /// What rows are made of.
    pub const ROWS: &[Dtype] = &[Dtype::Float32];

    /// What one number for each head may be.
    pub const NUMBERS: &[Dtype] =
        &[Dtype::Float32, Dtype::Float16, Dtype::Bfloat16, Dtype::Float64];

    /// What masks are made of.
    pub const MASKS: &[Dtype] = &[Dtype::Bool];

    /// From the buffer protocol's format, a string of the module `struct`; `None` for what softdot
    /// does not compute with, and for the other byte order.
    pub fn from_format(format: &CStr) -> Option<Dtype> {
        let swapped: &[u8] = if cfg!(target_endian = "little") { b">!" } else { b"<" };
        if swapped.contains(&format.to_bytes().first().copied().unwrap_or_default()) {
            return None;
        }
        match ElementType::from_format(format) {
            ElementType::Float { bytes: 4 } => Some(Dtype::Float32),
            ElementType::Float { bytes: 2 } => Some(Dtype::Float16),
            ElementType::Float { bytes: 8 } => Some(Dtype::Float64),
            ElementType::SignedInteger { bytes: 8 } => Some(Dtype::Int64),
            ElementType::Bool => Some(Dtype::Bool),
            _ => None,
        }
    }

    /// From DLPack's description; `None` for what softdot does not compute with.
    pub fn from_dlpack(dtype: DataType) -> Option<Dtype> {
        match (dtype.code, dtype.bits, dtype.lanes) {
            (DataType::FLOAT, 32, 1) => Some(Dtype::Float32),
            (DataType::FLOAT, 16, 1) => Some(Dtype::Float16),
            (DataType::FLOAT, 64, 1) => Some(Dtype::Float64),
            (DataType::INT, 64, 1) => Some(Dtype::Int64),
            (DataType::BFLOAT, 16, 1) => Some(Dtype::Bfloat16),
            (DataType::BOOL, 8, 1) => Some(Dtype::Bool),
            _ => None,
        }
    }

    /// From the name that NumPy, ml_dtypes, torch and JAX agree on.
    pub fn from_name(name: &str) -> Option<Dtype> {
        Self::FLOATS.iter().copied().find(|dtype| dtype.name() == name)
    }

    /// The name that NumPy, ml_dtypes, torch and JAX agree on.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Float32 => "float32",
            Dtype::Float16 => "float16",
            Dtype::Bfloat16 => "bfloat16",
            Dtype::Bool => "bool",
            Dtype::Float64 => "float64",
            Dtype::Int64 => "int64",
        }
    }

    /// Bytes of an element, and what its address is a multiple of.
    pub fn size(self) -> usize {
        match self {
            Dtype::Float64 | Dtype::Int64 => 8,
            Dtype::Float32 => 4,
            Dtype::Float16 | Dtype::Bfloat16 => 2,
            Dtype::Bool => 1,
        }
    }

    /// Names for an error.
    pub fn list(dtypes: &[Dtype]) -> String {
        dtypes.iter().map(|dtype| dtype.name()).collect::<Vec<_>>().join(" or ")
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
