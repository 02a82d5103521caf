//! Structs that begin with their size, read whatever their caller's version.

use crate::failure::Failure;
use crate::pointer::check_pointer;
use crate::structs::{Call, Options, Outputs};

/// No struct will ever be so large: a larger size is no size.
const MOST_BYTES: usize = 1 << 12;

/// A struct of the interface that begins with `struct_size: usize`.
pub trait Parameters: Copy {
    /// Whether there is nothing in the room that is reserved.
    fn is_reserved_zero(&self) -> bool;
}

impl Parameters for Options {
    fn is_reserved_zero(&self) -> bool {
        self.reserved_word == 0 && self.reserved == [0; 8]
    }
}

impl Parameters for Outputs {
    fn is_reserved_zero(&self) -> bool {
        self.reserved == [0; 8]
    }
}

impl Parameters for Call {
    fn is_reserved_zero(&self) -> bool {
        self.reserved == [0; 16]
    }
}

/// A copy of a struct. One of a newer version is longer: what this version does not know has to be 0.
///
/// # Safety
/// Unless it is null or not aligned, `pointer` points to as many bytes as the struct begins with.
pub unsafe fn read<T: Parameters>(argument: &'static str, pointer: *const T) -> Result<T, Failure> {
    check_pointer(argument, pointer)?;
    // SAFETY: aligned, and its size is there by the caller's promise.
    let found = unsafe { pointer.cast::<usize>().read() };
    let expected = size_of::<T>();
    if !(expected..=MOST_BYTES).contains(&found) {
        return Err(Failure::StructSize { argument, expected, found });
    }
    // SAFETY: `found` bytes are there by the caller's promise, `expected` of them are the struct's,
    // whose fields are numbers and pointers.
    let (value, rest) = unsafe {
        let rest = pointer.cast::<u8>().add(expected);
        (pointer.read(), std::slice::from_raw_parts(rest, found - expected))
    };
    if !value.is_reserved_zero() || rest.iter().any(|&byte| byte != 0) {
        return Err(Failure::Reserved { argument });
    }
    Ok(value)
}
