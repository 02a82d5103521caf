//! Little memory, few threads, files that others may not read: what the system refuses is an error in
//! one line, and what it keeps stays.
#![cfg(target_os = "linux")]

mod common;

use common::files::{c_order, npy, npy_header};
use common::{names, numbers, refused, softdot, succeed};
use std::fs::{File, Permissions, metadata, set_permissions, write};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

const FILES: &str = "attention --query q.npy --key k.npy --value v.npy --output o.npy";

/// Runs the program after these commands of a shell.
fn run_after(directory: &Path, limits: &str, words: &str) -> Output {
    let program = softdot();
    let mut shell = Command::new("sh");
    shell.current_dir(directory).env_remove("SOFTDOT_MAX_ISA").env_remove("RAYON_NUM_THREADS");
    shell.args(["-c", &format!("{limits} && exec \"$@\""), "sh"]);
    shell.arg(program.get_program()).args(program.get_args()).args(words.split_whitespace());
    shell.output().expect("a shell")
}

/// Whether a limit on memory would be the emulator's, which fails in ways of its own.
fn is_emulated() -> bool {
    let emulated = std::env::var_os("SOFTDOT_TEST_RUNNER").is_some();
    if emulated {
        eprintln!("skipped: the limit would be the emulator's");
    }
    emulated
}

/// With so many MiB of address space.
fn run_within(directory: &Path, mib: usize, words: &str) -> Output {
    run_after(directory, &format!("ulimit -v {}", mib << 10), words)
}

/// Zeros without a place on the disk.
fn sparse_npy(path: &Path, descr: &str, shape: &[usize], bytes: u64) {
    let mut file = File::create(path).unwrap();
    let header = npy(&npy_header(descr, "False", shape), &[]);
    file.write_all(&header).unwrap();
    file.set_len(header.len() as u64 + bytes).unwrap();
}

fn good_files(directory: &Path, rows: usize, keys: usize) {
    const HEAD_DIM: usize = 4;
    for (name, rows) in [("q.npy", rows), ("k.npy", keys), ("v.npy", keys)] {
        write(directory.join(name), c_order(&[rows, HEAD_DIM], &numbers(rows * HEAD_DIM, 1)))
            .unwrap();
    }
}

#[test]
fn a_file_too_large_for_the_memory() {
    const GIB: u64 = 1 << 30;
    if is_emulated() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    good_files(directory.path(), 3, 5);
    sparse_npy(&path("large.npy"), "<f4", &[1 << 29, 4], 8 * GIB);
    sparse_npy(&path("mask.npy"), "|b1", &[1 << 23, 1 << 10], 8 * GIB);
    sparse_npy(&path("sinks.npy"), "<f2", &[1 << 32], 8 * GIB);
    let mut header = (90u64 << 20).to_le_bytes().to_vec();
    header.extend(b"{");
    write(path("header.safetensors"), header).unwrap();
    File::options().write(true).open(path("header.safetensors")).unwrap().set_len(GIB).unwrap();
    let before = names(directory.path());
    for (words, expected) in [
        (
            "--query large.npy --key k.npy",
            "--query large.npy: no memory for 2147483648 elements of 4",
        ),
        (
            "--query q.npy --key large.npy",
            "--key large.npy: no memory for 2147483648 elements of 4",
        ),
        ("--query q.npy --key k.npy --mask mask.npy", "--mask mask.npy: no memory for 8589934592 "),
        ("--query q.npy --key k.npy --sinks sinks.npy", "--sinks sinks.npy: no memory for "),
        (
            "--query header.safetensors:x --key k.npy",
            "--query header.safetensors:x: no memory for ",
        ),
    ] {
        let words = format!("weights --threads 1 --output w.npy {words}");
        let line = refused(&run_within(directory.path(), 80, &words));
        assert!(line.starts_with(&format!("error: {expected}")), "{expected:?} in {line:?}");
    }
    assert_eq!(names(directory.path()), before);
}

/// However little there is, the memory of what is large can be refused.
#[test]
fn less_and_less_memory() {
    if is_emulated() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    good_files(directory.path(), 2000, 2000);
    let words = format!("{FILES} --weights w.npy --threads 1");
    let mut outcomes = Vec::new();
    for mib in (20..72).step_by(4) {
        let output = run_within(directory.path(), mib, &words);
        outcomes.push(output.status.success());
        if !output.status.success() {
            let line = refused(&output);
            assert!(line.contains("memory"), "{mib} MiB: {line}");
        }
    }
    assert!(outcomes.contains(&true) && outcomes.contains(&false), "{outcomes:?}");
}

#[test]
fn without_threads() {
    if is_emulated() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    good_files(directory.path(), 3, 5);
    let words = format!("{FILES} --threads 4096");
    let line = refused(&run_within(directory.path(), 1024, &words));
    assert!(line.starts_with("error: --threads: the threads could not be started: "), "{line}");
    assert_eq!(line.matches("os error").count(), 1, "once is enough: {line}");

    let limits = "ulimit -v 1048576 && export RAYON_NUM_THREADS=4096";
    let text = succeed(&run_after(directory.path(), limits, "info"));
    let threads = text.lines().find(|line| line.starts_with("threads ")).expect("a line");
    assert!(threads.contains(" 1 (") && threads.contains("os error"), "{threads}");
    let json = succeed(&run_after(directory.path(), limits, "info --json"));
    assert!(json.contains("\"threads\": 1,"), "{json}");
    // Without --threads, what cannot be started is not needed.
    for words in ["demo", "verify", FILES] {
        succeed(&run_after(directory.path(), limits, words));
    }
}

#[test]
fn a_replaced_file_keeps_its_permissions() {
    let directory = tempfile::tempdir().unwrap();
    good_files(directory.path(), 3, 5);
    let output = directory.path().join("o.npy");
    let mode = || metadata(&output).unwrap().permissions().mode() & 0o7777;
    let run = || {
        let words = FILES.split_whitespace();
        succeed(&softdot().current_dir(directory.path()).args(words).output().unwrap());
    };
    run();
    let new = mode();
    assert_eq!(
        new,
        metadata(directory.path().join("q.npy")).unwrap().permissions().mode() & 0o7777
    );
    for kept in [0o600, 0o640, 0o444, 0o755] {
        set_permissions(&output, Permissions::from_mode(kept)).unwrap();
        run();
        assert_eq!(mode(), kept);
    }
}
