//! Which threads share the work of a call.

use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};

/// Which threads share the work.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Threads<'a> {
    /// Those of the current rayon pool: the global one, or the one whose `install` the call is
    /// inside. A call too small to share stays on the caller's thread and wakes nobody. Without
    /// the feature `rayon` this is the same as `Serial`.
    #[default]
    Pool,
    /// The caller's thread alone.
    Serial,
    /// Threads of the caller's own, for runtimes that have a pool. A call too small to share does
    /// not ask for them.
    ParallelFor(&'a dyn ParallelFor),
}

/// What a panic leaves half-done in a host is the host's, and not seen through this reference to it.
impl UnwindSafe for Threads<'_> {}
impl RefUnwindSafe for Threads<'_> {}

impl Threads<'_> {
    /// Multiply-adds of a call, of dot products and of the weights with the values, below which it stays
    /// on the caller's thread: about what waking a thread and waiting for it costs
    /// (docs/performance.md).
    pub const SERIAL_WORK: usize = 1 << 20;
}

/// A loop over indices that a host runs on threads of its own.
///
/// ```
/// use softdot::{Attention, ParallelFor, TensorRef, Threads};
/// use std::thread;
///
/// /// Starts its threads anew for each loop.
/// struct Scoped;
///
/// impl ParallelFor for Scoped {
///     fn threads(&self) -> usize {
///         4
///     }
///
///     fn run(&self, count: usize, body: &(dyn Fn(usize) + Sync)) {
///         thread::scope(|scope| {
///             for index in 1..count {
///                 scope.spawn(move || body(index));
///             }
///             body(0);
///         });
///     }
/// }
///
/// let data = vec![0.5f32; 256 * 64];
/// let view = TensorRef::new(&data[..], [256, 64]);
/// let shared = Attention::new().threads(Threads::ParallelFor(&Scoped));
/// assert_eq!(shared.weights(view, view)?, Attention::new().weights(view, view)?);
/// # Ok::<(), softdot::Error>(())
/// ```
pub trait ParallelFor: Sync {
    /// How many threads can take part, the caller's included: 0 is as 1, more than 1,024 are as many.
    /// The workspace has a part for each.
    fn threads(&self) -> usize;

    /// Calls `body` with each index below `count`, on any threads, at the same time or one after
    /// another, and returns when these calls have. `count` is at most [`ParallelFor::threads`].
    ///
    /// Each call of `body` takes tasks until none is left, so none waits for one that has not begun:
    /// a loop in any order on one thread is right, too, and so is one that leaves indices out, whose
    /// tasks the caller's thread computes in the end, or that calls `body` too often.
    fn run(&self, count: usize, body: &(dyn Fn(usize) + Sync));
}

impl fmt::Debug for dyn ParallelFor + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParallelFor({})", self.threads())
    }
}
