//! softdot beside what Rust's users would otherwise call for attention: one problem, one process,
//! contenders that take turns.
#![deny(unsafe_code)]

mod args;
mod in_process;
// Those of `softdot bench`, so that both measure the same numbers and mean the same by an error.
#[path = "../../cli/src/bench/inputs.rs"]
mod inputs;
mod json;
mod machine;
mod peers;
mod problem;
mod processes;
mod quartiles;
mod record;
mod rounds;
mod table;
mod workload;

use anyhow::{Context, Result};
use args::Arguments;
use clap::Parser;
use machine::Machine;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use workload::Workload;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.in_process {
        Some(threads) => in_process::run(&arguments, threads),
        None => compare(&arguments).and_then(|report| print(&report)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is closed too, the exit code still tells.
            let _ = writeln!(io::stderr(), "error: {}", one_line(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Measures with one thread and with all; returns the report.
fn compare(arguments: &Arguments) -> Result<String> {
    // Before this run is a load itself.
    let machine = Machine::detect()?;
    Workload::select(&arguments.filter)?;
    let json = arguments.json.as_deref();
    json.map(json::check).transpose()?;

    let all = arguments.threads.unwrap_or_else(rayon::current_num_threads);
    let mut records = processes::measure(1)?;
    if all > 1 {
        records.extend(processes::measure(all)?);
    }
    json.map(|path| json::write(path, &machine, &records)).transpose()?;
    Ok(table::report(&machine, &records))
}

/// Writes to stdout; a reader that leaves early (`| head`) is no error.
fn print(report: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(report.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("stdout"),
    }
}

/// File names and messages of other crates may hold line breaks; an error is one line.
fn one_line(message: &str) -> String {
    message.replace(|character: char| character.is_control(), " ")
}
