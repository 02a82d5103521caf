//! Two files of measurements, side by side.

use super::record::{self, Record};
use super::table::duration;
use crate::columns::align;
use anyhow::Result;
use std::fmt::Write;
use std::path::Path;

/// Ratios of median times, and what only one of the files has.
pub fn run(before: &Path, after: &Path) -> Result<String> {
    let (a, b) = (record::read(before)?, record::read(after)?);
    let pairs: Vec<(&Record, &Record)> = (a.iter())
        .filter_map(|left| Some((left, b.iter().find(|right| right.matches(left))?)))
        .collect();
    let mut text = format!("{}{}\n", origin("A", before, &a), origin("B", after, &b));
    if !pairs.is_empty() {
        let _ = writeln!(text, "{}\n{}", ratios(&pairs), mean(&pairs));
    }
    text.push_str(&only("A", &a, &b));
    text.push_str(&only("B", &b, &a));
    Ok(text)
}

fn origin(name: &str, path: &Path, records: &[Record]) -> String {
    let Record { cpu, version, .. } = &records[0];
    format!("{name}  {}: softdot {version} on {cpu}\n", path.display())
}

fn ratios(pairs: &[(&Record, &Record)]) -> String {
    let header = ["workload", "isa", "threads", "A", "B", "B/A"].map(str::to_owned).to_vec();
    let rows = pairs.iter().map(|(a, b)| {
        vec![
            a.workload.clone(),
            a.isa.clone(),
            a.threads.to_string(),
            duration(a.median),
            duration(b.median),
            format!("{:.3}", b.median / a.median),
        ]
    });
    align(header, rows)
}

fn mean(pairs: &[(&Record, &Record)]) -> String {
    let logarithms: f64 = pairs.iter().map(|(a, b)| (b.median / a.median).ln()).sum();
    let mean = (logarithms / pairs.len() as f64).exp();
    format!("geometric mean of B/A: {mean:.3} (below 1: B is faster)")
}

/// The measurements that the other file lacks.
fn only(name: &str, records: &[Record], others: &[Record]) -> String {
    let missing = records.iter().filter(|left| !others.iter().any(|right| right.matches(left)));
    let line = |record: &Record| {
        let Record { workload, isa, threads, .. } = record;
        format!("only in {name}: {workload}, {isa}, threads {threads}\n")
    };
    missing.map(line).collect()
}
