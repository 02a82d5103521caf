//! Two models with softdot's attention beside candle-transformers' own, which share all other layers' kernels:
//!
//!     candle/fetch-models
//!     cargo run --release -p softdot-candle --example models             # some minutes
//!     cargo run --release -p softdot-candle --example models -- --quick  # short prompts, for trying
//!     cargo run --release -p softdot-candle --example models -- --agreement
//!
//! checks that embeddings and greedily chosen tokens agree, then prints how long each takes: in one process
//! for each number of threads, as candle's are those it begins with. The two take turns.
//!
//! candle rounds what it multiplies with quantised matrices to 8 bits, and a last bit of attention decides some
//! of these roundings: logits (of about 20) come to differ by up to 0.3, and after a few tokens the likeliest
//! is another. So for the agreement the matrices are widened to f32, and the tokens have to be the same.

mod agreement;
mod candles;
#[path = "../shared/mod.rs"]
mod shared;
mod timing;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use std::env;
use std::process::Command;

#[derive(Parser)]
#[command(about = "Two models with softdot's attention beside candle-transformers' own")]
struct Arguments {
    /// Short prompts and few rounds.
    #[arg(long)]
    quick: bool,
    /// No times, only whether the answers agree.
    #[arg(long)]
    agreement: bool,
    /// Numbers of threads.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// This part in this process, on the threads that it has.
    #[arg(long, hide = true)]
    here: Option<Part>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Part {
    Agreement,
    Times,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let Some(part) = arguments.here else {
        run_apart("agreement", |process| process.env("CANDLE_DEQUANTIZE_ALL", "1"))?;
        for threads in arguments.threads.iter().filter(|_| !arguments.agreement) {
            run_apart("times", |process| process.env("RAYON_NUM_THREADS", threads.to_string()))?;
        }
        return Ok(());
    };
    let (mut embeddings, mut chats) = (candles::Embeddings::load()?, candles::Chats::load()?);
    match part {
        Part::Agreement => agreement::check(&mut embeddings, &mut chats, arguments.quick),
        Part::Times => {
            println!("Threads: {}\n", candle_core::utils::get_num_threads());
            timing::print(&mut embeddings, &mut chats, arguments.quick)
        }
    }
}

/// Runs this program for a part in a process of its own, whose environment `with` sets.
fn run_apart(part: &str, with: impl FnOnce(&mut Command) -> &mut Command) -> Result<()> {
    let mut process = Command::new(env::current_exe()?);
    process.args(env::args_os().skip(1)).args(["--here", part]);
    let status = with(&mut process).status()?;
    ensure!(status.success(), "{part}: {status}");
    Ok(())
}
