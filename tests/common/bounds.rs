//! How far softdot may be from the definition in f64, derived from its order of operations.
//!
//! u = 2⁻²⁴ is the unit roundoff and γ_n = n·u / (1 − n·u) bounds the relative error of n
//! roundings in a row (Higham, *Accuracy and Stability of Numerical Algorithms*, lemma 3.1).
//!
//! **Scores.** s = scale · Σ q_i·k_i. Each term q_i·k_i passes: the rounding of `scale · log2(e)`
//! to f32 (weights only), of `q_i · factor`, and of the FMAs of its chain, at most head_dim:
//! head_dim + 2 of them. One more covers the rounding of log2(e) itself. So
//!
//! ```text
//! |ŝ − s| ≤ γ_{head_dim + 3} · |scale| · Σ |q_i·k_i|  +  (head_dim + Σ |k_i|) · 2⁻¹⁴⁹
//! ```
//!
//! where the second part is for roundings to subnormal numbers, which lose at most 2⁻¹⁵⁰ each:
//! in the products `q_i · factor`, multiplied afterwards by k_i, and in the chain.
//!
//! **Weights.** Let δ_j be the errors of the scores and Δ the largest |δ_j| of a row. The exact
//! softmax of the wrong scores is off by the factor exp(δ_j) · Σ exp(s_i) / Σ exp(s_i + δ_i),
//! between exp(−2Δ) and exp(2Δ). The softmax then computes w_j = e_j · (c_s · (1 / l)):
//!
//! - t_j − m_s and m_s − m (log2 units) are rounded: u·|t_j − m_s| + u·|m_s − m| = u·|t_j − m|
//!   in all, which changes e_j·c_s by the factor exp(±ln 2 · u · |t_j − m|), that is
//!   exp(±x_j) with x_j = u · |s_j − max s|;
//! - two exp2, each within 1 ULP ≤ 2u of its value: four roundings' worth;
//! - l: each term has these two errors (so l has the average of x under the weights), then at
//!   most 64 additions in its virtual lane, 4 in the tree, one FMA per segment;
//! - the reciprocal and the two products: three roundings.
//!
//! Since 1 + x ≤ exp(x),
//!
//! ```text
//! |ŵ_j − w_j| ≤ w_j · (exp(2Δ + γ_n + x_j + Σ w_i·x_i) − 1) + 4 · 2⁻¹²⁶
//! n = 4 + (4 + 64 + 4 + segments) + 3
//! ```
//!
//! with x_j widened by u · 2Δ, because it is taken from the f64 scores.
//!
//! The last term is for what vanishes below 2⁻¹²⁶: e_j or c_s set to 0 (their product is off by
//! at most 2⁻¹²⁶, twice), a subnormal factor or weight (2⁻¹⁵⁰ each). l ≥ 1 − γ, so the division
//! does not enlarge it, and what vanishes from l itself, keys · 2⁻¹²⁶, is far below u.

use softdot::reference;

const U: f64 = 1.0 / (1u64 << 24) as f64;

/// What one softmax may lose to underflow.
const VANISHED: f64 = 4.0 * f32::MIN_POSITIVE as f64;

const SEGMENT: usize = 1024;

pub fn gamma(roundings: usize) -> f64 {
    let error = roundings as f64 * U;
    error / (1.0 - error)
}

/// The f64 definition of one head's scores and how far f32 scores may be from it.
pub struct Scores {
    pub exact: Vec<f64>,
    pub error: Vec<f64>,
}

impl Scores {
    pub fn new(query: &[f32], key: &[f32], head_dim: usize, scale: f32) -> Self {
        let absolute = |data: &[f32]| data.iter().map(|x| x.abs()).collect::<Vec<f32>>();
        let scale = f64::from(scale);
        let magnitudes = reference::scores(&absolute(query), &absolute(key), head_dim, scale.abs());
        let key_sums: Vec<f64> = (key.chunks_exact(head_dim))
            .map(|key| key.iter().map(|&k| f64::from(k.abs())).sum())
            .collect();
        let subnormal = 2f64.powi(-149);
        let error = (magnitudes.into_iter().zip(key_sums.iter().cycle()))
            .map(|(magnitude, key_sum)| {
                gamma(head_dim + 3) * magnitude + (head_dim as f64 + key_sum) * subnormal
            })
            .collect();
        Scores { exact: reference::scores(query, key, head_dim, scale), error }
    }
}

/// The f64 weights of one row and how far f32 weights may be from them.
pub struct Weights {
    pub exact: Vec<f64>,
    pub error: Vec<f64>,
}

impl Weights {
    pub fn new(scores: &[f64], score_errors: &[f64]) -> Self {
        let exact = reference::softmax(scores);
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let worst = score_errors.iter().copied().fold(0.0, f64::max);
        let shifts: Vec<f64> = scores.iter().map(|score| U * (max - score + 2.0 * worst)).collect();
        let average: f64 = exact.iter().zip(&shifts).map(|(weight, shift)| weight * shift).sum();
        let roundings = 4 + (4 + 64 + 4 + scores.len().div_ceil(SEGMENT)) + 3;
        let shared = 2.0 * worst + gamma(roundings) + average;
        let error = (exact.iter().zip(shifts))
            .map(|(weight, shift)| weight * (shared + shift).exp_m1() + VANISHED)
            .collect();
        Weights { exact, error }
    }
}

/// Fails at the first element that is further away than it may be.
#[track_caller]
pub fn assert_within(exact: &[f64], error: &[f64], found: &[f32], what: impl core::fmt::Display) {
    assert_eq!(exact.len(), found.len(), "{what}: lengths");
    for (i, ((&exact, &error), &found)) in exact.iter().zip(error).zip(found).enumerate() {
        let distance = (f64::from(found) - exact).abs();
        assert!(
            distance <= error,
            "{what}: element {i}: expected {exact:e} ± {error:e}, found {found:e}, off by \
             {distance:e}"
        );
    }
}

/// Fails unless every row sums to 1 within 2ε√n.
#[track_caller]
pub fn assert_rows_sum_to_one(weights: &[f32], keys: usize, what: impl core::fmt::Display) {
    let tolerance = 2.0 * f64::from(f32::EPSILON) * (keys as f64).sqrt();
    for (row, weights) in weights.chunks(keys.max(1)).enumerate() {
        let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        assert!((sum - 1.0).abs() <= tolerance, "{what}: row {row} sums to {sum}, keys {keys}");
    }
}
