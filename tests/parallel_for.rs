//! Threads of the host's own: whatever it does with the indices, the bits are those of one thread.

mod common;

use common::call::{Call, ENDS};
use common::{Extents, Problem, assert_same_bits, fast_isas};
use softdot::{ParallelFor, Threads};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A host with so many threads, whose loop is a function of theirs.
struct Host<F> {
    threads: usize,
    calls: AtomicUsize,
    each: F,
}

type Body<'a> = &'a (dyn Fn(usize) + Sync);

impl<F: Fn(usize, Body<'_>) + Sync> Host<F> {
    fn new(threads: usize, each: F) -> Self {
        Host { threads, calls: AtomicUsize::new(0), each }
    }
}

impl<F: Fn(usize, Body<'_>) + Sync> ParallelFor for Host<F> {
    fn threads(&self) -> usize {
        self.threads
    }

    fn run(&self, count: usize, body: Body<'_>) {
        assert!((2..=self.threads).contains(&count), "{count}");
        self.calls.fetch_add(1, Ordering::Relaxed);
        (self.each)(count, body);
    }
}

fn on_scoped_threads(count: usize, body: Body<'_>) {
    thread::scope(|scope| {
        for index in 0..count {
            scope.spawn(move || body(index));
        }
    });
}

/// One row whose segments are shared out, grouped heads, keys that are packed, many rows: each leaves the
/// caller's thread.
const CASES: [Extents; 4] = [
    Extents { batch: 1, q_heads: 1, kv_heads: 1, rows: 1, keys: 5000, head_dim: 212 },
    Extents { batch: 1, q_heads: 6, kv_heads: 3, rows: 2, keys: 5000, head_dim: 40 },
    Extents { batch: 2, q_heads: 4, kv_heads: 2, rows: 50, keys: 300, head_dim: 16 },
    Extents { batch: 1, q_heads: 1, kv_heads: 1, rows: 333, keys: 100, head_dim: 32 },
];

/// Compares the results with those of one thread, and asks whether the host was asked.
fn assert_host(name: &str, threads: usize, each: impl Fn(usize, Body<'_>) + Sync) {
    let host = Host::new(threads, each);
    // Which threads there are is no kernel's business: the quick ones will do.
    let isas = fast_isas();
    for (seed, extents) in CASES.into_iter().enumerate() {
        assert!(extents.work() >= Threads::SERIAL_WORK, "{extents:?} would be serial");
        let problem = Problem::random(extents, seed as u64);
        for &isa in &isas {
            for stage in ENDS {
                let call = Call::new().isa(isa).stage(stage);
                let expected = problem.compute(&call.clone().threads(Threads::Serial));
                let found = problem.compute(&call.threads(Threads::ParallelFor(&host)));
                assert_same_bits(&expected, &found, format_args!("{name}, {isa}, {extents:?}"));
            }
        }
    }
    assert_eq!(host.calls.into_inner(), CASES.len() * isas.len() * ENDS.len(), "{name}");
}

#[test]
fn each_index_on_a_thread_of_its_own() {
    assert_host("threads", 5, on_scoped_threads);
}

#[test]
fn all_indices_on_one_thread() {
    assert_host("ascending", 3, |count, body| (0..count).for_each(body));
    assert_host("descending", 3, |count, body| (0..count).rev().for_each(body));
}

/// What is not done on the host's threads is done on the caller's.
#[test]
fn indices_that_the_host_leaves_out() {
    assert_host("none", 4, |_, _| {});
    assert_host("the last", 4, |count, body| body(count - 1));
    assert_host("all but the first", 4, |count, body| {
        thread::scope(|scope| {
            for index in 1..count {
                scope.spawn(move || body(index));
            }
        });
    });
}

/// No two of them run as the same thread.
#[test]
fn indices_that_there_are_not_and_some_twice() {
    assert_host("too often", 2, |_, body| {
        thread::scope(|scope| {
            for index in [0, 0, 1, 1, 2, usize::MAX] {
                scope.spawn(move || body(index));
            }
        });
    });
}

/// Several calls at a time share a host.
#[test]
fn concurrent_calls() {
    let host = Host::new(3, on_scoped_threads);
    let problem = Problem::random(CASES[1], 7);
    let expected = problem.compute(&Call::new().threads(Threads::Serial));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let found = problem.compute(&Call::new().threads(Threads::ParallelFor(&host)));
                assert_same_bits(&expected, &found, "concurrent");
            });
        }
    });
}

/// A host without threads, or a call too small to share, stays on the caller's thread; a plan says so,
/// and that there are bounds.
#[test]
fn hosts_that_are_not_asked() {
    let never = |_: usize, _: Body<'_>| panic!("the host was asked");
    let small = Problem::random(Extents::single(3, 17, 8), 1);
    let large = Problem::random(CASES[3], 1);
    for (threads, problem) in [(0, &large), (1, &large), (8, &small)] {
        let host = Host::new(threads, never);
        let call = Call::new().threads(Threads::ParallelFor(&host));
        let plan = call.plan(problem.query_view(), problem.key_view()).expect("a plan");
        assert_eq!(plan.threads, 1);
        let expected = problem.compute(&Call::new().threads(Threads::Serial));
        assert_same_bits(&expected, &problem.compute(&call), threads);
    }
    for (threads, expected) in [(5, 5), (usize::MAX, 1024)] {
        let host = Host::new(threads, never);
        let call = Call::new().threads(Threads::ParallelFor(&host));
        let plan = call.plan(large.query_view(), large.key_view()).expect("a plan");
        assert_eq!(plan.threads, expected);
    }
}

/// A panic of the host's own goes to the caller, and nothing waits for it.
#[test]
fn a_host_that_panics() {
    let host = Host::new(4, |count, body: Body<'_>| {
        body(count - 1);
        panic!("the host's own");
    });
    let problem = Problem::random(CASES[0], 1);
    let call = Call::new().threads(Threads::ParallelFor(&host));
    let caught = panic::catch_unwind(AssertUnwindSafe(|| problem.compute(&call)));
    let payload = caught.expect_err("the host's panic");
    assert_eq!(payload.downcast_ref(), Some(&"the host's own"));
}
