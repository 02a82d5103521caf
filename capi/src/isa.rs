//! Instruction sets.

use crate::boundary::guarded;
use crate::failure::{Failure, Status};
use crate::pointer::check_pointer;
use softdot_core::Isa;
use std::ffi::{CStr, c_char};
use std::ptr;

/// The widest instruction set of this CPU, up to the limit in the environment's SOFTDOT_MAX_ISA.
pub const SOFTDOT_ISA_DETECTED: i32 = 0;
/// One lane.
pub const SOFTDOT_ISA_SCALAR: i32 = 1;
/// 128-bit vectors of aarch64.
pub const SOFTDOT_ISA_NEON: i32 = 2;
/// 256-bit vectors of x86-64.
pub const SOFTDOT_ISA_AVX2: i32 = 3;
/// 512-bit vectors of x86-64.
pub const SOFTDOT_ISA_AVX512: i32 = 4;

const ISAS: [(i32, Isa, &CStr); 4] = [
    (SOFTDOT_ISA_SCALAR, Isa::Scalar, c"scalar"),
    (SOFTDOT_ISA_NEON, Isa::Neon, c"neon"),
    (SOFTDOT_ISA_AVX2, Isa::Avx2, c"avx2"),
    (SOFTDOT_ISA_AVX512, Isa::Avx512, c"avx512"),
];

/// The instruction set that was asked for, if one was.
pub fn chosen(number: i32) -> Result<Option<Isa>, Failure> {
    if number == SOFTDOT_ISA_DETECTED {
        return Ok(None);
    }
    let known = ISAS.into_iter().find(|&(known, ..)| known == number);
    let unknown = || {
        let (argument, expected) = ("isa", "one of SOFTDOT_ISA_...");
        Failure::Unknown { argument, expected, found: number.into() }
    };
    known.map(|(_, isa, _)| Some(isa)).ok_or_else(unknown)
}

/// Writes which instruction set calls run on unless their options say otherwise.
///
/// # Safety
/// `isa` points to an int32_t, `message` to message_size bytes unless it is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_isa_detected(
    isa: *mut i32,
    message: *mut c_char,
    message_size: usize,
) -> Status {
    let detect = || {
        check_pointer("isa", isa.cast_const())?;
        let detected = Isa::detect()?.isa;
        let known = ISAS.into_iter().find(|&(_, known, _)| known == detected);
        let number = known.map_or(SOFTDOT_ISA_DETECTED, |(number, ..)| number);
        // SAFETY: aligned, and the caller's promise.
        unsafe { isa.write(number) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(message, message_size, detect) }
}

/// Whether this CPU can run an instruction set: 1, or 0, as for numbers that are none's.
#[unsafe(no_mangle)]
pub extern "C" fn softdot_isa_is_available(isa: i32) -> i32 {
    ISAS.into_iter().any(|(number, known, _)| number == isa && known.is_available()).into()
}

/// The name of an instruction set, "avx2" for example; null for numbers that are none's.
#[unsafe(no_mangle)]
pub extern "C" fn softdot_isa_name(isa: i32) -> *const c_char {
    let known = ISAS.into_iter().find(|&(number, ..)| number == isa);
    known.map_or(ptr::null(), |(.., name)| name.as_ptr())
}
