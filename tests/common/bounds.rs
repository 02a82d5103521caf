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
//! n = 4 + (4 + 64 + 4 + segments) + 3        (and 1 if there is a sink)
//! ```
//!
//! with x_j widened by u · 2Δ, because it is taken from the f64 scores.
//!
//! The last term is for what vanishes below 2⁻¹²⁶: e_j or c_s set to 0 (their product is off by
//! at most 2⁻¹²⁶, twice), a subnormal factor or weight (2⁻¹⁵⁰ each). l ≥ 1 − γ, so the division
//! does not enlarge it, and what vanishes from l itself, keys · 2⁻¹²⁶, is far below u.

//!
//! **Options.** In units of a logit, with y the exact value and E its bound so far:
//!
//! ```text
//! softcap c   u = s/c is a score with the scale/c, so its bound Δ is that of the scores. tanh has
//!             a slope of at most 1, and its own error is at most TANH_ULPS ≤ 2·TANH_ULPS·u of its
//!             value; c in log2 units and the product are three roundings more:
//!                 E = c·Δ·(1 + γ) + γ·|c·tanh(s/c)|,    γ = γ_{2·TANH_ULPS + 3}
//! bias b      log2(e), its product with b in the FMA, which rounds once:
//!                 E' = E + γ_2·|b|,  then  E' + u·(|y + b| + E')
//! ALiBi       the slope in log2 units is two roundings. The distance a is exact up to 2²⁴, beyond
//!             it two roundings of numbers below |a| + 16; then the FMA as above:
//!                 E' = E + γ_4·|slope|·(|a| + 16)
//! sink        two roundings in log2 units, and it is one more term of the normaliser: one addition
//! ```
//!
//! and each of these may lose 2⁻¹⁴⁹ more by rounding to a subnormal number; a factor scale/c may
//! itself be subnormal, which costs Σ |q_i·k_i| · 2⁻¹⁵⁰ in u.

use super::Problem;
use super::call::Stage;
use super::options::Options;
use softdot::{Logits, reference};

/// How far the kernels' tanh is from tanh at most, rounded up (`tests/tanh.rs`).
const TANH_ULPS: usize = 2;

/// Half the distance between the smallest numbers.
const SUBNORMAL: f64 = 7.006492321624085e-46;

const U: f64 = 1.0 / (1u64 << 24) as f64;

/// What one softmax may lose to underflow.
const VANISHED: f64 = 4.0 * f32::MIN_POSITIVE as f64;

const SEGMENT: usize = 1024;

/// The definition of a problem with options, with the memory that it borrows.
pub struct Definition<'a> {
    problem: &'a Problem,
    options: &'a Options,
    bias: Option<Vec<f32>>,
    mask: Option<Vec<bool>>,
}

impl<'a> Definition<'a> {
    pub fn new(problem: &'a Problem, options: &'a Options) -> Self {
        let shape = problem.extents.output_shape();
        let bias = options.bias.as_ref().map(|bias| bias.dense(shape));
        let mask = options.mask.as_ref().map(|mask| mask.dense(shape));
        Definition { problem, options, bias, mask }
    }

    pub fn reference(&self) -> reference::Problem<'_> {
        let Definition { problem, options, .. } = self;
        let super::Extents { batch, q_heads, kv_heads, rows, keys, head_dim } = problem.extents;
        let scale = options.scale.unwrap_or_else(|| super::default_scale(head_dim));
        reference::Problem {
            batch,
            q_heads,
            kv_heads,
            query_rows: rows,
            keys,
            head_dim,
            query: &problem.query,
            key: &problem.key,
            scale: f64::from(scale),
            softcap: options.softcap.map(f64::from),
            bias: self.bias.as_deref(),
            alibi_slopes: options.alibi_slopes.as_deref(),
            mask: self.mask.as_deref(),
            causal: options.causal,
            window: options.window,
            key_lengths: options.key_lengths.as_deref(),
            sinks: options.sinks.as_deref(),
        }
    }

    /// The exact result of a stage and how far that of softdot may be from it.
    pub fn bounds(&self, stage: Stage) -> (Vec<f64>, Vec<f64>) {
        let exact = self.reference();
        let magnitudes = self.magnitudes();
        let mut error = Vec::new();
        for batch in 0..exact.batch {
            for head in 0..exact.q_heads {
                for row in 0..exact.query_rows {
                    let row = [batch, head, row];
                    let logits: Vec<(f64, f64)> = (0..exact.keys)
                        .map(|key| magnitudes.logit(&exact, stage, row, key))
                        .collect();
                    match stage {
                        Stage::Weights => error.extend(weights_error(&exact, row, &logits)),
                        _ => error.extend(logits.into_iter().map(|(_, error)| error)),
                    }
                }
            }
        }
        let result = match stage {
            Stage::Scores => exact.logits(Logits::Scores),
            Stage::Capped => exact.logits(Logits::Capped),
            Stage::Biased => exact.logits(Logits::Biased),
            Stage::Weights => exact.all_weights(),
        };
        (result, error)
    }

    /// Σ |q_i·k_i| and Σ |k_i|, in which the errors of sums are measured.
    fn magnitudes(&self) -> Magnitudes {
        let absolute = |data: &[f32]| data.iter().map(|x| x.abs()).collect::<Vec<f32>>();
        let Problem { extents, query, key } = self.problem;
        let (query, key) = (absolute(query), absolute(key));
        let ones = vec![1.0; query.len()];
        Magnitudes {
            products: Problem { extents: *extents, query, key: key.clone() },
            keys: Problem { extents: *extents, query: ones, key },
        }
    }
}

