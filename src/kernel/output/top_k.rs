//! The largest weights of each row, and their keys.
//!
//! Weights that exceed the least of those that are wanted are collected; each time there are twice as
//! many as wanted, the smaller half goes (quickselect), and the bar rises.

use crate::call::Call;
use crate::kernel::block_buffer::BlockBuffer;
use crate::kernel::block_rows::BlockRows;
use crate::layout::{LINE, MAX_TOP_K};
use crate::rows::Row;
use crate::simd::{Kernel, SimdExt};
use crate::targets::TopKTargets;
use core::cmp::Ordering;

/// Writes the largest weights of a block's rows. Their factors are set.
pub(crate) struct TopK<'a, 's> {
    pub(crate) call: Call<'a>,
    pub(crate) targets: TopKTargets<'a>,
    pub(crate) rows: &'a BlockRows<'a>,
    pub(crate) buffer: &'a BlockBuffer<'s>,
}

impl Kernel for TopK<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, _: S) {
        for (place, row) in self.rows.rows().iter().enumerate() {
            let wanted = self.targets.k;
            let mut largest = Largest {
                wanted,
                found: [(0.0, 0); 2 * MAX_TOP_K],
                count: 0,
                // A weight of 0 is not one of the largest.
                bar: 0.0,
            };
            self.collect(place, row, &mut largest);
            let is_nan = !self.buffer.states.factor(0, place).is_finite();
            let found = largest.finish();
            for column in 0..wanted {
                let (weight, key) = match found.get(column) {
                    Some(&(weight, key)) if !is_nan => (weight, Some(key)),
                    _ => (if is_nan { f32::NAN } else { 0.0 }, None),
                };
                self.targets.write(row.index, column, weight, key);
            }
        }
    }
}

impl TopK<'_, '_> {
    #[inline(always)]
    fn collect(&self, place: usize, row: &Row, largest: &mut Largest) {
        let plan = self.call.plan;
        for segment in 0..plan.segments() {
            let keys = plan.segment_keys(segment);
            let attended = row.keys_in(&keys);
            let factor = self.buffer.states.factor(segment, place);
            let start = self.buffer.scores.row_start(segment, place) - keys.start;
            let exponentials = &self.buffer.scores.from(start + attended.start)[..attended.len()];
            let (lines, rest) = exponentials.as_chunks::<LINE>();
            let mut key = attended.start;
            for line in lines {
                let bar = largest.bar;
                if line.iter().fold(false, |any, &e| any | (e * factor > bar)) {
                    for (j, e) in line.iter().enumerate() {
                        largest.add(e * factor, key + j);
                    }
                }
                key += LINE;
            }
            for (j, e) in rest.iter().enumerate() {
                largest.add(e * factor, key + j);
            }
        }
    }
}

/// The largest weights of a row so far. Keys come in ascending order.
struct Largest {
    wanted: usize,
    found: [(f32, usize); 2 * MAX_TOP_K],
    count: usize,
    /// Weights up to this one are not wanted.
    bar: f32,
}

impl Largest {
    #[inline(always)]
    fn add(&mut self, weight: f32, key: usize) {
        if weight > self.bar {
            self.found[self.count] = (weight, key);
            self.count += 1;
            if self.count == 2 * self.wanted {
                self.drop_smaller_half();
            }
        }
    }

    #[inline(never)]
    fn drop_smaller_half(&mut self) {
        let least = self.wanted - 1;
        self.found[..self.count].select_nth_unstable_by(least, larger_first);
        self.count = self.wanted;
        self.bar = self.found[least].0;
    }

    fn finish(&mut self) -> &[(f32, usize)] {
        let found = &mut self.found[..self.count];
        found.sort_unstable_by(larger_first);
        found
    }
}

/// The order of weights, of equal ones that of their keys.
fn larger_first(a: &(f32, usize), b: &(f32, usize)) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}
