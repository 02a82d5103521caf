//! What will be packed after a block: packing reads each element once, and would wait for every line.

use super::Call;
use super::pack::Ahead;
use crate::plan::Block;
use crate::problem::KeyHead;

/// Lines that tiles ask for between their dimensions; none where all fits in the core's own caches.
#[derive(Debug)]
pub(crate) struct Upcoming {
    /// The queries of the next block.
    queries: Ahead,
    /// The block's share of the next head's keys, if they are few enough not to displace this one's.
    keys: Ahead,
}

impl Upcoming {
    /// After a block, that is; the next one is numbered so.
    #[inline(always)]
    pub(crate) fn after(call: Call<'_>, block: &Block, next: usize) -> Self {
        let Call { inputs, plan, .. } = call;
        let mut upcoming = Upcoming { queries: Ahead::NOTHING, keys: Ahead::NOTHING };
        if !plan.keys_are_far {
            return upcoming;
        }
        let Block { heads, rows } = plan.block(next);
        if heads.start < plan.heads {
            // Those of one query head: the next one's may be anywhere.
            if let Some(index) = inputs.row_indices(heads.start, rows.clone()).next() {
                let (head, row) = (inputs.query_head(index), index.row);
                upcoming.queries = Ahead::of_head(&head, row..row + rows.len(), plan.head_dim);
            }
        }
        if plan.fetch_keys
            && block.heads.end < plan.heads
            && let KeyHead::View(keys) = inputs.key_head(block.heads.end)
        {
            let share = plan.keys.div_ceil(plan.blocks_per_head());
            let first = block.rows.start / plan.block_rows * share;
            upcoming.keys = Ahead::of_head(&keys, first..first + share, plan.head_dim);
        }
        upcoming
    }

    /// The next lines that stand together, `most` at most, which counts them as asked for.
    #[inline(always)]
    pub(crate) fn take(&mut self, most: usize) -> (*const f32, usize) {
        match self.queries.take(most) {
            (_, 0) => self.keys.take(most),
            lines => lines,
        }
    }
}
