//! What a call of `attention` writes: the memory of each result, and what Python gets of it.

use crate::arguments;
use crate::array::{Array, Dtype};
use crate::call::Call;
use crate::result::{AttentionResult, Returns};
use crate::target::Target;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use softdot::Outputs;
use std::ops::Range;

/// The argument `returns`, and those that say more about what it names.
pub struct Asked<'a, 'py> {
    pub returns: Option<&'a Bound<'py, PyAny>>,
    pub top_k: Option<&'a Bound<'py, PyAny>>,
    pub mass_rows: Option<&'a Bound<'py, PyAny>>,
    pub mass_heads: Option<&'a Bound<'py, PyAny>>,
    pub heads: Option<&'a Bound<'py, PyAny>>,
}

/// What [`Asked`] means for a call.
pub struct Wanted {
    returns: Returns,
    k: Option<usize>,
    mass_rows: Option<Range<usize>>,
    per_key_head: bool,
    heads: Option<Vec<usize>>,
}

impl Asked<'_, '_> {
    /// # Errors
    /// Those of [`arguments`] and [`Returns`], and arguments without the result that they are about.
    pub fn open(&self, call: &Call<'_, '_>) -> PyResult<Wanted> {
        let returns = self.returns.map(Returns::parse).transpose()?.unwrap_or_default();
        let has_mass = returns.key_mass || returns.key_max;
        for (argument, is_given, is_used, about) in [
            ("top_k", self.top_k.is_some(), returns.top_k, "top_k"),
            ("mass_rows", self.mass_rows.is_some(), has_mass, "key_mass or key_max"),
            ("mass_heads", self.mass_heads.is_some(), has_mass, "key_mass or key_max"),
            ("heads", self.heads.is_some(), returns.weights, "weights"),
        ] {
            if is_given && !is_used {
                return Err(PyValueError::new_err(format!(
                    "{argument}: expected {about} in returns, found a value without it"
                )));
            }
        }
        if returns.top_k && self.top_k.is_none() {
            return Err(PyValueError::new_err(
                "top_k: expected a number with top_k in returns, found none",
            ));
        }
        if self.heads.is_some() && !call.has_heads() {
            return Err(PyValueError::new_err(
                "heads: expected a query with an axis of heads, found one of 2 axes",
            ));
        }
        let mass_rows = |rows| arguments::mass_rows(rows, call.query_rows());
        Ok(Wanted {
            returns,
            k: self.top_k.map(arguments::top_k).transpose()?,
            mass_rows: self.mass_rows.map(mass_rows).transpose()?,
            per_key_head: self.mass_heads.map(arguments::mass_heads).transpose()?.unwrap_or(false),
            heads: self.heads.map(arguments::heads).transpose()?,
        })
    }
}

/// The memory of all results of a call.
pub struct Results<'py> {
    wanted: Wanted,
    output: Target<'py>,
    weights: Option<Target<'py>>,
    lse: Option<Target<'py>>,
    max_logit: Option<Target<'py>>,
    max_weight: Option<Target<'py>>,
    max_weight_key: Option<Target<'py>>,
    entropy: Option<Target<'py>>,
    top_k: Option<(Target<'py>, Target<'py>)>,
    key_mass: Option<Target<'py>>,
    key_max: Option<Target<'py>>,
}

