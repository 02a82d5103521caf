//! Heads of few keys: from the first multiply-add to the weights, a tile's rows stay in registers.
//!
//! The operations are those of longer rows, in the same order. What these keep in memory from step
//! to step, and know of who writes when, would take longer here than the steps themselves.

use super::block::{BlockRows, Row};
use super::exp::{exp2, exp2_of};
use super::output::write_few;
use super::pack::{self, FewRows, PANEL};
use super::queries::{QUERY_RUN, pack_queries};
use super::softmax::{shift_of, tree_sum};
use super::tile::{exclude, tile};
use super::tile_work::{TileWork, call_for_rows};
use super::{Call, Scratch};
use crate::lanes::{Kernel, Lanes};
use crate::problem::KeyHead;
use core::array::from_fn;
use core::ops::Range;
use pulp::bytemuck::cast_slice;

/// Computes the weights of some blocks of rows, of heads whose keys are no more than a tile has.
#[derive(Debug)]
pub(crate) struct ShortHeads<'a> {
    pub(crate) call: Call<'a>,
    /// Blocks, counted over all heads.
    pub(crate) blocks: Range<usize>,
    pub(crate) scratch: Scratch<'a>,
}

/// Keys of half a panel.
const HALF: usize = PANEL / 2;

impl Kernel for ShortHeads<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes, const REGISTERS: usize>(self, simd: S) {
        let Call { inputs, plan, .. } = self.call;
        let half = plan.keys <= HALF && !inputs.has_panels();
        match REGISTERS {
            1 if half => simd.call_half(self),
            2 if half => self.compute::<S, HALF, 1, 1>(simd),
            4 if half => self.compute::<S, HALF, 1, 2>(simd),
            1 if plan.keys > PANEL => self.compute::<S, PANEL, 2, REGISTERS>(simd),
            _ => self.compute::<S, PANEL, 1, REGISTERS>(simd),
        }
    }
}

impl ShortHeads<'_> {
    /// Keys in panels of `KEYS`, each `REGISTERS` registers.
    #[inline(always)]
    fn compute<S: Lanes, const KEYS: usize, const PANELS: usize, const REGISTERS: usize>(
        self,
        simd: S,
    ) {
        let ShortHeads { call, blocks, scratch: Scratch { query, panel: packed, rows, .. } } = self;
        let Call { inputs, plan, .. } = call;
        let panel_elements = KEYS * plan.head_dim;
        let packed = &mut packed[..PANELS * panel_elements];
        let mut rows = BlockRows::new(rows);
        let mut room = FewRows::<KEYS>::new();
        let mut packed_head = None;
        for block in blocks.map(|block| plan.block(block)) {
            let head = block.heads.start;
            let panels = match inputs.key_head(head) {
                KeyHead::Packed(panels) => panels,
                KeyHead::View(_) if packed_head == Some(head) || panel_elements == 0 => &*packed,
                KeyHead::View(keys) => {
                    for (i, panel) in packed.chunks_exact_mut(panel_elements).enumerate() {
                        pack::pack_panel(simd, &keys, i * KEYS, &mut room, panel);
                    }
                    packed_head = Some(head);
                    &*packed
                }
            };
            rows.fill(call, &block);
            pack_queries(simd, call, &rows, query);
            for tile in rows.tiles(S::TILE.rows) {
                let query = &query[tile.start * plan.query_row_elements()..];
                let rows = &rows.rows()[tile];
                let tile = ShortTile::<PANELS, REGISTERS> { call, rows, query, panels };
                call_for_rows(simd, rows.len(), tile);
            }
        }
    }
}

/// Some rows and the keys that they meet.
#[derive(Clone, Copy, Debug)]
struct ShortTile<'a, const PANELS: usize, const REGISTERS: usize> {
    call: Call<'a>,
    rows: &'a [Row],
    query: &'a [f32],
    panels: &'a [f32],
}

impl<const PANELS: usize, const REGISTERS: usize> TileWork for ShortTile<'_, PANELS, REGISTERS> {
    #[inline(always)]
    fn run<S: Lanes, const ROWS: usize, const REGISTERS_OF_LINE: usize>(self, simd: S) {
        let ShortTile { call, rows, query, panels } = self;
        let (keys, head_dim) = (0..call.plan.keys, call.plan.head_dim);
        let query = &query[..ROWS * call.plan.query_row_elements()];
        let (query, _) = query.as_chunks::<QUERY_RUN>().0.as_chunks::<ROWS>();
        let (panels, _) = S::as_simd_f32s(panels).0.as_chunks::<REGISTERS>();
        let panels = from_fn(|i| &panels[i * head_dim..][..head_dim]);
        let rows = rows.first_chunk::<ROWS>().expect("a row for each of the tile");
        let mut weights = tile::<S, ROWS, PANELS, REGISTERS>(simd, query, panels, None);
        exclude(simd, rows, 0, &mut weights);
        for scores in &mut weights {
            subtract_maximum(simd, scores.as_flattened_mut());
        }
        exponentiate(simd, weights.as_flattened_mut().as_flattened_mut());
        for (row, weights) in rows.iter().zip(&mut weights) {
            let weights = weights.as_flattened_mut();
            let nothing_left = row.keys_in(&keys).is_empty();
            let factor = if nothing_left { 0.0 } else { 1.0 / tree_sum::<S>(weights) };
            for weight in &mut *weights {
                *weight = simd.mul_f32s(*weight, simd.splat_f32s(factor));
            }
            write_few(call.output, row.start, &cast_slice::<_, f32>(weights)[keys.clone()]);
        }
    }
}

/// Subtracts a row's maximum from its scores.
#[inline(always)]
fn subtract_maximum<S: Lanes>(simd: S, scores: &mut [S::f32s]) {
    let mut max = simd.splat_f32s(f32::NEG_INFINITY);
    for &score in &*scores {
        max = simd.max_f32s(score, max);
    }
    let shift = shift_of(simd, simd.reduce_max_f32s(max));
    for score in scores {
        *score = simd.sub_f32s(*score, shift);
    }
}

/// 2 to the power of each element, a few registers side by side.
#[inline(always)]
fn exponentiate<S: Lanes>(simd: S, registers: &mut [S::f32s]) {
    let (groups, rest) = registers.as_chunks_mut::<3>();
    for group in groups {
        *group = exp2_of(simd, *group);
    }
    for register in rest {
        *register = exp2(simd, *register);
    }
}
