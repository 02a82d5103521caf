//! The definition in f64, as it reads on paper: for tests, fuzzing and benchmarks.
//!
//! Slow, simple and independent of the kernels. Inputs are dense and row-major.

use alloc::vec::Vec;

/// `scale · q·k` for every query row and key of one head.
pub fn scores(query: &[f32], key: &[f32], head_dim: usize, scale: f64) -> Vec<f64> {
    let mut scores = Vec::new();
    for query in query.chunks_exact(head_dim) {
        for key in key.chunks_exact(head_dim) {
            let products = query.iter().zip(key).map(|(&q, &k)| f64::from(q) * f64::from(k));
            scores.push(scale * products.sum::<f64>());
        }
    }
    scores
}

/// `exp(s_j) / Σ exp(s_j)`, shifted by the largest score.
pub fn softmax(scores: &[f64]) -> Vec<f64> {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|exponential| exponential / sum).collect()
}

/// `softmax(scale · Q Kᵀ)` of one head: `query` `[query_rows, head_dim]`, `key`
/// `[keys, head_dim]`, result `[query_rows, keys]`.
pub fn weights(query: &[f32], key: &[f32], head_dim: usize, scale: f64) -> Vec<f64> {
    let keys = key.len() / head_dim;
    scores(query, key, head_dim, scale).chunks(keys.max(1)).flat_map(softmax).collect()
}
