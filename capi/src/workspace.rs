//! Workspaces: memory that is kept from call to call.

use crate::boundary::guarded;
use crate::failure::{Failure, Status};
use crate::handle;
use crate::memory::{check_memory, fits_in_memory};
use crate::spans::Span;
use std::ffi::{c_char, c_void};
use std::sync::{Mutex, MutexGuard, TryLockError};

/// Memory for calls, one at a time; it grows to the largest that it has seen.
#[derive(Default)]
pub struct Workspace(Mutex<softdot_core::Workspace<'static>>);

impl Workspace {
    /// The memory, while no other call uses it. What a call that panicked left there does not matter.
    pub fn take(&self) -> Result<MutexGuard<'_, softdot_core::Workspace<'static>>, Failure> {
        match self.0.try_lock() {
            Ok(memory) => Ok(memory),
            Err(TryLockError::Poisoned(memory)) => Ok(memory.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Failure::Busy { argument: "workspace" }),
        }
    }
}

/// Memory of the caller's for one call.
#[derive(Clone, Copy)]
pub struct Lent {
    data: *mut f32,
    elements: usize,
}

impl Lent {
    /// Nothing if the pointer is null.
    pub fn open(data: *mut c_void, bytes: usize) -> Result<Option<Self>, Failure> {
        if data.is_null() && bytes == 0 {
            return Ok(None);
        }
        if !fits_in_memory(bytes, 1) {
            return Err(Failure::TooLarge { argument: "workspace_bytes", found: bytes });
        }
        check_memory("workspace_memory", data, bytes, align_of::<f32>())?;
        Ok(Some(Lent { data: data.cast(), elements: bytes / size_of::<f32>() }))
    }

    /// Where it is.
    pub fn span(&self) -> Span {
        let bytes = self.elements * size_of::<f32>();
        Span::new("workspace_memory", self.data.cast_const().cast(), bytes)
    }

    /// softdot's own.
    ///
    /// # Safety
    /// The memory is there for `'m`, and nothing else uses it.
    pub unsafe fn workspace<'m>(&self) -> softdot_core::Workspace<'m> {
        // SAFETY: aligned, no larger than memory, and there by the caller's promise.
        softdot_core::Workspace::lent(unsafe {
            std::slice::from_raw_parts_mut(self.data, self.elements)
        })
    }
}

/// Makes a workspace, which is empty, and writes it to workspace.
///
/// # Safety
/// `workspace` points to a pointer, `message` to message_size bytes unless it is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_workspace_create(
    workspace: *mut *mut Workspace,
    message: *mut c_char,
    message_size: usize,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe {
        guarded(message, message_size, || {
            handle::create("workspace", workspace, || Ok(Workspace::default()))
        })
    }
}

/// Bytes that a workspace holds; 0 for null, and while a call uses it.
///
/// # Safety
/// `workspace` is null or came from softdot_workspace_create and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_workspace_bytes(workspace: *const Workspace) -> usize {
    // SAFETY: the caller's promise.
    let workspace = unsafe { handle::required("workspace", workspace) };
    workspace.and_then(|workspace| Ok(workspace.take()?.bytes())).unwrap_or(0)
}

/// Frees a workspace; null does nothing.
///
/// # Safety
/// `workspace` is null or came from softdot_workspace_create, and nothing uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_workspace_free(workspace: *mut Workspace) {
    // SAFETY: the caller's promise.
    drop(unsafe { handle::take(workspace) });
}
