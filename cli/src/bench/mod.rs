//! `softdot bench`: how fast each instruction set is, next to what this machine can do at all.

mod attention;
mod catalogue;
mod compare;
mod diagram;
mod inputs;
mod measurement;
mod memory;
mod multiply_add;
mod on_isa;
mod prepare;
mod record;
mod roofline;
mod roofs;
mod scaling_plot;
mod session;
mod softmax;
mod table;
mod task;
mod timing;
mod trial;
mod work;
mod workload;

use crate::args::Bench;
use crate::output::Destination;
use crate::plot;
use anyhow::Result;
use roofline::Roofline;
use scaling_plot::ScalingPlot;
use session::Session;

/// Measures, or compares two files of measurements; returns the report.
pub fn run(arguments: &Bench) -> Result<String> {
    match arguments.compare.as_deref() {
        Some([before, after]) => compare::run(before, after),
        _ => measure(arguments),
    }
}

fn measure(arguments: &Bench) -> Result<String> {
    let json = arguments.json.as_deref();
    let json = json.map(|path| Destination::new("--json", path)).transpose()?;
    let plot = arguments.plot.as_ref();
    let plot = plot.map(|file| file.destination("--plot")).transpose()?;
    let scaling = arguments.scaling_plot.as_ref();
    let scaling = scaling.map(|file| file.destination("--scaling-plot")).transpose()?;
    let filter = arguments.filter.as_deref().unwrap_or_default();
    let workloads = catalogue::select(arguments.quick, filter)?;
    if scaling.is_some() {
        ScalingPlot::check(&workloads)?;
    }

    let session = Session::run(arguments, &workloads)?;
    let json = json.map(|to| record::stage(&session, to)).transpose()?;
    let plot = plot.map(|to| plot::stage(to, |scale| Roofline::new(&session, scale)));
    let plot = plot.transpose()?;
    let scaling = scaling.map(|to| plot::stage(to, |scale| ScalingPlot::new(&session, scale)));
    let scaling = scaling.transpose()?;
    json.map(|json| json.commit()).transpose()?;
    plot.map(|plot| plot.commit()).transpose()?;
    scaling.map(|scaling| scaling.commit()).transpose()?;
    Ok(table::report(&session))
}
