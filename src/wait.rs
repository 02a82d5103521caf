//! Waiting for what other threads are in the middle of.

/// Waits for a condition that another thread makes true soon.
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    /// Some microseconds: a task takes as long.
    const SPINS: usize = 1000;
    for _ in 0..SPINS {
        if condition() {
            return;
        }
        core::hint::spin_loop();
    }
    while !condition() {
        #[cfg(feature = "std")]
        std::thread::yield_now();
    }
}
