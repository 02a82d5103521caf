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
    RowMajor { rows: &'a [f32], row_stride: usize },
}

impl<'a> ValuePass<'a> {
    /// The keys from `first_key` on of rows that can be read as they lie.
    #[inline(always)]
    pub(crate) fn row_major(
        rows: &HeadRows<Elements<'a>>,
        first_key: usize,
        v_dim: usize,
    ) -> Option<Self> {
        match rows.data {
            Elements::F32(data) if rows.dim_stride == 1 && v_dim.is_multiple_of(PANEL) => {
                let rows_from = data.get(first_key * rows.row_stride..).unwrap_or_default();
                Some(ValuePass::RowMajor { rows: rows_from, row_stride: rows.row_stride })
            }
            _ => None,
        }
    }
}
