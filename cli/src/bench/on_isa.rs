//! Runs a measuring loop compiled for an instruction set.

use pulp::{Simd, WithSimd};
use softdot::Isa;

/// # Panics
/// If the CPU lacks the instruction set.
pub fn run<Loop: WithSimd>(isa: Isa, measured: Loop) -> Loop::Output {
    const PROMISE: &str = "availability is checked before anything is measured";
    match isa {
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => Simd::vectorize(pulp::aarch64::Neon::try_new().expect(PROMISE), measured),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Simd::vectorize(pulp::x86::V3::try_new().expect(PROMISE), measured),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => Simd::vectorize(pulp::x86::V4::try_new().expect(PROMISE), measured),
        Isa::Scalar => Simd::vectorize(pulp::Scalar, measured),
        _ => unreachable!("{PROMISE}"),
    }
}
