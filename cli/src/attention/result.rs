//! The results that can be asked for.

use crate::args::Attention;
use crate::call::{Buffer, Inputs};
use anyhow::Result;
use softdot::{Outputs, ViewMut};
use std::path::Path;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The weighted sums of the values.
    Output,
    /// The attention weights.
    Weights,
    /// The log-sum-exp of each row's logits.
    Lse,
    /// Each row's largest logit.
    MaxLogit,
    /// Each row's largest weight.
    MaxWeight,
    /// The entropy of each row's weights.
    Entropy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] =
        [Kind::Output, Kind::Weights, Kind::Lse, Kind::MaxLogit, Kind::MaxWeight, Kind::Entropy];

    /// The option that asks for it.
    pub fn option(self) -> &'static str {
        match self {
            Kind::Output => "--output",
            Kind::Weights => "--weights",
            Kind::Lse => "--lse",
            Kind::MaxLogit => "--max-logit",
            Kind::MaxWeight => "--max-weight",
            Kind::Entropy => "--entropy",
        }
    }

    /// The library's name for it.
    pub fn argument(self) -> &'static str {
        match self {
            Kind::Output => "output",
            Kind::Weights => "weights",
            Kind::Lse => "lse",
            Kind::MaxLogit => "max_logit",
            Kind::MaxWeight => "max_weight",
            Kind::Entropy => "entropy",
        }
    }

    /// Where it is to go.
    pub fn path(self, arguments: &Attention) -> Option<&Path> {
        match self {
            Kind::Output => Some(&arguments.call.output),
            Kind::Weights => arguments.weights.as_deref(),
            Kind::Lse => arguments.lse.as_deref(),
            Kind::MaxLogit => arguments.max_logit.as_deref(),
            Kind::MaxWeight => arguments.max_weight.as_deref(),
            Kind::Entropy => arguments.entropy.as_deref(),
        }
    }

    /// Memory for it.
    ///
    /// # Errors
    /// A lack of memory, after the option.
    pub fn buffer(self, arguments: &Attention, inputs: &Inputs) -> Result<Buffer> {
        let (option, dtype) = (self.option(), arguments.call.dtype);
        match self {
            Kind::Output => Buffer::new(option, dtype, &inputs.output_shape()),
            Kind::Weights => Buffer::new(option, dtype, &inputs.weights_shape),
            Kind::Lse | Kind::MaxLogit | Kind::MaxWeight | Kind::Entropy => {
                Buffer::of_rows(option, &inputs.weights_shape)
            }
        }
    }

    /// Asks the library for it.
    pub fn ask<'o>(self, outputs: Outputs<'o>, view: ViewMut<'o>) -> Outputs<'o> {
        match self {
            Kind::Output => outputs.output(view),
            Kind::Weights => outputs.weights(view),
            Kind::Lse => outputs.lse(view),
            Kind::MaxLogit => outputs.max_logit(view),
            Kind::MaxWeight => outputs.max_weight(view),
            Kind::Entropy => outputs.entropy(view),
        }
    }
}
