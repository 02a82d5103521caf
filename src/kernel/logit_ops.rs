//! The options that change logits between the tile and the softmax: softcap, bias, ALiBi, mask.
//!
//! ```text
//! per key j of a row:   t = cap · tanh(t)
//!                       t = fma(bias_j, unit, t)
//!                       t = fma(slope, j − position, t)
//!                       t = −∞ if excluded: by position, by the mask, by bias_j = −∞
//! ```
//!
//! `unit` is log2(e) where exponentials follow, else 1; `cap` and `slope` come in these units. The
//! options decide what is excluded, never t itself: the values of excluded keys have no influence.

use super::block_rows::BlockRows;
use super::lane_masks::lanes_within;
use super::score_buffer::ScoreBuffer;
use super::tanh::tanh;
use crate::call::Call;
use crate::convert::Storage;
use crate::element::Elements;
use crate::layout::{LINE, PANEL};
use crate::rows::Row;
use crate::simd::{Kernel, SimdExt};
use core::ops::Range;

/// Applies the options to one segment of a block's rows, and sets the rows' maxima over the keys
/// that are attended: at least the smallest finite number if any is, −∞ if none is.
pub(crate) struct LogitOps<'a, 's> {
    pub(crate) call: Call<'a>,
    pub(crate) scores: &'a mut ScoreBuffer<'s>,
    pub(crate) segment: usize,
    pub(crate) keys: Range<usize>,
    pub(crate) rows: &'a BlockRows<'a>,
    /// The running maxima of the rows, a line each.
    pub(crate) maxima: &'a mut [f32],
}

impl Kernel for LogitOps<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        let LogitOps { call, scores, segment, keys, rows, maxima } = self;
        let mut maxima = maxima.chunks_exact_mut(LINE);
        for tile in rows.tiles(S::TILE.rows) {
            let panels = rows.panels_of(tile.clone(), &keys);
            let within = panels.start - keys.start..panels.end - keys.start;
            for (row, maxima) in tile.zip(&mut maxima) {
                let [scores] = scores.rows(segment, row, within.clone());
                let row = RowOps::new(call, &rows.rows()[row], &panels);
                let running = row.apply::<S, REGISTERS>(simd, panels.start, scores);
                S::as_mut_simd_f32s(maxima).0[0] = running;
            }
        }
    }
}

/// Applies the options to the scores of a tile's rows, which meet all keys of a short head; sets the
/// rows' maxima as [`LogitOps`] does.
pub(crate) struct ShortRowOps<'a, const REGISTERS: usize> {
    pub(crate) call: Call<'a>,
    pub(crate) rows: &'a [Row],
    /// Row after row, panels of as many registers.
    pub(crate) scores: &'a mut [f32],
    /// One for each row.
    pub(crate) maxima: &'a mut [f32],
}

impl<const REGISTERS: usize> Kernel for ShortRowOps<'_, REGISTERS> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS_OF_LINE: usize>(self, simd: S) {
        let ShortRowOps { call, rows, scores, maxima } = self;
        let row_scores = scores.len() / rows.len();
        for ((row, scores), max) in rows.iter().zip(scores.chunks_exact_mut(row_scores)).zip(maxima)
        {
            let row = RowOps::new(call, row, &(0..call.plan.keys));
            *max = simd.reduce_max_f32s(row.apply::<S, REGISTERS>(simd, 0, scores));
        }
    }
}

/// The options of one row: a step over its scores for each, in L1.
struct RowOps<'a> {
    unit: f32,
    cap: Option<f32>,
    bias: Option<Operand<Elements<'a>>>,
    /// The slope, and where the row stands.
    slope: Option<(f32, i128)>,
    mask: Option<Operand<&'a [u8]>>,
    attended: Range<usize>,
}

/// A row of a mask or bias.
#[derive(Clone, Copy, Debug)]
struct Operand<Data> {
    /// From the row's first key on.
    data: Data,
    /// From one key to the next.
    step: usize,
    /// Keys that there are.
    keys: usize,
    /// From one row to the next, which is prefetched: to the hardware each row is a short stream of
    /// its own.
    row_step: usize,
}

