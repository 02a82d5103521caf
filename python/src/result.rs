//! The argument `returns`, and the class of what comes with it.

use crate::array::type_name;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;

/// What a call returns beside the output.
#[derive(Clone, Copy, Debug, Default)]
pub struct Returns {
    pub lse: bool,
    pub weights: bool,
    pub max_logit: bool,
    pub max_weight: bool,
    pub max_weight_key: bool,
    pub entropy: bool,
    pub top_k: bool,
    pub key_mass: bool,
    pub key_max: bool,
}

impl Returns {
    /// Of a name, or of any number of them.
    ///
    /// # Errors
    /// `TypeError` for what are no names, `ValueError` for others than there are.
    pub fn parse(returns: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut parsed = Returns::default();
        if let Ok(name) = returns.extract::<PyBackedStr>() {
            parsed.add(&name)?;
            return Ok(parsed);
        }
        for name in returns.try_iter().map_err(|_| wrong_type(returns))? {
            let name = name?;
            parsed.add(&name.extract::<PyBackedStr>().map_err(|_| wrong_type(&name))?)?;
        }
        Ok(parsed)
    }

    fn add(&mut self, name: &str) -> PyResult<()> {
        let wanted = match name {
            "lse" => &mut self.lse,
            "weights" => &mut self.weights,
            "max_logit" => &mut self.max_logit,
            "max_weight" => &mut self.max_weight,
            "max_weight_key" => &mut self.max_weight_key,
            "entropy" => &mut self.entropy,
            "top_k" => &mut self.top_k,
            "key_mass" => &mut self.key_mass,
            "key_max" => &mut self.key_max,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "returns: expected any of lse, weights, max_logit, max_weight, max_weight_key, \
                     entropy, top_k, key_mass, key_max, found {name:?}"
                )));
            }
        };
        *wanted = true;
        Ok(())
    }
}

fn wrong_type(found: &Bound<'_, PyAny>) -> PyErr {
    let found = type_name(found);
    PyTypeError::new_err(format!("returns: expected a name or a sequence of names, found {found}"))
}

/// The output of :func:`attention`, and what else the call was asked for by ``returns``; the other
/// attributes are None.
#[pyclass(frozen, get_all, module = "softdot")]
pub struct AttentionResult {
    /// The output, ``[batch, q_heads, query_rows, v_dim]``.
    pub output: Py<PyAny>,
    /// The natural logarithm of the sum that normalises each row's weights, the sink included:
    /// ``weight = exp(logit - lse)``. float32, ``[batch, q_heads, query_rows]``; -inf for rows that
    /// attend to nothing.
    pub lse: Option<Py<PyAny>>,
    /// The weights, ``[batch, q_heads, query_rows, keys]``, of the output's element type. With
    /// ``heads``, ``[batch, len(heads), query_rows, keys]``.
    pub weights: Option<Py<PyAny>>,
    /// The largest logit that each row attends to, without the sink. float32,
    /// ``[batch, q_heads, query_rows]``; -inf for rows that attend to no key.
    pub max_logit: Option<Py<PyAny>>,
    /// The largest weight of each row. float32, ``[batch, q_heads, query_rows]``; 0 for rows that
    /// attend to no key.
    pub max_weight: Option<Py<PyAny>>,
    /// The key of each row's largest weight, of several the lowest. int64,
    /// ``[batch, q_heads, query_rows]``; -1 if no weight is above 0.
    pub max_weight_key: Option<Py<PyAny>>,
    /// The entropy of each row's weights in nats: 0 for a row that attends to one key alone, ``ln(n)``
    /// for equal weights on n keys. float32, ``[batch, q_heads, query_rows]``.
    pub entropy: Option<Py<PyAny>>,
    /// The largest weights of each row and their keys, a named tuple ``(weights, keys)`` of float32
    /// and int64, ``[batch, q_heads, query_rows, top_k]``: the largest first, of equal ones the lower
    /// key; weights of 0 with key -1 where fewer are above 0.
    pub top_k: Option<Py<PyAny>>,
    /// The weights that each key received, summed over the rows ``mass_rows``. float64,
    /// ``[batch, q_heads, keys]``, or ``[batch, kv_heads, keys]`` with ``mass_heads="kv"``.
    pub key_mass: Option<Py<PyAny>>,
    /// The largest weight that each key received from the rows ``mass_rows``. float32, of the shape of
    /// ``key_mass``.
    pub key_max: Option<Py<PyAny>>,
}

#[pymethods]
impl AttentionResult {
    fn __repr__(&self) -> String {
        let others = [
            ("lse", &self.lse),
            ("weights", &self.weights),
            ("max_logit", &self.max_logit),
            ("max_weight", &self.max_weight),
            ("max_weight_key", &self.max_weight_key),
            ("entropy", &self.entropy),
            ("top_k", &self.top_k),
            ("key_mass", &self.key_mass),
            ("key_max", &self.key_max),
        ];
        let there = others.iter().filter(|(_, result)| result.is_some()).map(|(name, _)| *name);
        let names: Vec<&str> = ["output"].into_iter().chain(there).collect();
        format!("AttentionResult({})", names.join(", "))
    }
}
