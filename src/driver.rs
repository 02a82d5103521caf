//! The only loop over tasks, and the only place where threads are known.

use crate::kernel::block::Row;
use crate::kernel::pack::PANEL;
use crate::kernel::{Call, FinishBlock, PackPanels, Panels, RowBlocks, Scratch, ShortHeads};
use crate::plan::{KeyAccess, Step, Task};
use crate::shared::SharedSlice;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Runs a call. `workspace` holds `plan.memory().total()` elements, `rows` are
/// `plan.known_rows()`.
///
/// Heads go in waves of as many as are in flight at a time. In each wave the keys are packed, unless
/// one task does it all, then the blocks of rows are computed, then, if blocks were split by
/// segments, merged; the tasks of a step are independent of each other.
#[allow(unsafe_code, reason = "tasks take disjoint parts of the workspace")]
pub(crate) fn run(call: Call<'_>, workspace: &mut [f32], rows: &mut [Row]) {
    let plan = call.plan;
    let memory = plan.memory();
    let (packed, rest) = workspace.split_at_mut(memory.all_packed());
    let (strips, scratch) = rest.split_at_mut(memory.all_strips());
    let all_strips = SharedSlice::new(strips);
    let scratch = SharedSlice::new(scratch);
    let all_rows = SharedSlice::new(rows);
    let packed = SharedSlice::new(packed);
    let rows_of = |thread: usize| {
        let rows = 2 * plan.block_rows;
        thread * rows..(thread + 1) * rows
    };

    let pack = |heads: Range<usize>, task: usize| {
        let runs = plan.pack_runs();
        let (head, run) = (heads.start + task / runs, task % runs);
        if head >= heads.end {
            return;
        }
        let panels = plan.keys.div_ceil(PANEL);
        let first_panel = run * panels / runs;
        let elements = first_panel * PANEL * plan.head_dim
            ..((run + 1) * panels / runs * PANEL * plan.head_dim);
        let start = (head - heads.start) * plan.packed_elements();
        // SAFETY: each task has panels of its own.
        let packed = unsafe { packed.slice(start + elements.start..start + elements.end) };
        plan.isa.run(PackPanels { call, head, first_panel, packed });
    };
    let compute = |heads: Range<usize>, task: usize, thread: usize| {
        let Task { blocks, segments } = plan.task(&heads, task);
        // SAFETY: what a thread has is used by one task at a time.
        let (scratch, rows) = unsafe {
            let start = thread * memory.scratch();
            (scratch.slice(start..start + memory.scratch()), all_rows.slice(rows_of(thread)))
        };
        let (query, rest) = scratch.split_at_mut(memory.query);
        let (maxima, panel) = rest.split_at_mut(memory.maxima);
        let scratch = Scratch { query, maxima, panel, rows };
        if plan.key_access == KeyAccess::Registers {
            return plan.isa.run(ShortHeads { call, blocks, scratch });
        }
        let strips = if plan.shares_strips() {
            let start = (blocks.start - plan.blocks(&heads).start) * memory.strip;
            let elements = plan.segment_elements();
            start + segments.start * elements..start + segments.end * elements
        } else {
            thread * memory.strip..(thread + 1) * memory.strip
        };
        // SAFETY: as above; the strip of a shared block is divided by segments; packed keys are only
        // read, or there is but one task.
        let (strips, panels) = unsafe {
            (
                all_strips.slice(strips),
                match plan.tasks_pack() {
                    true => Panels::Own(0, packed.slice(0..memory.all_packed())),
                    false => Panels::Shared(heads.start, packed.read(0..memory.all_packed())),
                },
            )
        };
        plan.isa.run(RowBlocks { call, blocks, segments, panels, strips, scratch });
    };
    let finish = |heads: Range<usize>, task: usize, thread: usize| {
        let strip = task * memory.strip..(task + 1) * memory.strip;
        // SAFETY: each task has a strip of its own, and its thread's rows; the tasks before
        // are done.
        let (strip, rows) = unsafe { (all_strips.slice(strip), all_rows.slice(rows_of(thread))) };
        let block = plan.blocks(&heads).start + task;
        plan.isa.run(FinishBlock { call, block, strip, rows });
    };

    let waves = plan.heads.div_ceil(plan.wave_heads);
    for_each_task(plan.threads, waves, plan.steps(), |wave, step, task, thread| {
        let first = wave * plan.wave_heads;
        let heads = first..plan.heads.min(first + plan.wave_heads);
        match step {
            Step::Pack => pack(heads, task),
            Step::Compute => compute(heads, task, thread),
            Step::Finish => finish(heads, task, thread),
        }
    });
}

/// Threads of the current pool; 1 without the feature `rayon`.
pub(crate) fn pool_threads() -> usize {
    #[cfg(feature = "rayon")]
    {
        rayon::current_num_threads()
    }
    #[cfg(not(feature = "rayon"))]
    1
}

/// Runs `work(wave, step, task, thread)` for all tasks of each step, for each wave; a task may start
/// once the steps before its own are done. No two tasks run at a time under the same `thread`
/// number, which is below `threads`. Threads take the next task when they are done with one, so
/// uneven tasks even out. The caller's is one of them and need not wait for the others to wake up.
fn for_each_task(
    threads: usize,
    waves: usize,
    steps: [(Step, usize); 3],
    work: impl Fn(usize, Step, usize, usize) + Sync,
) {
    let tasks_per_wave = steps.iter().map(|(_, tasks)| tasks).sum::<usize>();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let on_thread = |thread: usize| {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= waves * tasks_per_wave {
                break;
            }
            let (wave, mut task) = (number / tasks_per_wave, number % tasks_per_wave);
            for (step, tasks) in steps {
                if task < tasks {
                    wait_until(|| done.load(Ordering::Acquire) >= number - task);
                    let _done = Done(&done);
                    work(wave, step, task, thread);
                    break;
                }
                task -= tasks;
            }
        }
    };
    on_threads(threads.min(waves * tasks_per_wave), on_thread);
}

/// Waits for what other threads are in the middle of.
fn wait_until(condition: impl Fn() -> bool) {
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

/// Calls `work` for each number below `threads`, on the caller's thread and as many of the pool's as
/// come in time.
fn on_threads(threads: usize, work: impl Fn(usize) + Sync) {
    let others = 1..threads.max(1);
    #[cfg(feature = "rayon")]
    if !others.is_empty() {
        let work = &work;
        return rayon::in_place_scope(|scope| {
            for thread in others {
                scope.spawn(move |_| work(thread));
            }
            work(0);
        });
    }
    work(0);
    #[cfg(not(feature = "rayon"))]
    others.for_each(work);
}

/// Counts a task as done when it ends, even by a panic: others must not wait for it forever.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}
