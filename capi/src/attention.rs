//! The calls.

use crate::boundary::guarded;
use crate::call::{Arguments, Purpose};
use crate::failure::Status;
use crate::pointer::check_pointer;
use crate::structs::Call;
use std::ffi::c_char;

/// Computes the outputs of a call. If it fails, nothing has been written but the message.
///
/// # Safety
/// `call` points to a call whose pointers and counts are as its comments say; nothing else uses the
/// memory of the outputs, and nothing writes to the rest, until it returns. `message` points to
/// message_size bytes unless it is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_attention(
    call: *const Call,
    message: *mut c_char,
    message_size: usize,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe { guarded(message, message_size, || Arguments::open(call)?.perform(Purpose::Compute)) }
}

/// Makes the workspace of a call large enough for it: softdot_attention with the same arguments then
/// allocates nothing (with a pool, its queues may). Nothing is computed or written.
///
/// # Safety
/// As softdot_attention.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_attention_reserve(
    call: *const Call,
    message: *mut c_char,
    message_size: usize,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe { guarded(message, message_size, || Arguments::open(call)?.perform(Purpose::Reserve)) }
}

/// Writes how many bytes workspace_memory has to have for a call: with so many, softdot_attention with
/// the same arguments allocates nothing (with a pool, its queues may). Nothing is computed.
///
/// # Safety
/// As softdot_attention; `bytes` points to a size_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_attention_workspace_bytes(
    call: *const Call,
    bytes: *mut usize,
    message: *mut c_char,
    message_size: usize,
) -> Status {
    let measure = || {
        check_pointer("bytes", bytes.cast_const())?;
        let mut elements = 0;
        // SAFETY: the caller's promise.
        unsafe {
            Arguments::open(call)?.perform(Purpose::Measure(&mut elements))?;
            // Saturated, it is more than there is memory.
            bytes.write(elements.saturating_mul(size_of::<f32>()));
        }
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(message, message_size, measure) }
}
