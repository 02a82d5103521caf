//! Where calls come in and go out: no panic leaves, and an error is a status and a message.

use crate::failure::{Failure, SOFTDOT_OK, Status};
use std::any::Any;
use std::ffi::c_char;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the work of a function of the interface. The message of its error goes to `message`, cut to
/// `message_size` bytes with the 0 at its end; without an error it is empty. Both may be 0.
///
/// # Safety
/// Unless it is null, `message` points to `message_size` bytes that nothing else uses.
pub unsafe fn guarded(
    message: *mut c_char,
    message_size: usize,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Status {
    let result = catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|payload| Err(Failure::Panic { message: said(&*payload) }));
    // SAFETY: the caller's promise.
    let mut text = unsafe { Text::new(message, message_size) };
    match result {
        Ok(()) => SOFTDOT_OK,
        Err(failure) => {
            // A text that is full has been cut; that is all that can go wrong.
            let _ = write!(text, "{failure}");
            failure.status()
        }
    }
}

/// What a panic says.
fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic").into()
}

/// A C string that is being written.
struct Text<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl Text<'_> {
    /// # Safety
    /// As [`guarded`].
    unsafe fn new(message: *mut c_char, message_size: usize) -> Self {
        if message.is_null() || message_size == 0 {
            return Text { bytes: &mut [], length: 0 };
        }
        // SAFETY: so many bytes are there and nothing else uses them, by the caller's promise; zeroes
        // are written through the pointer before there is a reference, so they are initialised.
        let bytes = unsafe {
            message.write_bytes(0, message_size);
            std::slice::from_raw_parts_mut(message.cast::<u8>(), message_size)
        };
        Text { bytes, length: 0 }
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.bytes.len().saturating_sub(self.length + 1);
        let fits = |&cut: &usize| part.is_char_boundary(cut);
        let cut = (0..=room.min(part.len())).rev().find(fits).unwrap_or(0);
        self.bytes[self.length..self.length + cut].copy_from_slice(&part.as_bytes()[..cut]);
        self.length += cut;
        if cut == part.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
