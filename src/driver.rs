//! The only loop over tasks, and the only place that knows threads.

use crate::call::Call;
use crate::disjoint::DisjointSlice;
use crate::kernel::{
    BufferMemory, FinishBlock, PackPanels, PackedKeys, RowBlocks, Scratch, SmallHeads,
};
use crate::layout::PANEL;
use crate::memory::Memory;
use crate::plan::{KeySource, Path, Plan, Step, Task};
use crate::rows::Row;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Runs a call. `workspace` holds `plan.memory().total()` elements, `rows` are
/// `plan.row_slots()`.
///
/// Heads go in waves of as many as are in flight at a time. In each wave the keys are packed, unless
/// one task does it all, then the blocks of rows are computed, then, if blocks were split by
/// segments, merged; the tasks of a step are independent of each other.
pub(crate) fn run(call: Call<'_>, workspace: &mut [f32], rows: &mut [Row]) {
    let plan = call.plan;
    let tasks = Tasks::new(call, workspace, rows);
    let waves = plan.heads.div_ceil(plan.wave_heads);
    for_each_task(plan.threads, waves, plan.steps(), |wave, step, task, thread| {
        let first = wave * plan.wave_heads;
        let heads = first..plan.heads.min(first + plan.wave_heads);
        match step {
            Step::Pack => tasks.pack(heads, task),
            Step::Compute => tasks.compute(heads, task, thread),
            Step::Finish => tasks.finish(heads, task, thread),
        }
    });
}

/// The tasks of a call, and the workspace that they share.
struct Tasks<'a> {
    call: Call<'a>,
    sizes: Memory,
    packed: DisjointSlice<'a>,
    buffers: DisjointSlice<'a>,
    scratch: DisjointSlice<'a>,
    rows: DisjointSlice<'a, Row>,
}

#[allow(unsafe_code, reason = "tasks take disjoint parts of the workspace")]
impl<'a> Tasks<'a> {
    fn new(call: Call<'a>, workspace: &'a mut [f32], rows: &'a mut [Row]) -> Self {
        let sizes = call.plan.memory();
        let (packed, rest) = workspace.split_at_mut(sizes.all_packed());
        let (buffers, scratch) = rest.split_at_mut(sizes.all_buffers());
        Tasks {
            call,
            sizes,
            packed: DisjointSlice::new(packed),
            buffers: DisjointSlice::new(buffers),
            scratch: DisjointSlice::new(scratch),
            rows: DisjointSlice::new(rows),
        }
    }

    /// Packs some panels of a head.
    fn pack(&self, heads: Range<usize>, task: usize) {
        let plan = self.call.plan;
        let parts = plan.pack_tasks_per_head();
        let (head, part) = (heads.start + task / parts, task % parts);
        if head >= heads.end {
            return;
        }
        let panels = plan.keys.div_ceil(PANEL);
        let first_panel = part * panels / parts;
        let panel_elements = PANEL * plan.head_dim;
        let start = (head - heads.start) * plan.packed_elements();
        let end = start + (part + 1) * panels / parts * panel_elements;
        // SAFETY: each task of the step has other panels, and the tasks that read them are of a later
        // step, which starts when this one is done.
        let packed = unsafe { self.packed.slice(start + first_panel * panel_elements..end) };
        plan.isa.run(PackPanels { call: self.call, head, first_panel, packed });
    }

    /// Computes some blocks.
    fn compute(&self, heads: Range<usize>, task: usize, thread: usize) {
        let Tasks { call, sizes, .. } = self;
        let plan = call.plan;
        let task = plan.task(&heads, task);
        let scratch = self.scratch_of(thread);
        let Task { blocks, segments, .. } = task.clone();
        if plan.path == Path::SmallHeads {
            return plan.isa.run(SmallHeads { call: *call, blocks, scratch });
        }
        let buffer =
            if plan.shares_blocks() { blocks.start - plan.blocks(&heads).start } else { thread };
        let scores_start = buffer * sizes.buffer();
        let states_start = scores_start + sizes.scores;
        let (mut scores, mut states) = (0..sizes.scores, 0..sizes.states);
        if plan.shares_blocks() {
            let part = |places: Range<usize>, size| places.start * size..places.end * size;
            scores = part(plan.kept_by(&task), plan.segment_scores());
            states = part(segments.clone(), plan.segment_states());
        }
        // SAFETY: a buffer is used by the one task that runs under its thread's number; where tasks
        // share the buffer of a block, each has other segments of it.
        let buffers = unsafe {
            BufferMemory {
                scores: self.buffers.slice(scores_start + scores.start..scores_start + scores.end),
                states: self.buffers.slice(states_start + states.start..states_start + states.end),
            }
        };
        let packed = self.packed_keys(plan, heads.start);
        plan.isa.run(RowBlocks { call: *call, blocks, segments, packed, buffers, scratch });
    }

    /// The packed keys of the heads from `first_head` on, as a task of the step that computes sees
    /// them.
    fn packed_keys(&self, plan: &Plan, first_head: usize) -> PackedKeys<'_> {
        let all = 0..self.sizes.all_packed();
        if plan.key_source != KeySource::PackPerCall {
            PackedKeys::None
        } else if plan.tasks_pack() {
            // SAFETY: the plan has one thread, and so one task at a time.
            PackedKeys::Own { first_head, panels: unsafe { self.packed.slice(all) } }
        } else {
            // SAFETY: the tasks that write them are done, and those of the next wave wait for this step.
            PackedKeys::Shared { first_head, panels: unsafe { self.packed.read(all) } }
        }
    }

    /// Merges and writes a block whose segments several tasks have computed.
    fn finish(&self, heads: Range<usize>, task: usize, thread: usize) {
        let plan = self.call.plan;
        let start = task * self.sizes.buffer();
        let (scores, states) = (start + self.sizes.scores, start + self.sizes.buffer());
        // SAFETY: each task of the step has the buffer of another block; the tasks that filled it are
        // done.
        let buffer = unsafe {
            BufferMemory {
                scores: self.buffers.slice(start..scores),
                states: self.buffers.slice(scores..states),
            }
        };
        let Scratch { rows, staging, .. } = self.scratch_of(thread);
        let block = plan.blocks(&heads).start + task;
        plan.isa.run(FinishBlock { call: self.call, block, buffer, rows, staging });
    }

    fn scratch_of(&self, thread: usize) -> Scratch<'_> {
        let size = self.sizes.scratch();
        let rows = 2 * self.call.plan.block_rows;
        // SAFETY: no two tasks run at the same time under one thread's number.
        let (memory, rows) = unsafe {
            (
                self.scratch.slice(thread * size..(thread + 1) * size),
                self.rows.slice(thread * rows..(thread + 1) * rows),
            )
        };
        Scratch::new(memory, &self.sizes, rows)
    }
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
