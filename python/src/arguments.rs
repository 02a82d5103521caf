//! Words and numbers from Python as the library's options.

use crate::array::{Dtype, expect_unmasked, nearest, type_name};
use crate::error;
use pyo3::exceptions::{PyMemoryError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBool, PyDict, PyIterator};
use softdot::{Causal, Isa, Logits, Outputs, ViewMut};
use std::ops::{Range, RangeInclusive};

/// What a call computes: the logits at a stage, or the weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stage(Option<Logits>);

impl Stage {
    /// What the library is asked for.
    pub fn outputs(self, view: ViewMut<'_>) -> Outputs<'_> {
        match self.0 {
            Some(logits) => Outputs::new().logits(logits, view),
            None => Outputs::new().weights(view),
        }
    }
}

/// The stages by their names.
const STAGES: [(&str, Stage); 4] = [
    ("scores", Stage(Some(Logits::Scores))),
    ("capped", Stage(Some(Logits::Capped))),
    ("biased", Stage(Some(Logits::Biased))),
    ("weights", Stage(None)),
];

/// The stage of that name.
pub fn stage(name: &Bound<'_, PyAny>) -> PyResult<Stage> {
    let known = STAGES.map(|(known, _)| known).join(", ");
    let name: PyBackedStr = name.extract().map_err(|_| {
        let found = type_name(name);
        PyTypeError::new_err(format!("stage: expected one of {known}, found {found}"))
    })?;
    let found = STAGES.into_iter().find(|(known, _)| *known == &*name);
    found.map(|(_, stage)| stage).ok_or_else(|| {
        PyValueError::new_err(format!("stage: expected one of {known}, found {:?}", &*name))
    })
}

/// The instruction set of that name, or the one that detection chooses.
pub fn isa(name: Option<&Bound<'_, PyAny>>) -> PyResult<Isa> {
    match name {
        Some(name) => name
            .extract::<PyBackedStr>()
            .map_err(|_| {
                let (known, found) = (Isa::ALL.map(Isa::name).join(", "), type_name(name));
                PyTypeError::new_err(format!("isa: expected one of {known}, found {found}"))
            })?
            .parse(),
        None => Isa::detect().map(|detected| detected.isa),
    }
    .map_err(error::to_python)
}

/// The result's element type, by its name or as NumPy's, ml_dtypes', torch's or JAX's type.
pub fn dtype(dtype: &Bound<'_, PyAny>) -> PyResult<Dtype> {
    // What is a class has its name apart. (NumPy's types of the other byte order have one, too, which
    // does not tell.)
    let name = match dtype.getattr_opt("__name__")? {
        Some(name) => name.str()?.to_string(),
        None => dtype.str()?.to_string(),
    };
    Dtype::from_name(name.strip_prefix("torch.").unwrap_or(&name)).ok_or_else(|| {
        let expected = Dtype::list(Dtype::FLOATS);
        PyValueError::new_err(format!("dtype: expected {expected}, found {name}"))
    })
}

/// Where query rows stand among the keys.
pub fn causal(causal: &Bound<'_, PyAny>) -> PyResult<Causal> {
    if let Ok(name) = causal.extract::<PyBackedStr>() {
        return match &*name {
            "top-left" => Ok(Causal::TopLeft),
            "bottom-right" => Ok(Causal::BottomRight),
            _ => Err(PyValueError::new_err(format!(
                "causal: expected top-left, bottom-right or a whole number, found {:?}",
                &*name
            ))),
        };
    }
    let expected = || {
        // Of the two places that True could mean, other libraries have chosen either.
        let hint = match causal.extract::<bool>() {
            Ok(true) => {
                " (True is the first in torch and JAX, the second in flash-attention and MLX)"
            }
            Ok(false) => " (None is not causal)",
            Err(_) => "",
        };
        format!(
            "causal: expected 'top-left', 'bottom-right' or a whole number{hint}, found {causal}"
        )
    };
    match extract(causal) {
        Ok(offset) => Ok(Causal::Offset(offset)),
        Err(error) if error.is_instance_of::<PyOverflowError>(causal.py()) => {
            Err(PyValueError::new_err(expected()))
        }
        Err(_) => Err(PyTypeError::new_err(expected())),
    }
}

/// Keys before and after a row's own position; `None` is unbounded.
pub fn window(window: &Bound<'_, PyAny>) -> PyResult<(Option<usize>, Option<usize>)> {
    let sides: [Bound<'_, PyAny>; 2] = window.extract().map_err(|_| {
        PyTypeError::new_err(format!("window: expected a pair (left, right), found {window}"))
    })?;
    let [left, right] = sides.map(|side| match side.is_none() {
        true => Ok(None),
        false => match number("window", &side, 0..=isize::MAX as usize) {
            Err(error) if error.is_instance_of::<PyValueError>(side.py()) => {
                Err(PyValueError::new_err(format!(
                    "window: expected a number from 0 to {}, or None for unbounded, found {side}",
                    isize::MAX
                )))
            }
            count => count.map(Some),
        },
    });
    Ok((left?, right?))
}

/// Keys of each batch entry.
pub fn key_lengths(lengths: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    numbers("key_lengths", lengths)
}

/// Query heads by their numbers.
pub fn heads(heads: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    numbers("heads", heads)
}

/// Weights of each row that are to be found.
pub fn top_k(k: &Bound<'_, PyAny>) -> PyResult<usize> {
    number("top_k", k, 1..=Outputs::MAX_TOP_K)
}

