//! The program, on workloads that are measured quickly.

use serde_json::Value;
use std::fs::read_to_string;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::tempdir;

/// In the order of the report, where there is one thread or as many as matrixmultiply can use.
const OF_WEIGHTS: [&str; 7] = [
    "softdot",
    "softdot, PackedKeys",
    "gemm + plain softmax",
    "gemm + rten-vecmath",
    "matrixmultiply + rten-vecmath, Kᵀ",
    "rten-gemm + rten-vecmath, Kᵀ",
    "candle",
];

const OF_OUTPUT: [&str; 9] = [
    "softdot",
    "softdot, PackedKeys",
    "flash-attention-cpu",
    "candle, flash_attn",
    "gemm + plain softmax",
    "gemm + rten-vecmath",
    "matrixmultiply + rten-vecmath, Kᵀ",
    "rten-gemm + rten-vecmath, Kᵀ",
    "candle",
];

/// flash-attention-cpu has no masks.
const OF_MASKED_OUTPUT: [&str; 8] = [
    "softdot",
    "softdot, PackedKeys",
    "candle, flash_attn",
    "gemm + plain softmax",
    "gemm + rten-vecmath",
    "matrixmultiply + rten-vecmath, Kᵀ",
    "rten-gemm + rten-vecmath, Kᵀ",
    "candle",
];

/// Runs the program in a directory; `words` are its arguments, split at spaces.
fn run_in(directory: &Path, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_softdot-compare"))
        .env_remove("SOFTDOT_MAX_ISA")
        .current_dir(directory)
        .args(words.split_whitespace())
        .output()
        .expect("it starts")
}

#[track_caller]
fn positive(line: &Value, key: &str) -> f64 {
    let number = line[key].as_f64().unwrap_or_else(|| panic!("{key} of {line}"));
    assert!(number > 0.0, "{key} of {line}");
    number
}

#[test]
fn measures_every_contender_on_one_thread_and_on_two() {
    measures("tiny/12x6x6/d32", &OF_WEIGHTS);
    measures("output/12x128x128/d64", &OF_OUTPUT);
    measures("output/padding/12x512x512/d64", &OF_MASKED_OUTPUT);
}

fn measures(workload: &str, contenders: &[&str]) {
    let directory = tempdir().unwrap();
    let arguments = format!("--quick --filter {workload} --threads 2 --json a.jsonl");
    let output = run_in(directory.path(), &arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report = String::from_utf8(output.stdout).unwrap();

    let text = read_to_string(directory.path().join("a.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected: Vec<(u64, &str)> = [1, 2]
        .into_iter()
        .flat_map(|threads| contenders.iter().map(move |&name| (threads, name)))
        .collect();
    let found: Vec<(u64, &str)> = lines
        .iter()
        .map(|line| (line["threads"].as_u64().unwrap(), line["contender"].as_str().unwrap()))
        .collect();
    assert_eq!(found, expected);

    for (line, (threads, contender)) in lines.iter().zip(expected) {
        assert_eq!(line["workload"], workload);
        positive(line, "median_s");
        positive(line, "gflops");
        assert!(positive(line, "max_error") < 1e-5, "{line}");
        let [low, ratio, high] =
            ["ratio_low", "ratio", "ratio_high"].map(|key| positive(line, key));
        assert!(low <= ratio && ratio <= high, "{line}");
        assert!(contender != "softdot" || ratio == 1.0, "{line}");

        let rows: Vec<Vec<&str>> = report
            .lines()
            .map(|row| row.split('|').map(str::trim).collect::<Vec<_>>())
            .filter(|cells| cells.len() > 3 && cells[1] == workload)
            .filter(|cells| cells[2] == threads.to_string() && cells[3] == contender)
            .collect();
        assert_eq!(rows.len(), 1, "{contender}, threads {threads} in {report}");
        assert_eq!(rows[0][7], format!("{ratio:.3}"), "{report}");
    }
    for part in ["- machine: ", "- isa: ", "- threads: 1, 2\n", "- rounds: ", "candle-core 0."] {
        assert!(report.contains(part), "expected {part:?} in {report}");
    }
    assert!(!report.contains("unknown,"), "{report}");
}

#[test]
fn refuses_before_it_measures() {
    let directory = tempdir().unwrap();
    for (words, part) in [
        ("--filter nothing", "found \"nothing\""),
        ("--filter tiny --json missing/a.jsonl", "--json missing/a.jsonl"),
        ("--filter tiny --json .", "found a directory"),
    ] {
        let output = run_in(directory.path(), words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(part), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    assert_eq!(run_in(directory.path(), "--threads 0").status.code(), Some(2));
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}
