//! Which threads a call runs on: never Python's lock held, never a pool that a fork left behind.

use crate::arguments;
use crate::error;
use crate::fork::is_forked;
use crate::kind::is_torch;
use crate::openmp::TorchThreads;
use crate::workspaces;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use softdot::{Error, ParallelFor, Workspace};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Threads of a call at most: some times those of the largest machines.
const MOST_THREADS: usize = 1024;

/// Pools that are kept for the next call.
const KEPT_POOLS: usize = 4;

/// The argument `threads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// As many as torch uses, if the arrays are its tensors, or as rayon finds: `RAYON_NUM_THREADS`, or one
    /// for each CPU.
    All,
    /// So many.
    Count(usize),
}

impl Threads {
    /// # Errors
    /// `TypeError` or `ValueError` unless it is None or a sensible number.
    pub fn parse(threads: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        match threads {
            None => Ok(Threads::All),
            Some(count) => {
                arguments::number("threads", count, 1..=MOST_THREADS).map(Threads::Count)
            }
        }
    }

    /// Where a call with this query and so many multiply-adds is to run: waking threads costs more than
    /// little work. Tensors of torch's are left to as many threads of torch's.
    ///
    /// # Errors
    /// `RuntimeError` if as many threads as were asked for cannot be started. Where there are none of
    /// those that nobody asked for, the caller's thread does the work.
    pub fn place(self, query: &Bound<'_, PyAny>, multiply_adds: usize) -> PyResult<Place> {
        if multiply_adds < softdot::Threads::SERIAL_WORK || self == Threads::Count(1) {
            return Ok(Place::Caller);
        }
        // Forks of a process that has used OpenMP have none of its threads, which it does not know.
        if is_torch(query)?
            && !is_forked()
            && let Some(threads) = TorchThreads::find(query.py())?
            && [Threads::All, Threads::Count(threads.threads())].contains(&self)
        {
            return Ok(Place::Torch(threads));
        }
        match self {
            Threads::Count(count) => match pool(count) {
                Ok(pool) => Ok(Place::Pool(pool)),
                Err(error) => Err(PyRuntimeError::new_err(format!(
                    "threads: expected {count} that can be started, found fewer: {error}"
                ))),
            },
            Threads::All if has_global_pool() => Ok(Place::GlobalPool),
            Threads::All => Ok(pool(0).map_or(Place::Caller, Place::Pool)),
        }
    }
}

/// Where a call runs.
pub enum Place {
    /// On the caller's thread alone.
    Caller,
    /// On the caller's thread and rayon's own pool.
    GlobalPool,
    /// On this pool.
    Pool(Arc<ThreadPool>),
    /// On the caller's thread and torch's.
    Torch(TorchThreads),
}

impl Place {
    /// The library's choice. Without a pool, it is not to look for one: rayon panics, then and ever
    /// after, where it cannot start its own.
    pub fn threads(&self) -> softdot::Threads<'_> {
        match self {
            Place::Caller => softdot::Threads::Serial,
            Place::GlobalPool | Place::Pool(_) => softdot::Threads::Pool,
            Place::Torch(threads) => softdot::Threads::ParallelFor(threads),
        }
    }

    /// Runs a computation.
    ///
    /// # Errors
    /// Those of the library.
    pub fn run(
        &self,
        py: Python<'_>,
        compute: impl FnOnce(&mut Workspace) -> Result<(), Error> + Send,
    ) -> PyResult<()> {
        let mut workspace = workspaces::take(py);
        let computed = py.detach(|| match self {
            Place::Caller | Place::GlobalPool | Place::Torch(_) => compute(&mut workspace),
            Place::Pool(pool) => pool.install(|| compute(&mut workspace)),
        });
        workspaces::keep(py, workspace);
        computed.map_err(error::to_python)
    }
}

/// Whether rayon's own pool is there, or could be started now. In a fork none of its threads are. If it
/// could not be started once, it never can.
fn has_global_pool() -> bool {
    static STARTED: OnceLock<bool> = OnceLock::new();
    let start = || ThreadPoolBuilder::new().build_global().is_ok();
    !is_forked() && *STARTED.get_or_init(start)
}

/// The pools that were used last, with their numbers of threads.
struct Pools {
    process: u32,
    latest: Vec<(usize, Arc<ThreadPool>)>,
}

/// A pool of `count` threads; 0 for as many as rayon finds.
///
/// The lock is only held while attached to Python, and so is a fork by Python: no child finds it
/// locked.
fn pool(count: usize) -> Result<Arc<ThreadPool>, ThreadPoolBuildError> {
    static POOLS: Mutex<Pools> = Mutex::new(Pools { process: 0, latest: Vec::new() });
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if pools.process != process {
        // Threads that are not here cannot be told to end.
        std::mem::forget(std::mem::take(&mut pools.latest));
        pools.process = process;
    }
    if let Some(index) = pools.latest.iter().position(|(threads, _)| *threads == count) {
        return Ok(pools.latest[index].1.clone());
    }
    let built = ThreadPoolBuilder::new().num_threads(count).build()?;
    if pools.latest.len() == KEPT_POOLS {
        pools.latest.remove(0);
    }
    pools.latest.push((count, Arc::new(built)));
    Ok(pools.latest[pools.latest.len() - 1].1.clone())
}
