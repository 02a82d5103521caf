//! Memory that is kept from call to call: warm calls allocate none, large ones leave none behind.

use pyo3::prelude::*;
use softdot::Workspace;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that are kept in all, whatever the calls and their threads.
const KEPT_BYTES: usize = 64 << 20;

/// Workspaces that no call uses, the last one used last: its memory is in cache.
///
/// The lock is only held while attached to Python, and so is a fork by Python: no child finds it
/// locked.
static IDLE: Mutex<Vec<Workspace<'static>>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<Workspace<'static>>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A workspace for one call, from those that are idle.
pub fn take(_attached: Python<'_>) -> Workspace<'static> {
    idle().pop().unwrap_or_default()
}

/// Keeps a workspace for the next call, unless there is enough already.
pub fn keep(_attached: Python<'_>, mut workspace: Workspace<'static>) {
    let mut idle = idle();
    let kept: usize = idle.iter().map(Workspace::bytes).sum();
    workspace.shrink_to(KEPT_BYTES.saturating_sub(kept));
    if workspace.bytes() > 0 {
        idle.push(workspace);
    }
}

/// Frees the memory that calls keep for later ones: at most 64 MiB in all.
///
/// Calls that run on other threads meanwhile are not disturbed; they get and keep memory as ever.
///
/// Returns
/// -------
/// int
///     How many bytes were freed.
#[pyfunction]
pub fn release_memory() -> usize {
    let released = std::mem::take(&mut *idle());
    released.iter().map(Workspace::bytes).sum()
}
