//! The only loop over tasks, and the only place where threads are known.

use crate::kernel::block::Row;
use crate::kernel::pack::PANEL;
use crate::kernel::{Call, FinishBlock, PackPanels, RowBlocks, Scratch};
use crate::plan::{KeyAccess, Task};
use crate::shared::SharedSlice;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Runs a call. `workspace` holds `plan.memory().total()` elements, `rows` are
/// `plan.known_rows()`.
///
/// Heads go in waves of as many as are in flight at a time. In each wave the keys are packed,
/// then the blocks of rows are computed, then, if blocks were split by segments, merged; the
/// tasks of a step are independent of each other.
#[allow(unsafe_code, reason = "tasks take disjoint parts of the workspace")]
pub(crate) fn run(call: Call<'_>, workspace: &mut [f32], rows: &mut [Row]) {
    let plan = call.plan;
    let memory = plan.memory();
    let (packed, rest) = workspace.split_at_mut(memory.all_packed());
    let (strips, scratch) = rest.split_at_mut(memory.all_strips());
    let all_strips = SharedSlice::new(strips);
    let scratch = SharedSlice::new(scratch);
    let all_rows = SharedSlice::new(rows);
    let rows_of = |thread: usize| {
        let rows = 2 * plan.block_rows;
        thread * rows..(thread + 1) * rows
    };

    for first_head in (0..plan.heads).step_by(plan.heads_in_flight) {
        let heads = plan.heads_in_flight.min(plan.heads - first_head);
        if plan.key_access == KeyAccess::Packed {
            pack_heads(call, first_head, heads, packed);
        }
        let packed = &*packed;
        for_each_task(plan.threads, heads * plan.tasks_per_head(), |task, thread| {
            let (head, task) = (task / plan.tasks_per_head(), task % plan.tasks_per_head());
            let Task { blocks, segments } = plan.task(task);
            let strips = if plan.shares_strips() {
                let start = (head * plan.blocks_per_head() + blocks.start) * memory.strip;
                let elements = plan.segment_elements();
                start + segments.start * elements..start + segments.end * elements
            } else {
                thread * memory.strip..(thread + 1) * memory.strip
            };
            // SAFETY: what a thread has is used by one task at a time; the strip of a shared block
            // is divided by segments.
            let (strips, scratch, rows) = unsafe {
                let start = thread * memory.scratch();
                (
                    all_strips.slice(strips),
                    scratch.slice(start..start + memory.scratch()),
                    all_rows.slice(rows_of(thread)),
                )
            };
            let (query, rest) = scratch.split_at_mut(memory.query);
            let (maxima, last_panel) = rest.split_at_mut(memory.maxima);
            let scratch = Scratch { query, maxima, last_panel, rows };
            let packed = (plan.key_access == KeyAccess::Packed)
                .then(|| &packed[head * memory.packed..][..memory.packed]);
            let head = first_head + head;
            plan.isa.run(RowBlocks { call, head, blocks, segments, packed, strips, scratch });
        });
        if plan.shares_strips() {
            for_each_task(plan.threads, heads * plan.blocks_per_head(), |task, thread| {
                let (head, block) = (task / plan.blocks_per_head(), task % plan.blocks_per_head());
                let strip = task * memory.strip..(task + 1) * memory.strip;
                // SAFETY: each task has a strip of its own, and its thread's rows; the tasks before
                // are done.
                let (strip, rows) =
                    unsafe { (all_strips.slice(strip), all_rows.slice(rows_of(thread))) };
                let head = first_head + head;
                plan.isa.run(FinishBlock { call, head, block, strip, rows });
            });
        }
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

/// Packs the keys of a wave of heads.
#[allow(unsafe_code, reason = "tasks take disjoint parts of the packed keys")]
fn pack_heads(call: Call<'_>, first_head: usize, heads: usize, packed: &mut [f32]) {
    let plan = call.plan;
    let memory = plan.memory();
    let panels = plan.keys.div_ceil(PANEL);
    let panel_elements = PANEL * plan.head_dim;
    let runs = if plan.threads == 1 { 1 } else { (plan.threads * 4).div_ceil(heads).min(panels) };
    let packed = SharedSlice::new(packed);
    for_each_task(plan.threads, heads * runs, |task, _| {
        let (head, run) = (task / runs, task % runs);
        let panels = run * panels / runs..(run + 1) * panels / runs;
        let start = head * memory.packed;
        // SAFETY: each task has panels of its own.
        let packed = unsafe {
            packed.slice(start + panels.start * panel_elements..start + panels.end * panel_elements)
        };
        plan.isa.run(PackPanels {
            call,
            head: first_head + head,
            first_panel: panels.start,
            packed,
        });
    });
}

/// Runs `work(task, thread)` for every task below `tasks`. No two tasks run at a time under
/// the same `thread` number, which is below `threads`. Threads take the next task when they are
/// done with one, so uneven tasks even out.
fn for_each_task(threads: usize, tasks: usize, work: impl Fn(usize, usize) + Sync) {
    let next = AtomicUsize::new(0);
    on_threads(0, threads.min(tasks), &|thread| {
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                break;
            }
            work(task, thread);
        }
    });
}

/// Calls `work(first)`, …, `work(first + count − 1)`, at once where the pool has threads free.
fn on_threads(first: usize, count: usize, work: &(impl Fn(usize) + Sync)) {
    match count {
        0 => {}
        1 => work(first),
        #[cfg(feature = "rayon")]
        _ => {
            let half = count / 2;
            rayon::join(
                || on_threads(first, half, work),
                || on_threads(first + half, count - half, work),
            );
        }
        #[cfg(not(feature = "rayon"))]
        _ => (first..first + count).for_each(work),
    }
}
