//! Runs the program, and makes and reads its files without its own code.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod definition;
pub mod files;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

/// The program, outside of what the caller's environment asks for. Under an emulator that cannot
/// start programs of its own architecture, `SOFTDOT_TEST_RUNNER` is what starts them.
pub fn softdot() -> Command {
    softdot_at(Path::new(env!("CARGO_BIN_EXE_softdot")))
}

/// The same for a copy of the program.
pub fn softdot_at(program: &Path) -> Command {
    let runner = std::env::var("SOFTDOT_TEST_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace().map(OsStr::new).chain([program.as_os_str()]);
    let mut command = Command::new(words.next().expect("the program at least"));
    command.args(words);
    for variable in ["SOFTDOT_MAX_ISA", "RAYON_NUM_THREADS", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command
}

/// Runs the program in a directory; `words` are its arguments, split at spaces.
pub fn run_in(directory: &Path, words: &str) -> Output {
    softdot().current_dir(directory).args(words.split_whitespace()).output().expect("it starts")
}

/// What a run that has to succeed printed on stdout.
#[track_caller]
pub fn succeed(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The one line of a run that has to fail with exit code 1 and nothing on stdout.
#[track_caller]
pub fn refused(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
    assert!(stderr.starts_with("error: "), "{stderr:?}");
    assert_eq!(stderr.matches('\n').count(), 1, "{stderr:?}");
    assert!(stderr.ends_with('\n') && !stderr.contains("panicked"), "{stderr:?}");
    stderr
}

/// What is in a directory, hidden files too.
pub fn names(directory: &Path) -> BTreeSet<String> {
    let entries = directory.read_dir().expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into()).collect()
}

/// Numbers from -1 to 1 without a pattern.
pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The bits of numbers, to compare them exactly.
pub fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// The largest difference of numbers that belong together.
#[track_caller]
pub fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    let differences = left.iter().zip(right).map(|(left, right)| (left - right).abs());
    differences.max_by(f32::total_cmp).expect("numbers")
}
