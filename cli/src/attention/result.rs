//! The results that can be asked for.

use crate::args::Attention;
use crate::call::{Buffer, Inputs};
use anyhow::Result;
use softdot::Outputs;
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
    /// The sum of the weights that each key received.
    KeyMass,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] = [
        Kind::Output,
        Kind::Weights,
        Kind::Lse,
        Kind::MaxLogit,
        Kind::MaxWeight,
        Kind::Entropy,
        Kind::KeyMass,
    ];

    /// The option that asks for it.
    pub fn option(self) -> &'static str {
        match self {
            Kind::Output => "--output",
            Kind::Weights => "--weights",
            Kind::Lse => "--lse",
            Kind::MaxLogit => "--max-logit",
            Kind::MaxWeight => "--max-weight",
            Kind::Entropy => "--entropy",
            Kind::KeyMass => "--key-mass",
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
            Kind::KeyMass => "key_mass",
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
            Kind::KeyMass => arguments.key_mass.as_deref(),
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
            Kind::KeyMass => Buffer::of_keys(option, &inputs.weights_shape),
        }
    }

    /// Asks the library for it, into a buffer that [`Kind::buffer`] made.
    pub fn ask<'o>(self, outputs: Outputs<'o>, buffer: &'o mut Buffer) -> Outputs<'o> {
        match self {
            Kind::Output => outputs.output(buffer.view_mut()),
            Kind::Weights => outputs.weights(buffer.view_mut()),
            Kind::Lse => outputs.lse(buffer.view_mut()),
            Kind::MaxLogit => outputs.max_logit(buffer.view_mut()),
            Kind::MaxWeight => outputs.max_weight(buffer.view_mut()),
            Kind::Entropy => outputs.entropy(buffer.view_mut()),
            Kind::KeyMass => outputs.key_mass(buffer.sums_mut()),
        }
    }
}
