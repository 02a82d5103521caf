//! The report: a table that a stranger can judge.

use super::measurement::Measurement;
use super::memory::Level;
use super::roofs::Roofs;
use super::session::Session;
use super::work::Access;
use crate::columns::align;
use std::fmt::Write;

const NOTES: &str = "\
time: median; spread: from the lower to the upper quartile, as a share of the median
GFLOP/s: 2·d for each pair of a query row and a key (output: 4·d, values are multiplied, too); peak:
fused multiply-adds on registers alone
GB/s: the keys (output: and values) read once (softmax: what is read and written); rate: reading
(softmax: copying) the level of memory that holds the call's data, on as many threads
ns/pair: of those that causal and window leave; % plain: pairs a second, as a share of the rate of the
same workload without the option (alibi, window: of the causal one), measured in turn with it
error: the largest of sampled rows against f64, relative to the row's largest magnitude
";

/// The whole report.
pub fn report(session: &Session) -> String {
    let mut text = machine(session);
    let _ = write!(text, "\n{}\n{NOTES}\n{}", roofs(&session.roofs), results(session));
    text
}

fn machine(session: &Session) -> String {
    let machine = &session.machine;
    let caches = machine.caches;
    format!(
        "softdot   {}\n\
         cpu       {} ({})\n\
         governor  {}\n\
         caches    {} KiB L1, {} KiB L2, {} KiB L3\n\
         pages     {}\n\
         load      {}\n",
        env!("CARGO_PKG_VERSION"),
        machine.cpu,
        std::env::consts::ARCH,
        machine.governor.as_deref().unwrap_or("unknown"),
        caches.l1 >> 10,
        caches.l2 >> 10,
        caches.l3 >> 10,
        match machine.huge_pages {
            Some(true) => "huge",
            Some(false) => "small",
            None => "unknown",
        },
        machine.load.map_or_else(|| "unknown".into(), |load| format!("{load} before the run")),
    )
}

/// What the machine can do.
fn roofs(roofs: &[Roofs]) -> String {
    let rates = |name: &str| Level::ALL.map(|level| format!("{name} {}", level.name()));
    let mut header = cells(["isa", "threads", "peak GFLOP/s"]);
    header.extend(rates("read"));
    header.extend(rates("copy"));
    let rows = roofs.iter().map(|roofs| {
        let mut row =
            vec![roofs.isa.to_string(), roofs.threads.to_string(), number(roofs.peak_gflops)];
        for access in [Access::Read, Access::Copy] {
            row.extend(Level::ALL.map(|level| number(roofs.rate(access, level))));
        }
        row
    });
    format!("What this machine can do; read and copy in GB/s\n{}", align(header, rows))
}

fn results(session: &Session) -> String {
    let header = [
        "workload", "isa", "threads", "time", "spread", "GFLOP/s", "% peak", "GB/s", "% rate",
        "of", "ns/pair", "% plain", "error",
    ];
    align(cells(header), session.measurements.iter().map(result))
}

fn result(measurement: &Measurement) -> Vec<String> {
    let absent = || "-".to_owned();
    vec![
        measurement.workload.clone(),
        measurement.isa().to_string(),
        measurement.threads().to_string(),
        duration(measurement.timing.median()),
        percent(measurement.timing.spread()),
        measurement.gflops().map_or_else(absent, number),
        measurement.peak_fraction().map_or_else(absent, percent),
        number(measurement.gb_per_s()),
        percent(measurement.memory_fraction()),
        measurement.level.name().to_owned(),
        format!("{:.3}", measurement.ns_per_pair()),
        measurement.plain_fraction().map_or_else(absent, percent),
        format!("{:.1e}", measurement.max_error),
    ]
}

fn cells<const COUNT: usize>(names: [&str; COUNT]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

/// Seconds in a unit that suits them.
pub fn duration(seconds: f64) -> String {
    match seconds {
        1.0.. => format!("{seconds:.3} s"),
        1e-3.. => format!("{:.3} ms", seconds * 1e3),
        1e-6.. => format!("{:.3} µs", seconds * 1e6),
        _ => format!("{:.1} ns", seconds * 1e9),
    }
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}

fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}
