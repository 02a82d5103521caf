//! Locks of sums that several tasks add to.

use crate::wait::wait_until;
use core::sync::atomic::{AtomicBool, Ordering};

/// A few locks, which many places share. They are held for a few additions at a time.
#[derive(Debug)]
pub(crate) struct Locks([AtomicBool; Locks::COUNT]);

/// Releases a lock when it goes, even by a panic.
struct Held<'a>(&'a AtomicBool);

impl Locks {
    const COUNT: usize = 64;

    pub(crate) fn new() -> Self {
        Locks([const { AtomicBool::new(false) }; Self::COUNT])
    }

    /// Does something that no other thread does at the same time for the same place.
    pub(crate) fn with(&self, place: usize, work: impl FnOnce()) {
        let lock = &self.0[place % Self::COUNT];
        wait_until(|| {
            lock.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        });
        let _held = Held(lock);
        work();
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
