//! `softdot bench`.

mod common;

use common::{names, refused, run_in, softdot, succeed};
use serde_json::Value;
use softdot::Isa;
use std::fs::{read_to_string, write};
use std::path::Path;
use tempfile::tempdir;

/// The measurements in a file.
fn lines(path: &Path) -> Vec<Value> {
    let text = read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

#[track_caller]
fn positive(line: &Value, key: &str) -> f64 {
    let number = line[key].as_f64().unwrap_or_else(|| panic!("{key} of {line}"));
    assert!(number > 0.0, "{key} of {line}");
    number
}

/// Whether measuring makes no sense here: on an emulated CPU it takes minutes and tells nothing.
fn emulated() -> bool {
    std::env::var_os("SOFTDOT_TEST_QUICK").is_some_and(|value| value == "1")
}

#[test]
fn measures_on_every_isa_and_compares() {
    if emulated() {
        return;
    }
    let directory = tempdir().unwrap();
    let words = "bench --quick --filter tiny --threads 1 --json a.jsonl --plot a.svg";
    let table = succeed(&run_in(directory.path(), words));
    assert_eq!(names(directory.path()), ["a.jsonl", "a.svg"].map(String::from).into());

    let lines = lines(&directory.path().join("a.jsonl"));
    let isas: Vec<&str> = lines.iter().map(|line| line["isa"].as_str().unwrap()).collect();
    assert_eq!(isas, Isa::available().map(Isa::name).collect::<Vec<_>>());
    for line in &lines {
        let name = line["workload"].as_str().unwrap();
        assert_eq!((name, &line["threads"]), ("tiny/12x6x6/d32", &Value::from(1)));
        assert!(table.lines().any(|row| row.starts_with(name)), "{table}");
        let [min, median, max] = ["min_s", "median_s", "max_s"].map(|key| positive(line, key));
        assert!(min <= median && median <= max);
        for key in ["gflops", "peak_gflops", "gb_per_s", "read_gb_per_s", "ns_per_pair"] {
            positive(line, key);
        }
        let share = positive(line, "gflops") / positive(line, "peak_gflops");
        assert!((share / positive(line, "peak_fraction") - 1.0).abs() < 1e-9, "{line}");
        positive(line, "read_fraction");
        assert!(positive(line, "max_error") < 1e-6, "{line}");
        assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
        assert!(line["cpu"].is_string());
    }
    let picture = read_to_string(directory.path().join("a.svg")).unwrap();
    assert!(picture.contains("tiny/12x6x6/d32") && picture.contains("GFLOP/s"));

    let report = succeed(&run_in(directory.path(), "bench --compare a.jsonl a.jsonl"));
    let ratios = report.lines().filter(|row| row.ends_with(" 1.000"));
    assert_eq!(ratios.count(), lines.len(), "{report}");
}

#[test]
fn compares_with_the_plain_workload() {
    if emulated() {
        return;
    }
    let directory = tempdir().unwrap();
    let words = "bench --quick --filter decode/f16 --threads 1 --json a.jsonl";
    let table = succeed(&run_in(directory.path(), words));
    assert!(table.contains("% plain"), "{table}");
    for line in lines(&directory.path().join("a.jsonl")) {
        assert_eq!(line["plain"], "decode/rows/32x1x4096/d128");
        let rate = positive(&line, "plain_ns_per_pair") / positive(&line, "ns_per_pair");
        assert!((rate / positive(&line, "plain_fraction") - 1.0).abs() < 1e-9, "{line}");
    }
}

/// Values take as many multiply-adds and bytes as keys.
#[test]
fn the_output_counts_keys_and_values() {
    if emulated() {
        return;
    }
    let directory = tempdir().unwrap();
    let words = "bench --quick --filter output/decode/32on8 --threads 1 --json a.jsonl";
    succeed(&run_in(directory.path(), words));
    for line in lines(&directory.path().join("a.jsonl")) {
        assert_eq!(line["workload"], "output/decode/32on8x1x4096/d128");
        assert_eq!(line["flop"], 4 * 32 * 4096 * 128);
        assert_eq!(line["bytes"], 2 * 8 * 4096 * 128 * 4);
        let rate = positive(&line, "bytes") / positive(&line, "median_s") * 1e-9;
        assert!((rate / positive(&line, "gb_per_s") - 1.0).abs() < 1e-9, "{line}");
        assert!(positive(&line, "max_error") < 1e-5, "{line}");
    }
}

#[test]
fn draws_the_time_per_pair_on_each_number_of_threads() {
    if emulated() {
        return;
    }
    let directory = tempdir().unwrap();
    let isa = Isa::available().max().unwrap();
    // 1024 query rows of 1024 keys and of 16384.
    let words = format!(
        "bench --filter scaling/1x1024 --threads 3 --isa {isa} --json a.jsonl --plot roofline.svg \
         --scaling-plot scaling.svg"
    );
    succeed(&run_in(directory.path(), &words));
    let expected = ["a.jsonl", "roofline.svg", "scaling.svg"];
    assert_eq!(names(directory.path()), expected.map(String::from).into());

    let lines = lines(&directory.path().join("a.jsonl"));
    let threads: Vec<u64> = lines.iter().map(|line| line["threads"].as_u64().unwrap()).collect();
    assert_eq!(threads, [1, 2, 3, 1, 2, 3]);
    let picture = |name: &str| read_to_string(directory.path().join(name)).unwrap();
    let (scaling, roofline) = (picture("scaling.svg"), picture("roofline.svg"));
    let has_line = |text: &str| scaling.lines().any(|line| line.trim() == text);
    for text in ["1024", "16384", "1 thread", "2 threads", "3 threads"] {
        assert!(has_line(text), "expected {text:?} in {scaling}");
    }
    for part in [isa.name(), "head_dim 64", "ns per pair", "keys n"] {
        assert!(scaling.contains(part), "expected {part:?} in {scaling}");
    }
    // A point for each measurement and one for each line of the legend.
    assert_eq!(scaling.matches("<circle").count(), lines.len() + 3);
    assert!(roofline.contains(", 3 threads") && !roofline.contains(", 2 threads"), "{roofline}");
}

#[test]
fn rows_by_themselves_have_no_flops() {
    if emulated() {
        return;
    }
    let directory = tempdir().unwrap();
    let words = "bench --quick --filter softmax/l1 --threads 1 --isa scalar --json a.jsonl";
    succeed(&run_in(directory.path(), words));
    let lines = lines(&directory.path().join("a.jsonl"));
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["gflops"], &lines[0]["peak_fraction"]), (&Value::Null, &Value::Null));
    positive(&lines[0], "gb_per_s");
}

