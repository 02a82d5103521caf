//! The options that bring memory along, and what holds it during a call.

use crate::arguments;
use crate::array::Array;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use softdot::Attention;

/// Options as Python gave them, opened.
pub struct Options {
    bias: Option<Array>,
    alibi_slopes: Option<Row>,
    mask: Option<Array>,
    key_lengths: Option<Vec<usize>>,
    sinks: Option<Row>,
}

/// One number for each query head.
enum Row {
    Array(Array),
    Numbers(Vec<f32>),
}

impl Options {
    /// # Errors
    /// Those of [`Array`] and [`arguments`].
    pub fn open(
        bias: Option<&Bound<'_, PyAny>>,
        alibi_slopes: Option<&Bound<'_, PyAny>>,
        mask: Option<&Bound<'_, PyAny>>,
        key_lengths: Option<&Bound<'_, PyAny>>,
        sinks: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Options {
            bias: bias.map(|bias| Array::view("bias", bias)).transpose()?,
            alibi_slopes: alibi_slopes.map(|row| Row::open("alibi_slopes", row)).transpose()?,
            mask: mask.map(|mask| Array::mask("mask", mask)).transpose()?,
            key_lengths: key_lengths.map(arguments::key_lengths).transpose()?,
            sinks: sinks.map(|row| Row::open("sinks", row)).transpose()?,
        })
    }

    /// The library's options with these.
    pub fn apply<'a>(&'a self, mut attention: Attention<'a>) -> Attention<'a> {
        if let Some(bias) = &self.bias {
            attention = attention.bias(bias.as_view());
        }
        if let Some(slopes) = &self.alibi_slopes {
            attention = attention.alibi_slopes(slopes.as_slice());
        }
        if let Some(mask) = &self.mask {
            attention = attention.mask(mask.as_mask());
        }
        if let Some(lengths) = &self.key_lengths {
            attention = attention.key_lengths(lengths);
        }
        if let Some(sinks) = &self.sinks {
            attention = attention.sinks(sinks.as_slice());
        }
        attention
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
