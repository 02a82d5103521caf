//! What the options do to scores between the tile and the softmax: softcap, bias, ALiBi, mask.
//!
//! ```text
//! per key j of a row:   t = cap · tanh(t)
//!                       t = fma(bias_j, unit, t)
//!                       t = fma(slope, j − position, t)
//!                       t = −∞ if excluded: by position, by the mask, by bias_j = −∞
//! ```
//!
//! `unit` is log2(e) where exponentials follow, else 1; `cap` and `slope` come in these units. The
//! options decide what is excluded, never t itself: whatever stands in excluded keys is gone.

use super::Call;
use super::block::{BlockRows, Row};
use super::pack::PANEL;
use super::strip::Strip;
use super::tanh::tanh;
use super::tile::lanes_within;
use super::widen::Widen;
use crate::element::Elements;
use crate::lanes::{Lanes, LineKernel};
use crate::tensor::Strides;
use crate::workspace::LINE;
use core::ops::Range;

/// Adjusts one segment of a block's rows, and notes the maxima of what is left of them: at least
/// the smallest number if anything is, −∞ if nothing is.
pub(crate) struct Adjust<'a, 's> {
    pub(crate) call: Call<'a>,
    pub(crate) strip: &'a mut Strip<'s>,
    pub(crate) segment: usize,
    pub(crate) keys: Range<usize>,
    pub(crate) rows: &'a BlockRows<'a>,
    /// The running maxima of the rows, a line each.
    pub(crate) maxima: &'a mut [f32],
}

impl LineKernel for Adjust<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes, const REGISTERS: usize>(self, simd: S) {
        let Adjust { call, strip, segment, keys, rows, maxima } = self;
        let mut maxima = maxima.chunks_exact_mut(LINE);
        for tile in rows.tiles(S::TILE.rows) {
            let panels = rows.panels_of(tile.clone(), &keys);
            let within = panels.start - keys.start..panels.end - keys.start;
            for (row, maxima) in tile.zip(&mut maxima) {
                let [scores] = strip.rows(segment, row, within.clone());
                let row = RowAdjustments::new(call, &rows.rows()[row], &panels);
                let running = row.apply::<S, REGISTERS>(simd, panels.start, scores);
                S::as_mut_simd_f32s(maxima).0[0] = running;
            }
        }
    }
}

/// The adjustments of one row.
struct RowAdjustments<'a> {
    unit: f32,
    cap: Option<f32>,
    /// The row's biases and the step between keys.
    bias: Option<(Elements<'a>, usize)>,
    /// The slope, and where the row stands.
    slope: Option<(f32, i128)>,
    mask: Option<(&'a [bool], usize)>,
    attended: Range<usize>,
    all_keys: usize,
}

impl<'a> RowAdjustments<'a> {
    #[inline(always)]
    fn new(call: Call<'a>, row: &Row, panels: &Range<usize>) -> Self {
        let adjustments = &call.inputs.adjustments;
        let index = row.index;
        let start = |strides: &Strides| index.start(strides);
        RowAdjustments {
            unit: adjustments.unit,
            cap: adjustments.cap,
            bias: adjustments
                .bias
                .map(|(data, strides)| (data.from(start(&strides)), strides.column)),
            slope: call
                .inputs
                .slope(index.q_head)
                .map(|slope| (slope, call.inputs.position(index))),
            mask: adjustments
                .mask
                .map(|(data, strides)| (&data[start(&strides)..], strides.column)),
            attended: row.keys_in(panels),
            all_keys: call.plan.keys,
        }
    }

    /// Adjusts the scores of keys `first_key..`, whole panels, and returns their running maximum.
    #[inline(always)]
    fn apply<S: Lanes, const REGISTERS: usize>(
        &self,
        simd: S,
        first_key: usize,
        scores: &mut [f32],
    ) -> S::f32s {
        let excluded = simd.splat_f32s(f32::NEG_INFINITY);
        let mut running = excluded;
        for (panel, scores) in scores.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
            let key = first_key + panel * PANEL;
            // Keys behind the last one are excluded by position.
            let keys = PANEL.min(self.all_keys - key);
            let mut biases = [0.0; PANEL];
            if let Some((bias, step)) = self.bias {
                read_bias(bias, key, step, &mut biases[..keys]);
            }
            let mut attend = [1u32; PANEL];
            if let Some((mask, step)) = self.mask {
                read(&mask[key * step..], step, &mut attend[..keys], u32::from);
            }
            let attended = self.attended.start.clamp(key, key + PANEL) - key
                ..self.attended.end.clamp(key, key + PANEL) - key;
            let (scores, _) = S::as_mut_simd_f32s(scores);
            for (register, score) in scores.iter_mut().enumerate() {
                let lane = register * S::F32_LANES;
                let mut kept = lanes_within(simd, lane, &attended);
                let mut t = *score;
                if let Some(cap) = self.cap {
                    t = simd.mul_f32s(simd.splat_f32s(cap), tanh(simd, t));
                }
                if self.bias.is_some() {
                    let bias = S::as_simd_f32s(&biases[lane..]).0[0];
                    let excludes = simd.less_than_or_equal_f32s(bias, excluded);
                    kept = simd.and_m32s(kept, simd.not_m32s(excludes));
                    t = simd.mul_add_f32s(bias, simd.splat_f32s(self.unit), t);
                }
                if let Some((slope, position)) = self.slope {
                    let distance = simd.splat_f32s((key as i128 - position) as f32);
                    let distance = simd.add_f32s(distance, S::as_simd_f32s(&STEPS[lane..]).0[0]);
                    t = simd.mul_add_f32s(simd.splat_f32s(slope), distance, t);
                }
                if self.mask.is_some() {
                    let attend = S::as_simd_u32s(&attend[lane..]).0[0];
                    kept = simd.and_m32s(kept, simd.less_than_u32s(simd.splat_u32s(0), attend));
                }
                *score = simd.select_f32s(kept, t, excluded);
                // Something is left even if it is −∞.
                let some = simd.max_f32s(t, simd.splat_f32s(f32::MIN));
                running = simd.max_f32s(simd.select_f32s(kept, some, excluded), running);
            }
        }
        running
    }
}

/// The numbers of a panel's keys.
const STEPS: [f32; PANEL] = {
    let mut steps = [0.0; PANEL];
    let mut step = 0;
    while step < PANEL {
        steps[step] = step as f32;
        step += 1;
    }
    steps
};

/// The biases of some keys from `key` on.
#[inline(always)]
fn read_bias(bias: Elements<'_>, key: usize, step: usize, values: &mut [f32]) {
    match bias {
        Elements::F32(bias) => read(&bias[key * step..], step, values, Widen::widen),
        #[cfg(feature = "half")]
        Elements::F16(bias) => read(&bias[key * step..], step, values, Widen::widen),
        #[cfg(feature = "half")]
        Elements::Bf16(bias) => read(&bias[key * step..], step, values, Widen::widen),
    }
}

/// Elements `step` apart. What is dense or all the same is read as such.
#[inline(always)]
fn read<T: Copy, V>(elements: &[T], step: usize, values: &mut [V], convert: impl Fn(T) -> V) {
    match step {
        0 => values.iter_mut().for_each(|value| *value = convert(elements[0])),
        1 => {
            values.iter_mut().zip(elements).for_each(|(value, &element)| *value = convert(element))
        }
        _ => {
            for (value, &element) in values.iter_mut().zip(elements.iter().step_by(step)) {
                *value = convert(element);
            }
        }
    }
}
