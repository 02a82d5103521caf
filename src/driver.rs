//! The only loop over tasks, and the only place that knows threads.

use crate::call::Call;
use crate::disjoint::DisjointSlice;
use crate::kernel::{
    BufferMemory, FinishBlock, PackHead, PackedHeads, RowBlocks, Scratch, SmallHeads,
    write_rows_without_keys,
};
use crate::layout::PANEL;
use crate::memory::Memory;
use crate::plan::{Path, Plan, Step, Task};
use crate::rows::Row;
use crate::threads::{ParallelFor, Threads};
use crate::wait::wait_until;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Threads of a host's at most: some times those of the largest machines.
const MOST_HOST_THREADS: usize = 1024;

/// Runs a call. `workspace` holds `plan.memory.total()` elements, `rows` are
/// `plan.row_slots()`.
///
/// Heads go in waves of as many as are in flight at a time. In each wave the keys are packed, unless
/// one task does it all, then the blocks of rows are computed, then, if blocks were split by
/// segments, merged; the tasks of a step are independent of each other.
pub(crate) fn run(call: Call<'_>, threads: Threads<'_>, workspace: &mut [f32], rows: &mut [Row]) {
    let plan = call.plan;
    if plan.is_empty() {
        return write_rows_without_keys(call.problem);
    }
    let tasks = Tasks::new(call, workspace, rows);
    let waves = plan.heads.div_ceil(plan.wave_heads);
    let work = |wave, step, task, thread| {
        let first = wave * plan.wave_heads;
        let heads = first..plan.heads.min(first + plan.wave_heads);
        match step {
            Step::Pack => tasks.pack(heads, task),
            Step::Compute => tasks.compute(heads, task, thread),
            Step::Finish => tasks.finish(heads, task, thread),
        }
    };
    for_each_task(threads, plan.threads, waves, plan.steps(), work);
}

/// The tasks of a call, and the workspace that they share.
struct Tasks<'a> {
    call: Call<'a>,
    sizes: Memory,
    packed_keys: DisjointSlice<'a>,
    packed_values: DisjointSlice<'a>,
    buffers: DisjointSlice<'a>,
    scratch: DisjointSlice<'a>,
    rows: DisjointSlice<'a, Row>,
}

#[allow(unsafe_code, reason = "tasks take disjoint parts of the workspace")]
impl<'a> Tasks<'a> {
    fn new(call: Call<'a>, workspace: &'a mut [f32], rows: &'a mut [Row]) -> Self {
        let sizes = call.plan.memory;
        let (packed_keys, rest) = workspace.split_at_mut(sizes.all_packed_keys());
        let (packed_values, rest) = rest.split_at_mut(sizes.all_packed_values());
        let (buffers, scratch) = rest.split_at_mut(sizes.all_buffers());
        Tasks {
            call,
            sizes,
            packed_keys: DisjointSlice::new(packed_keys),
            packed_values: DisjointSlice::new(packed_values),
            buffers: DisjointSlice::new(buffers),
            scratch: DisjointSlice::new(scratch),
            rows: DisjointSlice::new(rows),
        }
    }

    /// Packs a part of a head.
    fn pack(&self, heads: Range<usize>, task: usize) {
        let plan = self.call.plan;
        let parts = plan.pack_tasks_per_head();
        let (place, part) = (task / parts, task % parts);
        let head = heads.start + place;
        if head >= heads.end {
            return;
        }
        // The part's share of so many panels or passes, and where it is in the memory of all heads.
        let share = |count: usize| part * count / parts..(part + 1) * count / parts;
        let place_of = |share: &Range<usize>, elements: usize, of_head: usize| {
            let start = place * of_head;
            start + share.start * elements..start + share.end * elements
        };
        let panels = share(if plan.packs_keys() { plan.keys.div_ceil(PANEL) } else { 0 });
        let passes =
            share(if plan.packs_values() { plan.keys.div_ceil(plan.value_pass_keys) } else { 0 });
        let keys = place_of(&panels, PANEL * plan.head_dim, self.sizes.packed_keys);
        let pass_elements = plan.value_pass_keys * plan.value_pitch();
        let values = place_of(&passes, pass_elements, self.sizes.packed_values);
        // SAFETY: each task of the step has other panels and passes, and the tasks that read them are
        // of a later step, which starts when this one is done.
        let (keys, values) =
            unsafe { (self.packed_keys.slice(keys), self.packed_values.slice(values)) };
        let (first_panel, first_pass) = (panels.start, passes.start);
        let call = self.call;
        plan.isa.run(PackHead { call, head, first_panel, keys, first_pass, values });
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
        let start = buffer * sizes.buffer();
        let (mut scores, mut states, mut nodes) =
            (0..sizes.scores, 0..sizes.states, 0..sizes.nodes);
        if plan.shares_blocks() {
            let part = |places: &Range<usize>, size| places.start * size..places.end * size;
            scores = part(&plan.kept_by(&task), plan.segment_scores());
            states = part(&segments, plan.segment_states());
            nodes = if plan.has_output() { part(&segments, plan.node_elements()) } else { 0..0 };
        }
        let offset =
            |range: Range<usize>, by: usize| start + by + range.start..start + by + range.end;
        // SAFETY: a buffer is used by the one task that runs under its thread's number; where tasks
        // share the buffer of a block, each has other segments of it.
        let (buffers, nodes) = unsafe {
            (
                BufferMemory {
                    scores: self.buffers.slice(offset(scores, 0)),
                    states: self.buffers.slice(offset(states, sizes.scores)),
                },
                self.buffers.slice(offset(nodes, sizes.scores + sizes.states)),
            )
        };
        let packed = self.packed_heads(plan, heads.start);
        plan.isa.run(RowBlocks { call: *call, blocks, segments, packed, buffers, nodes, scratch });
    }

