//! The options of `weights`.

use super::call::{Call, STAGES, TENSORS};
use clap::{Args, ValueEnum};
use softdot::{Logits, Outputs, ViewMut};

const RESULT: &str = "\
The output is an f32 or f16 .npy in C order with as many axes as the query, [.., query rows, keys].
It appears whole or not at all.
";

const EXAMPLES: &str = "\
Examples:
  softdot weights --query q.npy --key k.npy --output weights.npy
  softdot weights --query m.safetensors:query[3] --key m.safetensors:key[3] --output w.npy
  softdot weights --query q.npy --key k.npy --causal bottom-right --window 256, --output w.npy
  softdot weights --query q.npy --key k.npy --mask m.npy --alibi --softcap 50 --output w.npy
  softdot weights --query q.npy --key k.npy --stage scores --scale 1 --output scores.npy
  softdot weights --query q.npy --key k.npy --output w.npy --dtype f16 --plot w.png";

/// Options of `weights`.
#[derive(Debug, Args)]
#[command(after_help = [TENSORS, STAGES, RESULT, EXAMPLES].join("\n"))]
pub struct Weights {
    #[command(flatten)]
    pub call: Call,
    /// What to compute: weights, or logits on the way to them
    #[arg(long, value_enum, default_value_t, display_order = 3, help_heading = None::<&str>)]
    pub stage: StageName,
}

/// The names of the stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum StageName {
    /// The scaled logits, scale · q·k
    Scores,
    /// The scores after --softcap
    Capped,
    /// The logits that the softmax sees; -inf where excluded
    Biased,
    /// The attention weights; each row sums to 1, or is 0 if nothing is left of it
    #[default]
    Weights,
}

impl StageName {
    /// The outputs that the library computes for this stage.
    pub fn outputs(self, view: ViewMut<'_>) -> Outputs<'_> {
        let logits = match self {
            StageName::Scores => Logits::Scores,
            StageName::Capped => Logits::Capped,
            StageName::Biased => Logits::Biased,
            StageName::Weights => return Outputs::new().weights(view),
        };
        Outputs::new().logits(logits, view)
    }

    /// What comes out.
    pub fn noun(self) -> &'static str {
        match self {
            StageName::Scores => "scores",
            StageName::Capped => "capped scores",
            StageName::Biased => "biased scores",
            StageName::Weights => "weights",
        }
    }
}
