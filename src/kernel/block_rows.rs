//! The rows of a block, and which keys they attend to by their positions.

use crate::call::Call;
use crate::layout::PANEL;
use crate::plan::Block;
use crate::rows::Row;
use core::ops::Range;

/// The rows of a block, in memory that is kept from block to block.
#[derive(Debug)]
pub(crate) struct BlockRows<'a> {
    memory: &'a mut [Row],
    count: usize,
    /// Rows of each head; heads follow on each other.
    head_rows: usize,
    /// Whether all rows may attend to the same keys by their position.
    uniform: bool,
}

impl<'a> BlockRows<'a> {
    /// No rows yet, and memory for those of a block.
    #[inline(always)]
    pub(crate) fn new(memory: &'a mut [Row]) -> Self {
        BlockRows { memory, count: 0, head_rows: 1, uniform: true }
    }

    /// Becomes the rows of a block.
    #[inline(always)]
    pub(crate) fn fill(&mut self, call: Call<'_>, Block { heads, rows }: &Block) {
        self.head_rows = rows.len();
        self.count = heads.len() * self.head_rows;
        self.uniform = true;
        let mut previous = None;
        for (memory, head) in self.memory.chunks_exact_mut(self.head_rows).zip(heads.clone()) {
            let common = call.problem.common_keys(head);
            for (row, index) in memory.iter_mut().zip(call.problem.row_indices(head, rows.clone()))
            {
                let keys = common.clone().unwrap_or_else(|| call.problem.allowed_keys(index));
                self.uniform &= previous.is_none_or(|previous| previous == keys);
                previous = Some(keys.clone());
                *row = Row { index, first_key: keys.start, end_key: keys.end };
            }
        }
    }

    #[inline(always)]
    pub(crate) fn rows(&self) -> &[Row] {
        &self.memory[..self.count]
    }

    /// The rows of each tile, which belong to one head: `most` or less.
    #[inline(always)]
    pub(crate) fn tiles(&self, most: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (count, head_rows) = (self.count, self.head_rows);
        let mut next = 0;
        let mut head_end = head_rows;
        core::iter::from_fn(move || {
            let first = next;
            next = head_end.min(first + most);
            if next == head_end {
                head_end += head_rows;
            }
            (first < count).then_some(first..next)
        })
    }

    /// The rows of a block's head.
    #[inline(always)]
    pub(crate) fn of_head(&self, head: usize) -> Range<usize> {
        head * self.head_rows..(head + 1) * self.head_rows
    }

    /// Whether it is known that all rows attend to all keys of a range.
    #[inline(always)]
    pub(crate) fn all_attend_to(&self, range: &Range<usize>) -> bool {
        self.uniform && self.count > 0 && self.memory[0].keys_in(range) == *range
    }

    /// Those of some rows whose keys may differ: one of them, if all have the same.
    #[inline(always)]
    fn distinct(&self, rows: Range<usize>) -> &[Row] {
        let rows = &self.rows()[rows];
        if self.uniform { &rows[..1] } else { rows }
    }

    /// How many pairs of a row and a key of `range` there are.
    #[inline(always)]
    pub(crate) fn pairs_in(&self, range: &Range<usize>) -> usize {
        if self.uniform && self.count > 0 {
            return self.count * self.memory[0].keys_in(range).len();
        }
        self.rows().iter().map(|row| row.keys_in(range).len()).sum()
    }

    /// The panels, as a range of keys, in which any of some rows attends to a key of `range`, which
    /// starts with a panel.
    #[inline(always)]
    pub(crate) fn panels_of(&self, rows: Range<usize>, range: &Range<usize>) -> Range<usize> {
        let (mut first, mut end) = (range.end, range.start);
        let keys = self.distinct(rows).iter().map(|row| row.keys_in(range));
        for keys in keys.filter(|keys| !keys.is_empty()) {
            first = first.min(keys.start);
            end = end.max(keys.end);
        }
        let first = range.start + (first - range.start) / PANEL * PANEL;
        let end = range.start + (end - range.start).next_multiple_of(PANEL);
        first.min(end)..end
    }

    /// The keys of `range` to which all of some rows attend.
    #[inline(always)]
    pub(crate) fn common_keys(&self, rows: Range<usize>, range: &Range<usize>) -> Range<usize> {
        let mut common = range.clone();
        for keys in self.distinct(rows).iter().map(|row| row.keys_in(range)) {
            common.start = common.start.max(keys.start);
            common.end = common.end.min(keys.end);
        }
        common.start.min(common.end)..common.end
    }
}