/// A measurement as a file has it.
fn record(workload: &str, median: f64) -> String {
    format!(
        "{{\"workload\":\"{workload}\",\"isa\":\"avx2\",\"threads\":2,\"median_s\":{median},\
         \"cpu\":\"some CPU\",\"version\":\"0.0.1\"}}\n"
    )
}

#[test]
fn compares_what_both_files_have() {
    let directory = tempdir().unwrap();
    let a = record("both", 0.001) + &record("first", 1.0);
    let b = record("second", 1.0) + "\n" + &record("both", 0.0025);
    write(directory.path().join("a.jsonl"), a).unwrap();
    write(directory.path().join("b.jsonl"), b).unwrap();
    let report = succeed(&run_in(directory.path(), "bench --compare a.jsonl b.jsonl"));
    for part in [
        "A  a.jsonl: softdot 0.0.1 on some CPU",
        "1.000 ms  2.500 ms  2.500",
        "geometric mean of B/A: 2.500",
        "only in A: first, avx2, threads 2",
        "only in B: second, avx2, threads 2",
    ] {
        assert!(report.contains(part), "expected {part:?} in {report}");
    }
}

#[test]
fn refuses_bad_files_and_names() {
    let directory = tempdir().unwrap();
    let file = |name: &str, text: &str| write(directory.path().join(name), text).unwrap();
    file("good", &record("both", 0.001));
    file("empty", "\n");
    file("text", "what\nis this");
    file("zero", &(record("both", 0.001) + &record("both", 0.0)));
    file("partial", "{\"workload\":\"both\",\"median_s\":1}\n");
    file("list", "[1]");
    let before = names(directory.path());
    for (words, part) in [
        ("--compare good missing", "--compare missing"),
        ("--compare empty good", "--compare empty: expected measurements"),
        ("--compare good text", "--compare text, line 1"),
        ("--compare good zero", "line 2: median_s: expected a time, found 0"),
        ("--compare partial good", "expected a string \"isa\""),
        ("--compare list good", "expected a number \"median_s\""),
        ("--compare . good", "--compare ."),
        ("--filter nothing", "found \"nothing\""),
        ("--quick --filter scaling", "that --quick measures"),
        ("--quick --filter tiny --json missing/a.jsonl", "--json missing/a.jsonl"),
        ("--quick --filter tiny --json .", "found something else there"),
        ("--filter tiny --scaling-plot a.svg", "--scaling-plot: expected scaling workloads"),
        ("--quick --json a --scaling-plot a.svg", "--scaling-plot: expected scaling workloads"),
        ("--filter scaling/ --scaling-plot missing/a.png", "--scaling-plot missing/a.png"),
    ] {
        let line = refused(&run_in(directory.path(), &format!("bench {words}")));
        assert!(line.contains(part), "expected {part:?} in {line:?}");
    }
    assert_eq!(names(directory.path()), before);
}

#[test]
fn a_picture_without_points_leaves_nothing_behind() {
    let directory = tempdir().unwrap();
    let words = "bench --quick --filter softmax --threads 1 --isa scalar --json a --plot a.png";
    let line = refused(&run_in(directory.path(), words));
    assert!(line.contains("--plot") && line.contains("found none"), "{line}");
    assert!(names(directory.path()).is_empty());
}

#[test]
fn refuses_an_instruction_set_of_another_machine() {
    let Some(missing) = Isa::ALL.into_iter().find(|isa| !isa.is_available()) else { return };
    let output = softdot().args(["bench", "--quick", "--isa", missing.name()]).output().unwrap();
    assert!(refused(&output).contains(&format!("found {missing}")));
}

#[test]
fn usage_errors_exit_with_2() {
    for words in [
        "--compare a",
        "--compare a b --quick",
        "--compare a b --scaling-plot a.svg",
        "--threads 0",
        "--plot a.pdf",
        "--scaling-plot a",
        "--isa x",
    ] {
        let output = run_in(&std::env::temp_dir(), &format!("bench {words}"));
        assert_eq!(output.status.code(), Some(2), "{words}");
    }
}
