//! The options.

use clap::Parser;
use std::path::PathBuf;

/// Attention, softmax(scale · Q Kᵀ) · V or the weights alone, by softdot and by what else Rust has,
/// side by side.
#[derive(Debug, Parser)]
#[command(version, name = "softdot-compare")]
#[command(after_help = "\
Each contender answers the same problem: f32 queries, keys and values in, the output or all weights
written to memory. Every answer is checked against f64 before it is timed. Then they take turns, in an order
that rotates from round to round, so that whatever slows the machine down slows all of them down;
ratios are those within a round. docs/comparison.md says how each is called.

Examples:
  softdot-compare --quick
  softdot-compare --filter output/ --threads 1
  softdot-compare --json comparison.jsonl

The environment variable SOFTDOT_MAX_ISA (scalar, neon, avx2 or avx512) limits softdot's instruction
set; the others choose theirs by themselves.

Exit codes: 0 done; 1 an answer, a file or the machine does not fit (one line on stderr says why);
2 the command line does not.")]
pub struct Arguments {
    /// Fewer rounds: some seconds instead of minutes
    #[arg(long)]
    pub quick: bool,
    /// Threads to measure with, besides one; without it, one per CPU (or RAYON_NUM_THREADS)
    #[arg(long, value_name = "N", value_parser = thread_count)]
    pub threads: Option<usize>,
    /// Measure only the workloads whose names contain this
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub filter: String,
    /// Write the measurements, too, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Measure in this process, with this many threads, and print records: how the program calls
    /// itself
    #[arg(long, value_name = "N", value_parser = thread_count, hide = true)]
    pub in_process: Option<usize>,
}

/// More threads than any machine has would only exhaust its memory.
const MOST_THREADS: usize = 4096;

fn thread_count(number: &str) -> Result<usize, String> {
    let count = number.parse().ok().filter(|count| (1..=MOST_THREADS).contains(count));
    count.ok_or_else(|| format!("expected a number from 1 to {MOST_THREADS}"))
}
