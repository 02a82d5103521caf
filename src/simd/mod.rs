//! The SIMD room: pulp's vectors, the instructions that pulp lacks, one implementation for each
//! instruction set. With `isa.rs` the only place that knows the target architecture.

mod copy;
mod ext;
#[cfg(feature = "half")]
mod f16;
mod portable;
mod store_queue;
mod widen;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(feature = "half")]
pub(crate) use ext::Halves;
pub(crate) use ext::{Kernel, SimdExt};
pub(crate) use store_queue::{Staging, StoreQueue};
pub(crate) use widen::Widen;
