//! Which instruction set runs: a small `Copy` value that travels in the plan, never a global.

use crate::error::Error;
use crate::lanes::{Kernel, Lanes};
use core::{fmt, str::FromStr};

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

/// The instruction set that detection chose, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// What will run unless [`Attention::isa`](crate::Attention::isa) says otherwise.
    pub isa: Isa,
    /// The limit that the environment variable `SOFTDOT_MAX_ISA` sets, if it is there.
    pub limit: Option<Isa>,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            None => write!(f, "{}: the widest that this CPU has", self.isa),
            Some(limit) => write!(
                f,
                "{}: the widest that this CPU has and SOFTDOT_MAX_ISA={limit} allows",
                self.isa
            ),
        }
    }
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
            Isa::Avx512 => pulp::x86::V4::is_available(),
            #[allow(unreachable_patterns, reason = "which arms are left depends on the target")]
            _ => false,
        }
    }

    /// The instruction sets of this machine, narrowest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// The widest available instruction set that `SOFTDOT_MAX_ISA` allows, and why.
    ///
    /// The variable holds one of the [names](Isa::name) and is read once per process. It limits
    /// this detection only: an instruction set forced by
    /// [`Attention::isa`](crate::Attention::isa) runs all the same.
    ///
    /// # Errors
    /// [`Error::UnknownIsa`] if the variable holds anything else.
    pub fn detect() -> Result<Selection, Error> {
        #[cfg(feature = "std")]
        {
            static DETECTED: std::sync::OnceLock<Result<Selection, Error>> =
                std::sync::OnceLock::new();
            DETECTED
                .get_or_init(|| {
                    let limit = match std::env::var_os("SOFTDOT_MAX_ISA") {
                        None => None,
                        Some(name) => Some(parse("SOFTDOT_MAX_ISA", &name.to_string_lossy())?),
                    };
                    Ok(select(limit))
                })
                .clone()
        }
        #[cfg(not(feature = "std"))]
        Ok(select(None))
    }

    /// Runs a kernel compiled for this instruction set.
    ///
    /// # Panics
    /// If the CPU lacks it; every [`Plan`](crate::Plan) and primitive has asked before.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        const PROMISE: &str = "availability is checked before a kernel is dispatched";
        match self {
            Isa::Scalar => pulp::Scalar.call(kernel),
            #[cfg(feature = "testing")]
            Isa::Emulated(EmulatedLanes::Four) => pulp::Scalar128b.call(kernel),
            #[cfg(feature = "testing")]
            Isa::Emulated(EmulatedLanes::Eight) => pulp::Scalar256b.call(kernel),
            #[cfg(feature = "testing")]
            Isa::Emulated(EmulatedLanes::Sixteen) => pulp::Scalar512b.call(kernel),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => pulp::aarch64::Neon::try_new().expect(PROMISE).call(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => pulp::x86::V3::try_new().expect(PROMISE).call(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => pulp::x86::V4::try_new().expect(PROMISE).call(kernel),
            #[allow(unreachable_patterns, reason = "which arms are left depends on the target")]
            _ => unreachable!("{PROMISE}"),
        }
    }
}

/// Whether `Lanes::load_transposed_f16` of AVX2 can run: every CPU with AVX2 so far has the
/// instruction.
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

fn select(limit: Option<Isa>) -> Selection {
    let isa = Isa::available().filter(|&isa| limit.is_none_or(|limit| isa <= limit)).last();
    Selection { isa: isa.unwrap_or(Isa::Scalar), limit }
}

fn parse(argument: &'static str, name: &str) -> Result<Isa, Error> {
    Isa::ALL
        .into_iter()
        .find(|isa| isa.name() == name)
        .ok_or_else(|| Error::UnknownIsa { argument, found: name.into() })
}

impl FromStr for Isa {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        parse("isa", name)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
