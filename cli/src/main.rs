//! softdot on the command line: attention weights on a real sentence, what the machine offers,
//! weights and outputs of your own tensors, whether their bits are right here, and how fast all this is.
#![forbid(unsafe_code)]

mod args;
mod attention;
mod bench;
mod call;
mod chart;
mod columns;
mod demo;
mod heatmap;
mod info;
mod input;
mod machine;
mod matrix;
mod output;
mod picture;
mod plot;
mod ramp;
mod sample;
mod spinner;
mod verify;
mod weights;

use anyhow::{Context, Error, Result};
use args::{Arguments, Call, Command};
use clap::Parser;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = Arguments::parse().into_command();
    match run(&command).and_then(|(report, exit_code)| print(&report).map(|()| exit_code)) {
        Ok(exit_code) => exit_code,
        Err(error) => {
            // Where stderr is closed too, the exit code still tells.
            let _ = writeln!(io::stderr(), "error: {}", one_line(&message(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Runs a command and returns what goes to stdout, with the exit code.
fn run(command: &Command) -> Result<(String, ExitCode)> {
    let report = match command {
        Command::Bench(arguments) => bench::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Info(arguments) => {
            let threads = start_threads(None).map(|()| rayon::current_num_threads());
            info::run(arguments, threads)
        }
        Command::Weights(arguments) => {
            start_threads_of(&arguments.call)?;
            weights::run(arguments).map(|()| String::new())
        }
        Command::Attention(arguments) => {
            start_threads_of(&arguments.call)?;
            attention::run(arguments).map(|()| String::new())
        }
        Command::Verify(arguments) => {
            let threads = start_threads(None).map_or(1, |()| rayon::current_num_threads());
            return verify::run(arguments, threads);
        }
    };
    Ok((report?, ExitCode::SUCCESS))
}

/// A call on one thread has no pool. Without --threads the library starts its own, or computes on this
/// thread if that fails.
fn start_threads_of(call: &Call) -> Result<()> {
    match call.threads {
        None | Some(1) => Ok(()),
        count => start_threads(count),
    }
}

/// Starts rayon's pool here, where a machine that refuses threads gives an error: started by the
/// first parallel call it would give a panic.
fn start_threads(count: Option<usize>) -> Result<()> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(count.unwrap_or(0))
        .build_global()
        .context("--threads: the threads could not be started")
}

/// Writes to stdout; a reader that leaves early (`| head`) is no error.
fn print(report: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(report.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("stdout"),
    }
}

/// An error and its causes, without those that only repeat what stands before them.
fn message(error: &Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.ends_with(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

/// File names and messages of other crates may hold line breaks; an error is one line.
fn one_line(message: &str) -> String {
    message.replace(|character: char| character.is_control(), " ")
}
