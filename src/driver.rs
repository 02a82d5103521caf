//! The only loop over tasks, and the only place where threads are known.

use crate::kernel::block::Row;
use crate::kernel::pack::PANEL;
use crate::kernel::{Call, FinishBlock, PackPanels, Panels, RowBlocks, Scratch};
use crate::plan::{KeyAccess, Task};
use crate::shared::SharedSlice;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Runs a call. `workspace` holds `plan.memory().total()` elements, `rows` are
/// `plan.known_rows()`.
///
/// Heads go in waves of as many as are in flight at a time. In each wave the keys are packed, unless
/// there is but one task, then the blocks of rows are computed, then, if blocks were split by
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

    for first_head in (0..plan.heads).step_by(plan.wave_heads) {
        let heads = first_head..plan.heads.min(first_head + plan.wave_heads);
        if plan.key_access == KeyAccess::Packed && !plan.tasks_pack() {
            pack_heads(call, heads.clone(), packed);
        }
        for_each_task(plan.threads, plan.tasks(&heads), |task, thread| {
            let Task { blocks, segments } = plan.task(&heads, task);
            let strips = if plan.shares_strips() {
                let start = (blocks.start - plan.blocks(&heads).start) * memory.strip;
                let elements = plan.segment_elements();
                start + segments.start * elements..start + segments.end * elements
            } else {
                thread * memory.strip..(thread + 1) * memory.strip
            };
            // SAFETY: what a thread has is used by one task at a time; the strip of a shared block
            // is divided by segments; packed keys are only read, or there is but one task.
            let (strips, scratch, rows, panels) = unsafe {
                let start = thread * memory.scratch();
                (
                    all_strips.slice(strips),
                    scratch.slice(start..start + memory.scratch()),
                    all_rows.slice(rows_of(thread)),
                    match plan.tasks_pack() {
                        true => Panels::Own(0, packed.slice(0..memory.all_packed())),
                        false => Panels::Shared(heads.start, packed.read(0..memory.all_packed())),
                    },
                )
            };
            let (query, rest) = scratch.split_at_mut(memory.query);
            let (maxima, last_panel) = rest.split_at_mut(memory.maxima);
            let scratch = Scratch { query, maxima, last_panel, rows };
            plan.isa.run(RowBlocks { call, blocks, segments, panels, strips, scratch });
        });
        if plan.shares_strips() {
            let blocks = plan.blocks(&heads);
            for_each_task(plan.threads, blocks.len(), |task, thread| {
                let strip = task * memory.strip..(task + 1) * memory.strip;
                // SAFETY: each task has a strip of its own, and its thread's rows; the tasks before
                // are done.
                let (strip, rows) =
                    unsafe { (all_strips.slice(strip), all_rows.slice(rows_of(thread))) };
                let block = blocks.start + task;
                plan.isa.run(FinishBlock { call, block, strip, rows });
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
fn pack_heads(call: Call<'_>, heads: Range<usize>, packed: SharedSlice<'_>) {
    let plan = call.plan;
    let panels = plan.keys.div_ceil(PANEL);
    let panel_elements = PANEL * plan.head_dim;
    let runs = (plan.threads * 4).div_ceil(heads.len()).min(panels);
    for_each_task(plan.threads, heads.len() * runs, |task, _| {
        let (head, run) = (task / runs, task % runs);
        let panels = run * panels / runs..(run + 1) * panels / runs;
        let start = head * plan.packed_elements();
        // SAFETY: each task has panels of its own.
        let packed = unsafe {
            packed.slice(start + panels.start * panel_elements..start + panels.end * panel_elements)
        };
        let (head, first_panel) = (heads.start + head, panels.start);
        plan.isa.run(PackPanels { call, head, first_panel, packed });
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
