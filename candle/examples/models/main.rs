//! Two models with softdot's attention beside candle-transformers' own, which share all other layers' kernels:
//!
//!     candle/fetch-models
//!     cargo run --release -p softdot-candle --example models -- --quick  # short texts, for trying
//!     cargo run --release -p softdot-candle --example models -- --agreement
//!     cargo run --release -p softdot-candle --example models -- --widened
//!     cargo run --release -p softdot-candle --example models -- --most-tokens 2048
//!
//! checks that embeddings and greedily chosen tokens agree, then prints how long each takes: in one process
//! for each number of threads, as candle's are those it begins with. The two take turns.
//!
//! candle rounds what it multiplies with quantised matrices to 8 bits, and a last bit of attention decides some
//! of these roundings: logits (of about 20) come to differ by up to 0.3, and after a few tokens the likeliest
//! is another. So for the agreement the matrices are widened to f32, and the tokens have to be the same. With
//! `--widened`, times are measured with such matrices, too: a prompt of 8,192 tokens takes a minute instead of ten.

mod agreement;
mod candles;
#[path = "../shared/mod.rs"]
mod shared;
mod timing;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use std::env;
use std::process::Command;
use std::time::Duration;

/// Has candle widen quantised matrices when it loads them.
const WIDENED: (&str, &str) = ("CANDLE_DEQUANTIZE_ALL", "1");

#[derive(Parser)]
#[command(about = "Two models with softdot's attention beside candle-transformers' own")]
struct Arguments {
    /// Short texts, each once or twice.
    #[arg(long)]
    quick: bool,
    /// Times with matrices widened to f32.
    #[arg(long)]
    widened: bool,
    /// Times of texts of at most so many tokens.
    #[arg(long, default_value_t = 8192)]
    most_tokens: usize,
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
        run_apart("agreement", &[WIDENED])?;
        for threads in arguments.threads.iter().filter(|_| !arguments.agreement) {
            let threads = threads.to_string();
            let environment = [("RAYON_NUM_THREADS", threads.as_str()), WIDENED];
            run_apart("times", &environment[..1 + usize::from(arguments.widened)])?;
        }
        return Ok(());
    };
    let (mut embeddings, mut chats) = (candles::Embeddings::load()?, candles::Chats::load()?);
    match part {
        Part::Agreement => agreement::check(&mut embeddings, &mut chats, arguments.quick),
        Part::Times => {
            let matrices =
                if arguments.widened { ", matrices of SmolLM2 widened to f32" } else { "" };
            println!("Threads: {}{matrices}\n", candle_core::utils::get_num_threads());
            let most_tokens =
                arguments.most_tokens.min(if arguments.quick { 256 } else { usize::MAX });
            let least = Duration::from_secs(if arguments.quick { 0 } else { 10 });
            timing::print(&mut embeddings, &mut chats, most_tokens, least)
        }
    }
}

/// Runs this program for a part in a process of its own, with more environment.
fn run_apart(part: &str, environment: &[(&str, &str)]) -> Result<()> {
    let mut process = Command::new(env::current_exe()?);
    process.args(env::args_os().skip(1)).args(["--here", part]).envs(environment.iter().copied());
    let status = process.status()?;
    ensure!(status.success(), "{part}: {status}");
    Ok(())
}
