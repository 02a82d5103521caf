//! Which threads a call runs on: never Python's lock held, never a pool that a fork left behind.

use crate::arguments;
use crate::error;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use softdot::{Error, Workspace};
use std::cell::RefCell;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Threads of a call at most: some times those of the largest machines.
const MOST_THREADS: usize = 1024;

/// Pools that are kept for the next call.
const KEPT_POOLS: usize = 4;

thread_local! {
    /// Of all calls of a Python thread, so that warm calls allocate nothing.
    static WORKSPACE: RefCell<Workspace> = RefCell::new(Workspace::new());
}

/// The argument `threads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// As many as rayon finds: `RAYON_NUM_THREADS`, or one for each CPU.
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

    /// The library's choice.
    pub fn of_library(self) -> softdot::Threads {
        match self {
            Threads::Count(1) => softdot::Threads::Serial,
            Threads::All | Threads::Count(_) => softdot::Threads::Pool,
        }
    }

    /// Runs a computation that has been planned for so many threads.
    ///
    /// # Errors
    /// Those of the library, and threads that cannot be started.
    pub fn run(
        self,
        py: Python<'_>,
        planned: usize,
        compute: impl FnOnce(&mut Workspace) -> Result<(), Error> + Send,
    ) -> PyResult<()> {
        // Waking a pool's threads costs more than work that was planned for one; but where rayon's
        // own pool has no more, the plan says nothing about the work.
        let small = || planned == 1 && rayon::current_num_threads() > 1;
        let pool = match self {
            Threads::Count(1) => None,
            Threads::Count(_) if small() => None,
            Threads::Count(count) => Some(pool(count)?),
            Threads::All if planned == 1 || !is_forked() => None,
            Threads::All => Some(pool(0)?),
        };
        py.detach(|| {
            WORKSPACE.with_borrow_mut(|workspace| match pool {
                Some(pool) => pool.install(|| compute(workspace)),
                None => compute(workspace),
            })
        })
        .map_err(error::to_python)
    }
}

/// The process that the module was imported in. rayon's global pool may have been started there, by
/// any call, and in a fork of it none of the pool's threads are.
static IMPORTED_IN: OnceLock<u32> = OnceLock::new();

/// To be called when the module is imported.
pub fn imported() {
    IMPORTED_IN.get_or_init(std::process::id);
}

fn is_forked() -> bool {
    IMPORTED_IN.get().is_some_and(|&process| process != std::process::id())
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
fn pool(count: usize) -> PyResult<Arc<ThreadPool>> {
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
    let built = ThreadPoolBuilder::new().num_threads(count).build();
    let built = built.map_err(|error| {
        PyValueError::new_err(format!("threads: {count} could not be started: {error}"))
    })?;
    if pools.latest.len() == KEPT_POOLS {
        pools.latest.remove(0);
    }
    pools.latest.push((count, Arc::new(built)));
    Ok(pools.latest[pools.latest.len() - 1].1.clone())
}
