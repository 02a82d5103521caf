//! The peak: fused multiply-adds on registers alone.

use pulp::{Simd, WithSimd};
use std::hint::black_box;

/// Rounds of all chains: a millisecond or more.
const ROUNDS: usize = 300_000;

/// Independent chains of multiply-adds, as many as registers allow. A chain waits for its last
/// result, so latency × multiply-adds per cycle of them are needed: 8 to 16 on today's CPUs.
pub struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    /// Floating-point operations.
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        match S::REGISTER_COUNT {
            32.. => run::<S, 24>(simd),
            _ => run::<S, 12>(simd),
        }
    }
}

#[inline(always)]
fn run<S: Simd, const CHAINS: usize>(simd: S) -> usize {
    // x ← x/2 + 1/2 goes to 1: neither overflow nor subnormals slow it down. That the compiler
    // does not know the starts keeps the chains apart.
    let half = simd.splat_f32s(black_box(0.5));
    let mut chains: [S::f32s; CHAINS] =
        std::array::from_fn(|chain| simd.splat_f32s(black_box(chain as f32)));
    for _ in 0..ROUNDS {
        for chain in &mut chains {
            *chain = simd.mul_add_f32s(*chain, half, half);
        }
    }
    for chain in chains {
        black_box(simd.reduce_max_f32s(chain));
    }
    2 * ROUNDS * CHAINS * S::F32_LANES
}