/// Problems whose scores, under the scale 1, are the magnitudes of another's.
struct Magnitudes {
    products: Problem,
    keys: Problem,
}

impl Magnitudes {
    /// A logit before the softmax, the exact one and its bound; 0 where softdot's is exact.
    fn logit(
        &self,
        exact: &reference::Problem<'_>,
        stage: Stage,
        row: [usize; 3],
        key: usize,
    ) -> (f64, f64) {
        let of = |problem: &Problem| {
            let (query, key_data) = (&problem.query, &problem.key);
            reference::Problem { query, key: key_data, scale: 1.0, ..exact.clone() }.score(row, key)
        };
        let past_capped = matches!(stage, Stage::Biased | Stage::Weights);
        if key >= exact.keys_of(row[0]) || past_capped && !exact.attends(row, key) {
            return (f64::NEG_INFINITY, 0.0);
        }
        let (products, keys) = (of(&self.products), of(&self.keys));
        let score_error = |scale: f64| {
            gamma(exact.head_dim + 3) * scale.abs() * products
                + (exact.head_dim as f64 + keys + products) * 2.0 * SUBNORMAL
        };
        let (mut logit, mut error) = (exact.score(row, key), score_error(exact.scale));
        if let Some(cap) = exact.softcap.filter(|_| stage != Stage::Scores) {
            let rounded = gamma(2 * TANH_ULPS + 3);
            logit = exact.capped(row, key);
            error = cap * score_error(exact.scale / cap) * (1.0 + rounded) + rounded * logit.abs();
            error += 2.0 * SUBNORMAL;
        }
        if !past_capped {
            return (logit, error);
        }
        let mut add = |term: f64, term_error: f64| {
            logit += term;
            error += term_error;
            error += U * (logit.abs() + error) + 2.0 * SUBNORMAL;
        };
        if let Some(bias) = exact.bias {
            let [_, heads, rows, keys] = self.products.extents.output_shape();
            let bias = f64::from(bias[((row[0] * heads + row[1]) * rows + row[2]) * keys + key]);
            add(bias, gamma(2) * bias.abs());
        }
        if let Some(slopes) = exact.alibi_slopes {
            let slope = f64::from(slopes[row[1]]);
            let distance = (key as i128 - exact.position(row)) as f64;
            add(slope * distance, gamma(4) * slope.abs() * (distance.abs() + 16.0));
        }
        (logit, error)
    }
}

/// How far the weights of a row may be from the exact ones, whose logits have these errors.
fn weights_error(
    exact: &reference::Problem<'_>,
    row: [usize; 3],
    logits: &[(f64, f64)],
) -> Vec<f64> {
    let sink = exact.sinks.map_or(f64::NEG_INFINITY, |sinks| f64::from(sinks[row[1]]));
    let attended = logits.iter().copied().filter(|(logit, _)| logit.is_finite());
    let with_sink =
        attended.chain((sink > f64::NEG_INFINITY).then(|| (sink, gamma(2) * sink.abs())));
    let (logits_and_sink, errors): (Vec<f64>, Vec<f64>) = with_sink.unzip();
    let terms = logits.len().div_ceil(SEGMENT) + 1;
    let mut of_attended = Weights::of_terms(&logits_and_sink, &errors, terms).error.into_iter();
    let error = |&(logit, _): &(f64, f64)| {
        if logit.is_finite() { of_attended.next().expect("one for each") } else { 0.0 }
    };
    logits.iter().map(error).collect()
}

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
        Self::of_terms(scores, score_errors, scores.len().div_ceil(SEGMENT))
    }

    /// `terms` are added to the normaliser: one for each segment, one for the sink.
    fn of_terms(scores: &[f64], score_errors: &[f64], terms: usize) -> Self {
        let exact = reference::softmax(scores);
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let worst = score_errors.iter().copied().fold(0.0, f64::max);
        let shifts: Vec<f64> = scores.iter().map(|score| U * (max - score + 2.0 * worst)).collect();
        let average: f64 = exact.iter().zip(&shifts).map(|(weight, shift)| weight * shift).sum();
        let roundings = 4 + (4 + 64 + 4 + terms) + 3;
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
