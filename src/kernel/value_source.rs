//! Where the tiles of one head read values from, in one pass of keys.

use crate::element::Elements;
use crate::layout::PANEL;
use crate::rows::HeadRows;

/// The values of one head for consecutive keys, in panels of 16 columns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ValuePass<'a> {
    /// `panels[(panel · pass_keys + key) · 16 + column]`.
    Packed { panels: &'a [f32], pass_keys: usize },
    /// The caller's rows, whose columns are contiguous and whole panels.
    RowMajor { rows: Elements<'a>, row_stride: usize },
}

impl<'a> ValuePass<'a> {
    /// The keys from `first_key` on of rows that can be read as they lie.
    #[inline(always)]
    pub(crate) fn row_major(
        rows: &HeadRows<Elements<'a>>,
        first_key: usize,
        v_dim: usize,
    ) -> Option<Self> {
        (rows.dim_stride == 1 && v_dim.is_multiple_of(PANEL)).then(|| ValuePass::RowMajor {
            rows: rows.data.from(first_key * rows.row_stride),
            row_stride: rows.row_stride,
        })
    }
}
