//! The largest weights of each row, and their keys.
//!
//! A row's weights are dealt out to more groups than are wanted; as many groups as are wanted have a
//! maximum of at least the last of these. So the k-th largest maximum is a bar that few weights reach
//! beside those that are wanted: only these are collected. In short rows all weights above 0 are; each
//! time there are twice as many as wanted, the smaller half goes (quickselect), and the bar rises.

use super::keep_larger::keep_larger;
use crate::call::Call;
use crate::kernel::block_buffer::BlockBuffer;
use crate::kernel::block_rows::BlockRows;
use crate::layout::{LINE, MAX_TOP_K};
use crate::rows::Row;
use crate::simd::{Kernel, SimdExt};
use crate::targets::TopKTargets;
use core::cmp::Ordering;

/// Weights that are compared at a time.
const CHUNK: usize = 4 * LINE;

/// The maxima of a row's groups: twice as many as are wanted, so that few weights reach the bar that are
/// not wanted.
type Maxima = [[f32; CHUNK]; 2 * MAX_TOP_K / CHUNK];

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
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        let wanted = self.targets.k;
        let mut largest = Largest { wanted, found: [(0.0, 0); 2 * MAX_TOP_K], count: 0, bar: 0.0 };
        let mut maxima = [[0.0; CHUNK]; 2 * MAX_TOP_K / CHUNK];
        for (place, row) in self.rows.rows().iter().enumerate() {
            largest.count = 0;
            largest.bar = self.bar(simd, place, row, &mut maxima);
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
    /// The exponentials of a row in one segment, the first one's key, and their factor.
    #[inline(always)]
    fn exponentials(&self, segment: usize, place: usize, row: &Row) -> (&[f32], usize, f32) {
        let keys = self.call.plan.segment_keys(segment);
        let attended = row.keys_in(&keys);
        let start = self.buffer.scores.row_start(segment, place) - keys.start;
        let exponentials = &self.buffer.scores.from(start + attended.start)[..attended.len()];
        (exponentials, attended.start, self.buffer.states.factor(segment, place))
    }

    /// A weight that as many weights of the row as are wanted exceed; 0 if none is known.
    #[inline(always)]
    fn bar<S: SimdExt>(&self, simd: S, place: usize, row: &Row, maxima: &mut Maxima) -> f32 {
        let wanted = self.targets.k;
        let maxima = &mut maxima[..(2 * wanted).div_ceil(CHUNK)];
        if row.end_key.saturating_sub(row.first_key) < 2 * CHUNK * maxima.len() {
            return 0.0;
        }
        maxima.fill([0.0; CHUNK]);
        for segment in 0..self.call.plan.segments() {
            let (exponentials, _, factor) = self.exponentials(segment, place, row);
            let (chunks, rest) = exponentials.as_chunks::<CHUNK>();
            for chunks in chunks.chunks(maxima.len()) {
                for (maxima, chunk) in maxima.iter_mut().zip(chunks) {
                    keep_larger(simd, maxima, chunk, factor);
                }
            }
            keep_larger(simd, &mut maxima[0][..rest.len()], rest, factor);
        }
        let mut maxima = maxima.as_flattened_mut();
        // Of few groups the maximum that counts is found sooner.
        while maxima.len() / 2 >= 2 * wanted.max(LINE / 2) {
            let (half, other) = maxima.split_at_mut(maxima.len() / 2);
            keep_larger(simd, half, other, 1.0);
            maxima = half;
        }
        let (_, least, _) = maxima.select_nth_unstable_by(wanted - 1, |a, b| b.total_cmp(a));
        if *least > 0.0 { least.next_down() } else { 0.0 }
    }

    #[inline(always)]
    fn collect(&self, place: usize, row: &Row, largest: &mut Largest) {
        for segment in 0..self.call.plan.segments() {
            let (exponentials, mut key, factor) = self.exponentials(segment, place, row);
            let (chunks, rest) = exponentials.as_chunks::<CHUNK>();
            for chunk in chunks {
                if largest.wants_any(chunk, factor) {
                    largest.add(chunk, key, factor);
                }
                key += CHUNK;
            }
            largest.add(rest, key, factor);
        }
    }
}

/// The largest weights of a row so far. Keys come in ascending order.
struct Largest {
    wanted: usize,
    found: [(f32, usize); 2 * MAX_TOP_K],
    count: usize,
    /// Weights up to this one are not wanted, those of 0 never.
    bar: f32,
}

impl Largest {
    /// Whether any of some weights exceeds the bar.
    #[inline(always)]
    fn wants_any<const N: usize>(&self, exponentials: &[f32; N], factor: f32) -> bool {
        exponentials.iter().fold(false, |any, &e| any | (e * factor > self.bar))
    }

    /// Adds the weights of consecutive keys, as far as they exceed the bar.
    #[inline(always)]
    fn add(&mut self, exponentials: &[f32], mut key: usize, factor: f32) {
        let (lines, rest) = exponentials.as_chunks::<LINE>();
        for line in lines {
            if self.wants_any(line, factor) {
                self.add_each(line, key, factor);
            }
            key += LINE;
        }
        self.add_each(rest, key, factor);
    }

    #[inline(always)]
    fn add_each(&mut self, exponentials: &[f32], first_key: usize, factor: f32) {
        for (i, e) in exponentials.iter().enumerate() {
            let weight = e * factor;
            if weight > self.bar {
                self.found[self.count] = (weight, first_key + i);
                self.count += 1;
                if self.count == 2 * self.wanted {
                    self.drop_smaller_half();
                }
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
