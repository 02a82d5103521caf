//! `softdot verify`: whether this CPU computes the bits that every other does.

mod narrow;
mod problems;
mod report;

use crate::args::Verify;
use crate::machine::Machine;
use crate::output::Destination;
use crate::spinner::Spinner;
use anyhow::Result;
use problems::problem::Setting;
use report::Report;
use serde_json::json;
use softdot::{Isa, Threads};
use std::fs::write;
use std::process::ExitCode;

/// Computes all problems in every way, on up to so many threads; returns the table, and failure if a
/// result differs.
pub fn run(arguments: &Verify, threads: usize) -> Result<(String, ExitCode)> {
    let json = arguments.json.as_deref();
    let json = json.map(|path| Destination::new("--json", path)).transpose()?;
    let machine = Machine::detect();
    let spinner = Spinner::start();
    let mut report = Report::new(problems::problems().chain(narrow::PROBLEMS).collect());
    for (setting, threads) in settings(threads) {
        spinner.say(format!("computing on {}, threads {threads}", setting.isa));
        report.compute(setting, threads)?;
    }
    drop(spinner);

    if let Some(json) = json {
        let lines = lines(&report, &machine);
        json.stage(|path| Ok(write(path, lines)?))?.commit()?;
    }
    let text = format!(
        "softdot {}: whether this CPU computes the bits that every other does\n\n\
         cpu  {} ({})\n\n{}",
        env!("CARGO_PKG_VERSION"),
        machine.cpu,
        std::env::consts::ARCH,
        report.text(),
    );
    let exit_code = if report.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    Ok((text, exit_code))
}

/// Each instruction set of this machine with one thread and, where there are more, with all.
fn settings(all: usize) -> impl Iterator<Item = (Setting, usize)> {
    Isa::available().flat_map(move |isa| {
        let one = (Setting { isa, threads: Threads::Serial }, 1);
        let all = (all > 1).then_some((Setting { isa, threads: Threads::Pool }, all));
        [one].into_iter().chain(all)
    })
}

/// One object a line.
fn lines(report: &Report, machine: &Machine) -> String {
    let line = |column: &report::Column| {
        let record = json!({
            "isa": column.isa.name(),
            "threads": column.threads,
            "problems": report.problems().len(),
            "differ": report.differing(column).collect::<Vec<_>>(),
        });
        format!("{}\n", machine.sign(record))
    };
    report.columns().iter().map(line).collect()
}
