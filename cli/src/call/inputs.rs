//! What the files hold, and the options made of it.

use crate::args::Call;
use crate::input::{Array, Source, four_axes};
use crate::spinner::Spinner;
use anyhow::{Result, ensure};
use softdot::{Attention, KeysValues, Threads, alibi_slopes};

/// More heads than any model has would only exhaust memory; a file without elements may claim them.
const MOST_ALIBI_HEADS: usize = 1 << 20;

/// Query, key and values, of as many axes, what goes with them, and the shape of the weights.
pub struct Inputs {
    pub query: Array,
    pub key: Array,
    pub value: Option<Array>,
    pub bias: Option<Array>,
    pub mask: Option<Array<Vec<bool>>>,
    sinks: Option<Vec<f32>>,
    slopes: Option<Vec<f32>>,
    pub weights_shape: Vec<usize>,
}

impl Inputs {
    /// Reads the files of a call, and the values if there are any.
    ///
    /// # Errors
    /// What is wrong with a file, or does not fit, after the option.
    pub fn read(call: &Call, value: Option<&Source>, spinner: &Spinner) -> Result<Self> {
        let adjustments = &call.adjustments;
        let say = |source: &Source| spinner.say(format!("reading {source}"));
        let numbers = |option: &str, source: &Source, axes| -> Result<Array> {
            say(source);
            source.read(option, axes)
        };
        let query = numbers("--query", &call.query, 2..=4)?;
        let like_query = |option: &str, source: &Source| -> Result<Array> {
            let (array, query) = (numbers(option, source, 2..=4)?, query.shape());
            let shape = array.shape();
            ensure!(
                shape.len() == query.len(),
                "{option}: expected as many axes as query {query:?}, found {shape:?}; {}",
                with_ones(option, query, shape)
            );
            Ok(array)
        };
        let key = like_query("--key", &call.key)?;
        let value = value.map(|source| like_query("--value", source)).transpose()?;
        let weights_shape = with_last(query.shape(), key.shape()[key.shape().len() - 2]);

        let bias = adjustments.bias.as_ref().map(|source| numbers("--bias", source, 1..=4));
        let mask = adjustments.mask.as_ref().map(|source| {
            say(source);
            source.read("--mask", 1..=4)
        });
        let sinks = adjustments.sinks.as_ref().map(|source| numbers("--sinks", source, 1..=1));
        let slopes = adjustments.alibi.then(|| slopes(four_axes(&weights_shape)[1]));
        Ok(Self {
            bias: bias.transpose()?,
            mask: mask.transpose()?,
            sinks: sinks.transpose()?.map(Array::into_f32).transpose()?,
            slopes: slopes.transpose()?,
            query,
            key,
            value,
            weights_shape,
        })
    }

    /// The options, as softdot takes them.
    pub fn attention<'a>(&'a self, call: &'a Call) -> Attention<'a> {
        let adjustments = &call.adjustments;
        let mut attention = Attention::new();
        if let Some(scale) = call.scale {
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
        if let Some(isa) = call.isa {
            attention = attention.isa(isa);
        }
        if call.threads == Some(1) {
            attention = attention.threads(Threads::Serial);
        }
        attention
    }

    /// The keys, with the values if there are any.
    pub fn keys_values(&self) -> KeysValues<'_> {
        match &self.value {
            Some(value) => (self.key.view(), value.view()).into(),
            None => self.key.view().into(),
        }
    }

    /// The shape of the output; without values, their columns are 0.
    pub fn output_shape(&self) -> Vec<usize> {
        let v_dim = self.value.as_ref().and_then(|value| value.shape().last());
        with_last(&self.weights_shape, v_dim.copied().unwrap_or(0))
    }

    pub fn query_rows(&self) -> usize {
        self.weights_shape[self.weights_shape.len() - 2]
    }

    pub fn keys(&self) -> usize {
        self.weights_shape[self.weights_shape.len() - 1]
    }
}

/// How the one with fewer axes gets as many as the other.
fn with_ones(option: &str, query: &[usize], shape: &[usize]) -> String {
    let (name, fewer, most) = match shape.len() < query.len() {
        true => (option, shape, query.len()),
        false => ("--query", query, shape.len()),
    };
    let ones = vec![1; most - fewer.len()];
    format!("{name} would fit as {:?}", [&ones[..], fewer].concat())
}

/// A shape with another last extent.
fn with_last(shape: &[usize], extent: usize) -> Vec<usize> {
    [&shape[..shape.len() - 1], &[extent]].concat()
}

fn slopes(heads: usize) -> Result<Vec<f32>> {
    ensure!(
        heads <= MOST_ALIBI_HEADS,
        "--alibi: expected at most {MOST_ALIBI_HEADS} query heads, found {heads}"
    );
    Ok(alibi_slopes(heads))
}
