//! A process of this program for each number of threads.
//!
//! matrixmultiply reads its number of threads once, from the environment; candle reads it there at
//! every call. So a number is a process's, set before it starts, for all contenders alike.

use crate::record::Record;
use anyhow::{Context, Result, ensure};
use std::env::{args_os, current_exe};
use std::io::{BufRead, BufReader, IsTerminal, stderr};
use std::process::{Command, Stdio};

/// Where contenders look for their number: rayon and candle; candle; matrixmultiply.
const THREADS: [&str; 3] = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS", "MATMUL_NUM_THREADS"];

/// glibc keeps what is freed. Left to itself it gives large results back to the system, and whoever
/// allocates them in each call, as candle does, waits for their pages: three times as long, measured
/// with 12 heads of 512 × 512 on two threads. Other allocators do not look here.
const ALLOCATOR: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_MAX_", "0"),
    ("MALLOC_TRIM_THRESHOLD_", "1099511627776"),
];

/// The measurements of a process with this many threads, started with this one's arguments.
///
/// # Errors
/// That process's.
pub fn measure(threads: usize) -> Result<Vec<Record>> {
    let program = current_exe().context("the program's own file")?;
    let mut process = Command::new(program)
        .args(args_os().skip(1))
        .arg(format!("--in-process={threads}"))
        .envs(THREADS.map(|variable| (variable, threads.to_string())))
        .envs(ALLOCATOR)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("the program, started by itself")?;
    let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    let records = lines.map(|line| {
        let record = serde_json::from_str(&line?)?;
        say(&record);
        Ok(record)
    });
    let records = records.collect::<Result<Vec<Record>>>();
    let output = process.wait_with_output()?;
    let message = String::from_utf8_lossy(&output.stderr);
    let message = message.trim().trim_start_matches("error: ");
    ensure!(output.status.success(), "{message} ({})", output.status);
    records
}

/// What has been measured, on stderr if that is a terminal: all take some minutes.
fn say(record: &Record) {
    if stderr().is_terminal() {
        eprintln!("{}, threads {}: {}", record.workload, record.threads, record.contender);
    }
}
