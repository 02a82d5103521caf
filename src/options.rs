//! The options of a call as plain data, and the units of logits.

use crate::positions::Positions;
use crate::tensor::{Tensor, View};
use core::f64::consts::LOG2_E;

/// Every option that decides about the result. What is `None` changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options<'a> {
    pub(crate) scale: Option<f32>,
    pub(crate) softcap: Option<f32>,
    pub(crate) bias: Option<View<'a>>,
    pub(crate) alibi_slopes: Option<&'a [f32]>,
    pub(crate) mask: Option<Tensor<&'a [u8]>>,
    pub(crate) positions: Positions<'a>,
    pub(crate) sinks: Option<&'a [f32]>,
}

/// Where the path from scores to weights can be left: the logits at one of three points.
///
/// scale → softcap → bias and ALiBi → exclusion → sink → softmax (docs/semantics.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Logits {
    /// The scaled logits, `scale · q·k`, of every key that exists. Keys beyond a length are −∞.
    Scores,
    /// The scores after the softcap, `softcap · tanh(score / softcap)`, of every key that exists.
    Capped,
    /// The logits that the softmax sees: capped scores plus bias and ALiBi; −∞ where excluded.
    Biased,
}

/// The units in which a call computes its logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Units {
    /// As they are defined: where logits are the result.
    Natural,
    /// Multiplied by log2(e): where exponentials follow, which are powers of 2.
    Log2,
}

impl Units {
    /// A natural logit in these units, rounded once. A finite one stays finite.
    pub(crate) fn of(self, logit: f32) -> f32 {
        match self {
            Units::Natural => logit,
            Units::Log2 => log2_units(logit),
        }
    }
}

/// `x · log2(e)`, rounded once; finite if `x` is.
pub(crate) fn log2_units(x: f32) -> f32 {
    let rounded = (f64::from(x) * LOG2_E) as f32;
    if x.is_finite() { rounded.clamp(f32::MIN, f32::MAX) } else { rounded }
}

/// `1/√head_dim`, rounded to f32; 1 if there are no dimensions.
pub(crate) fn default_scale(head_dim: usize) -> f32 {
    let root = pulp::Simd::sqrt_f64s(pulp::Scalar, head_dim.max(1) as f64);
    (1.0 / root) as f32
}
