//! The rows of a block: where each stands among the keys and where it goes in the output.

use super::Call;
use super::pack::PANEL;
use crate::plan::MOST_BLOCK_ROWS;
use crate::problem::RowIndex;
use core::ops::Range;

/// The rows of a block.
#[derive(Debug)]
pub(crate) struct BlockRows {
    count: usize,
    rows: [Row; MOST_BLOCK_ROWS],
    /// The logits that take part in the normalisation and get no weight; −∞ for none.
    sinks: [f32; MOST_BLOCK_ROWS],
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

impl BlockRows {
    pub(crate) const NONE: BlockRows = BlockRows {
        count: 0,
        rows: [Row {
            index: RowIndex { batch: 0, q_head: 0, row: 0 },
            start: 0,
            first_key: 0,
            end_key: 0,
        }; MOST_BLOCK_ROWS],
        sinks: [f32::NEG_INFINITY; MOST_BLOCK_ROWS],
    };

    #[inline(always)]
    pub(crate) fn new(call: Call<'_>, head: usize, rows: Range<usize>) -> Self {
        let mut block = BlockRows { count: rows.len(), ..Self::NONE };
        let places = block.rows.iter_mut().zip(&mut block.sinks);
        for ((row, sink), index) in places.zip(call.inputs.row_indices(head, rows)) {
            let keys = call.inputs.allowed_keys(index);
            *row = Row {
                index,
                start: call.output.row_start(index),
                first_key: keys.start,
                end_key: keys.end,
            };
            *sink = call.inputs.sink(index.q_head);
        }
        block
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    #[inline(always)]
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows[..self.count]
    }

    /// Sinks from a row on, to the end of a line or further.
    #[inline(always)]
    pub(crate) fn sinks_from(&self, row: usize) -> &[f32] {
        &self.sinks[row..]
    }
}

/// The panels, as a range of keys, in which any of some rows attends to a key of `range`, which
/// starts with a panel.
#[inline(always)]
pub(crate) fn panels_of(rows: &[Row], range: &Range<usize>) -> Range<usize> {
    let (mut first, mut end) = (range.end, range.start);
    for keys in rows.iter().map(|row| row.keys_in(range)).filter(|keys| !keys.is_empty()) {
        first = first.min(keys.start);
        end = end.max(keys.end);
    }
    let first = range.start + (first - range.start) / PANEL * PANEL;
    let end = range.start + (end - range.start).next_multiple_of(PANEL);
    first.min(end)..end
}

/// The keys of `range` to which all of some rows attend.
#[inline(always)]
pub(crate) fn common_keys(rows: &[Row], range: &Range<usize>) -> Range<usize> {
    let mut common = range.clone();
    for keys in rows.iter().map(|row| row.keys_in(range)) {
        common.start = common.start.max(keys.start);
        common.end = common.end.min(keys.end);
    }
    common.start.min(common.end)..common.end
}
