//! The options that all functions of attention share, and what holds their memory during a call.

use crate::arguments;
use crate::array::Array;
use crate::threads::Threads;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use softdot::{Attention, Causal, Isa};

/// Options as Python gives them, by their keywords.
pub struct Given<'a, 'py> {
    pub scale: Option<&'a Bound<'py, PyAny>>,
    pub softcap: Option<&'a Bound<'py, PyAny>>,
    pub bias: Option<&'a Bound<'py, PyAny>>,
    pub alibi_slopes: Option<&'a Bound<'py, PyAny>>,
    pub mask: Option<&'a Bound<'py, PyAny>>,
    pub causal: Option<&'a Bound<'py, PyAny>>,
    pub window: Option<&'a Bound<'py, PyAny>>,
    pub key_lengths: Option<&'a Bound<'py, PyAny>>,
    pub sinks: Option<&'a Bound<'py, PyAny>>,
    pub isa: Option<&'a Bound<'py, PyAny>>,
    pub threads: Option<&'a Bound<'py, PyAny>>,
}

impl Given<'_, '_> {
    /// # Errors
    /// Those of [`Array`] and [`arguments`].
    pub fn open(&self) -> PyResult<Options> {
        let row = |argument, given: Option<_>| given.map(|given| row(argument, given)).transpose();
        Ok(Options {
            scale: self.scale.map(|scale| arguments::real("scale", scale)).transpose()?,
            softcap: self.softcap.map(arguments::softcap).transpose()?,
            bias: self.bias.map(|bias| Array::bias("bias", bias)).transpose()?,
            alibi_slopes: row("alibi_slopes", self.alibi_slopes)?,
            mask: self.mask.map(|mask| Array::mask("mask", mask)).transpose()?,
            causal: self.causal.map(arguments::causal).transpose()?,
            window: self.window.map(arguments::window).transpose()?,
            key_lengths: self.key_lengths.map(arguments::key_lengths).transpose()?,
            sinks: row("sinks", self.sinks)?,
            isa: arguments::isa(self.isa)?,
            threads: Threads::parse(self.threads)?,
        })
    }
}

/// Options, opened.
pub struct Options {
    scale: Option<f32>,
    softcap: Option<f32>,
    bias: Option<Array>,
    alibi_slopes: Option<Vec<f32>>,
    mask: Option<Array>,
    causal: Option<Causal>,
    window: Option<(Option<usize>, Option<usize>)>,
    key_lengths: Option<Vec<usize>>,
    sinks: Option<Vec<f32>>,
    isa: Isa,
    threads: Threads,
}

impl Options {
    /// The library's options.
    pub fn attention(&self) -> Attention<'_> {
        let mut attention = Attention::new().isa(self.isa);
        if let Some(scale) = self.scale {
            attention = attention.scale(scale);
        }
        if let Some(softcap) = self.softcap {
            attention = attention.softcap(softcap);
        }
        if let Some(bias) = &self.bias {
            attention = attention.bias(bias.as_view());
        }
        if let Some(slopes) = &self.alibi_slopes {
            attention = attention.alibi_slopes(slopes);
        }
        if let Some(mask) = &self.mask {
            attention = attention.mask(mask.as_mask());
        }
        if let Some(causal) = self.causal {
            attention = attention.causal(causal);
        }
        if let Some((left, right)) = self.window {
            attention = attention.window(left, right);
        }
        if let Some(lengths) = &self.key_lengths {
            attention = attention.key_lengths(lengths);
        }
        if let Some(sinks) = &self.sinks {
            attention = attention.sinks(sinks);
        }
        attention
    }

    /// The threads of the call.
    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// Those that are read in place.
    pub fn arrays(&self) -> impl Iterator<Item = &Array> {
        [&self.bias, &self.mask].into_iter().flatten()
    }
}

/// One number for each query head, of a list or of any array.
fn row(argument: &'static str, row: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    if !row.is_instance_of::<PyList>() && !row.is_instance_of::<PyTuple>() {
        return Array::numbers(argument, row);
    }
    arguments::elements(argument, row.try_iter()?, |number| arguments::real(argument, &number))
}
