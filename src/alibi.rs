//! Attention with linear biases.

use alloc::vec::Vec;

/// The standard slopes of ALiBi for any number of heads (Press, Smith and Lewis, *Train Short,
/// Test Long*, 2022): for 2ᵏ heads the powers 2^(−8·i/2ᵏ), i = 1 …; for other counts those of the
/// power of two below, then every other one of twice as many (the paper's rule).
///
/// ```
/// assert_eq!(softdot::alibi_slopes(4), [0.25, 0.0625, 0.015625, 0.00390625]);
/// ```
pub fn alibi_slopes(heads: usize) -> Vec<f32> {
    let below = if heads == 0 { 0 } else { 1 << heads.ilog2() };
    let slopes = |count: usize, step: usize| {
        (1..=count).step_by(step).map(move |i| power_of_two(-8.0 * i as f64 / count as f64))
    };
    slopes(below, 1).chain(slopes(2 * below, 2).take(heads - below)).collect()
}

/// 2ˣ for −8 ≤ x ≤ 0, without the standard library: square roots of 2 for the bits of the fraction.
fn power_of_two(x: f64) -> f32 {
    let mut power = 1.0;
    let (mut root, mut left) = (0.5, -x);
    while left >= 1.0 {
        power *= 0.5;
        left -= 1.0;
    }
    // The fraction is a multiple of 8/heads, so it ends after at most 64 bits.
    for _ in 0..64 {
        root = pulp::Simd::sqrt_f64s(pulp::Scalar, root);
        left *= 2.0;
        if left >= 1.0 {
            power *= root;
            left -= 1.0;
        }
    }
    power as f32
}
