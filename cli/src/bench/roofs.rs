//! What the machine can do at all: what measurements are compared with.

use super::memory::{Level, Part};
use super::multiply_add::MultiplyAdds;
use super::on_isa;
use super::work::Access;
use rayon::ThreadPool;
use softdot::{Caches, Isa};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::yield_now;
use std::time::Instant;

/// Rounds of the peak for each of memory: they are the shortest, and everything is compared with it.
const PEAK_ROUNDS: usize = 5;

/// The limits of an instruction set on some threads.
#[derive(Clone, Debug)]
pub struct Roofs {
    /// The instruction set.
    pub isa: Isa,
    /// The threads.
    pub threads: usize,
    /// Fused multiply-adds on registers, two operations each.
    pub peak_gflops: f64,
    read: [f64; Level::ALL.len()],
    copy: [f64; Level::ALL.len()],
}

impl Roofs {
    /// Measures on all threads of the pool at the same time.
    pub fn measure(isa: Isa, pool: &ThreadPool, rounds: usize) -> Self {
        let (threads, caches) = (pool.current_num_threads(), Caches::detect());
        let multiply_add = |_: &mut ()| on_isa::run(isa, MultiplyAdds);
        let part = |level: Level| move || Part::new(level.elements(threads, &caches));
        let read = |part: &mut Part| part.read(isa);
        let copy = |part: &mut Part| part.copy(isa);
        Self {
            isa,
            threads,
            peak_gflops: best_rate(pool, PEAK_ROUNDS * rounds, || (), multiply_add),
            read: Level::ALL.map(|level| best_rate(pool, rounds, part(level), read)),
            copy: Level::ALL.map(|level| best_rate(pool, rounds, part(level), copy)),
        }
    }

    /// GB/s of a level of memory.
    pub fn rate(&self, access: Access, level: Level) -> f64 {
        match access {
            Access::Read => self.read[level as usize],
            Access::Copy => self.copy[level as usize],
        }
    }
}

/// A number of threads in words.
pub fn in_words(threads: usize) -> String {
    format!("{threads} thread{}", if threads == 1 { "" } else { "s" })
}

/// The best of some rounds, in units of 10⁹ a second over all threads of the pool. Each thread
/// prepares for itself, so memory is near it; then all work at the same time.
fn best_rate<State>(
    pool: &ThreadPool,
    rounds: usize,
    prepare: impl Fn() -> State + Sync,
    work: impl Fn(&mut State) -> usize + Sync,
) -> f64 {
    let meeting = Meeting { threads: pool.current_num_threads(), arrived: AtomicUsize::new(0) };
    let rates = pool.broadcast(|_| {
        let mut state = prepare();
        let round = |round| {
            meeting.wait(2 * round);
            let start = Instant::now();
            let units = work(&mut state);
            meeting.wait(2 * round + 1);
            units as f64 / start.elapsed().as_secs_f64() * 1e-9
        };
        (0..rounds).map(round).fold(0.0, f64::max)
    });
    let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    slowest * rates.len() as f64
}

/// Where threads wait for each other, awake: `std::sync::Barrier` would take long to wake them,
/// next to a round.
struct Meeting {
    threads: usize,
    arrived: AtomicUsize,
}

impl Meeting {
    /// Waits for all to arrive for the `count`th time, from 0.
    fn wait(&self, count: usize) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        while self.arrived.load(Ordering::Acquire) < self.threads * (count + 1) {
            yield_now();
        }
    }
}
