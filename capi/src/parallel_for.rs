//! A loop that the host runs on threads of its own.

use crate::failure::Failure;
use crate::structs::{Body, Call};
use crate::threads::count;
use softdot_core::ParallelFor;
use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

/// The host's loop, its context and how many threads it has.
#[derive(Clone, Copy)]
pub struct Host {
    run: unsafe extern "C" fn(*mut c_void, i64, Body, *mut c_void),
    context: *mut c_void,
    threads: usize,
}

// SAFETY: the context is not touched here, only given to the function whose it is; that this may be
// called from the thread of the call and, for other calls, from others, is the host's promise.
unsafe impl Sync for Host {}

impl Host {
    /// None if the pointer is null.
    ///
    /// # Safety
    /// Unless it is null, `call.parallel_for` does what its type says, whenever the result is used.
    pub unsafe fn open(call: &Call) -> Result<Option<Self>, Failure> {
        let Call { parallel_for, parallel_for_context: context, parallel_for_threads, .. } = *call;
        let Some(run) = parallel_for else {
            let argument = "parallel_for_context, parallel_for_threads";
            let expected = "null and 0 without parallel_for";
            let is_unset = context.is_null() && parallel_for_threads == 0;
            return if is_unset { Ok(None) } else { Err(Failure::Unset { argument, expected }) };
        };
        if !call.pool.is_null() {
            let (argument, expected) = ("parallel_for", "null with pool");
            return Err(Failure::Unset { argument, expected });
        }
        let threads = count("parallel_for_threads", 1, parallel_for_threads)?;
        Ok(Some(Host { run, context, threads }))
    }
}

/// A loop that is running: what is called with each index, and how the first call that panicked did.
struct Running<'a> {
    body: &'a (dyn Fn(usize) + Sync),
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl ParallelFor for Host {
    fn threads(&self) -> usize {
        self.threads
    }

    fn run(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
        let running = Running { body, panic: Mutex::new(None) };
        let work = (&raw const running).cast_mut().cast();
        // SAFETY: the function does what its comment says, by the promise of `open`: `running` outlives
        // the calls of the body, as all have returned when it does.
        unsafe { (self.run)(self.context, count as i64, Some(call_body), work) };
        if let Some(panic) = running.panic.into_inner().unwrap_or_else(|error| error.into_inner()) {
            resume_unwind(panic);
        }
    }
}

/// # Safety
/// `work` is what [`Host::run`] gave to the host, whose function has not returned yet.
unsafe extern "C" fn call_body(work: *mut c_void, index: i64) {
    // SAFETY: the caller's promise; threads share it, and `Running` may be shared.
    let Running { body, panic } = unsafe { &*work.cast_const().cast::<Running<'_>>() };
    // What an index is does not matter to softdot (`ParallelFor::run`).
    let result = catch_unwind(AssertUnwindSafe(|| body(index as usize)));
    if let Err(payload) = result
        && let Ok(mut panic) = panic.lock()
    {
        panic.get_or_insert(payload);
    }
}
