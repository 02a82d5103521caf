//! The options of `attention`.

use super::call::{Call, STAGES, TENSORS, npy_name};
use crate::input::Source;
use clap::Args;
use std::path::PathBuf;

const RESULTS: &str = "\
Values have as many axes, heads and rows as the keys, [.., keys, v_dim]. All results are .npy in C
order with the query's leading axes:
  --output      softmax(..) · value, [.., query rows, v_dim], f32 or f16 as --dtype says
  --weights     softmax(..), [.., query rows, keys], of the same type
  --lse         ln Σ exp(biased) with the sink, [.., query rows], f32; -inf where nothing is left
  --max-logit   the largest biased score, [.., query rows], f32
  --max-weight  the largest weight, [.., query rows], f32
  --entropy     −Σ w · ln w in nats, [.., query rows], f32
  --key-mass    the sum over query rows of the weights that each key received, [.., keys], f64
The files appear whole or not at all, and none if one of them cannot be made.
";

const EXAMPLES: &str = "\
Examples:
  softdot attention --query q.npy --key k.npy --value v.npy --output o.npy
  softdot attention --query q.npy --key k.npy --value v.npy --output o.npy --lse lse.npy
  softdot attention --query q.npy --key k.npy --value v.npy --causal bottom-right --output o.npy
  softdot attention --query q.npy --key k.npy --value v.npy --causal bottom-right --output o.npy \\
    --key-mass mass.npy --mass-rows 32
  softdot attention --query m.safetensors:q --key m.safetensors:k --value m.safetensors:v \\
    --output o.npy --weights w.npy --plot w.png";

/// Options of `attention`.
#[derive(Debug, Args)]
#[command(after_help = [TENSORS, STAGES, RESULTS, EXAMPLES].join("\n"))]
pub struct Attention {
    #[command(flatten)]
    pub call: Call,
    /// The values: FILE.npy or FILE.safetensors:TENSOR[INDEX]
    #[arg(long, value_name = "FILE", display_order = 1)]
    #[arg(help_heading = None::<&str>)]
    pub value: Source,
    /// Where the attention weights go, too
    #[arg(long, value_name = "FILE.npy", value_parser = npy_name, display_order = 3)]
    #[arg(help_heading = None::<&str>)]
    pub weights: Option<PathBuf>,
    /// Where the log-sum-exp of each row's logits goes, too
    #[arg(long, value_name = "FILE.npy", value_parser = npy_name, display_order = 3)]
    #[arg(help_heading = None::<&str>)]
    pub lse: Option<PathBuf>,
    /// Where each row's largest logit goes, too
    #[arg(long, value_name = "FILE.npy", value_parser = npy_name, display_order = 3)]
    #[arg(help_heading = None::<&str>)]
    pub max_logit: Option<PathBuf>,
    /// Where each row's largest weight goes, too
    #[arg(long, value_name = "FILE.npy", value_parser = npy_name, display_order = 3)]
    #[arg(help_heading = None::<&str>)]
    pub max_weight: Option<PathBuf>,
    /// Where the entropy of each row's weights goes, too
    #[arg(long, value_name = "FILE.npy", value_parser = npy_name, display_order = 3)]
    #[arg(help_heading = None::<&str>)]
    pub entropy: Option<PathBuf>,
    /// Where the sum of the weights that each key received goes, too
    #[arg(long, value_name = "FILE.npy", value_parser = npy_name, display_order = 3)]
    #[arg(help_heading = None::<&str>)]
    pub key_mass: Option<PathBuf>,
    /// How many query rows --key-mass sums over, the last ones; without it, all
    #[arg(long, value_name = "N", requires = "key_mass", display_order = 3)]
    #[arg(help_heading = None::<&str>)]
    pub mass_rows: Option<usize>,
}