impl<'py> Results<'py> {
    /// Memory for what is wanted beside an output.
    ///
    /// # Errors
    /// Those of [`Target`].
    pub fn new(call: &Call<'_, 'py>, output: Target<'py>, wanted: Wanted) -> PyResult<Self> {
        let Wanted { returns, k, per_key_head, .. } = wanted;
        let per_row =
            |is_wanted: bool, dtype| is_wanted.then(|| call.new_row_result(dtype)).transpose();
        let per_key = |is_wanted: bool, dtype| {
            is_wanted.then(|| call.new_key_result(per_key_head, dtype)).transpose()
        };
        let new_weights = || match &wanted.heads {
            Some(heads) => call.new_weights_of_heads(heads.len(), output.dtype()),
            None => call.new_result(call.keys(), output.dtype()),
        };
        let new_top_k = |k| {
            let weights = call.new_result(k, Dtype::Float32)?;
            Ok::<_, PyErr>((weights, call.new_result(k, Dtype::Int64)?))
        };
        Ok(Results {
            weights: returns.weights.then(new_weights).transpose()?,
            lse: per_row(returns.lse, Dtype::Float32)?,
            max_logit: per_row(returns.max_logit, Dtype::Float32)?,
            max_weight: per_row(returns.max_weight, Dtype::Float32)?,
            max_weight_key: per_row(returns.max_weight_key, Dtype::Int64)?,
            entropy: per_row(returns.entropy, Dtype::Float32)?,
            top_k: k.map(new_top_k).transpose()?,
            key_mass: per_key(returns.key_mass, Dtype::Float64)?,
            key_max: per_key(returns.key_max, Dtype::Float32)?,
            output,
            wanted,
        })
    }

    /// What the library is to write.
    ///
    /// # Errors
    /// Those of [`Target::as_view_mut`].
    pub fn outputs(&mut self, inputs: &[&Array]) -> PyResult<Outputs<'_>> {
        let mut outputs = Outputs::new().output(self.output.as_view_mut(inputs)?);
        if let Some(weights) = &mut self.weights {
            let view = weights.as_view_mut(inputs)?;
            outputs = match &self.wanted.heads {
                Some(heads) => outputs.weights_of_heads(heads, view),
                None => outputs.weights(view),
            };
        }
        if let Some(lse) = &mut self.lse {
            outputs = outputs.lse(lse.as_view_mut(inputs)?);
        }
        if let Some(max_logit) = &mut self.max_logit {
            outputs = outputs.max_logit(max_logit.as_view_mut(inputs)?);
        }
        if let Some(max_weight) = &mut self.max_weight {
            outputs = outputs.max_weight(max_weight.as_view_mut(inputs)?);
        }
        if let Some(max_weight_key) = &mut self.max_weight_key {
            outputs = outputs.max_weight_key(max_weight_key.as_zeros_mut(inputs)?);
        }
        if let Some(entropy) = &mut self.entropy {
            outputs = outputs.entropy(entropy.as_view_mut(inputs)?);
        }
        if let Some((weights, keys)) = &mut self.top_k {
            outputs = outputs.top_k(weights.as_view_mut(inputs)?, keys.as_zeros_mut(inputs)?);
        }
        if let Some(key_mass) = &mut self.key_mass {
            outputs = outputs.key_mass(key_mass.as_zeros_mut(inputs)?);
        }
        if let Some(key_max) = &mut self.key_max {
            outputs = outputs.key_max(key_max.as_zeros_mut(inputs)?);
        }
        if let Some(rows) = &self.wanted.mass_rows {
            outputs = outputs.mass_rows(rows.clone());
        }
        Ok(outputs)
    }

    /// The output alone, once it has been written.
    ///
    /// # Errors
    /// Those of [`Target::finish`].
    pub fn into_output(self) -> PyResult<Bound<'py, PyAny>> {
        self.output.finish()
    }

    /// The results, once they have been written.
    ///
    /// # Errors
    /// Those of [`Target::finish`].
    pub fn into_result(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static TOP_K: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let finish = |target: Option<Target<'py>>| {
            target.map(|target| target.finish().map(Bound::unbind)).transpose()
        };
        let top_k = |(weights, keys): (Target<'py>, Target<'py>)| {
            let class = TOP_K.import(py, "softdot._top_k", "TopK")?;
            class.call1((weights.finish()?, keys.finish()?)).map(Bound::unbind)
        };
        let result = AttentionResult {
            output: self.output.finish()?.unbind(),
            lse: finish(self.lse)?,
            weights: finish(self.weights)?,
            max_logit: finish(self.max_logit)?,
            max_weight: finish(self.max_weight)?,
            max_weight_key: finish(self.max_weight_key)?,
            entropy: finish(self.entropy)?,
            top_k: self.top_k.map(top_k).transpose()?,
            key_mass: finish(self.key_mass)?,
            key_max: finish(self.key_max)?,
        };
        Ok(Bound::new(py, result)?.into_any())
    }
}
