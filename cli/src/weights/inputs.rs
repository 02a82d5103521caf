//! What the files hold, and the options made of it.

use crate::args::Weights;
use crate::input::{Array, Source, four_axes};
use crate::spinner::Spinner;
use anyhow::{Result, ensure};
use softdot::{Attention, Threads, alibi_slopes};

/// More heads than any model has would only exhaust memory; a file without elements may claim them.
const MOST_ALIBI_HEADS: usize = 1 << 20;

/// Query and key, of as many axes, what goes with them, and the shape of what comes of them.
pub struct Inputs {
    pub query: Array,
    pub key: Array,
    pub bias: Option<Array>,
    pub mask: Option<Array<Vec<bool>>>,
    sinks: Option<Vec<f32>>,
    slopes: Option<Vec<f32>>,
    pub shape: Vec<usize>,
}

impl Inputs {
    pub fn read(arguments: &Weights, spinner: &Spinner) -> Result<Self> {
        let adjustments = &arguments.adjustments;
        let say = |source: &Source| spinner.say(format!("reading {source}"));
        let numbers = |option: &str, source: &Source, axes| -> Result<Array> {
            say(source);
            source.read(option, axes)
        };
        let query = numbers("--query", &arguments.query, 2..=4)?;
        let key = numbers("--key", &arguments.key, 2..=4)?;
        let (query_shape, key_shape) = (query.shape(), key.shape());
        ensure!(
            query_shape.len() == key_shape.len(),
            "--key: expected as many axes as query {query_shape:?}, found {key_shape:?}"
        );
        let mut shape = query_shape.to_vec();
        shape[query_shape.len() - 1] = key_shape[key_shape.len() - 2];

        let bias = adjustments.bias.as_ref().map(|source| numbers("--bias", source, 1..=4));
        let mask = adjustments.mask.as_ref().map(|source| {
            say(source);
            source.read("--mask", 1..=4)
        });
        let sinks = adjustments.sinks.as_ref().map(|source| numbers("--sinks", source, 1..=1));
        let slopes = adjustments.alibi.then(|| slopes(four_axes(&shape)[1]));
        Ok(Self {
            bias: bias.transpose()?,
            mask: mask.transpose()?,
            sinks: sinks.transpose()?.map(Array::into_f32),
            slopes: slopes.transpose()?,
            query,
            key,
            shape,
        })
    }

    /// The options, as softdot takes them.
    pub fn attention<'a>(&'a self, arguments: &'a Weights) -> Attention<'a> {
        let adjustments = &arguments.adjustments;
        let mut attention = Attention::new();
        if let Some(scale) = arguments.scale {
            attention = attention.scale(scale);
        }
        if let Some(cap) = adjustments.softcap {
            attention = attention.softcap(cap);
        }
        if let Some(bias) = &self.bias {
            attention = attention.bias(bias.view());
        }
        if let Some(slopes) = &self.slopes {
            attention = attention.alibi_slopes(slopes);
        }
        if let Some(mask) = &self.mask {
            attention = attention.mask(mask.view());
        }
        if let Some(causal) = adjustments.causal {
            attention = attention.causal(causal);
        }
        if let Some(window) = adjustments.window {
            attention = attention.window(window.left, window.right);
        }
        if let Some(lengths) = &adjustments.key_lengths {
            attention = attention.key_lengths(lengths);
        }
        if let Some(sinks) = &self.sinks {
            attention = attention.sinks(sinks);
        }
        if let Some(isa) = arguments.isa {
            attention = attention.isa(isa);
        }
        if arguments.threads == Some(1) {
            attention = attention.threads(Threads::Serial);
        }
        attention
    }

    pub fn query_rows(&self) -> usize {
        self.shape[self.shape.len() - 2]
    }

    pub fn keys(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }
}

fn slopes(heads: usize) -> Result<Vec<f32>> {
    ensure!(
        heads <= MOST_ALIBI_HEADS,
        "--alibi: expected at most {MOST_ALIBI_HEADS} query heads, found {heads}"
    );
    Ok(alibi_slopes(heads))
}
