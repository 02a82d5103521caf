//! The file of measurements.

use crate::machine::Machine;
use crate::record::Record;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::path::Path;

/// A line: a measurement, and where it comes from.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    record: &'a Record,
    #[serde(flatten)]
    machine: &'a Machine,
}

/// Refuses a name that cannot work, before anything is measured.
///
/// # Errors
/// If there is no such directory, or something other than a file has the name.
pub fn check(path: &Path) -> Result<()> {
    let name = path.display();
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let there = directory.is_none_or(Path::is_dir);
    ensure!(there, "--json {name}: expected a directory to write to, found none");
    ensure!(!path.is_dir(), "--json {name}: expected the name of a file, found a directory");
    Ok(())
}

/// Writes the measurements, one object a line.
///
/// # Errors
/// The operating system's.
pub fn write(path: &Path, machine: &Machine, records: &[Record]) -> Result<()> {
    let mut lines = String::new();
    for record in records {
        lines.push_str(&serde_json::to_string(&Line { record, machine })?);
        lines.push('\n');
    }
    std::fs::write(path, lines).with_context(|| format!("--json {}", path.display()))
}
