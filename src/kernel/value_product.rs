//! The product of a segment's exponentials with the values of their keys, for the rows of one head.

use super::block_rows::BlockRows;
use super::pages::prefetch_pages;
use super::row_kernel::with_row_count;
use super::score_buffer::ScoreBuffer;
use super::value_pack::pack_values;
use super::value_source::ValuePass;
use super::value_tile::{ExponentialChunk, TileRows, ValueTiles};
use crate::call::Call;
use crate::element::Elements;
use crate::layout::MAX_BLOCK_ROWS;
use crate::plan::{Plan, ValueSource};
use crate::rows::{HeadRows, Row};
use crate::simd::SimdExt;
use core::array::from_fn;
use core::ops::Range;

/// The values of a head, and how its tiles read them.
#[derive(Debug)]
pub(crate) struct HeadValues<'a> {
    pub(crate) rows: HeadRows<Elements<'a>>,
    /// The packed passes of all keys, if this call packs them.
    pub(crate) packed: Option<&'a [f32]>,
    /// Memory for one packed pass, where passes are packed one by one.
    pub(crate) pass: &'a mut [f32],
}

/// Adds the product of a head's rows in one segment to their sums, which are zeros before.
#[inline(always)]
pub(crate) fn add_value_product<S: SimdExt, const REGISTERS: usize>(
    simd: S,
    call: Call<'_>,
    segment: usize,
    (rows, head_rows): (&BlockRows<'_>, Range<usize>),
    scores: &mut ScoreBuffer<'_>,
    (mut values, sums): (HeadValues<'_>, &mut [f32]),
) {
    let plan = call.plan;
    let segment_keys = plan.segment_keys(segment);
    let existing = values.rows.rows;
    let pitch = scores.pitch();
    let scores = scores.segment(segment);
    let mut tiles: [TileRows; MAX_BLOCK_ROWS] = from_fn(|_| TileRows::default());
    let mut count = 0;
    let mut all = segment_keys.end..segment_keys.start;
    for first_row in head_rows.clone().step_by(S::TILE.rows) {
        let tile_rows = first_row..head_rows.end.min(first_row + S::TILE.rows);
        let keys = rows.panels_of(tile_rows.clone(), &segment_keys);
        // Panels are padded; values are not read beyond the last key.
        let keys = keys.start.min(existing)..keys.end.min(existing);
        if !keys.is_empty() {
            all = all.start.min(keys.start)..all.end.max(keys.end);
        }
        tiles[count] = TileRows { first_row, rows: tile_rows.len(), keys };
        count += 1;
    }
    let pass_keys = plan.value_pass_keys;
    // Here and not in the tile, whose own stack is for spilled registers: there should be none.
    let mut copies = ExponentialChunk::default();
    let mut first = all.start / pass_keys * pass_keys;
    while first < all.end {
        let keys = first..all.end.min(first + pass_keys);
        if plan.value_source == ValueSource::RowMajor && plan.beyond_l2 {
            values.prefetch_pages(simd, keys.clone());
        }
        let source = values.pass_of::<S, REGISTERS>(simd, plan, first);
        for tiles in tiles[..count].chunk_by(|a, b| a.rows == b.rows) {
            let work = ValueTiles {
                tiles,
                exponentials: scores,
                pitch,
                first_key: segment_keys.start,
                keys: keys.clone(),
                values: source,
                sums,
                sum_pitch: plan.value_pitch(),
                copies: &mut copies,
            };
            with_row_count(simd, tiles[0].rows, work);
        }
        first = keys.end;
    }
    for row in head_rows {
        let sums = &mut sums[row * plan.value_pitch()..][..plan.v_dim];
        if !all_finite(simd, sums) {
            let exponentials = &scores[row * pitch..][..segment_keys.len()];
            let row = &rows.rows()[row];
            repeat_row(call, row, (&segment_keys, exponentials), &values.rows, sums);
        }
    }
}

impl HeadValues<'_> {
    /// Prefetches the pages of the next passes, if rows are an ascending stream without gaps.
    #[inline(always)]
    fn prefetch_pages<S: SimdExt>(&self, simd: S, keys: Range<usize>) {
        let place = |key: usize| self.rows.data.from(key * self.rows.row_stride).as_ptr();
        prefetch_pages(simd, place(keys.start)..place(keys.end));
    }

    /// The values of the pass that begins with a key.
    #[inline(always)]
    fn pass_of<S: SimdExt, const REGISTERS: usize>(
        &mut self,
        simd: S,
        plan: &Plan,
        first_key: usize,
    ) -> ValuePass<'_> {
        let (pass_keys, v_dim, pitch) = (plan.value_pass_keys, plan.v_dim, plan.value_pitch());
        if let Some(packed) = self.packed {
            let panels = &packed[first_key * pitch..][..pass_keys * pitch];
            return ValuePass::Packed { panels, pass_keys };
        }
        if plan.value_source == ValueSource::RowMajor
            && let Some(pass) = ValuePass::row_major(&self.rows, first_key, v_dim)
        {
            return pass;
        }
        let panels = &mut self.pass[..pass_keys * pitch];
        let keys = first_key..first_key + pass_keys;
        pack_values::<S, REGISTERS>(simd, &self.rows, keys, v_dim, panels);
        ValuePass::Packed { panels, pass_keys }
    }
}

/// Whether all are: the difference of a number from itself is 0, that of an infinity or NaN is NaN.
#[inline(always)]
fn all_finite<S: SimdExt>(simd: S, sums: &[f32]) -> bool {
    let (registers, rest) = S::as_simd_f32s(sums);
    let mut zeros = simd.splat_f32s(0.0);
    for &sum in registers {
        zeros = simd.add_f32s(zeros, simd.sub_f32s(sum, sum));
    }
    simd.reduce_sum_f32s(zeros) == 0.0 && rest.iter().all(|sum| sum.is_finite())
}

/// The sums of a row again, key by key, without those that it does not attend to: what stands in
/// their values has no influence.
#[cold]
#[inline(never)]
fn repeat_row(
    call: Call<'_>,
    row: &Row,
    (keys, exponentials): (&Range<usize>, &[f32]),
    values: &HeadRows<Elements<'_>>,
    sums: &mut [f32],
) {
    sums.fill(0.0);
    for key in row.keys_in(keys).filter(|&key| call.problem.attends(row.index, key)) {
        let e = exponentials[key - keys.start];
        let value = key * values.row_stride;
        for (column, sum) in sums.iter_mut().enumerate() {
            let v = values.data.widened(value + column * values.dim_stride);
            *sum = pulp::Simd::mul_add_f32s(pulp::Scalar, e, v, *sum);
        }
    }
}
