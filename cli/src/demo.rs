//! `softdot demo`: who attends to whom in a sentence.

mod charts;
mod chosen;

use crate::args::Demo;
use crate::chart::side_by_side;
use crate::heatmap;
use crate::matrix::{Matrix, Unit};
use crate::picture::{self, Labels, Picture};
use crate::sample::{Sample, is_special};
use anyhow::Result;
use chosen::Chosen;
use softdot::{Attention, Isa, Outputs, TensorMut, TensorRef, Workspace};
use std::fmt::Write;
use std::io::{IsTerminal, stdout};

/// The words that the table lists per token.
const LISTED: usize = 3;

/// Computes all layers and heads in one call; returns the report.
pub fn run(arguments: &Demo) -> Result<String> {
    let sample = Sample::load(arguments.text)?;
    let [layers, heads, ..] = sample.shape;
    let chosen = Chosen::new(arguments, &sample)?;
    let plot = arguments.plot.as_ref();
    let plot = plot.map(|file| file.destination("--plot")).transpose()?;

    let isa = Isa::detect()?;
    let Computed { weights, entropy, key_mass } = Computed::new(&sample)?;
    let shown = average(&weights, &sample, &chosen);
    let words = charts::words(&key_mass, &sample, &chosen);
    let focused = charts::heads(&entropy, &sample, &chosen);

    let difference = largest_difference(&weights, &sample.weights);
    let table = table(&shown, &sample.tokens);
    let map = heatmap::render(&shown, &sample.tokens, wants_colour());
    let bars = side_by_side(&words, &focused);
    let described = chosen.describe();
    let report = format!(
        "softdot {version}: which words a transformer focuses on\n\n\
         text   {text}\n\
         model  {model}\n\
         isa    {isa}\n\
         shown  {described}\n\n\
         {table}\n\
         {map}\n\
         {bars}\n\
         largest difference from the model's own weights, {layers} layers and {heads} heads: \
         {difference:.2e}\n",
        version = env!("CARGO_PKG_VERSION"),
        text = sample.text,
        model = sample.model,
    );
    if let Some(plot) = plot {
        let picture = Picture {
            title: format!("Attention weights, {described}"),
            subtitle: sample.text,
            matrix: shown,
            labels: Labels::Tokens(sample.tokens),
            charts: vec![words, focused],
        };
        picture::stage(&picture, plot)?.commit()?;
    }
    Ok(report)
}

/// What the library computes of all layers and heads, in one pass.
struct Computed {
    /// `[layer, head, query token, key token]`.
    weights: Vec<f32>,
    /// `[layer, head, query token]`.
    entropy: Vec<f32>,
    /// `[layer, head, key token]`.
    key_mass: Vec<f64>,
}

impl Computed {
    fn new(sample: &Sample) -> Result<Self> {
        let [layers, heads, tokens, _] = sample.shape;
        let rows = layers * heads * tokens;
        let mut computed = Self {
            weights: vec![0.0; rows * tokens],
            entropy: vec![0.0; rows],
            key_mass: vec![0.0; rows],
        };
        let Self { weights, entropy, key_mass } = &mut computed;
        let outputs = Outputs::new()
            .weights(TensorMut::new(&mut weights[..], [layers, heads, tokens, tokens]))
            .entropy(TensorMut::new(&mut entropy[..], [layers, heads, tokens, 1]))
            .key_mass(TensorMut::new(&mut key_mass[..], [layers, heads, 1, tokens]));
        let query = TensorRef::new(&sample.query[..], sample.shape);
        let key = TensorRef::new(&sample.key[..], sample.shape);
        Attention::new().run(query, key, outputs, &mut Workspace::new())?;
        Ok(computed)
    }
}

/// The average of the chosen heads.
fn average(weights: &[f32], sample: &Sample, chosen: &Chosen) -> Matrix {
    let [_, _, tokens, _] = sample.shape;
    let heads = || chosen.heads_of(weights, tokens * tokens);
    let mut sums = vec![0.0f64; tokens * tokens];
    for (_, head_weights) in heads() {
        for (sum, &weight) in sums.iter_mut().zip(head_weights) {
            *sum += f64::from(weight);
        }
    }
    let count = heads().count() as f64;
    let averages = sums.iter().map(|sum| (sum / count) as f32).collect();
    Matrix::new(averages, tokens, Unit::Weight)
}

/// Each token and the words that it attends to most; apart, what goes to special tokens. Models
/// park attention there that has nowhere to go, so they would lead nearly every row.
fn table(matrix: &Matrix, tokens: &[String]) -> String {
    let width = tokens.iter().map(|token| token.chars().count()).max().unwrap_or(0);
    let listed_width = LISTED * (width + 10);
    let mut text =
        format!("{:<width$}  {:<listed_width$}[CLS], [SEP]\n", "token", "attends most to");
    for (row, token) in tokens.iter().enumerate() {
        let weights = matrix.row(row).iter().copied().enumerate();
        let (special, words): (Vec<_>, Vec<_>) =
            weights.partition(|&(key, _)| is_special(&tokens[key]));
        let _ = write!(text, "{token:<width$}  ");
        for (key, weight) in strongest(words) {
            let _ = write!(text, "{:<width$} {:>4.1} %   ", tokens[key], weight * 100.0);
        }
        let special: f32 = special.iter().map(|(_, weight)| weight).sum();
        let _ = writeln!(text, "{:>10.1} %", special * 100.0);
    }
    text
}

/// The largest weights and their keys, largest first.
fn strongest(mut weights: Vec<(usize, f32)>) -> Vec<(usize, f32)> {
    weights.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    weights.truncate(LISTED);
    weights
}

/// NaN, where a weight is, counts as the largest.
fn largest_difference(ours: &[f32], theirs: &[f32]) -> f32 {
    let differences = ours.iter().zip(theirs).map(|(our, their)| (our - their).abs());
    differences.max_by(f32::total_cmp).unwrap_or(0.0)
}

/// Colours are for people at a terminal who have not declined (<https://no-color.org>).
fn wants_colour() -> bool {
    let declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    stdout().is_terminal() && !declined && !dumb
}
