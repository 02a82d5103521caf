//! Packing the keys of heads into panels.

use super::pack::{self, PadBuffer};
use crate::call::Call;
use crate::layout::PANEL;
use crate::plan::Plan;
use crate::simd::{Kernel, SimdExt};
use core::ops::Range;

/// Packs some panels of a head's keys.
#[derive(Debug)]
pub(crate) struct PackPanels<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) head: usize,
    pub(crate) first_panel: usize,
    pub(crate) packed: &'a mut [f32],
}

impl Kernel for PackPanels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        let Call { problem, plan } = self.call;
        let panel_elements = PANEL * plan.head_dim;
        let Some(rows) = problem.key_rows(self.head) else { return };
        if panel_elements == 0 {
            return;
        }
        let used = problem.keys_in_use(self.head);
        let mut pad = PadBuffer::<PANEL>::new();
        for (i, panel) in self.packed.chunks_exact_mut(panel_elements).enumerate() {
            let first_key = (self.first_panel + i) * PANEL;
            if first_key < used.end && used.start < first_key + PANEL {
                pack::pack_panel(simd, &rows, first_key, &mut pad, panel);
            }
        }
    }
}

/// Packs the keys of some heads.
#[inline(always)]
pub(crate) fn pack_heads<S: SimdExt>(
    simd: S,
    call: Call<'_>,
    heads: Range<usize>,
    packed: &mut [f32],
) {
    let elements = call.plan.packed_elements();
    for (i, head) in heads.enumerate() {
        let packed = &mut packed[i * elements..][..elements];
        simd.run_outlined(PackPanels { call, head, first_panel: 0, packed });
    }
}

/// The panels that this call packs: those of the heads from the first one on.
#[derive(Debug)]
pub(crate) enum PackedKeys<'a> {
    /// Packed before, for all tasks.
    Shared { first_head: usize, panels: &'a [f32] },
    /// Packed by the task that uses them, a block's heads at a time.
    Own { first_head: usize, panels: &'a mut [f32] },
    /// Keys are read from elsewhere.
    None,
}

impl PackedKeys<'_> {
    /// The memory into which a task has to pack the heads from `head` on.
    #[inline(always)]
    pub(crate) fn memory_to_fill(&mut self, head: usize) -> Option<&mut [f32]> {
        match self {
            PackedKeys::Own { first_head, panels } => {
                *first_head = head;
                Some(panels)
            }
            PackedKeys::Shared { .. } | PackedKeys::None => None,
        }
    }

    /// The panels of a head.
    #[inline(always)]
    pub(crate) fn of_head(&self, head: usize, plan: &Plan) -> Option<&[f32]> {
        let (first_head, panels) = match self {
            PackedKeys::Shared { first_head, panels } => (first_head, *panels),
            PackedKeys::Own { first_head, panels } => (first_head, &**panels),
            PackedKeys::None => return None,
        };
        let elements = plan.packed_elements();
        Some(&panels[(head - first_head) * elements..][..elements])
    }
}
