//! The options that `weights` and `attention` have in common, and what their help says of them.

use super::threads::thread_count;
use crate::input::Source;
use crate::plot::PictureFile;
use clap::Args;
use softdot::{Causal, Isa};
use std::path::PathBuf;
use std::str::FromStr;

/// Where tensors come from.
pub const TENSORS: &str = "\
Query and key have 2, 3 or 4 axes, the same number, and elements of f32, f16 or bf16, not
necessarily the same:
  [rows, head_dim], [heads, rows, head_dim] or [batch, heads, rows, head_dim]
Tensors come from
  FILE.npy                       in C or Fortran order, little or big endian (f32, f16)
  FILE.safetensors:TENSOR        a tensor by its name (F32, F16, BF16)
  FILE.safetensors:TENSOR[3]     and its leading axes indexed, from 0: [3], [3][0] or [3,0]
Fewer key heads than query heads are shared out evenly (grouped-query attention).
";

/// What the options do.
pub const STAGES: &str = "\
What happens to a score, in this order; the options may be combined freely:
  scores   scale · query · key
  capped   softcap · tanh(score / softcap)
  biased   + bias + ALiBi; -inf where mask, causal, window or key length exclude the key
  weights  softmax over the keys, with the sink among them
Bias and mask are [batch, heads, query rows, keys], each extent as that of the weights or 1; leading
axes that the file lacks are 1.
";

/// What a call reads, how it computes, and where its result goes. An option of one command alone
/// takes its place in the help by a `display_order`: what these have is their place here, from 0.
/// `help_heading` is none again behind the options that are under one.
#[derive(Debug, Args)]
pub struct Call {
    /// The queries: FILE.npy or FILE.safetensors:TENSOR[INDEX]
    #[arg(long, value_name = "FILE")]
    pub query: Source,
    /// The keys: FILE.npy or FILE.safetensors:TENSOR[INDEX]
    #[arg(long, value_name = "FILE")]
    pub key: Source,
    /// Where the result goes: a name that ends in .npy
    #[arg(long, value_name = "FILE.npy", value_parser = npy_name)]
    pub output: PathBuf,
    /// Type of the result's elements: f32 or f16 (.npy has no bf16)
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub dtype: OutputType,
    /// What query · key is multiplied by; without it, 1/√head_dim
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub scale: Option<f32>,
    #[command(flatten)]
    pub adjustments: Adjustments,
    /// Force an instruction set: scalar, neon, avx2 or avx512
    #[arg(help_heading = None::<&str>)]
    #[arg(long, value_name = "NAME")]
    pub isa: Option<Isa>,
    /// Threads; without it, one per CPU (or RAYON_NUM_THREADS)
    #[arg(help_heading = None::<&str>)]
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub threads: Option<usize>,
    /// Draw the first head of the first batch entry as a heat map, too: .png or .svg
    #[arg(help_heading = None::<&str>)]
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PictureFile>,
}

/// What happens between scores and weights.
#[derive(Debug, Args)]
#[command(next_help_heading = "Between scores and weights")]
pub struct Adjustments {
    /// Cap scores softly to (-C, C): C · tanh(score / C)
    #[arg(long, value_name = "C", allow_negative_numbers = true)]
    pub softcap: Option<f32>,
    /// Add this to the scores: f32, f16 or bf16; -inf excludes
    #[arg(long, value_name = "FILE")]
    pub bias: Option<Source>,
    /// ALiBi: add slope · (key position - query position), with the standard slopes
    #[arg(long)]
    pub alibi: bool,
    /// Which keys rows may attend to: bool, or u8 of 1 (attend) and 0 (not)
    #[arg(long, value_name = "FILE")]
    pub mask: Option<Source>,
    /// No row attends to keys after its own: row 0 is at key 0 (top-left), the last row at the last
    /// key (bottom-right), or row 0 at key OFFSET, which may be negative
    #[arg(long, value_name = "top-left|bottom-right|OFFSET", value_parser = causal)]
    #[arg(allow_negative_numbers = true)]
    pub causal: Option<Causal>,
    /// Attend to at most L keys before a row's own and R after it; an empty side has no bound, as
    /// in 256, or ,0. Rows are at the keys that --causal says, without it as in bottom-right
    #[arg(long, value_name = "L,R")]
    pub window: Option<Window>,
    /// How many keys each batch entry has, the first ones: 5,3 for two entries
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    pub key_lengths: Option<Vec<usize>>,
    /// A logit for each query head that takes part in its softmax and gets no weight: 1 axis
    #[arg(long, value_name = "FILE")]
    pub sinks: Option<Source>,
}

/// Types that `.npy` has.
#[derive(Clone, Copy, Debug)]
pub enum OutputType {
    /// `f32`
    F32,
    /// `half::f16`
    F16,
}

impl OutputType {
    /// As Rust calls it.
    pub fn name(self) -> &'static str {
        match self {
            OutputType::F32 => "f32",
            OutputType::F16 => "f16",
        }
    }
}

impl FromStr for OutputType {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "f32" => Ok(OutputType::F32),
            "f16" => Ok(OutputType::F16),
            "bf16" => Err("expected f32 or f16: .npy has no bf16"),
            _ => Err("expected f32 or f16"),
        }
    }
}

/// Keys before and after a row's own; `None` is unbounded.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Before it.
    pub left: Option<usize>,
    /// After it.
    pub right: Option<usize>,
}

impl FromStr for Window {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected two numbers of keys, either empty: 256,0 or 256, or ,0";
        let side = |side: &str| match side {
            "" => Ok(None),
            number => number.parse().map(Some).map_err(|_| EXPECTED),
        };
        let (left, right) = text.split_once(',').ok_or(EXPECTED)?;
        Ok(Window { left: side(left)?, right: side(right)? })
    }
}

fn causal(name: &str) -> Result<Causal, &'static str> {
    match name {
        "top-left" => Ok(Causal::TopLeft),
        "bottom-right" => Ok(Causal::BottomRight),
        offset => offset
            .parse()
            .map(Causal::Offset)
            .map_err(|_| "expected top-left, bottom-right or the key at which row 0 stands"),
    }
}

/// A name that ends in `.npy`.
pub fn npy_name(name: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(name);
    match path.extension().is_some_and(|extension| extension == "npy") {
        true => Ok(path),
        false => Err("expected a name that ends in .npy".into()),
    }
}
