//! Pools of threads, each its maker's own: nothing is global, and no thread outlives its pool.

use crate::boundary::guarded;
use crate::failure::{Failure, Status};
use crate::handle;
use crate::threads::count;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::ffi::c_char;
use std::mem;
use std::thread::{self, JoinHandle};

/// Threads that calls share their work over; any number of calls at a time.
pub struct Pool {
    pool: ThreadPool,
    threads: Vec<JoinHandle<()>>,
    process: u32,
}

impl Pool {
    fn new(count: usize) -> Result<Self, Failure> {
        let mut threads = Vec::new();
        let built = ThreadPoolBuilder::new()
            .num_threads(count)
            .spawn_handler(|worker| {
                threads.push(thread::Builder::new().spawn(|| worker.run())?);
                Ok(())
            })
            .build();
        match built {
            Ok(pool) => Ok(Pool { pool, threads, process: std::process::id() }),
            Err(error) => {
                // Those that were started have been told to end.
                join(threads);
                Err(Failure::NoThreads { error: error.to_string() })
            }
        }
    }

    fn is_forked(&self) -> bool {
        self.process != std::process::id()
    }

    /// Runs work on the pool's threads.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Failure> {
        if self.is_forked() { Err(Failure::Forked) } else { Ok(self.pool.install(work)) }
    }

    /// Ends the threads and waits until they have.
    fn end(self) {
        if self.is_forked() {
            // They are the parent's: none is here to be told.
            return mem::forget(self);
        }
        drop(self.pool);
        join(self.threads);
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // A thread that panicked has ended, too.
        let _ = thread.join();
    }
}

/// Makes a pool of so many threads, 0 for one for each CPU (or RAYON_NUM_THREADS), and writes it to
/// pool. A child of fork() has none of the threads: its calls with the pool are refused.
///
/// # Safety
/// `pool` points to a pointer, `message` to message_size bytes unless it is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_pool_create(
    threads: i64,
    pool: *mut *mut Pool,
    message: *mut c_char,
    message_size: usize,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe {
        guarded(message, message_size, || {
            handle::create("pool", pool, || Pool::new(count("threads", 0, threads)?))
        })
    }
}

/// Frees a pool, once its threads have ended; null does nothing.
///
/// # Safety
/// `pool` is null or came from softdot_pool_create, and nothing uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_pool_free(pool: *mut Pool) {
    // SAFETY: the caller's promise.
    if let Some(pool) = unsafe { handle::take(pool) } {
        pool.end();
    }
}
