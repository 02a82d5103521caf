//! What each key receives: the sum of its weights over query rows, and the largest of them.
//!
//! ```text
//! sum_j += Σ_i round(w_ij)        to multiples of 2⁻³²        max_j = max(max_j, w_ij)
//! ```
//!
//! Sums of such multiples are exact, so they have the same bits in whichever order rows and tasks
//! come. Rounding takes one addition: next to 2²⁰, doubles are multiples of 2⁻³², and the integers that
//! they are stored as differ by the number of them.

use super::keep_larger::keep_larger;
use crate::call::Call;
use crate::kernel::block_buffer::BlockBuffer;
use crate::kernel::block_rows::BlockRows;
use crate::layout::{PANEL, SEGMENT};
use crate::rows::Row;
use crate::simd::{Kernel, SimdExt};
use crate::targets::KeyMassTargets;
use core::ops::Range;

/// Adds a block's weights to the results of their keys. The factors of its rows are set.
pub(crate) struct KeyMass<'a, 's> {
    pub(crate) call: Call<'a>,
    pub(crate) targets: KeyMassTargets<'a>,
    pub(crate) rows: &'a BlockRows<'a>,
    pub(crate) buffer: &'a BlockBuffer<'s>,
}

/// Doubles from here to its double are the multiples of 2⁻³².
const MULTIPLES: f64 = 1_048_576.0;

/// 2⁻³².
const UNIT: f64 = 1.0 / 4_294_967_296.0;

impl Kernel for KeyMass<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        let group = self.call.problem.extents.group();
        let rows = self.rows.rows();
        let mut first = 0;
        // Rows of one key head are neighbours, and those of one query head in them.
        for same in rows.chunk_by(|a, b| {
            (a.index.batch, self.targets.head_of(a.index.q_head, group))
                == (b.index.batch, self.targets.head_of(b.index.q_head, group))
        }) {
            self.add_rows(simd, first..first + same.len(), same);
            first += same.len();
        }
    }
}

impl KeyMass<'_, '_> {
    /// Adds the rows of one head of the results; `places` are theirs in the block.
    #[inline(always)]
    fn add_rows<S: SimdExt>(&self, simd: S, places: Range<usize>, rows: &[Row]) {
        let KeyMass { call, targets, buffer, .. } = self;
        let plan = call.plan;
        let counted = || {
            let rows = places.clone().zip(rows);
            rows.filter(|(_, row)| targets.rows().contains(&row.index.row))
        };
        let Some((_, row)) = counted().next() else { return };
        // A row of NaN is NaN in all of its weights.
        let is_nan = counted().any(|(place, _)| !buffer.states.factor(0, place).is_finite());
        let (group, q_heads) = (call.problem.extents.group(), call.problem.extents.q_heads);
        let head = (q_heads * row.index.batch + row.index.q_head) / group;
        for segment in 0..plan.segments() {
            let keys = plan.segment_keys(segment);
            let (sums, maxima) = if is_nan {
                ([f64::NAN; SEGMENT], [f32::NAN; SEGMENT])
            } else {
                self.received(simd, segment, counted())
            };
            call.locks.with(head * plan.segments() + segment, || {
                targets.add(group, row.index, &keys, (&sums, &maxima));
            });
        }
    }

    /// What the keys of a segment receive from some rows, each with its place in the block: the sums and
    /// the largest of their weights, as far as they are asked for.
    #[inline(always)]
    fn received<'r, S: SimdExt>(
        &self,
        simd: S,
        segment: usize,
        rows: impl Iterator<Item = (usize, &'r Row)>,
    ) -> ([f64; SEGMENT], [f32; SEGMENT]) {
        let KeyMass { call, targets, buffer, .. } = self;
        let keys = call.plan.segment_keys(segment);
        // Sums in units of 2⁻³².
        let (mut multiples, mut maxima) = ([0u64; SEGMENT], [0.0f32; SEGMENT]);
        for (place, row) in rows {
            let attended = row.keys_in(&keys);
            if attended.is_empty() {
                continue;
            }
            // Whole panels: the keys around those that are attended have exponentials of 0.
            let first = (attended.start - keys.start) / PANEL * PANEL;
            let end = (attended.end - keys.start).next_multiple_of(PANEL);
            let start = buffer.scores.row_start(segment, place);
            let exponentials = &buffer.scores.from(start + first)[..end - first];
            let factor = buffer.states.factor(segment, place);
            if targets.has_sums() {
                add_weights(&mut multiples[first..end], exponentials, factor);
            }
            if targets.has_maxima() {
                keep_larger(simd, &mut maxima[first..end], exponentials, factor);
            }
        }
        (multiples.map(|multiples| multiples as f64 * UNIT), maxima)
    }
}

/// Adds each weight, rounded to a multiple of 2⁻³², to its key's sum.
#[inline(always)]
fn add_weights(sums: &mut [u64], exponentials: &[f32], factor: f32) {
    for (sum, e) in sums.iter_mut().zip(exponentials) {
        let multiple = (f64::from(e * factor) + MULTIPLES).to_bits();
        *sum = sum.wrapping_add(multiple.wrapping_sub(MULTIPLES.to_bits()));
    }
}
