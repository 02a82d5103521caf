//! The report, in Markdown.

use crate::machine::Machine;
use crate::record::Record;
use std::fmt::Write;

const NOTES: &str = "\
time: median of a call; spread: from the lower to the upper quartile, as a share of the median.
GFLOP/s: 4·d of an output, 2·d of weights, for each attended pair of a query row and a key.
softdot : contender: softdot's time to the contender's, the median over the rounds of the ratio
within a round (below 1, softdot is faster), and its quartiles. error: the largest of sampled rows
against f64, relative to the row's largest magnitude. Kᵀ, PackedKeys: keys rearranged beforehand,
which is not in the time; the others read row-major keys. No line: it cannot compute that.
";

const HEADER: [&str; 9] = [
    "workload",
    "threads",
    "contender",
    "time",
    "spread",
    "GFLOP/s",
    "softdot : contender",
    "quartiles",
    "error",
];

/// The columns that hold words, on the left; numbers are on the right.
const WORDS: [usize; 2] = [0, 2];

/// The whole report.
pub fn report(machine: &Machine, records: &[Record]) -> String {
    format!("{}\n{}\n{NOTES}", head(machine, records), table(records))
}

fn head(machine: &Machine, records: &[Record]) -> String {
    let Machine { cpu, arch, isa, load, versions } = machine;
    let load = load.map_or_else(|| "unknown".into(), |load| load.to_string());
    let mut threads: Vec<usize> = records.iter().map(|record| record.threads).collect();
    threads.dedup();
    let threads: Vec<String> = threads.iter().map(usize::to_string).collect();
    let rounds = records.iter().map(|record| record.rounds);
    let (least, most) = (rounds.clone().min().unwrap_or(0), rounds.max().unwrap_or(0));
    format!(
        "- machine: {cpu} ({arch}), load {load} before the run\n\
         - isa: {isa} (softdot's; the others choose theirs)\n\
         - threads: {}\n\
         - rounds: {least} to {most}\n\
         - versions: {versions}\n",
        threads.join(", "),
    )
}

fn table(records: &[Record]) -> String {
    let rows: Vec<[String; 9]> = records.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADER[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: [usize; 9] = std::array::from_fn(width);
    let mut text = line(&HEADER.map(str::to_owned), &widths);
    text.push('|');
    for (column, &width) in widths.iter().enumerate() {
        let end = if WORDS.contains(&column) { '-' } else { ':' };
        let _ = write!(text, "{:-<width$}{end}|", "", width = width + 1);
    }
    text.push('\n');
    text.extend(rows.iter().map(|row| line(row, &widths)));
    text
}

fn row(record: &Record) -> [String; 9] {
    [
        record.workload.clone(),
        record.threads.to_string(),
        record.contender.clone(),
        duration(record.median_s),
        format!("{:.1} %", record.spread * 100.0),
        format!("{:.1}", record.gflops),
        format!("{:.3}", record.ratio),
        format!("{:.3}–{:.3}", record.ratio_low, record.ratio_high),
        format!("{:.1e}", record.max_error),
    ]
}

fn line(cells: &[String; 9], widths: &[usize; 9]) -> String {
    let mut text = String::from("|");
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let _ = match WORDS.contains(&column) {
            true => write!(text, " {cell:<width$} |"),
            false => write!(text, " {cell:>width$} |"),
        };
    }
    text.push('\n');
    text
}

/// Seconds in a unit that suits them.
fn duration(seconds: f64) -> String {
    match seconds {
        1.0.. => format!("{seconds:.3} s"),
        1e-3.. => format!("{:.3} ms", seconds * 1e3),
        _ => format!("{:.3} µs", seconds * 1e6),
    }
}
