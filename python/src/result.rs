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
    pub entropy: bool,
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
            "entropy" => &mut self.entropy,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "returns: expected any of lse, weights, max_logit, max_weight, entropy, \
                     found {name:?}"
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
    /// The weights, ``[batch, q_heads, query_rows, keys]``, of the output's element type.
    pub weights: Option<Py<PyAny>>,
    /// The largest logit that each row attends to, without the sink. float32,
    /// ``[batch, q_heads, query_rows]``; -inf for rows that attend to no key.
    pub max_logit: Option<Py<PyAny>>,
    /// The largest weight of each row. float32, ``[batch, q_heads, query_rows]``; 0 for rows that
    /// attend to no key.
    pub max_weight: Option<Py<PyAny>>,
    /// The entropy of each row's weights in nats: 0 for a row that attends to one key alone, ``ln(n)``
    /// for equal weights on n keys. float32, ``[batch, q_heads, query_rows]``.
    pub entropy: Option<Py<PyAny>>,
}

#[pymethods]
impl AttentionResult {
    fn __repr__(&self) -> String {
        let others = [
            ("lse", &self.lse),
            ("weights", &self.weights),
            ("max_logit", &self.max_logit),
            ("max_weight", &self.max_weight),
            ("entropy", &self.entropy),
        ];
        let there = others.iter().filter(|(_, result)| result.is_some()).map(|(name, _)| *name);
        let names: Vec<&str> = ["output"].into_iter().chain(there).collect();
        format!("AttentionResult({})", names.join(", "))
    }
}
