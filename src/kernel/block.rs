//! The rows of a block: where each stands among the keys and where it goes in the output.

use super::Call;
use super::pack::PANEL;
use crate::plan::Block;
use crate::problem::RowIndex;
use core::ops::Range;

/// The rows of a block, in memory that is kept from block to block.
#[derive(Debug)]
pub(crate) struct BlockRows<'a> {
    memory: &'a mut [Row],
    count: usize,
    /// Heads are next to each other, each of so many rows.
    head_rows: usize,
    /// Whether all may attend to the same keys by their position: then one stands for all.
    alike: bool,
}

/// One row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    pub(crate) index: RowIndex,
    /// Index of its first element in the output.
    pub(crate) start: usize,
    /// The keys that it may attend to by its position, from the first one to behind the last.
    first_key: usize,
    end_key: usize,
}

impl Row {
    /// The keys that it may attend to by its position, of those in a range.
    #[inline(always)]
    pub(crate) fn keys_in(&self, range: &Range<usize>) -> Range<usize> {
        let end = self.end_key.clamp(range.start, range.end);
        self.first_key.clamp(range.start, end)..end
    }
}

impl<'a> BlockRows<'a> {
    /// No rows yet, and room for a block of them.
    #[inline(always)]
    pub(crate) fn new(memory: &'a mut [Row]) -> Self {
        BlockRows { memory, count: 0, head_rows: 1, alike: true }
    }

    /// Becomes the rows of a block.
    #[inline(always)]
    pub(crate) fn fill(&mut self, call: Call<'_>, Block { heads, rows }: &Block) {
        self.head_rows = rows.len();
        (self.count, self.alike) = (heads.len() * self.head_rows, true);
        let mut before = None;
        for (memory, head) in self.memory.chunks_exact_mut(self.head_rows).zip(heads.clone()) {
            let common = call.inputs.common_keys(head);
            for (row, index) in memory.iter_mut().zip(call.inputs.row_indices(head, rows.clone())) {
                let keys = common.clone().unwrap_or_else(|| call.inputs.allowed_keys(index));
                self.alike &= before.is_none_or(|before| before == keys);
                before = Some(keys.clone());
                let start = call.output.row_start(index);
                *row = Row { index, start, first_key: keys.start, end_key: keys.end };
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
        let (mut next, mut head_end) = (0, head_rows);
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
        self.alike && self.count > 0 && self.memory[0].keys_in(range) == *range
    }

    /// Those of some rows that may differ in their keys.
    #[inline(always)]
    fn unlike(&self, rows: Range<usize>) -> &[Row] {
        let rows = &self.rows()[rows];
        if self.alike { &rows[..1] } else { rows }
    }

    /// How many pairs of a row and a key of `range` there are.
    #[inline(always)]
    pub(crate) fn pairs_in(&self, range: &Range<usize>) -> usize {
        if self.alike && self.count > 0 {
            return self.count * self.memory[0].keys_in(range).len();
        }
        self.rows().iter().map(|row| row.keys_in(range).len()).sum()
    }

    /// The panels, as a range of keys, in which any of some rows attends to a key of `range`, which
    /// starts with a panel.
    #[inline(always)]
    pub(crate) fn panels_of(&self, rows: Range<usize>, range: &Range<usize>) -> Range<usize> {
        let (mut first, mut end) = (range.end, range.start);
        let keys = self.unlike(rows).iter().map(|row| row.keys_in(range));
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
        for keys in self.unlike(rows).iter().map(|row| row.keys_in(range)) {
            common.start = common.start.max(keys.start);
            common.end = common.end.min(keys.end);
        }
        common.start.min(common.end)..common.end
    }
}
