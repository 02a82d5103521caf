//! `softdot attention`: the output of attention of tensors in files, and what comes with it.

mod result;
mod summary;

use crate::args::Attention;
use crate::call::{self, Buffer, Inputs, check_picture, first_head};
use crate::matrix::Unit;
use crate::output::{Destination, Staged, expect_apart};
use crate::picture;
use crate::plot::PictureDestination;
use crate::spinner::Spinner;
use anyhow::{Context, Error, Result};
use result::Kind;
use softdot::{Outputs, Plan};
use std::io::{Write, stderr};
use std::ops::Range;
use std::time::Duration;
use summary::summary;

/// Reads, computes and writes; a summary goes to stderr.
pub fn run(arguments: &Attention) -> Result<()> {
    let call = &arguments.call;
    let destinations = destinations(arguments)?;
    let plot = call.plot.as_ref();
    let plot = plot.map(|file| file.destination("--plot")).transpose()?;
    let spinner = Spinner::start();

    let inputs = Inputs::read(call, Some(&arguments.value), &spinner)?;
    if plot.is_some() {
        check_picture(&inputs)?;
    }
    spinner.say(format!("computing the output {:?}", inputs.output_shape()));
    let computed = compute(arguments, &inputs)?;

    spinner.say(format!("writing {}", call.output.display()));
    let staged = stage(arguments, &inputs, &computed, (destinations, plot))?;
    staged.into_iter().try_for_each(Staged::commit)?;
    drop(spinner);

    // The work is done and in its place; that stderr is closed does not undo it.
    let how = call::how(&computed.plan, computed.time);
    let _ = writeln!(stderr(), "{}", summary(arguments, &inputs, &how));
    Ok(())
}

/// What came out, and how.
struct Computed {
    results: Vec<(Kind, Buffer)>,
    plan: Plan,
    time: Duration,
}

/// The files that are asked for, no two the same.
fn destinations(arguments: &Attention) -> Result<Vec<(Kind, Destination)>> {
    let mut destinations: Vec<(Kind, Destination)> = Vec::new();
    for kind in Kind::ALL {
        let Some(path) = kind.path(arguments) else { continue };
        let destination = Destination::new(kind.option(), path)?;
        for (_, other) in &destinations {
            expect_apart(other, &destination)?;
        }
        destinations.push((kind, destination));
    }
    Ok(destinations)
}

/// A picture needs the weights, whether or not a file does.
fn compute(arguments: &Attention, inputs: &Inputs) -> Result<Computed> {
    let call = &arguments.call;
    let asked = |kind: &Kind| {
        kind.path(arguments).is_some() || *kind == Kind::Weights && call.plot.is_some()
    };
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(asked).collect();
    let by_option = |error| by_option(error, &kinds);
    let plan = call::plan(call, inputs).map_err(by_option)?;
    let buffer = |&kind: &Kind| Ok((kind, kind.buffer(arguments, inputs)?));
    let mut results = kinds.iter().map(buffer).collect::<Result<Vec<_>>>()?;
    let outputs = results
        .iter_mut()
        .fold(Outputs::new(), |outputs, (kind, buffer)| kind.ask(outputs, buffer));
    let outputs = mass_rows(arguments, inputs)?.into_iter().fold(outputs, Outputs::mass_rows);
    let time = call::compute(call, inputs, outputs).map_err(by_option)?;
    Ok(Computed { results, plan, time })
}

/// The query rows that count for the key mass, where not all do.
fn mass_rows(arguments: &Attention, inputs: &Inputs) -> Result<Option<Range<usize>>> {
    let (Some(last), rows) = (arguments.mass_rows, inputs.query_rows()) else { return Ok(None) };
    let first = rows.checked_sub(last);
    let first = first.with_context(|| {
        format!("--mass-rows: expected at most {rows} (rows of the query), found {last}")
    })?;
    Ok(Some(first..rows))
}

fn by_option(error: softdot::Error, kinds: &[Kind]) -> Error {
    let results = kinds.iter().map(|kind| (kind.argument(), kind.option()));
    call::by_option(error, &results.collect::<Vec<_>>())
}

/// All files whole beside their destinations, before any of them takes its place.
fn stage(
    arguments: &Attention,
    inputs: &Inputs,
    computed: &Computed,
    (destinations, plot): (Vec<(Kind, Destination)>, Option<PictureDestination>),
) -> Result<Vec<Staged>> {
    let result = |wanted: Kind| {
        let mut results = computed.results.iter();
        let found = results.find(|(kind, _)| *kind == wanted).map(|(_, buffer)| buffer);
        found.expect("computed, as it has a destination or is drawn")
    };
    let files = destinations.into_iter();
    let files = files.map(|(kind, destination)| destination.stage(|path| result(kind).write(path)));
    let mut staged = files.collect::<Result<Vec<_>>>()?;
    if let Some(plot) = plot {
        let weights = result(Kind::Weights);
        let picture = first_head(&arguments.call, inputs, weights, "weights", Unit::Weight);
        staged.push(picture::stage(&picture, plot)?);
    }
    Ok(staged)
}
