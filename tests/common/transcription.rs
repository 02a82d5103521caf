//! The numerics contract in plain Rust, one operation after another: what every instruction set
//! has to give, bit for bit. It shares no code with the kernels; it follows their documents (the
//! heads of `src/kernel/tile.rs`, `softmax.rs`, `exp.rs` and `dot.rs`).

use super::{Extents, Problem, default_scale};
use core::f64::consts::LOG2_E;
use softdot::Stage;

const SEGMENT: usize = 1024;
const VIRTUAL_LANES: usize = 16;

/// `exp2` on x ≤ 0, as `src/kernel/exp.rs` documents it, without the tricks on the bits: the
/// exponent is added by a multiplication with a power of two, exact while the result is normal.
pub fn exp2(x: f32) -> f32 {
    const COEFFICIENTS: [u32; 6] =
        [0x3f31_7218, 0x3e75_fdec, 0x3d63_57bc, 0x3c1d_9858, 0x3aaf_8533, 0x391f_c836];
    if x.is_nan() {
        return f32::NAN;
    }
    if x < -126.0 {
        return 0.0;
    }
    let n = x.round_ties_even();
    let f = x - n;
    let mut p = f32::from_bits(COEFFICIENTS[5]);
    for coefficient in COEFFICIENTS[..5].iter().rev() {
        p = p.mul_add(f, f32::from_bits(*coefficient));
    }
    p.mul_add(f, 1.0) * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// The dot product's documented order: 64 lanes, then halves.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 64];
    for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
        lanes[i % 64] = a.mul_add(b, lanes[i % 64]);
    }
    add_halves(&mut lanes)
}

/// Adds lanes l and l + half, for halves down to 1.
fn add_halves(lanes: &mut [f32]) -> f32 {
    let mut half = lanes.len() / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The largest, by compare-and-select. A NaN is skipped: its row becomes NaN through the sum.
fn max(values: &[f32]) -> f32 {
    values.iter().fold(f32::NEG_INFINITY, |max, &value| if value > max { value } else { max })
}

/// The softmax of a row of scores in log2 units.
fn softmax_log2(scores: &[f32]) -> Vec<f32> {
    let mut weights = Vec::with_capacity(scores.len());
    let mut statistics = Vec::new();
    for segment in scores.chunks(SEGMENT) {
        let max = max(segment);
        let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
        let mut lanes = [0.0f32; VIRTUAL_LANES];
        for (key, score) in segment.iter().enumerate() {
            let exponential = exp2(score - shift);
            lanes[key % VIRTUAL_LANES] += exponential;
            weights.push(exponential);
        }
        statistics.push((max, add_halves(&mut lanes)));
    }
    let row_max = max(&statistics.iter().map(|&(max, _)| max).collect::<Vec<f32>>());
    let corrections: Vec<f32> = statistics.iter().map(|&(max, _)| exp2(max - row_max)).collect();
    let sum = (statistics.iter().zip(&corrections))
        .fold(0.0f32, |sum, (&(_, segment_sum), &correction)| segment_sum.mul_add(correction, sum));
    let inverse = 1.0 / sum;
    for (segment, correction) in weights.chunks_mut(SEGMENT).zip(corrections) {
        let factor = correction * inverse;
        segment.iter_mut().for_each(|weight| *weight *= factor);
    }
    weights
}

/// `scale · log2(e)`, rounded once and kept finite.
fn log2_units(scale: f32) -> f32 {
    ((f64::from(scale) * LOG2_E) as f32).clamp(f32::MIN, f32::MAX)
}

/// `softmax(scale · row)`.
pub fn scaled_softmax(row: &[f32], scale: f32) -> Vec<f32> {
    let factor = log2_units(scale);
    softmax_log2(&row.iter().map(|element| element * factor).collect::<Vec<f32>>())
}

/// The scores of one query row: one FMA chain per key, ascending, from +0.
fn score_row(query: &[f32], key: &[f32], extents: &Extents, factor: f32) -> Vec<f32> {
    let head_dim = extents.head_dim;
    let query: Vec<f32> = query.iter().map(|element| element * factor).collect();
    (0..extents.keys)
        .map(|j| {
            let key = &key[j * head_dim..][..head_dim];
            query.iter().zip(key).fold(0.0f32, |sum, (q, k)| q.mul_add(*k, sum))
        })
        .collect()
}

/// Scores or weights of a whole problem; without a scale the default one.
pub fn attention(problem: &Problem, stage: Stage, scale: Option<f32>) -> Vec<f32> {
    let extents = &problem.extents;
    let scale = scale.unwrap_or_else(|| default_scale(extents.head_dim));
    let mut output = Vec::new();
    for head in problem.heads() {
        for row in 0..extents.rows {
            let query = &head.query[row * extents.head_dim..][..extents.head_dim];
            output.extend(match stage {
                Stage::Scores => score_row(query, head.key, extents, scale),
                Stage::Weights => {
                    softmax_log2(&score_row(query, head.key, extents, log2_units(scale)))
                }
                _ => unreachable!("a stage without a transcription"),
            });
        }
    }
    output
}
