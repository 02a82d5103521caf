//! Numbers to compute with, the same in every run, and how far answers are from the definition.

/// Numbers between `-limit` and `limit` without a pattern: the upper bits of a linear
/// congruential generator (Knuth's MMIX constants).
pub fn numbers(count: usize, limit: f32, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * limit
    };
    (0..count).map(|_| next()).collect()
}

/// The first, the middle and the last of some indices.
pub fn sample(count: usize) -> Vec<usize> {
    let mut indices = vec![0, count / 2, count - 1];
    indices.dedup();
    indices
}

/// The largest difference from the expected row, relative to that row's largest magnitude.
pub fn relative_error(row: &[f32], expected: &[f64]) -> f64 {
    let magnitude = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let differences = row.iter().zip(expected).map(|(&found, value)| f64::from(found) - value);
    largest(differences) / magnitude
}

/// The largest magnitude; NaN counts as the largest of all.
pub fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.map(f64::abs).max_by(f64::total_cmp).unwrap_or(0.0)
}
