//! Detection of the instruction set, and running kernels on one.

use crate::error::Error;
#[cfg(feature = "testing")]
use crate::isa::EmulatedLanes;
use crate::isa::Isa;
use crate::simd::{Kernel, SimdExt};
use core::{fmt, str::FromStr};

/// The instruction set that detection chose, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetectedIsa {
    /// What will run unless [`Attention::isa`](crate::Attention::isa) says otherwise.
    pub isa: Isa,
    /// The limit that the environment variable `SOFTDOT_MAX_ISA` sets, if it is there.
    pub limit: Option<Isa>,
}

impl fmt::Display for DetectedIsa {
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
    /// The widest available instruction set that `SOFTDOT_MAX_ISA` allows, and why.
    ///
    /// The CPU's features decide what is available; the variable, read once per process, holds one
    /// of the [names](Isa::name) in upper or lower case and is an upper limit to the choice. Empty is
    /// as good as unset. An instruction set forced by [`Attention::isa`](crate::Attention::isa) is not
    /// limited.
    ///
    /// # Errors
    /// [`Error::UnknownIsa`] if the variable holds anything else.
    pub fn detect() -> Result<DetectedIsa, Error> {
        #[cfg(feature = "std")]
        {
            static DETECTED: std::sync::OnceLock<Result<DetectedIsa, Error>> =
                std::sync::OnceLock::new();
            DETECTED
                .get_or_init(|| {
                    let name = std::env::var_os("SOFTDOT_MAX_ISA").unwrap_or_default();
                    let limit = match name.is_empty() {
                        true => None,
                        false => Some(parse("SOFTDOT_MAX_ISA", &name.to_string_lossy())?),
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
            Isa::Scalar => pulp::Scalar.run_outlined(kernel),
            #[cfg(feature = "testing")]
            Isa::Emulated(EmulatedLanes::Four) => pulp::Scalar128b.run_outlined(kernel),
            #[cfg(feature = "testing")]
            Isa::Emulated(EmulatedLanes::Eight) => pulp::Scalar256b.run_outlined(kernel),
            #[cfg(feature = "testing")]
            Isa::Emulated(EmulatedLanes::Sixteen) => pulp::Scalar512b.run_outlined(kernel),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => pulp::aarch64::Neon::try_new().expect(PROMISE).run_outlined(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => pulp::x86::V3::try_new().expect(PROMISE).run_outlined(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => pulp::x86::V4::try_new().expect(PROMISE).run_outlined(kernel),
            #[allow(unreachable_patterns, reason = "which arms are left depends on the target")]
            _ => unreachable!("{PROMISE}"),
        }
    }
}

fn select(limit: Option<Isa>) -> DetectedIsa {
    let isa = Isa::available().filter(|&isa| limit.is_none_or(|limit| isa <= limit)).last();
    DetectedIsa { isa: isa.unwrap_or(Isa::Scalar), limit }
}

fn parse(argument: &'static str, name: &str) -> Result<Isa, Error> {
    Isa::ALL
        .into_iter()
        .find(|isa| isa.name().eq_ignore_ascii_case(name))
        .ok_or_else(|| Error::UnknownIsa { argument, found: name.into() })
}

/// The instruction set asked for, or the one that detection chooses.
pub(crate) fn choose(asked: Option<Isa>) -> Result<Isa, Error> {
    match asked {
        None => Ok(Isa::detect()?.isa),
        Some(isa) if isa.is_available() => Ok(isa),
        Some(isa) => Err(Error::IsaUnavailable { isa }),
    }
}

impl FromStr for Isa {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        parse("isa", name)
    }
}
