//! `softdot weights`: weights or scores of tensors in files.

mod compute;
mod inputs;
mod summary;

use crate::args::{StageName, Weights};
use crate::matrix::{Matrix, Unit};
use crate::output::Destination;
use crate::picture::{self, Labels, Picture};
use crate::spinner::Spinner;
use anyhow::{Result, ensure};
use compute::{Computed, compute};
use inputs::Inputs;
use std::io::{Write, stderr};
use summary::summary;

/// Reads, computes and writes; a summary goes to stderr.
pub fn run(arguments: &Weights) -> Result<()> {
    let output = Destination::new("--output", &arguments.output)?;
    let plot = arguments.plot.as_ref();
    let plot = plot.map(|file| file.destination("--plot")).transpose()?;
    let spinner = Spinner::start();

    let inputs = Inputs::read(arguments, &spinner)?;
    if plot.is_some() {
        picture::check_size(inputs.query_rows(), inputs.keys())?;
        ensure!(
            !inputs.shape.contains(&0),
            "--plot: expected heads and batch entries, found a result {:?}",
            inputs.shape
        );
    }
    spinner.say(format!("computing {} {:?}", arguments.stage.noun(), inputs.shape));
    let computed = compute(arguments, &inputs)?;

    spinner.say(format!("writing {}", arguments.output.display()));
    let output = output.stage(|path| computed.result.write(path, &inputs.shape))?;
    let plot = plot.map(|plot| picture::stage(&first_head(arguments, &inputs, &computed), plot));
    let plot = plot.transpose()?;
    output.commit()?;
    plot.map(|plot| plot.commit()).transpose()?;
    drop(spinner);

    // The work is done and in its place; that stderr is closed does not undo it.
    let _ = writeln!(stderr(), "{}", summary(arguments, &inputs, &computed));
    Ok(())
}

/// The first head of the first batch entry.
fn first_head(arguments: &Weights, inputs: &Inputs, computed: &Computed) -> Picture {
    let unit = match arguments.stage {
        StageName::Weights => Unit::Weight,
        StageName::Scores | StageName::Capped | StageName::Biased => Unit::Score,
    };
    let head = match inputs.shape.len() {
        2 => "",
        3 => ", head 0",
        _ => ", batch 0, head 0",
    };
    let elements = inputs.query_rows() * inputs.keys();
    Picture {
        title: format!("Attention {}{head}", arguments.stage.noun()),
        subtitle: format!("query {}, key {}", arguments.query, arguments.key),
        matrix: Matrix::new(computed.result.first(elements), inputs.keys(), unit),
        labels: Labels::Numbers,
    }
}
