//! Heads of few keys: a tile's rows stay in registers from the first FMA to the weights.
//!
//! The operations are those of longer rows, in the same order; but for so few keys a score buffer and
//! a store queue would cost more than the operations themselves.

use super::block_rows::BlockRows;
use super::exp::{exp2, exp2_of};
use super::lane_masks::exclude;
use super::logit_ops::ShortRowOps;
use super::output::write_short_row;
use super::overflow::{may_have_overflowed, saturate};
use super::pack::{self, PadBuffer};
use super::queries::PackQueries;
use super::row_kernel::{RowKernel, with_row_count};
use super::row_state::{RowState, max_of_attended, shift_of};
use super::scratch::Scratch;
use super::softmax::tree_sum;
use super::tile::tile;
use crate::call::Call;
use crate::layout::{PANEL, QUERY_CHUNK};
use crate::rows::Row;
use crate::simd::{Kernel, SimdExt};
use crate::targets::Target;
use core::array::from_fn;
use core::ops::Range;
use pulp::bytemuck::{cast_slice, cast_slice_mut};

/// Computes the weights of some blocks of rows, of heads whose keys are no more than a tile has.
#[derive(Debug)]
pub(crate) struct SmallHeads<'a> {
    pub(crate) call: Call<'a>,
    /// Blocks, counted over all heads.
    pub(crate) blocks: Range<usize>,
    pub(crate) scratch: Scratch<'a>,
}

/// Keys of half a panel.
const HALF: usize = PANEL / 2;

impl Kernel for SmallHeads<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        let Call { problem, plan, .. } = self.call;
        let half = plan.keys <= HALF && !problem.has_key_panels();
        match REGISTERS {
            1 if half => simd.run_half_width(self),
            2 if half => self.compute::<S, HALF, 1, 1>(simd),
            4 if half => self.compute::<S, HALF, 1, 2>(simd),
            1 if plan.keys > PANEL => self.compute::<S, PANEL, 2, REGISTERS>(simd),
            _ => self.compute::<S, PANEL, 1, REGISTERS>(simd),
        }
    }
}

impl SmallHeads<'_> {
    /// Keys in panels of `KEYS`, each `REGISTERS` registers.
    #[inline(always)]
    fn compute<S: SimdExt, const KEYS: usize, const PANELS: usize, const REGISTERS: usize>(
        self,
        simd: S,
    ) {
        let SmallHeads { call, blocks, scratch: Scratch { query, panel: packed, rows, .. } } = self;
        let Call { problem, plan, .. } = call;
        let Some(target) = problem.goal.of_pairs() else { return };
        let panel_elements = KEYS * plan.head_dim;
        let packed = &mut packed[..PANELS * panel_elements];
        let mut rows = BlockRows::new(rows);
        let mut pad = PadBuffer::<KEYS>::new();
        let mut packed_head = None;
        for block in blocks.map(|block| plan.block(block)) {
            let head = block.heads.start;
            if let Some(keys) = problem.key_rows(head)
                && packed_head != Some(head)
                && panel_elements > 0
            {
                for (i, panel) in packed.chunks_exact_mut(panel_elements).enumerate() {
                    pack::pack_panel(simd, &keys, i * KEYS, &mut pad, panel);
                }
                packed_head = Some(head);
            }
            let panels = problem.key_panels(head).unwrap_or(packed);
            rows.fill(call, &block);
            for tile in rows.tiles(S::TILE.rows) {
                let query = &mut query[..tile.len() * plan.query_row_elements()];
                let rows = &rows.rows()[tile];
                simd.run_outlined(PackQueries { call, rows, query });
                let tile = SmallTile::<PANELS, REGISTERS> { call, target, rows, query, panels };
                with_row_count(simd, rows.len(), tile);
            }
        }
    }
}

/// Some rows and the keys that they meet.
#[derive(Clone, Copy, Debug)]
struct SmallTile<'a, const PANELS: usize, const REGISTERS: usize> {
    call: Call<'a>,
    target: Target<'a>,
    rows: &'a [Row],
    query: &'a [f32],
    panels: &'a [f32],
}

impl<const PANELS: usize, const REGISTERS: usize> RowKernel for SmallTile<'_, PANELS, REGISTERS> {
    #[inline(always)]
    fn run<S: SimdExt, const ROWS: usize, const REGISTERS_OF_LINE: usize>(self, simd: S) {
        let SmallTile { call, target, rows, query, panels } = self;
        let (keys, head_dim) = (0..call.plan.keys, call.plan.head_dim);
        let query = &query[..ROWS * call.plan.query_row_elements()];
        let (query, _) = query.as_chunks::<QUERY_CHUNK>().0.as_chunks::<ROWS>();
        let (panels, _) = S::as_simd_f32s(panels).0.as_chunks::<REGISTERS>();
        let panels = from_fn(|i| &panels[i * head_dim..][..head_dim]);
        let rows = rows.first_chunk::<ROWS>().expect("a row for each of the tile");
        let mut weights = tile::<S, ROWS, PANELS, REGISTERS>(simd, query, panels, None);
        let mut maxima = [0.0; ROWS];
        if call.problem.ops.is_empty() {
            exclude(simd, rows, 0, &mut weights);
            for ((row, scores), max) in rows.iter().zip(&weights).zip(&mut maxima) {
                *max = maximum(simd, scores.as_flattened());
                if !row.keys_in(&keys).is_empty() {
                    *max = max_of_attended(*max);
                }
            }
        } else {
            let scores = cast_slice_mut(weights.as_flattened_mut().as_flattened_mut());
            let maxima = &mut maxima;
            simd.run_outlined(ShortRowOps::<REGISTERS> { call, rows, scores, maxima });
        }
        for ((row, scores), max) in rows.iter().zip(&mut weights).zip(&mut maxima) {
            let scores = scores.as_flattened_mut();
            if may_have_overflowed(*max) {
                *max = max_of_attended(saturate(call, row, &keys, cast_slice_mut(scores)));
            }
            subtract(simd, shift_of(*max), scores);
        }
        exponentiate(simd, weights.as_flattened_mut().as_flattened_mut());
        for ((row, weights), max) in rows.iter().zip(&mut weights).zip(maxima) {
            let weights = weights.as_flattened_mut();
            let factor = RowState { max, sum: tree_sum::<S>(weights) }.factor();
            for weight in &mut *weights {
                *weight = simd.mul_f32s(*weight, simd.splat_f32s(factor));
            }
            write_short_row(&target, row, &cast_slice::<_, f32>(weights)[keys.clone()]);
        }
    }
}

/// The largest score of a row.
#[inline(always)]
fn maximum<S: SimdExt>(simd: S, scores: &[S::f32s]) -> f32 {
    let mut max = simd.splat_f32s(f32::NEG_INFINITY);
    for &score in scores {
        max = simd.max_f32s(score, max);
    }
    simd.reduce_max_f32s(max)
}

#[inline(always)]
fn subtract<S: SimdExt>(simd: S, shift: f32, scores: &mut [S::f32s]) {
    let shift = simd.splat_f32s(shift);
    for score in scores {
        *score = simd.sub_f32s(*score, shift);
    }
}

/// 2 to the power of each element, a few registers side by side.
#[inline(always)]
fn exponentiate<S: SimdExt>(simd: S, registers: &mut [S::f32s]) {
    let (groups, rest) = registers.as_chunks_mut::<3>();
    for group in groups {
        *group = exp2_of(simd, *group);
    }
    for register in rest {
        *register = exp2(simd, *register);
    }
}
