//! Attention on CPUs: `softmax(scale · Q Kᵀ + …) · V`, the weights (which words a transformer focuses
//! on), and what follows from them.
//!
//! ```text
//! scores[b, h, i, j]  = scale · Σ_d query[b, h, i, d] · key[b, h / group, j, d]
//! weights[b, h, i, j] = exp(scores[b, h, i, j]) / Σ_j exp(scores[b, h, i, j])
//! output[b, h, i, c]  = Σ_j weights[b, h, i, j] · value[b, h / group, j, c]
//! ```
//!
//! (Vaswani et al., *Attention Is All You Need*, 2017, equation 1.) Hand-vectorised for AVX-512,
//! AVX2 and NEON, chosen at run time, parallel over query rows, and **the same bits on every one
//! of them**, for any number of threads, any strides, any batch and any split of the rows into calls.
//!
//! ```
//! # let (query, key, value) = ([0.1f32; 8], [0.2f32; 12], [0.3f32; 15]);
//! // One head, 2 queries and 3 keys of 4 dimensions, values of 5 columns.
//! let output = softdot::attention(&query, &key, &value, 4)?;
//! assert_eq!(output.len(), 2 * 5);
//! let weights = softdot::attention_weights(&query, &key, 4)?;
//! assert_eq!(weights.len(), 2 * 3);
//! # Ok::<(), softdot::Error>(())
//! ```
//!
//! [`Attention`] holds the options, which compose: scale, softcap, bias, ALiBi, masks, causal attention,
//! windows, lengths and sinks. It takes views with any strides ([`TensorRef`]) and grouped heads, or
//! keys that are kept packed ([`PackedKeys`]). [`Outputs`] says what a call computes, and into which
//! memory: the output, the log-sum-exp, weights, logits, row results, any set of them in one pass.
//! [`Primitives`] are the dot product and the softmax of a row by themselves, [`mod@reference`] is the
//! plain definition in f64.
//!
//! # Features
//! - `std` (default): reads the cache sizes, and the environment variable `SOFTDOT_MAX_ISA`, which
//!   limits the choice of the instruction set. Without it the crate needs `alloc` only.
//! - `rayon` (default): threads of the current pool.
//! - `ndarray`: `TensorRef` and `TensorMut` from its views, in place.
//! - `half`: queries, keys, values, biases and results in `half::f16` and `half::bf16`.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

/// The README's snippets, compiled with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The methods of docs/statistics.md, compiled likewise.
#[cfg(doctest)]
#[doc = include_str!("../docs/statistics.md")]
struct Statistics;

mod alibi;
mod attention;
mod caches;
mod call;
mod convert;
mod disjoint;
mod dispatch;
mod driver;
mod element;
mod error;
mod extents;
mod isa;
mod kernel;
mod keys;
mod layout;
mod locks;
mod memory;
#[cfg(feature = "ndarray")]
mod ndarray;
mod options;
mod outputs;
mod packed_keys;
mod plan;
mod positions;
mod primitives;
mod problem;
#[cfg(feature = "std")]
pub mod reference;
mod rows;
mod simd;
mod targets;
mod tensor;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
mod threads;
mod wait;
mod workspace;

pub use alibi::alibi_slopes;
pub use attention::{Attention, attention, attention_weights};
pub use caches::Caches;
pub use dispatch::DetectedIsa;
pub use element::{Element, Elements, ElementsMut, MaskElement};
pub use error::Error;
pub use isa::Isa;
pub use keys::{Keys, KeysValues};
pub use options::Logits;
pub use outputs::Outputs;
pub use packed_keys::PackedKeys;
pub use plan::{KeySource, Path, Plan};
pub use positions::Causal;
pub use primitives::Primitives;
pub use tensor::{Shape, Tensor, TensorMut, TensorRef, View, ViewMut};
pub use threads::{ParallelFor, Threads};
pub use workspace::Workspace;
