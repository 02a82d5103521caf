//! Versions.

use std::ffi::{CStr, c_char};

/// Version of the interface that this header describes.
pub const SOFTDOT_ABI_VERSION: u32 = 1;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no 0 in it"),
    };

/// Version of the interface that the library has: SOFTDOT_ABI_VERSION of its header.
#[unsafe(no_mangle)]
pub extern "C" fn softdot_abi_version() -> u32 {
    SOFTDOT_ABI_VERSION
}

/// Version of the library, "0.1.0" for example.
#[unsafe(no_mangle)]
pub extern "C" fn softdot_version() -> *const c_char {
    VERSION.as_ptr()
}
