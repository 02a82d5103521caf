//! Packing the keys and values of heads into panels.

use super::pack::{self, PadBuffer};
use super::value_pack::pack_values;
use crate::call::Call;
use crate::layout::PANEL;
use crate::plan::Plan;
use crate::simd::{Kernel, SimdExt};
use core::ops::Range;

/// Packs a part of a head: some panels of its keys, some passes of its values.
#[derive(Debug)]
pub(crate) struct PackHead<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) head: usize,
    pub(crate) first_panel: usize,
    /// Empty if keys are not packed.
    pub(crate) keys: &'a mut [f32],
    pub(crate) first_pass: usize,
    /// Empty if values are not packed.
    pub(crate) values: &'a mut [f32],
}

impl Kernel for PackHead<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        let PackHead {
            call: Call { problem, plan, .. },
            head,
            first_panel,
            keys,
            first_pass,
            values,
        } = self;
        let used = problem.keys_in_use(head);
        let is_used = |keys: &Range<usize>| keys.start < used.end && used.start < keys.end;
        if let Some(rows) = problem.key_rows(head)
            && !keys.is_empty()
        {
            let mut pad = PadBuffer::<PANEL>::new();
            for (i, panel) in keys.chunks_exact_mut(PANEL * plan.head_dim).enumerate() {
                let first = (first_panel + i) * PANEL;
                if is_used(&(first..first + PANEL)) {
                    pack::pack_panel(simd, &rows, first, &mut pad, panel);
                }
            }
        }
        if let Some(rows) = problem.value_rows(head)
            && !values.is_empty()
        {
            let pass_keys = plan.value_pass_keys;
            for (i, pass) in values.chunks_exact_mut(pass_keys * plan.value_pitch()).enumerate() {
                let first = (first_pass + i) * pass_keys;
                let keys = first..first + pass_keys;
                if is_used(&keys) {
                    pack_values::<S, REGISTERS>(simd, &rows, keys, plan.v_dim, pass);
                }
            }
        }
    }
}

/// Packs some heads.
#[inline(always)]
pub(crate) fn pack_heads<S: SimdExt>(
    simd: S,
    call: Call<'_>,
    heads: Range<usize>,
    (keys, values): (&mut [f32], &mut [f32]),
) {
    let plan = call.plan;
    let of_keys = if plan.packs_keys() { plan.packed_elements() } else { 0 };
    let of_values = if plan.packs_values() { plan.packed_value_elements() } else { 0 };
    for (i, head) in heads.enumerate() {
        let keys = &mut keys[i * of_keys..][..of_keys];
        let values = &mut values[i * of_values..][..of_values];
        simd.run_outlined(PackHead { call, head, first_panel: 0, keys, first_pass: 0, values });
    }
}

/// The keys and values that this call packs: those of the heads from the first one on.
#[derive(Debug)]
pub(crate) enum PackedHeads<'a> {
    /// Packed before, for all tasks.
    Shared { first_head: usize, keys: &'a [f32], values: &'a [f32] },
    /// Packed by the task that uses them, a block's heads at a time.
    Own { first_head: usize, keys: &'a mut [f32], values: &'a mut [f32] },
}

impl PackedHeads<'_> {
    /// The memory into which a task has to pack the heads from `head` on.
    #[inline(always)]
    pub(crate) fn memory_to_fill(&mut self, head: usize) -> Option<(&mut [f32], &mut [f32])> {
        match self {
            PackedHeads::Own { first_head, keys, values } => {
                *first_head = head;
                Some((keys, values))
            }
            PackedHeads::Shared { .. } => None,
        }
    }

    #[inline(always)]
    fn parts(&self) -> (usize, &[f32], &[f32]) {
        match self {
            PackedHeads::Shared { first_head, keys, values } => (*first_head, keys, values),
            PackedHeads::Own { first_head, keys, values } => (*first_head, keys, values),
        }
    }

    /// The packed keys of a head, if this call packs keys.
    #[inline(always)]
    pub(crate) fn keys_of(&self, head: usize, plan: &Plan) -> Option<&[f32]> {
        let (first_head, keys, _) = self.parts();
        let elements = plan.packed_elements();
        plan.packs_keys().then(|| &keys[(head - first_head) * elements..][..elements])
    }

    /// The packed values of a head, if this call packs values.
    #[inline(always)]
    pub(crate) fn values_of(&self, head: usize, plan: &Plan) -> Option<&[f32]> {
        let (first_head, _, values) = self.parts();
        let elements = plan.packed_value_elements();
        plan.packs_values().then(|| &values[(head - first_head) * elements..][..elements])
    }
}
