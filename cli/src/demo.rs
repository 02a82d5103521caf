//! `softdot demo`: who attends to whom in a sentence.

use crate::args::Demo;
use crate::heatmap;
use crate::matrix::{Matrix, Unit};
use crate::picture::{self, Labels, Picture};
use crate::sample::Sample;
use anyhow::{Result, ensure};
use softdot::{Attention, Isa, TensorRef};
use std::fmt::Write;
use std::io::{IsTerminal, stdout};
use std::ops::Range;

/// The words that the table lists per token.
const LISTED: usize = 3;

/// Computes all layers and heads in one call; returns the report.
pub fn run(arguments: &Demo) -> Result<String> {
    let sample = Sample::load(arguments.text)?;
    let [layers, heads, ..] = sample.shape;
    let chosen = Chosen {
        layers: range("--layer", arguments.layer, layers)?,
        heads: range("--head", arguments.head, heads)?,
    };
    let plot = arguments.plot.as_ref();
    let plot = plot.map(|file| file.destination("--plot")).transpose()?;

    let isa = Isa::detect()?;
    let query = TensorRef::new(&sample.query[..], sample.shape);
    let key = TensorRef::new(&sample.key[..], sample.shape);
    let weights = Attention::new().weights(query, key)?;
    let shown = average(&weights, &sample, &chosen);

    let difference = largest_difference(&weights, &sample.weights);
    let table = table(&shown, &sample.tokens);
    let map = heatmap::render(&shown, &sample.tokens, wants_colour());
    let described = chosen.describe(&sample);
    let report = format!(
        "softdot {version}: which words a transformer focuses on\n\n\
         text   {text}\n\
         model  {model}\n\
         isa    {isa}\n\
         shown  {described}\n\n\
         {table}\n\
         {map}\n\
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
        };
        picture::stage(&picture, plot)?.commit()?;
    }
    Ok(report)
}

/// The layers and heads to average over.
struct Chosen {
    layers: Range<usize>,
    heads: Range<usize>,
}

impl Chosen {
    /// In words.
    fn describe(&self, sample: &Sample) -> String {
        let [layers, heads, ..] = sample.shape;
        let (layer, head) = (self.layers.start, self.heads.start);
        match (self.layers.len(), self.heads.len()) {
            (1, 1) => format!("layer {layer}, head {head}"),
            (1, _) => format!("layer {layer}, average of {heads} heads"),
            (_, 1) => format!("head {head}, average of {layers} layers"),
            _ => format!("average of {layers} layers and {heads} heads"),
        }
    }
}

/// One index, or all of them.
fn range(option: &str, index: Option<usize>, extent: usize) -> Result<Range<usize>> {
    let Some(index) = index else { return Ok(0..extent) };
    ensure!(index < extent, "{option}: expected 0 to {}, found {index}", extent - 1);
    Ok(index..index + 1)
}

/// The average of the chosen heads.
fn average(weights: &[f32], sample: &Sample, chosen: &Chosen) -> Matrix {
    let [_, heads, tokens, _] = sample.shape;
    let elements = tokens * tokens;
    let mut sums = vec![0.0f64; elements];
    for layer in chosen.layers.clone() {
        for head in chosen.heads.clone() {
            let head_weights = &weights[(layer * heads + head) * elements..][..elements];
            for (sum, &weight) in sums.iter_mut().zip(head_weights) {
                *sum += f64::from(weight);
            }
        }
    }
    let count = (chosen.layers.len() * chosen.heads.len()) as f64;
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

/// Tokens that stand for no word of the text.
fn is_special(token: &str) -> bool {
    token.starts_with('[') && token.ends_with(']')
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
