//! Where the tiles of one head read keys from: resolved once per head, with what was proved about it.

use super::pack::{PadBuffer, pack_rows};
use crate::call::Call;
use crate::convert::Storage;
use crate::element::Elements;
use crate::layout::PANEL;
use crate::plan::KeySource;
use crate::rows::HeadRows;
use crate::simd::SimdExt;

/// The keys of one head, from some key on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HeadKeys<'a> {
    /// Packed by this call, or kept by the caller.
    Panels(PanelKeys<'a>),
    /// The caller's rows.
    F32(RowMajorKeys<'a, f32>),
    #[cfg(feature = "half")]
    F16(RowMajorKeys<'a, half::f16>),
    #[cfg(feature = "half")]
    Bf16(RowMajorKeys<'a, half::bf16>),
}

/// Panels, one after another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PanelKeys<'a> {
    pub(crate) panels: &'a [f32],
    /// Whether they come from beyond the core's own caches.
    pub(crate) beyond_l2: bool,
}

/// Rows of contiguous dimensions that are aligned to words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowMajorKeys<'a, T> {
    /// All rows of the head.
    pub(crate) rows: HeadRows<&'a [T]>,
    /// The same rows as words.
    pub(crate) words: HeadRows<&'a [f32]>,
    pub(crate) first_key: usize,
    pub(crate) beyond_l2: bool,
    /// Where the pass is read as several streams.
    pub(crate) stream: Option<Stream>,
}

/// A step through keys that are read as [`STREAMS`](super::prefetch_cursor::STREAMS) streams side by
/// side, a few panels of each in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    /// Which stream the step is of.
    pub(crate) index: usize,
    /// Keys of each stream.
    pub(crate) keys: usize,
}

impl<'a> HeadKeys<'a> {
    /// The keys of key head `head`, counted over the batch; `packed` are its panels if this call
    /// packs them.
    #[inline(always)]
    pub(crate) fn of_head(call: Call<'a>, head: usize, packed: Option<&'a [f32]>) -> Self {
        let Call { problem, plan, .. } = call;
        let rows = problem.key_rows(head).filter(|_| plan.key_source == KeySource::RowMajor);
        match rows.and_then(|rows| Self::row_major(rows, plan.beyond_l2)) {
            Some(keys) => keys,
            None => {
                let panels = packed.or_else(|| problem.key_panels(head)).unwrap_or_default();
                Self::panels(panels, plan.beyond_l2)
            }
        }
    }

    /// Panels, packed by this call or kept by the caller.
    #[inline(always)]
    pub(crate) fn panels(panels: &'a [f32], beyond_l2: bool) -> Self {
        HeadKeys::Panels(PanelKeys { panels, beyond_l2 })
    }

    /// The caller's rows, if they can be read as words.
    #[inline(always)]
    fn row_major(rows: HeadRows<Elements<'a>>, beyond_l2: bool) -> Option<Self> {
        Some(match rows.data {
            Elements::F32(data) => HeadKeys::F32(RowMajorKeys::new(rows.with(data), beyond_l2)?),
            #[cfg(feature = "half")]
            Elements::F16(data) => HeadKeys::F16(RowMajorKeys::new(rows.with(data), beyond_l2)?),
            #[cfg(feature = "half")]
            Elements::Bf16(data) => HeadKeys::Bf16(RowMajorKeys::new(rows.with(data), beyond_l2)?),
        })
    }

    /// The same keys from `key` on, the first one of a panel.
    #[inline(always)]
    pub(crate) fn from(self, key: usize, head_dim: usize) -> Self {
        match self {
            HeadKeys::Panels(PanelKeys { panels, beyond_l2 }) => {
                HeadKeys::panels(&panels[key * head_dim..], beyond_l2)
            }
            HeadKeys::F32(keys) => HeadKeys::F32(keys.from(key)),
            #[cfg(feature = "half")]
            HeadKeys::F16(keys) => HeadKeys::F16(keys.from(key)),
            #[cfg(feature = "half")]
            HeadKeys::Bf16(keys) => HeadKeys::Bf16(keys.from(key)),
        }
    }

    /// Packs the panel of the keys from `first_key` on, where they are the caller's rows.
    #[inline(always)]
    pub(crate) fn pack_panel<S: SimdExt>(&self, simd: S, first_key: usize, panel: &mut [f32]) {
        let pad = &mut PadBuffer::<PANEL>::new();
        match self {
            HeadKeys::Panels(_) => {}
            HeadKeys::F32(keys) => pack_rows(simd, &keys.rows, first_key, pad, panel),
            #[cfg(feature = "half")]
            HeadKeys::F16(keys) => pack_rows(simd, &keys.rows, first_key, pad, panel),
            #[cfg(feature = "half")]
            HeadKeys::Bf16(keys) => pack_rows(simd, &keys.rows, first_key, pad, panel),
        }
    }

    /// How many rows there are, where they are the caller's.
    #[inline(always)]
    pub(crate) fn row_count(&self) -> Option<usize> {
        match self {
            HeadKeys::Panels(_) => None,
            HeadKeys::F32(keys) => Some(keys.rows.rows),
            #[cfg(feature = "half")]
            HeadKeys::F16(keys) => Some(keys.rows.rows),
            #[cfg(feature = "half")]
            HeadKeys::Bf16(keys) => Some(keys.rows.rows),
        }
    }
}

impl<'a, T: Storage> RowMajorKeys<'a, T> {
    #[inline(always)]
    fn new(rows: HeadRows<&'a [T]>, beyond_l2: bool) -> Option<Self> {
        let stream = None;
        rows.words().map(|words| RowMajorKeys { rows, words, first_key: 0, beyond_l2, stream })
    }

    #[inline(always)]
    pub(crate) fn from(self, key: usize) -> Self {
        RowMajorKeys { first_key: self.first_key + key, ..self }
    }
}
