//! softdot as the attention of [candle](candle_core)'s tensors on CPUs.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use softdot_candle::{Attention, sdpa};
//!
//! // 1 batch entry, 6 query heads on 2 key heads, 4 queries, 5 keys, 8 dimensions.
//! let q = Tensor::randn(0f32, 1., (1, 6, 4, 8), &Device::Cpu)?;
//! let k = Tensor::randn(0f32, 1., (1, 2, 5, 8), &Device::Cpu)?;
//! let v = Tensor::randn(0f32, 1., (1, 2, 5, 8), &Device::Cpu)?;
//! let output = sdpa(&q, &k, &v, None, true, 8f32.sqrt().recip(), 1.0)?;
//! assert_eq!(output.dims(), [1, 6, 4, 8]);
//!
//! // The same with softdot's own options.
//! let causal = Attention::new().causal(softdot::Causal::BottomRight);
//! let same = causal.run(&q, (&k, &v))?;
//! assert_eq!(same.flatten_all()?.to_vec1::<f32>()?, output.flatten_all()?.to_vec1::<f32>()?);
//! # Ok::<(), candle_core::Error>(())
//! ```
//!
//! [`sdpa`] has the arguments of candle-nn's function of that name, which has no CPU implementation;
//! [`flash_attn`] and its sisters have those of candle-flash-attn, which needs CUDA. [`Attention`] has all
//! of softdot's options, [`Outputs`] what it computes beside the output, [`KvCache`] keeps keys in softdot's
//! panels from token to token.
//!
//! Tensors are f32, f16 or bf16, on the CPU, with any strides and offsets, and are read where they are. The
//! result is one new tensor, of the query's type. A text has the same bits alone and in a batch, on any
//! number of threads; these are those of the rayon pool that candle computes on.
//!
//! **No gradients.** softdot has no backward pass, so tensors that track operations are refused: `detach` them.
#![deny(unsafe_code)]

mod attention;
mod cache;
mod error;
mod flash;
mod flash_varlen;
mod inputs;
mod keys_values;
mod memory;
mod operand;
mod outputs;
mod sdpa;

pub use attention::Attention;
pub use cache::KvCache;
pub use flash::{flash_attn, flash_attn_alibi, flash_attn_windowed};
pub use flash_varlen::{flash_attn_varlen, flash_attn_varlen_windowed};
pub use keys_values::KeysValues;
pub use outputs::{Outputs, Results};
pub use sdpa::sdpa;
/// The library behind it, whose types the options are.
pub use softdot;
