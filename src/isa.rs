//! The instruction sets: a small `Copy` value that travels in the plan, never a global.

use crate::layout::TileShape;
use core::fmt;

/// An instruction set that softdot has kernels for.
///
/// All give the same bits; they differ in speed alone. The order is that of
/// `SOFTDOT_MAX_ISA`: scalar < neon < avx2 < avx512.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// One lane, with a true fused multiply-add. On x86-64 this is a library call: slow and right.
    Scalar,
    /// 128-bit vectors of aarch64.
    Neon,
    /// 256-bit vectors of x86-64 with FMA.
    Avx2,
    /// 512-bit vectors of x86-64 (F, BW, CD, DQ, VL).
    Avx512,
    /// 4, 8 or 16 lanes in plain Rust, for testing vector widths that the machine lacks.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    Emulated(EmulatedLanes),
}

/// Widths of [`Isa::Emulated`].
#[cfg(feature = "testing")]
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EmulatedLanes {
    Four,
    Eight,
    Sixteen,
}

impl Isa {
    /// Every instruction set that softdot knows, on any machine.
    pub const ALL: [Isa; 4] = [Isa::Scalar, Isa::Neon, Isa::Avx2, Isa::Avx512];

    #[cfg(feature = "testing")]
    #[doc(hidden)]
    pub const EMULATED: [Isa; 3] = [
        Isa::Emulated(EmulatedLanes::Four),
        Isa::Emulated(EmulatedLanes::Eight),
        Isa::Emulated(EmulatedLanes::Sixteen),
    ];

    /// `scalar`, `neon`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            #[cfg(feature = "testing")]
            Isa::Emulated(EmulatedLanes::Four) => "emulated-4",
            #[cfg(feature = "testing")]
            Isa::Emulated(EmulatedLanes::Eight) => "emulated-8",
            #[cfg(feature = "testing")]
            Isa::Emulated(EmulatedLanes::Sixteen) => "emulated-16",
        }
    }

    /// Whether this CPU (and its operating system) can run it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(feature = "testing")]
            Isa::Emulated(_) => true,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => pulp::aarch64::Neon::is_available(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => pulp::x86::V3::is_available() && has_f16c(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => pulp::x86::V4::is_available() && has_f16c(),
            #[allow(unreachable_patterns, reason = "which arms are left depends on the target")]
            _ => false,
        }
    }

    /// The instruction sets of this machine, narrowest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// The shape of its register tile.
    pub(crate) fn tile(self) -> TileShape {
        match self {
            Isa::Scalar => TileShape::SCALAR,
            Isa::Neon => TileShape::NEON,
            Isa::Avx2 => TileShape::AVX2,
            Isa::Avx512 => TileShape::AVX512,
            #[cfg(feature = "testing")]
            Isa::Emulated(EmulatedLanes::Four | EmulatedLanes::Eight) => TileShape::EMULATED,
            #[cfg(feature = "testing")]
            Isa::Emulated(EmulatedLanes::Sixteen) => TileShape::EMULATED_16,
        }
    }
}

/// Whether the CPU converts f16. The kernels of both x86-64 instruction sets do (AVX-512 runs AVX2's
/// for few rows of f16 keys); every CPU with AVX2 so far can, but a hypervisor may mask it.
#[cfg(target_arch = "x86_64")]
fn has_f16c() -> bool {
    #[cfg(all(feature = "half", feature = "std"))]
    {
        std::is_x86_feature_detected!("f16c")
    }
    #[cfg(not(all(feature = "half", feature = "std")))]
    {
        cfg!(any(not(feature = "half"), target_feature = "f16c"))
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
