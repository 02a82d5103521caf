//! The commands and their options.

mod attention;
mod call;
mod threads;
mod weights;

use crate::plot::PictureFile;
pub use attention::Attention;
pub use call::{Call, OutputType, Window};
use clap::{Args, Parser, Subcommand, ValueEnum};
use softdot::Isa;
use std::path::PathBuf;
use threads::thread_count;
pub use weights::{StageName, Weights};

/// Attention softmax(scale · Q Kᵀ) · V and its weights on this CPU.
#[derive(Debug, Parser)]
#[command(version, name = "softdot", args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  softdot                                  which words a transformer focuses on, on real data
  softdot --text story --plot story.png    the same for a longer text, with a picture
  softdot info                             which instruction sets run here, and why
  softdot weights --query q.npy --key k.npy --output w.npy
  softdot attention --query q.npy --key k.npy --value v.npy --output o.npy
  softdot verify                           whether the bits are right on this CPU
  softdot bench --quick                    how fast that is, next to what this CPU can do

`softdot COMMAND --help` explains a command. The environment variable SOFTDOT_MAX_ISA (scalar, neon,
avx2 or avx512) limits the instruction set; the result has the same bits on each.

Exit codes: 0 done; 1 the data, a file or the machine does not fit (one line on stderr says why);
2 the command line does not.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    demo: Demo,
}

impl Arguments {
    /// Without a command: `demo`, whose options then stand by themselves.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Demo(self.demo))
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show who attends to whom in a sentence, on the activations of a real model
    Demo(Demo),
    /// Show the CPU, its caches, and the instruction set that softdot chooses
    Info(Info),
    /// Compute attention weights or scores of tensors in files
    Weights(Box<Weights>),
    /// Compute the output of attention of tensors in files, and its log-sum-exp
    Attention(Box<Attention>),
    /// Check that this CPU computes the bits that every other does
    Verify(Verify),
    /// Measure how fast softdot is here, next to what this CPU and its memory can do
    Bench(Bench),
}

/// Options of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Computes the weights of the layers and heads of all-MiniLM-L6-v2 in one call, prints which words
each word attends to, draws them, and compares them with the weights that the model itself computed.
The data are inside the program: all 6 layers of the short text, the first 3 of the longer one, 12
heads each.

Examples:
  softdot demo --text story
  softdot demo --layer 2 --head 7
  softdot demo --text story --plot story.png")]
pub struct Demo {
    /// The text: a short one or one of 45 tokens
    #[arg(long, value_enum, default_value_t)]
    pub text: Text,
    /// Show this layer alone (from 0); without it, the average over the layers
    #[arg(long, value_name = "N")]
    pub layer: Option<usize>,
    /// Show this head alone (from 0); without it, the average over the heads
    #[arg(long, value_name = "N")]
    pub head: Option<usize>,
    /// Draw the weights as a heat map, too: a name that ends in .png or .svg
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PictureFile>,
}

/// The texts that the program brings along.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Text {
    /// "The cat sat.", 6 tokens
    #[default]
    Cat,
    /// Two sentences about the same cat, 45 tokens, the model's first 3 layers
    Story,
}

/// Options of `info`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  softdot info
  softdot info --json
  SOFTDOT_MAX_ISA=avx2 softdot info")]
pub struct Info {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Options of `verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Computes fixed problems (every result, option, element type and source of keys) on each instruction
set that this CPU has, with one thread and with all, and compares the hashes of the results' bits with
those in the program. They are the same on every machine. Exit code 1 if any differs.

Examples:
  softdot verify
  softdot verify --json epyc-2026-01-31.jsonl")]
pub struct Verify {
    /// Write the outcomes, too, one JSON object for each instruction set and number of threads
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Options of `bench`.
#[derive(Debug, Args)]
#[command(after_help = "\
Measures first what the machine can do: fused multiply-adds on registers alone, reading and copying
each level of memory. Then the workloads, each on one thread and on all, on every instruction set
that this CPU has and SOFTDOT_MAX_ISA allows, but not on scalar unless asked for; those of scaling/
on 2, 4, 8 … threads, too. A call too small to share has no row for more threads than it uses. Every
answer is checked against f64 before it is timed.

Examples:
  softdot bench --quick
  softdot bench --json epyc-2026-01-31.jsonl --plot roofline.svg
  softdot bench --filter output/
  softdot bench --filter decode/ --threads 1
  softdot bench --filter scaling/ --scaling-plot scaling.svg
  softdot bench --compare before.jsonl after.jsonl")]
pub struct Bench {
    /// Fewer workloads and repetitions: some seconds instead of minutes
    #[arg(long)]
    pub quick: bool,
    /// Write the measurements, too, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Measure one instruction set alone: scalar, neon, avx2 or avx512
    #[arg(long, value_name = "NAME")]
    pub isa: Option<Isa>,
    /// Threads to measure with, besides one; without it, one per CPU (or RAYON_NUM_THREADS)
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub threads: Option<usize>,
    /// Measure only the workloads whose names contain this
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Draw the widest instruction set's measurements under its roofs, too: .png or .svg
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PictureFile>,
    /// Draw the time per pair of the scaling workloads, too, as rows get longer: .png or .svg
    #[arg(long, value_name = "FILE")]
    pub scaling_plot: Option<PictureFile>,
    /// Measure nothing; print the ratios of the times in two files that --json wrote
    #[arg(long, num_args = 2, value_names = ["A", "B"], exclusive = true)]
    pub compare: Option<Vec<PathBuf>>,
}