    /// What is packed of the heads from `first_head` on, as a task of the step that computes sees it.
    fn packed_heads(&self, plan: &Plan, first_head: usize) -> PackedHeads<'_> {
        let keys = 0..self.sizes.all_packed_keys();
        let values = 0..self.sizes.all_packed_values();
        if plan.tasks_pack() {
            // SAFETY: the plan has one thread, and so one task at a time.
            let (keys, values) =
                unsafe { (self.packed_keys.slice(keys), self.packed_values.slice(values)) };
            PackedHeads::Own { first_head, keys, values }
        } else {
            // SAFETY: the tasks that write them are done, and those of the next wave wait for this step.
            let (keys, values) =
                unsafe { (self.packed_keys.read(keys), self.packed_values.read(values)) };
            PackedHeads::Shared { first_head, keys, values }
        }
    }

    /// Merges and writes a block whose segments several tasks have computed.
    fn finish(&self, heads: Range<usize>, task: usize, thread: usize) {
        let plan = self.call.plan;
        let start = task * self.sizes.buffer();
        let scores = start + self.sizes.scores;
        let states = scores + self.sizes.states;
        // SAFETY: each task of the step has the buffer of another block; the tasks that filled it are
        // done.
        let (buffer, nodes) = unsafe {
            (
                BufferMemory {
                    scores: self.buffers.slice(start..scores),
                    states: self.buffers.slice(scores..states),
                },
                self.buffers.slice(states..states + self.sizes.nodes),
            )
        };
        let Scratch { rows, staging, .. } = self.scratch_of(thread);
        let block = plan.blocks(&heads).start + task;
        plan.isa.run(FinishBlock { call: self.call, block, buffer, nodes, rows, staging });
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

/// How many threads there are to share work.
pub(crate) fn count(threads: Threads<'_>) -> usize {
    match threads {
        Threads::Pool => pool_threads(),
        Threads::Serial => 1,
        Threads::ParallelFor(host) => host.threads().clamp(1, MOST_HOST_THREADS),
    }
}

/// Threads of the current pool; 1 without the feature `rayon`, and where threads cannot be started.
fn pool_threads() -> usize {
    #[cfg(feature = "rayon")]
    if rayon::current_thread_index().is_some() || has_global_pool() {
        return rayon::current_num_threads();
    }
    1
}

/// Whether rayon's own pool is there or could be started now: the first use of one that cannot be
/// started panics.
#[cfg(feature = "rayon")]
fn has_global_pool() -> bool {
    use std::{error::Error, sync::OnceLock};
    static STARTED: OnceLock<bool> = OnceLock::new();
    *STARTED.get_or_init(|| match rayon::ThreadPoolBuilder::new().build_global() {
        Ok(()) => true,
        // That somebody else has started it is an error without a cause.
        Err(error) => error.source().is_none(),
    })
}

/// Runs `work(wave, step, task, thread)` for all tasks of each step, for each wave; a task may start
/// once the steps before its own are done. No two tasks run at a time under the same `thread`
/// number, which is below `count`. Threads take the next task when they are done with one, so
/// uneven tasks even out. The caller's is one of them and need not wait for the others to wake up.
fn for_each_task(
    threads: Threads<'_>,
    count: usize,
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
    let count = count.min(waves * tasks_per_wave);
    match threads {
        Threads::ParallelFor(host) if count > 1 => on_host(host, count, on_thread),
        _ => on_pool(count, on_thread),
    }
}

/// Calls `work` for each number below `threads`, on the caller's thread and as many of the pool's as
/// come in time.
fn on_pool(threads: usize, work: impl Fn(usize) + Sync) {
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

/// Calls `work` for numbers below `threads`, each for one of the calls that the host makes: in the
/// order in which they come, whatever their indices, so that no number is there twice. If the host
/// leaves any out, the caller's thread comes last.
fn on_host(host: &dyn ParallelFor, threads: usize, work: impl Fn(usize) + Sync) {
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let body = |_index: usize| {
        let number = begun.fetch_add(1, Ordering::Relaxed);
        if number < threads {
            work(number);
            ended.fetch_add(1, Ordering::Release);
        }
    };
    host.run(threads, &body);
    body(0);
    // A host that catches a panic of its thread's must not make a result of what is half-written.
    let begun = threads.min(begun.load(Ordering::Relaxed));
    assert!(ended.load(Ordering::Acquire) == begun, "a task has panicked");
}

/// Counts a task as done when it ends, even by a panic: others must not wait for it forever.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}
