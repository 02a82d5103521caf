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
    pub isa: Option<&'a str>,
    pub threads: Option<&'a Bound<'py, PyAny>>,
}

impl Given<'_, '_> {
    /// # Errors
    /// Those of [`Array`] and [`arguments`].
    pub fn open(&self) -> PyResult<Options> {
        let real = |argument, value: Option<_>| {
            value.map(|value| arguments::real(argument, value)).transpose()
        };
        let row = |argument, row: Option<_>| row.map(|row| Row::open(argument, row)).transpose();
        Ok(Options {
            scale: real("scale", self.scale)?,
            softcap: real("softcap", self.softcap)?,
            bias: self.bias.map(|bias| Array::view("bias", bias)).transpose()?,
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
    alibi_slopes: Option<Row>,
    mask: Option<Array>,
    causal: Option<Causal>,
    window: Option<(Option<usize>, Option<usize>)>,
    key_lengths: Option<Vec<usize>>,
    sinks: Option<Row>,
    isa: Isa,
    threads: Threads,
}

/// One number for each query head.
enum Row {
    Array(Array),
    Numbers(Vec<f32>),
}

impl Options {
    /// The library's options.
    pub fn attention(&self) -> Attention<'_> {
        let mut attention = Attention::new().isa(self.isa).threads(self.threads.of_library());
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
            attention = attention.alibi_slopes(slopes.as_slice());
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
            attention = attention.sinks(sinks.as_slice());
        }
        attention
    }

    /// The threads of the call.
    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// Those that are read in place.
    pub fn arrays(&self) -> impl Iterator<Item = &Array> {
        let rows = [&self.alibi_slopes, &self.sinks].into_iter().flatten();
        [&self.bias, &self.mask].into_iter().flatten().chain(rows.filter_map(Row::as_array))
    }
}

impl Row {
    fn open(argument: &'static str, row: &Bound<'_, PyAny>) -> PyResult<Self> {
        if !row.is_instance_of::<PyList>() && !row.is_instance_of::<PyTuple>() {
            return Array::row(argument, row).map(Row::Array);
        }
        let numbers = row.try_iter()?.map(|number| arguments::real(argument, &number?));
        numbers.collect::<PyResult<_>>().map(Row::Numbers)
    }

    fn as_slice(&self) -> &[f32] {
        match self {
            Row::Array(array) => array.as_row(),
            Row::Numbers(numbers) => numbers,
        }
    }

    fn as_array(&self) -> Option<&Array> {
        match self {
            Row::Array(array) => Some(array),
            Row::Numbers(_) => None,
        }
    }
}
