//! `softdot weights`: weights or scores of tensors in files.

use crate::args::{StageName, Weights};
use crate::input::Array;
use crate::matrix::{Matrix, Unit};
use crate::output::{Destination, write_npy};
use crate::plot::{self, Labels, Picture};
use crate::spinner::Spinner;
use anyhow::{Result, ensure};
use softdot::{Attention, Plan, Threads};
use std::io::{Write, stderr};
use std::time::{Duration, Instant};

/// Reads, computes and writes; a summary goes to stderr.
pub fn run(arguments: &Weights) -> Result<()> {
    let output = Destination::new("--output", &arguments.output)?;
    let plot = arguments.plot.as_ref();
    let plot = plot.map(|file| file.destination("--plot")).transpose()?;
    let spinner = Spinner::start();

    let inputs = Inputs::read(arguments, &spinner)?;
    if plot.is_some() {
        plot::check_size(inputs.query_rows(), inputs.keys())?;
    }
    spinner.say(format!("computing {} {:?}", arguments.stage.name(), inputs.shape));
    let computed = compute(arguments, &inputs)?;

    spinner.say(format!("writing {}", arguments.output.display()));
    let output = output.stage(|path| write_npy(path, &inputs.shape, &computed.result))?;
    let plot = plot.map(|plot| plot::stage(&picture(arguments, &inputs, &computed), plot));
    let plot = plot.transpose()?;
    output.commit()?;
    plot.map(|plot| plot.commit()).transpose()?;
    drop(spinner);

    // The work is done and in its place; that stderr is closed does not undo it.
    let _ = writeln!(stderr(), "{}", summary(arguments, &inputs, &computed));
    Ok(())
}

/// Query and key, of as many axes, and the shape of what comes of them.
struct Inputs {
    query: Array,
    key: Array,
    shape: Vec<usize>,
}

impl Inputs {
    fn read(arguments: &Weights, spinner: &Spinner) -> Result<Self> {
        spinner.say(format!("reading {}", arguments.query));
        let query = arguments.query.read("--query")?;
        spinner.say(format!("reading {}", arguments.key));
        let key = arguments.key.read("--key")?;
        let (query_shape, key_shape) = (query.shape(), key.shape());
        ensure!(
            query_shape.len() == key_shape.len(),
            "key: expected as many axes as query {query_shape:?}, found {key_shape:?}"
        );
        let mut shape = query_shape.to_vec();
        shape[query_shape.len() - 1] = key_shape[key_shape.len() - 2];
        Ok(Self { query, key, shape })
    }

    fn query_rows(&self) -> usize {
        self.shape[self.shape.len() - 2]
    }

    fn keys(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }
}

/// What came out, and how.
struct Computed {
    result: Vec<f32>,
    plan: Plan,
    time: Duration,
}

fn compute(arguments: &Weights, inputs: &Inputs) -> Result<Computed> {
    let mut attention = Attention::new().stage(arguments.stage.stage());
    if let Some(scale) = arguments.scale {
        attention = attention.scale(scale);
    }
    if let Some(isa) = arguments.isa {
        attention = attention.isa(isa);
    }
    if arguments.threads == Some(1) {
        attention = attention.threads(Threads::Serial);
    }
    let (query, key) = (inputs.query.view(), inputs.key.view());
    let plan = attention.plan(query, key)?;
    let start = Instant::now();
    let result = attention.compute(query, key)?;
    Ok(Computed { result, plan, time: start.elapsed() })
}

/// The first head of the first batch entry.
fn picture(arguments: &Weights, inputs: &Inputs, computed: &Computed) -> Picture {
    let unit = match arguments.stage {
        StageName::Weights => Unit::Weight,
        StageName::Scores => Unit::Score,
    };
    let head = match inputs.shape.len() {
        2 => "",
        3 => ", head 0",
        _ => ", batch 0, head 0",
    };
    let elements = inputs.query_rows() * inputs.keys();
    Picture {
        title: format!("Attention {}{head}", arguments.stage.name()),
        subtitle: format!("query {}, key {}", arguments.query, arguments.key),
        matrix: Matrix::new(computed.result[..elements].to_vec(), inputs.keys(), unit),
        labels: Labels::Numbers,
    }
}

fn summary(arguments: &Weights, inputs: &Inputs, computed: &Computed) -> String {
    let Computed { plan, time, .. } = computed;
    format!(
        "{} {:?} of query {:?} and key {:?}: {}, {} thread{}, {:.3} ms, written to {}",
        arguments.stage.name(),
        inputs.shape,
        inputs.query.shape(),
        inputs.key.shape(),
        plan.isa,
        plan.threads,
        if plan.threads == 1 { "" } else { "s" },
        time.as_secs_f64() * 1e3,
        arguments.output.display(),
    )
}