impl<'a> RowOps<'a> {
    #[inline(always)]
    fn new(call: Call<'a>, row: &Row, panels: &Range<usize>) -> Self {
        let ops = &call.problem.ops;
        let (index, keys) = (row.index, call.plan.keys);
        RowOps {
            unit: ops.unit,
            cap: ops.cap,
            bias: ops.bias.map(|(data, strides)| Operand {
                data: data.from(index.start(&strides)),
                step: strides.column,
                keys,
                row_step: strides.row,
            }),
            slope: call
                .problem
                .slope(index.q_head)
                .map(|slope| (slope, call.problem.position(index))),
            mask: ops.mask.map(|(data, strides)| Operand {
                data: &data[index.start(&strides)..],
                step: strides.column,
                keys,
                row_step: strides.row,
            }),
            attended: row.keys_in(panels),
        }
    }

    /// Applies the operations to the scores of keys `first_key..`, whole panels; returns their
    /// running maximum.
    #[inline(always)]
    fn apply<S: SimdExt, const REGISTERS: usize>(
        &self,
        simd: S,
        first_key: usize,
        scores: &mut [f32],
    ) -> S::f32s {
        let (panels, _) = S::as_mut_simd_f32s(scores).0.as_chunks_mut::<REGISTERS>();
        let keys = (first_key..).step_by(PANEL);
        if let Some(cap) = self.cap {
            for t in panels.as_flattened_mut() {
                *t = simd.mul_f32s(simd.splat_f32s(cap), tanh(simd, *t));
            }
        }
        if let Some(bias) = self.bias {
            let unit = simd.splat_f32s(self.unit);
            for (panel, key) in panels.iter_mut().zip(keys.clone()) {
                bias.prefetch_next_row(simd, key);
                let biases = bias.panel::<S, REGISTERS>(key);
                for (t, bias) in panel.iter_mut().zip(biases) {
                    *t = simd.mul_add_f32s(bias, unit, *t);
                }
            }
        }
        if let Some((slope, position)) = self.slope {
            let slope = simd.splat_f32s(slope);
            for (panel, key) in panels.iter_mut().zip(keys.clone()) {
                let distance = simd.splat_f32s(distance(key, position));
                for (t, &step) in panel.iter_mut().zip(S::as_simd_f32s(&STEPS).0) {
                    *t = simd.mul_add_f32s(slope, simd.add_f32s(distance, step), *t);
                }
            }
        }
        let mut running = simd.splat_f32s(f32::NEG_INFINITY);
        for (panel, key) in panels.iter_mut().zip(keys) {
            self.exclude(simd, key, panel, &mut running);
        }
        running
    }

    /// −∞ for those keys of a panel that are excluded; others count for the running maximum.
    #[inline(always)]
    fn exclude<S: SimdExt, const REGISTERS: usize>(
        &self,
        simd: S,
        key: usize,
        panel: &mut [S::f32s; REGISTERS],
        running: &mut S::f32s,
    ) {
        let excluded = simd.splat_f32s(f32::NEG_INFINITY);
        let attended = self.attended.start.clamp(key, key + PANEL) - key
            ..self.attended.end.clamp(key, key + PANEL) - key;
        let mut kept = [lanes_within(simd, 0, &(0..PANEL)); REGISTERS];
        if attended.len() < PANEL {
            for (register, kept) in kept.iter_mut().enumerate() {
                *kept = lanes_within(simd, register * S::F32_LANES, &attended);
            }
        }
        if let Some(bias) = self.bias {
            for (kept, bias) in kept.iter_mut().zip(bias.panel::<S, REGISTERS>(key)) {
                let excludes = simd.less_than_or_equal_f32s(bias, excluded);
                *kept = simd.and_m32s(*kept, simd.not_m32s(excludes));
            }
        }
        if let Some(mask) = self.mask {
            mask.prefetch_next_row(simd, key);
            let mask = mask.panel(key);
            for (kept, mask) in kept.iter_mut().zip(mask.chunks_exact(S::F32_LANES)) {
                *kept = simd.and_m32s(*kept, simd.mask_from_bytes(mask));
            }
        }
        for (t, kept) in panel.iter_mut().zip(kept) {
            // An attended key counts as attended even if its logit is −∞.
            let some = simd.max_f32s(*t, simd.splat_f32s(f32::MIN));
            *running = simd.max_f32s(simd.select_or_neg_inf(kept, some), *running);
            *t = simd.select_or_neg_inf(kept, *t);
        }
    }
}

