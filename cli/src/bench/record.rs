//! Measurements as JSON, one object a line.

use super::measurement::Measurement;
use super::session::Session;
use crate::output::{Destination, Staged};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs::{read_to_string, write};
use std::path::Path;

/// Writes all measurements beside their destination.
///
/// # Errors
/// The operating system's.
pub fn stage(session: &Session, to: Destination) -> Result<Staged> {
    let object = |measurement| format!("{}\n", object(session, measurement));
    let lines: String = session.measurements.iter().map(object).collect();
    to.stage(|path| Ok(write(path, lines)?))
}

fn object(session: &Session, measurement: &Measurement) -> Value {
    let Measurement { workload, timing, max_error, level, roofs, .. } = measurement;
    session.machine.sign(json!({
        "workload": workload,
        "isa": measurement.isa().name(),
        "threads": measurement.threads(),
        "median_s": timing.median(),
        "min_s": timing.min(),
        "max_s": timing.max(),
        "spread": timing.spread(),
        "rounds": timing.rounds(),
        "ns_per_pair": measurement.ns_per_pair(),
        "plain": measurement.plain.as_ref().map(|plain| &plain.workload),
        "plain_ns_per_pair": measurement.plain.as_ref().map(|plain| plain.ns_per_pair),
        "plain_fraction": measurement.plain_fraction(),
        "flop": measurement.work.flops,
        "bytes": measurement.work.counted_bytes,
        "gflops": measurement.gflops(),
        "peak_fraction": measurement.peak_fraction(),
        "gb_per_s": measurement.gb_per_s(),
        "read_fraction": measurement.memory_fraction(),
        "flop_per_byte": measurement.intensity(),
        "max_error": max_error,
        "peak_gflops": roofs.peak_gflops,
        "read_gb_per_s": measurement.memory_gb_per_s(),
        "memory": level.name(),
    }))
}

/// What a comparison needs of a measurement.
#[derive(Debug)]
pub struct Record {
    /// The workload's name.
    pub workload: String,
    /// The instruction set's name.
    pub isa: String,
    /// The threads.
    pub threads: u64,
    /// The median time in seconds.
    pub median: f64,
    /// The CPU's name.
    pub cpu: String,
    /// The version of softdot.
    pub version: String,
}

impl Record {
    /// Whether both measure the same.
    pub fn matches(&self, other: &Record) -> bool {
        let key = |record: &Record| (record.workload.clone(), record.isa.clone(), record.threads);
        key(self) == key(other)
    }

    fn parse(line: &str) -> Result<Record> {
        let value: Value = serde_json::from_str(line)?;
        let text = |name: &str| -> Result<String> {
            let text = value[name].as_str();
            Ok(text.with_context(|| format!("expected a string {name:?}"))?.to_owned())
        };
        let median = value["median_s"].as_f64().context("expected a number \"median_s\"")?;
        ensure!(median > 0.0, "median_s: expected a time, found {median}");
        Ok(Record {
            workload: text("workload")?,
            isa: text("isa")?,
            threads: value["threads"].as_u64().context("expected a whole number \"threads\"")?,
            median,
            cpu: text("cpu")?,
            version: text("version")?,
        })
    }
}

/// Reads measurements.
///
/// # Errors
/// The operating system's, a line that is none of [`stage`]'s, no lines.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let name = || format!("--compare {}", path.display());
    let text = read_to_string(path).with_context(name)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |(index, line)| -> Result<Record> {
        Record::parse(line).with_context(|| format!("{}, line {}", name(), index + 1))
    };
    let records = lines.map(parse).collect::<Result<Vec<_>>>()?;
    ensure!(!records.is_empty(), "{}: expected measurements, found none", name());
    Ok(records)
}
