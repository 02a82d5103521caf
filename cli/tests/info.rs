//! `softdot info`.

mod common;

use common::{refused, run_in, softdot, succeed};
use serde_json::Value;
use softdot::{Caches, Isa};

fn info(limit: Option<&str>) -> Value {
    let mut command = softdot();
    command.args(["info", "--json"]).envs(limit.map(|limit| ("SOFTDOT_MAX_ISA", limit)));
    serde_json::from_str(&succeed(&command.output().unwrap())).expect("one JSON object")
}

#[test]
fn tells_what_the_library_detects() {
    let info = info(None);
    let isas: Vec<&str> = Isa::available().map(Isa::name).collect();
    assert_eq!(info["isas"], Value::from(isas.clone()));
    assert!(isas.contains(&"scalar"));
    assert_eq!(info["isa"], *isas.last().unwrap());
    assert!(info["reason"].as_str().unwrap().contains("widest"));
    assert_eq!(info["arch"], std::env::consts::ARCH);
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    let Caches { l1, l2, l3 } = Caches::detect();
    assert_eq!(info["caches"], serde_json::json!({ "l1": l1, "l2": l2, "l3": l3 }));
    assert!(info["threads"].as_u64().unwrap() >= 1);
    assert!(!info["cpu"].as_str().unwrap().is_empty());

    let features = info["features"].as_array().unwrap();
    let has = |feature: &str| features.iter().any(|found| found == feature);
    assert_eq!(has("avx2") && has("fma"), Isa::Avx2.is_available());
    assert_eq!(has("neon"), Isa::Neon.is_available());
}

#[test]
fn obeys_the_limit() {
    let info = info(Some("scalar"));
    assert_eq!(info["isa"], "scalar");
    assert!(info["reason"].as_str().unwrap().contains("SOFTDOT_MAX_ISA=scalar"));
    // The limit is on what runs, not on what the machine has.
    assert_eq!(info["isas"].as_array().unwrap().len(), Isa::available().count());
}

#[test]
fn refuses_a_limit_that_is_no_isa() {
    for words in ["info", "info --json", "demo"] {
        let mut command = softdot();
        command.args(words.split(' ')).env("SOFTDOT_MAX_ISA", "sse9\nx");
        let line = refused(&command.output().unwrap());
        assert!(line.contains("SOFTDOT_MAX_ISA") && line.contains("sse9"), "{line}");
    }
}

#[test]
fn prints_text_for_people() {
    let text = succeed(&run_in(std::env::temp_dir().as_path(), "info"));
    for field in ["cpu", "features", "caches", "isas", "isa", "threads"] {
        assert!(text.lines().any(|line| line.starts_with(&format!("{field:<10}"))), "{text}");
    }
}
