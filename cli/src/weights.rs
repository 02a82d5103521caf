//! `softdot weights`: weights or scores of tensors in files.

mod summary;

use crate::args::{StageName, Weights};
use crate::call::{self, Buffer, Inputs, check_picture, first_head};
use crate::matrix::Unit;
use crate::output::Destination;
use crate::picture;
use crate::spinner::Spinner;
use anyhow::{Error, Result};
use std::io::{Write, stderr};
use summary::summary;

const OUTPUT: &str = "--output";

/// Reads, computes and writes; a summary goes to stderr.
pub fn run(arguments: &Weights) -> Result<()> {
    let (call, stage) = (&arguments.call, arguments.stage);
    let output = Destination::new(OUTPUT, &call.output)?;
    let plot = call.plot.as_ref();
    let plot = plot.map(|file| file.destination("--plot")).transpose()?;
    let spinner = Spinner::start();

    let inputs = Inputs::read(call, None, &spinner)?;
    if plot.is_some() {
        check_picture(&inputs)?;
    }
    spinner.say(format!("computing {} {:?}", stage.noun(), inputs.weights_shape));
    let plan = call::plan(call, &inputs).map_err(by_option)?;
    let mut result = Buffer::new(OUTPUT, call.dtype, &inputs.weights_shape)?;
    let outputs = stage.outputs(result.view_mut());
    let time = call::compute(call, &inputs, outputs).map_err(by_option)?;

    spinner.say(format!("writing {}", call.output.display()));
    let output = output.stage(|path| result.write(path))?;
    let picture = || first_head(call, &inputs, &result, stage.noun(), unit(stage));
    let plot = plot.map(|plot| picture::stage(&picture(), plot)).transpose()?;
    output.commit()?;
    plot.map(|plot| plot.commit()).transpose()?;
    drop(spinner);

    // The work is done and in its place; that stderr is closed does not undo it.
    let how = call::how(&plan, time);
    let _ = writeln!(stderr(), "{}", summary(arguments, &inputs, &result, &how));
    Ok(())
}

/// The result is the option `--output`, whichever stage it is of.
fn by_option(error: softdot::Error) -> Error {
    call::by_option(error, &[("weights", OUTPUT), ("logits", OUTPUT)])
}

fn unit(stage: StageName) -> Unit {
    match stage {
        StageName::Weights => Unit::Weight,
        StageName::Scores | StageName::Capped | StageName::Biased => Unit::Score,
    }
}
