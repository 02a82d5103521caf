//! Prefetching what will be packed after a block: packing reads each element once, so without it every
//! line would be a miss.

use super::prefetch_cursor::PrefetchCursor;
use crate::call::Call;
use crate::plan::Block;

/// Lines that tiles prefetch between their dimensions; none where everything fits in L2.
#[derive(Debug)]
pub(crate) struct NextBlockPrefetch {
    /// The queries of the next block.
    queries: PrefetchCursor,
    /// The block's share of the next head's keys, if these are too few to evict the current head's.
    keys: PrefetchCursor,
}

impl NextBlockPrefetch {
    /// Of what comes after a block; `next` is the number of the next one.
    #[inline(always)]
    pub(crate) fn after(call: Call<'_>, block: &Block, next: usize) -> Self {
        let Call { problem, plan, .. } = call;
        let mut prefetch =
            NextBlockPrefetch { queries: PrefetchCursor::NOTHING, keys: PrefetchCursor::NOTHING };
        if !plan.beyond_l2 {
            return prefetch;
        }
        let Block { heads, rows } = plan.block(next);
        if heads.start < plan.heads {
            // Those of one query head: the next head's may be anywhere.
            if let Some(index) = problem.row_indices(heads.start, rows.clone()).next() {
                let (head, row) = (problem.query_head(index), index.row);
                prefetch.queries =
                    PrefetchCursor::of_head(&head, row..row + rows.len(), plan.head_dim);
            }
        }
        if plan.prefetch_keys
            && block.heads.end < plan.heads
            && let Some(keys) = problem.key_rows(block.heads.end)
        {
            let share = plan.keys.div_ceil(plan.blocks_per_head());
            let first = block.rows.start / plan.block_rows * share;
            prefetch.keys = PrefetchCursor::of_head(&keys, first..first + share, plan.head_dim);
        }
        prefetch
    }

    /// The next contiguous lines, `most` at most; advances past them.
    #[inline(always)]
    pub(crate) fn take(&mut self, most: usize) -> (*const f32, usize) {
        match self.queries.take(most) {
            (_, 0) => self.keys.take(most),
            lines => lines,
        }
    }
}
