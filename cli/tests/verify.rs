//! `softdot verify`, and that it finds what is wrong.

mod common;

// What the program compares with and how it reports, to tamper with.
#[path = "../src/columns.rs"]
mod columns;
#[path = "../src/verify/problems/mod.rs"]
#[allow(dead_code, reason = "the program's other problems use it")]
mod problems;
#[path = "../src/verify/report.rs"]
mod report;

use common::{names, refused, run_in, softdot, softdot_at, succeed};
use problems::problem::{Problem, Setting};
use report::Report;
use serde_json::Value;
use softdot::{Isa, Threads};

#[test]
fn this_machine_computes_the_bits_of_all() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = softdot();
    command.current_dir(directory.path()).env("RAYON_NUM_THREADS", "3");
    let text = succeed(&command.args(["verify", "--json", "v.jsonl"]).output().unwrap());
    let isas: Vec<Isa> = Isa::available().collect();
    for isa in &isas {
        assert!(
            text.contains(&format!("{isa} ×1")) && text.contains(&format!("{isa} ×3")),
            "{text}"
        );
    }
    let row = |name: &str| text.lines().find(|line| line.starts_with(name)).expect("a row");
    for name in ["scores", "output", "statistics", "causal", "packed keys", "f16", "bf16"] {
        assert_eq!(row(name).matches(" ok").count(), 2 * isas.len(), "{text}");
    }
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("all ") && last.contains(" results have the same bits"), "{text}");

    let lines = std::fs::read_to_string(directory.path().join("v.jsonl")).unwrap();
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(lines.len(), 2 * isas.len());
    for line in &lines {
        assert_eq!(line["differ"], Value::Array(Vec::new()));
        assert_eq!(line["arch"], std::env::consts::ARCH);
        assert!(line["problems"].as_u64().unwrap() > 20, "{line}");
        assert!(line["cpu"].is_string() && line["version"].is_string(), "{line}");
    }
    assert_eq!((&lines[0]["isa"], &lines[0]["threads"]), (&"scalar".into(), &1.into()));
}

/// One thread alone has one column for each instruction set.
#[test]
fn one_thread_is_not_listed_twice() {
    let output = softdot().arg("verify").env("RAYON_NUM_THREADS", "1").output().unwrap();
    let text = succeed(&output);
    assert_eq!(text.matches('×').count(), Isa::available().count(), "{text}");
}

#[test]
fn a_wrong_hash_is_found() {
    let setting = Setting { isa: Isa::Scalar, threads: Threads::Serial };
    let mut problems: Vec<Problem> = problems::problems().take(2).collect();
    let mut right = Report::new(problems.clone());
    right.compute(setting, 1).unwrap();
    assert!(right.agrees(), "{}", right.text());

    let mut tampered = problems[1].expected.to_vec();
    *tampered.last_mut().unwrap() ^= 1;
    problems[1].expected = tampered.leak();
    let mut wrong = Report::new(problems);
    wrong.compute(setting, 1).unwrap();
    assert!(!wrong.agrees());
    assert_eq!(wrong.differing(&wrong.columns()[0]).collect::<Vec<_>>(), ["weights"]);
    assert_eq!(wrong.problems().len(), 2);
    let text = wrong.text();
    let expected = "problem  scalar ×1\nscores          ok\nweights    DIFFERS\n\n\
                    1 of 2 results DIFFER from what every machine should compute: please report \
                    this table\n";
    assert_eq!(text, expected);
}

/// The whole program, with one of its hashes overwritten in a copy.
#[test]
#[cfg(target_os = "linux")]
fn a_wrong_hash_is_a_failure() {
    let hash = problems::problems().find(|problem| problem.name == "dot product").unwrap();
    let hash = hash.expected[0].to_le_bytes();
    let mut program = std::fs::read(env!("CARGO_BIN_EXE_softdot")).unwrap();
    let found = program.windows(hash.len()).position(|bytes| bytes == hash);
    program[found.expect("the hash is in the program")] ^= 1;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("softdot");
    std::fs::copy(env!("CARGO_BIN_EXE_softdot"), &path).unwrap();
    std::fs::write(&path, program).unwrap();

    let output = softdot_at(&path).args(["verify"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(output.stderr.is_empty(), "{:?}", output.stderr);
    let row = text.lines().find(|line| line.starts_with("dot product")).unwrap();
    assert!(row.contains("DIFFERS") && !row.contains("ok"), "{text}");
    assert!(text.lines().last().unwrap().contains(" results DIFFER from "), "{text}");
}

#[test]
fn refuses_places() {
    let directory = tempfile::tempdir().unwrap();
    let line = refused(&run_in(directory.path(), "verify --json none/v.jsonl"));
    assert!(line.starts_with("error: --json none/v.jsonl: "), "{line}");
    assert!(names(directory.path()).is_empty());
}