impl Operand<Elements<'_>> {
    /// Prefetches the biases of a panel's keys in the next row, which need not exist.
    #[inline(always)]
    fn prefetch_next_row<S: SimdExt>(&self, simd: S, key: usize) {
        if let (Elements::F32(data), 1) = (self.data, self.step) {
            simd.prefetch(data.as_ptr().wrapping_add(self.row_step + key));
        }
    }

    /// The biases of a panel's keys; anything for keys behind the last one, which are excluded by
    /// their position.
    #[inline(always)]
    fn panel<S: SimdExt, const REGISTERS: usize>(&self, key: usize) -> [S::f32s; REGISTERS] {
        let keys = self.keys - key;
        let values = match self.data {
            Elements::F32(data) if self.step == 1 && data.len() - key >= PANEL => {
                return *registers::<S, REGISTERS>(&data[key..][..PANEL]);
            }
            Elements::F32(data) => gather(data, self.step, key, keys, Storage::widen),
            #[cfg(feature = "half")]
            Elements::F16(data) => gather(data, self.step, key, keys, Storage::widen),
            #[cfg(feature = "half")]
            Elements::Bf16(data) => gather(data, self.step, key, keys, Storage::widen),
        };
        *registers::<S, REGISTERS>(&values)
    }
}

impl Operand<&[u8]> {
    /// Prefetches the mask of a panel's keys in the next row, which need not exist.
    #[inline(always)]
    fn prefetch_next_row<S: SimdExt>(&self, simd: S, key: usize) {
        simd.prefetch(self.data.as_ptr().wrapping_add(self.row_step + key).cast());
    }

    /// The mask of a panel's keys; anything for keys behind the last one, which are excluded by their
    /// position.
    #[inline(always)]
    fn panel(&self, key: usize) -> [u8; PANEL] {
        match self.data.get(key..).and_then(<[u8]>::first_chunk) {
            Some(&mask) if self.step == 1 => mask,
            _ => gather(self.data, self.step, key, self.keys - key, |byte| byte),
        }
    }
}

#[inline(always)]
fn registers<S: SimdExt, const REGISTERS: usize>(values: &[f32]) -> &[S::f32s; REGISTERS] {
    &S::as_simd_f32s(values).0.as_chunks::<REGISTERS>().0[0]
}

/// The elements of a panel's keys, of which `keys` exist: the slow way, for strides and narrow
/// types.
#[inline(never)]
fn gather<T: Copy, V: Copy + Default>(
    elements: &[T],
    step: usize,
    key: usize,
    keys: usize,
    convert: impl Fn(T) -> V,
) -> [V; PANEL] {
    let mut values = [V::default(); PANEL];
    let elements = &elements[key * step..];
    if step == 1 {
        for (value, &element) in values.iter_mut().zip(elements) {
            *value = convert(element);
        }
    } else {
        for (i, value) in values.iter_mut().take(keys).enumerate() {
            *value = convert(elements[i * step]);
        }
    }
    values
}

/// The distance of a key from the row's position, rounded to f32.
#[inline(always)]
fn distance(key: usize, position: i128) -> f32 {
    #[cold]
    #[inline(never)]
    fn round(distance: i128) -> f32 {
        distance as f32
    }
    let distance = key as i128 - position;
    // 64 bits convert by an instruction, 128 by a call.
    i64::try_from(distance).map_or_else(|_| round(distance), |distance| distance as f32)
}

/// The numbers of a panel's keys.
const STEPS: [f32; PANEL] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