/// Query rows of which there are so many: a pair (start, stop), or how many of the last ones.
pub fn mass_rows(given: &Bound<'_, PyAny>, rows: usize) -> PyResult<Range<usize>> {
    let argument = "mass_rows";
    if let Ok(pair) = given.extract::<[Bound<'_, PyAny>; 2]>() {
        let [start, stop] = pair.map(|side| number(argument, &side, 0..=rows));
        return Ok(start?..stop?);
    }
    match number(argument, given, 0..=rows) {
        Ok(count) => Ok(rows - count..rows),
        Err(error) if error.is_instance_of::<PyTypeError>(given.py()) => {
            Err(PyTypeError::new_err(format!(
                "{argument}: expected how many of the last rows or a pair (start, stop), found {given}"
            )))
        }
        Err(error) => Err(error),
    }
}

/// Whether key masses are those of the key heads.
pub fn mass_heads(name: &Bound<'_, PyAny>) -> PyResult<bool> {
    match name.extract::<PyBackedStr>().as_deref() {
        Ok("query") => Ok(false),
        Ok("kv") => Ok(true),
        Ok(name) => {
            Err(PyValueError::new_err(format!("mass_heads: expected query or kv, found {name:?}")))
        }
        Err(_) => Err(PyTypeError::new_err(format!(
            "mass_heads: expected query or kv, found {}",
            type_name(name)
        ))),
    }
}

/// A row of whole numbers, of which each is at least 0.
fn numbers(argument: &str, row: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    expect_unmasked(argument, row)?;
    let iterator = row.try_iter().map_err(|_| {
        let found = type_name(row);
        PyTypeError::new_err(format!("{argument}: expected a row of whole numbers, found {found}"))
    })?;
    elements(argument, iterator, |element| number(argument, &element, 0..=isize::MAX as usize))
}

/// What each element of an iterator is, of which there may be more than memory has room for.
pub fn elements<'py, T>(
    argument: &str,
    iterator: Bound<'py, PyIterator>,
    parse: impl Fn(Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    let mut elements = Vec::new();
    for element in iterator {
        elements.try_reserve(1).map_err(|_| no_memory(argument, elements.len() + 1))?;
        elements.push(parse(element?)?);
    }
    Ok(elements)
}

/// There is no memory for so many elements.
pub fn no_memory(argument: &str, elements: usize) -> PyErr {
    PyMemoryError::new_err(format!(
        "{argument}: expected memory for {elements} elements, found none"
    ))
}

/// A whole number within limits.
pub fn number(
    argument: &str,
    value: &Bound<'_, PyAny>,
    limits: RangeInclusive<usize>,
) -> PyResult<usize> {
    match extract::<usize>(value) {
        Ok(number) if limits.contains(&number) => Ok(number),
        Err(error) if !error.is_instance_of::<PyOverflowError>(value.py()) => {
            Err(PyTypeError::new_err(format!(
                "{argument}: expected a whole number, found {}",
                type_name(value)
            )))
        }
        _ => Err(PyValueError::new_err(format!(
            "{argument}: expected a number from {} to {}, found {value}",
            limits.start(),
            limits.end()
        ))),
    }
}

/// A real number, rounded to the library's.
pub fn real(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<f32> {
    let too_large = || {
        PyValueError::new_err(format!(
            "{argument}: expected a number that float32 has, found {value}"
        ))
    };
    match extract(value) {
        Ok(number) => nearest(number).ok_or_else(too_large),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => Err(too_large()),
        Err(_) => Err(PyTypeError::new_err(format!(
            "{argument}: expected a real number, found {}",
            type_name(value)
        ))),
    }
}

/// What caps scores.
pub fn softcap(cap: &Bound<'_, PyAny>) -> PyResult<f32> {
    match real("softcap", cap)? {
        0.0 => Err(PyValueError::new_err(format!(
            "softcap: expected a finite number above 0, or None for no cap, found {cap}"
        ))),
        cap => Ok(cap),
    }
}

/// Keywords of other libraries, and what they are here.
const KEYWORDS_ELSEWHERE: [(&str, &str); 7] = [
    ("is_causal", "causal='top-left' as in torch and JAX, or 'bottom-right'"),
    ("attn_mask", "mask for bool, bias for what is added"),
    ("window_size", "window=(left, right), None for unbounded"),
    ("sliding_window", "window=(left, right), which does not count the row's own key"),
    ("softmax_scale", "scale"),
    ("enable_gqa", "nothing: the shapes say how heads are grouped"),
    ("dropout_p", "nothing: there is no dropout"),
];

/// Refuses keywords that there are not, as Python does.
pub fn no_others(function: &str, others: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
    let Some(name) = others.and_then(|others| others.keys().iter().next()) else {
        return Ok(());
    };
    let name = name.str()?.to_string();
    let here = KEYWORDS_ELSEWHERE.into_iter().find(|(elsewhere, _)| *elsewhere == name);
    let hint = here.map(|(_, here)| format!(" (here it is {here})")).unwrap_or_default();
    Err(PyTypeError::new_err(format!(
        "{function}() got an unexpected keyword argument '{name}'{hint}"
    )))
}

/// As Python makes numbers of objects, but not of True: whoever says so means to switch something on.
fn extract<'a, 'py, T: FromPyObject<'a, 'py>>(value: &'a Bound<'py, PyAny>) -> PyResult<T> {
    match value.is_instance_of::<PyBool>() {
        true => Err(PyTypeError::new_err("expected a number, found bool")),
        false => value.extract().map_err(Into::into),
    }
}
