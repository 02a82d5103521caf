//! What each key receives: the sum of its weights over query rows, and the largest of them.
//!
//! ```text
//! sum_j += Σ_i round(w_ij)        to multiples of 2⁻³²        max_j = max(max_j, w_ij)
//! ```
//!
//! Sums of such multiples are exact, so they have the same bits in whichever order rows and tasks
//! come. Rounding takes one addition: next to 2²⁰, doubles are multiples of 2⁻³², and the integers that
//! they are stored as differ by the number of them.

use crate::call::Call;
use crate::kernel::block_buffer::BlockBuffer;
use crate::kernel::block_rows::BlockRows;
use crate::layout::{LINE, PANEL, SEGMENT};
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
    fn run<S: SimdExt, const REGISTERS: usize>(self, _: S) {
        let group = self.call.problem.extents.group();
        let rows = self.rows.rows();
        let mut first = 0;
        // Rows of one key head are neighbours, and those of one query head in them.
        for same in rows.chunk_by(|a, b| {
            (a.index.batch, self.targets.head_of(a.index.q_head, group))
                == (b.index.batch, self.targets.head_of(b.index.q_head, group))
        }) {
            self.add_rows(first..first + same.len(), same);
            first += same.len();
        }
    }
}

impl KeyMass<'_, '_> {
    /// Adds the rows of one head of the results; `places` are theirs in the block.
    #[inline(always)]
    fn add_rows(&self, places: Range<usize>, rows: &[Row]) {
        let KeyMass { call, targets, buffer, .. } = self;
        let plan = call.plan;
        let counted = || {
            let rows = places.clone().zip(rows);
            rows.filter(|(_, row)| targets.rows().contains(&row.index.row))
        };
        let Some((_, row)) = counted().next() else { return };
        // A row of NaN is NaN in all of its weights.
        let is_nan = counted().any(|(place, _)| !buffer.states.factor(0, place).is_finite());
        for segment in 0..plan.segments() {
            let keys = plan.segment_keys(segment);
            let (mut sums, mut maxima) = ([0.0f64; SEGMENT], [0.0f32; SEGMENT]);
            if is_nan {
                (sums, maxima) = ([f64::NAN; SEGMENT], [f32::NAN; SEGMENT]);
            } else {
                for first in (0..keys.len()).step_by(PANEL) {
                    let panel = keys.start + first..keys.start + first + PANEL;
                    let mut sum = [0u64; LINE];
                    let mut max = [0.0f32; LINE];
                    let mut count = 0u64;
                    for (place, row) in counted() {
                        if row.keys_in(&panel).is_empty() {
                            continue;
                        }
                        let factor = buffer.states.factor(segment, place);
                        let start = buffer.scores.row_start(segment, place) + first;
                        let exponentials: &[f32; LINE] =
                            buffer.scores.from(start).first_chunk().expect("a whole panel");
                        count += 1;
                        for ((sum, max), e) in sum.iter_mut().zip(&mut max).zip(exponentials) {
                            let weight = e * factor;
                            let multiples = (f64::from(weight) + MULTIPLES).to_bits();
                            *sum = sum.wrapping_add(multiples);
                            *max = if weight > *max { weight } else { *max };
                        }
                    }
                    let offset = count.wrapping_mul(MULTIPLES.to_bits());
                    for (i, (&sum, &max)) in sum.iter().zip(&max).enumerate() {
                        sums[first + i] = sum.wrapping_sub(offset) as f64 * UNIT;
                        maxima[first + i] = max;
                    }
                }
            }
            let head = call.problem.extents.q_heads * row.index.batch + row.index.q_head;
            let place = head / call.problem.extents.group() * plan.segments() + segment;
            call.locks.with(place, || {
                targets.add(call.problem.extents.group(), row.index, &keys, (&sums, &maxima));
            });
        }
    }
}
