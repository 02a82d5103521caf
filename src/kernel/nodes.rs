//! The output of a block on the way: nodes of the tree in which the segments of a row merge.
//!
//! ```text
//! after segment s:   while s + 1 is a multiple of 2, 4, 8 …: the two topmost nodes become one
//! at the end:        the two topmost nodes become one, until one is left
//! ```
//!
//! That is one binary tree shaped by the number of segments alone, whose left subtrees are the largest
//! powers of two, as BLAKE3 has it: a finished aligned subtree never changes, whoever computed it.

use super::row_state::{RowState, join};
use crate::layout::MAX_BLOCK_ROWS;
use crate::plan::Plan;
use crate::simd::SimdExt;

/// Nodes, one after another: for each the maxima of all rows, their sums, and their partial outputs.
#[derive(Debug)]
pub(crate) struct Nodes<'a> {
    data: &'a mut [f32],
    /// Elements of the maxima, and of the sums: whole lines.
    lanes: usize,
    /// Elements from one row of an output to the next: whole panels.
    pitch: usize,
    node_elements: usize,
    /// Nodes on the stack.
    count: usize,
}

/// One node.
#[derive(Debug)]
pub(crate) struct Node<'n> {
    pub(crate) maxima: &'n mut [f32],
    pub(crate) sums: &'n mut [f32],
    pub(crate) output: &'n mut [f32],
}

impl<'a> Nodes<'a> {
    #[inline(always)]
    pub(crate) fn new(data: &'a mut [f32], plan: &Plan) -> Self {
        Nodes {
            data,
            lanes: plan.state_lanes(),
            pitch: plan.value_pitch(),
            node_elements: plan.node_elements(),
            count: 0,
        }
    }

    /// Elements from one row of an output to the next.
    #[inline(always)]
    pub(crate) fn pitch(&self) -> usize {
        self.pitch
    }

    #[inline(always)]
    fn node(&mut self, index: usize) -> Node<'_> {
        split(&mut self.data[index * self.node_elements..][..self.node_elements], self.lanes)
    }

    /// Begins the next node: that of a segment with these maxima and sums, and an output of zeros.
    #[inline(always)]
    pub(crate) fn start(&mut self, (maxima, sums): (&[f32], &[f32])) -> Node<'_> {
        let node = self.node(self.count);
        node.maxima.copy_from_slice(maxima);
        node.sums.copy_from_slice(sums);
        node.output.fill(0.0);
        node
    }

    /// No nodes.
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    /// Keeps the next node as it is.
    #[inline(always)]
    pub(crate) fn keep(&mut self) {
        self.count += 1;
    }

    /// Adds the next node, that of segment `segment`, to the tree of `rows` rows.
    #[inline(always)]
    pub(crate) fn push<S: SimdExt>(&mut self, simd: S, segment: usize, rows: usize) {
        self.count += 1;
        for _ in 0..(segment + 1).trailing_zeros() {
            self.join_top(simd, rows);
        }
    }

    /// Builds the tree of nodes that have been kept, one for each segment.
    #[inline(always)]
    pub(crate) fn push_all<S: SimdExt>(&mut self, simd: S, segments: usize, rows: usize) {
        self.count = 0;
        for segment in 0..segments {
            let (from, to) = (segment * self.node_elements, self.count * self.node_elements);
            self.data.copy_within(from..from + self.node_elements, to);
            self.push(simd, segment, rows);
        }
    }

    /// Joins what is on the stack, and returns it.
    #[inline(always)]
    pub(crate) fn finish<S: SimdExt>(&mut self, simd: S, rows: usize) -> Node<'_> {
        while self.count > 1 {
            self.join_top(simd, rows);
        }
        self.node(0)
    }

    /// The two topmost nodes become one.
    #[inline(always)]
    fn join_top<S: SimdExt>(&mut self, simd: S, rows: usize) {
        self.count -= 1;
        let pair = &mut self.data[(self.count - 1) * self.node_elements..];
        let (left, right) = pair.split_at_mut(self.node_elements);
        let left = split(left, self.lanes);
        let right = split(&mut right[..self.node_elements], self.lanes);
        let mut factors = [[0.0; MAX_BLOCK_ROWS]; 2];
        for first in (0..self.lanes).step_by(S::F32_LANES) {
            let load = |lanes: &[f32]| S::as_simd_f32s(&lanes[first..][..S::F32_LANES]).0[0];
            let a = RowState { max: load(left.maxima), sum: load(left.sums) };
            let b = RowState { max: load(right.maxima), sum: load(right.sums) };
            let (joined, of_a, of_b) = join(simd, a, b);
            let store = |lanes: &mut [f32], value| {
                S::as_mut_simd_f32s(&mut lanes[first..][..S::F32_LANES]).0[0] = value;
            };
            store(left.maxima, joined.max);
            store(left.sums, joined.sum);
            let [factors_of_a, factors_of_b] = &mut factors;
            store(factors_of_a, of_a);
            store(factors_of_b, of_b);
        }
        let outputs =
            left.output.chunks_exact_mut(self.pitch).zip(right.output.chunks_exact(self.pitch));
        for (row, (left, right)) in outputs.take(rows).enumerate() {
            let [of_a, of_b] = factors.map(|factors| simd.splat_f32s(factors[row]));
            let left = S::as_mut_simd_f32s(left).0;
            for (left, &right) in left.iter_mut().zip(S::as_simd_f32s(right).0) {
                *left = simd.mul_add_f32s(right, of_b, simd.mul_f32s(*left, of_a));
            }
        }
    }
}

#[inline(always)]
fn split(node: &mut [f32], lanes: usize) -> Node<'_> {
    let (maxima, rest) = node.split_at_mut(lanes);
    let (sums, output) = rest.split_at_mut(lanes);
    Node { maxima, sums, output }
}
