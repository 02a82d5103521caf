//! Attention scores on CPUs: `softmax(scale · Q Kᵀ)`, which words a transformer focuses on.
//!
//! ```text
//! scores[b, h, i, j]  = scale · Σ_d query[b, h, i, d] · key[b, h / group, j, d]
//! weights[b, h, i, j] = exp(scores[b, h, i, j]) / Σ_j exp(scores[b, h, i, j])
//! ```
//!
//! (Vaswani et al., *Attention Is All You Need*, 2017, equation 1.) Hand-vectorised for AVX-512,
//! AVX2 and NEON, chosen at run time, parallel over query rows, and **the same bits on every one
//! of them**, for any number of threads, any strides and any split of the rows into calls.
//!
//! ```
//! # let (query, key) = ([0.1f32; 8], [0.2f32; 12]);
//! // One head, 2 queries and 3 keys of 4 dimensions.
//! let weights = softdot::attention_weights(&query, &key, 4)?;
//! assert_eq!(weights.len(), 2 * 3);
//! # Ok::<(), softdot::Error>(())
//! ```
//!
//! Softcap, bias, ALiBi, masks, causal attention, windows, lengths and sinks are options, and compose.
//!
//! [`Attention`] holds the options and takes views with any strides ([`TensorRef`]), grouped
//! heads, and your own memory ([`Attention::compute_into`]). [`dot`] and [`scaled_softmax`] are
//! the two primitives by themselves. [`mod@reference`] is the plain definition in f64.
//!
//! # Features
//! - `std` (default): run-time detection of `SOFTDOT_MAX_ISA` and of the cache sizes. Without it
//!   the crate needs `alloc` only.
//! - `rayon` (default): threads of the current pool.
//! - `ndarray`: `TensorRef` and `TensorMut` from its views, in place.
//! - `half`: queries, keys, biases and results in `half::f16` and `half::bf16`.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod alibi;
mod attention;
mod caches;
mod driver;
mod element;
mod error;
mod isa;
mod kernel;
mod lanes;
#[cfg(feature = "ndarray")]
mod ndarray;
mod packed_keys;
mod plan;
mod positions;
mod primitives;
mod problem;
#[cfg(feature = "std")]
pub mod reference;
mod shared;
mod tensor;
mod workspace;

pub use alibi::alibi_slopes;
pub use attention::{Attention, Keys, Stage, Threads, attention_weights};
pub use caches::Caches;
pub use element::{Element, Elements, ElementsMut};
pub use error::Error;
pub use isa::{Isa, Selection};
pub use packed_keys::PackedKeys;
pub use plan::Plan;
pub use positions::Causal;
pub use primitives::{
    dot, dot_on, scaled_softmax, scaled_softmax_in_place, scaled_softmax_in_place_on,
    scaled_softmax_on,
};
pub use tensor::{Shape, Tensor, TensorMut, TensorRef, View, ViewMut};
pub use workspace::Workspace;

/// What the project's own tests reach into; not part of the interface.
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing {
    pub use crate::isa::EmulatedLanes;
    use crate::isa::Isa;
    use crate::kernel::{exp, tanh};
    use crate::lanes::{Kernel, Lanes};
    use core::marker::PhantomData;

    /// The kernels' `exp2`, in place, on a multiple of 16 arguments.
    pub fn exp2(isa: Isa, arguments: &mut [f32]) {
        struct Exp2;
        impl Function for Exp2 {
            #[inline(always)]
            fn of<S: Lanes>(simd: S, x: S::f32s) -> S::f32s {
                exp::exp2(simd, x)
            }
        }
        apply::<Exp2>(isa, arguments);
    }

    /// The kernels' `tanh`, in place, on a multiple of 16 arguments.
    pub fn tanh(isa: Isa, arguments: &mut [f32]) {
        struct Tanh;
        impl Function for Tanh {
            #[inline(always)]
            fn of<S: Lanes>(simd: S, x: S::f32s) -> S::f32s {
                tanh::tanh(simd, x)
            }
        }
        apply::<Tanh>(isa, arguments);
    }

    /// A function of the kernels, of every lane by itself.
    trait Function {
        fn of<S: Lanes>(simd: S, x: S::f32s) -> S::f32s;
    }

    fn apply<F: Function>(isa: Isa, arguments: &mut [f32]) {
        struct InPlace<'a, F>(&'a mut [f32], PhantomData<F>);
        impl<F: Function> Kernel for InPlace<'_, F> {
            type Output = ();
            #[inline(always)]
            fn run<S: Lanes, const REGISTERS: usize>(self, simd: S) {
                for x in S::as_mut_simd_f32s(self.0).0 {
                    *x = F::of(simd, *x);
                }
            }
        }
        assert!(isa.is_available() && arguments.len().is_multiple_of(16));
        isa.run(InPlace(arguments, PhantomData::<F>));
    }
}
