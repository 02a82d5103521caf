//! Forks: no child finds a lock held by a thread that it does not have.
//!
//! Locks that are only taken while attached to Python are safe, since a fork by Python is attached,
//! too. Others are taken together with [`hold_off`], for which forks wait.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict};
use std::cell::RefCell;
use std::process;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Read by whoever holds a lock, written by whoever forks.
static HELD_OFF: RwLock<()> = RwLock::new(());

/// The process that the module was imported in.
static IMPORTED_IN: OnceLock<u32> = OnceLock::new();

thread_local! {
    /// Of a thread that is forking.
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Holds off forks. Neither to be called nor to be kept while attached to Python.
pub fn hold_off() -> RwLockReadGuard<'static, ()> {
    HELD_OFF.read().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this process is a fork of the one that imported the module.
pub fn is_forked() -> bool {
    IMPORTED_IN.get().is_some_and(|&process| process != process::id())
}

/// To be called when the module is imported.
///
/// # Errors
/// Those of Python.
pub fn imported(py: Python<'_>) -> PyResult<()> {
    IMPORTED_IN.get_or_init(process::id);
    let os = py.import(intern!(py, "os"))?;
    let Some(register) = os.getattr_opt(intern!(py, "register_at_fork"))? else {
        return Ok(());
    };
    let before = PyCFunction::new_closure(py, None, None, |arguments, _| {
        arguments.py().detach(|| {
            let guard = HELD_OFF.write().unwrap_or_else(PoisonError::into_inner);
            FORKING.set(Some(guard));
        });
    })?;
    let after = PyCFunction::new_closure(py, None, None, |_, _| drop(FORKING.take()))?;
    let handlers = PyDict::new(py);
    handlers.set_item("before", before)?;
    handlers.set_item("after_in_parent", &after)?;
    handlers.set_item("after_in_child", after)?;
    register.call((), Some(&handlers)).map(drop)
}
