//! torch's own threads: those of the OpenMP library that it is linked with.
//!
//! A pool of softdot's would compete with them for the CPUs: after each of torch's operations they wait for
//! the next one actively, for milliseconds.
#![allow(unsafe_code, reason = "a C interface")]

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use softdot::ParallelFor;
use std::ffi::{c_uint, c_void};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// `GOMP_parallel`, which compilers call for `#pragma omp parallel`: runs a function on so many threads,
/// the calling one and those that OpenMP keeps for it, and returns when all have returned. LLVM's and
/// Intel's libraries have it, too.
type Parallel = unsafe extern "C" fn(
    function: unsafe extern "C" fn(*mut c_void),
    data: *mut c_void,
    threads: c_uint,
    flags: c_uint,
);

/// Threads of torch's.
pub struct TorchThreads {
    parallel: Parallel,
    count: usize,
}

impl TorchThreads {
    /// As many as torch's operations take; none where torch has them from elsewhere.
    ///
    /// # Errors
    /// Those of Python.
    pub fn find(py: Python<'_>) -> PyResult<Option<Self>> {
        static PARALLEL: PyOnceLock<Option<Parallel>> = PyOnceLock::new();
        static COUNT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let Some(parallel) = *PARALLEL.get_or_try_init(py, || find_parallel(py))? else {
            return Ok(None);
        };
        let count = COUNT.import(py, "torch", "get_num_threads")?.call0()?.extract()?;
        Ok(Some(TorchThreads { parallel, count }))
    }
}

/// Looks for the function in the libraries that torch is linked with.
fn find_parallel(py: Python<'_>) -> PyResult<Option<Parallel>> {
    let ctypes = py.import(intern!(py, "ctypes"))?;
    let torch: String = py.import("torch")?.getattr("__path__")?.get_item(0)?.extract()?;
    let library = ctypes.call_method1("CDLL", (format!("{torch}/lib/libtorch_cpu.so"),));
    let Ok(function) = library.and_then(|library| library.getattr("GOMP_parallel")) else {
        return Ok(None);
    };
    let pointer = ctypes.call_method1("cast", (function, ctypes.getattr("c_void_p")?))?;
    let address: usize = pointer.getattr("value")?.extract()?;
    // SAFETY: a function of this name has this type, and torch is not unloaded.
    Ok(Some(unsafe { mem::transmute::<usize, Parallel>(address) }))
}

impl ParallelFor for TorchThreads {
    fn threads(&self) -> usize {
        self.count
    }

    fn run(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        let data = (&raw const body).cast_mut().cast();
        // SAFETY: `call_body` may be called with this until the function returns.
        unsafe { (self.parallel)(call_body, data, count as c_uint, 0) };
    }
}

/// # Safety
/// `body` points to what [`TorchThreads::run`] was given, and still is there.
unsafe extern "C" fn call_body(body: *mut c_void) {
    // SAFETY: the caller's promise; what is pointed to may be shared by threads.
    let body = unsafe { *body.cast_const().cast::<&(dyn Fn(usize) + Sync)>() };
    // Which index does not matter (`ParallelFor::run`), and a panic softdot notices by itself.
    drop(catch_unwind(AssertUnwindSafe(|| body(0))));
}
