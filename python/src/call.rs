//! A call of attention: its arguments, opened, and the run.

use crate::array::{Array, Dtype};
use crate::error;
use crate::key::Key;
use crate::options::{Given, Options};
use crate::target::{Axes, Target};
use crate::threads::Place;
use pyo3::prelude::*;
use softdot::{Error, KeysValues, Outputs, Workspace};

/// The arguments of a call, which fit each other.
pub struct Call<'a, 'py> {
    query: &'a Bound<'py, PyAny>,
    query_array: Array,
    key: Key,
    value: Option<Array>,
    options: Options,
    place: Place,
}

impl<'a, 'py> Call<'a, 'py> {
    /// # Errors
    /// Those of [`Array`] and [`Options`], and the library's: before there is memory for results, which
    /// may be of any size if arguments do not fit.
    pub fn open(
        query: &'a Bound<'py, PyAny>,
        key: &Bound<'py, PyAny>,
        value: Option<&Bound<'py, PyAny>>,
        given: &Given<'_, 'py>,
    ) -> PyResult<Self> {
        let options = given.open()?;
        let mut call = Call {
            query,
            query_array: Array::view("query", query)?,
            key: Key::open(key)?,
            value: value.map(|value| Array::view("value", value)).transpose()?,
            options,
            place: Place::Caller,
        };
        call.check().map_err(error::to_python)?;
        call.place = call.options.threads().place(query, call.multiply_adds())?;
        Ok(call)
    }

    /// Checks the arguments against each other: without outputs, a run does nothing else.
    fn check(&self) -> Result<(), Error> {
        let query = self.query_array.as_view();
        let attention = self.options.attention();
        attention.run(query, self.keys_values(), Outputs::new(), &mut Workspace::new())
    }

    /// Of dot products, and of the weights with the values.
    fn multiply_adds(&self) -> usize {
        let [batch, heads, rows, head_dim] = self.query_array.as_view().shape();
        let columns = head_dim.saturating_add(self.v_dim());
        [batch, heads, rows, self.keys()].into_iter().fold(columns, usize::saturating_mul)
    }

    fn keys_values(&self) -> KeysValues<'_> {
        match &self.value {
            Some(value) => (self.key.as_keys(), value.as_view()).into(),
            None => self.key.as_keys().into(),
        }
    }

    /// Keys per head.
    pub fn keys(&self) -> usize {
        self.key.shape()[2]
    }

    /// Rows of each query head.
    pub fn query_rows(&self) -> usize {
        self.query_array.as_view().shape()[2]
    }

    /// Whether the query, and so each result, has an axis of heads.
    pub fn has_heads(&self) -> bool {
        self.query_array.shape().len() > 2
    }

    /// Columns of the values.
    pub fn v_dim(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.as_view().shape()[3])
    }

    /// What is read in place.
    pub fn arrays(&self) -> Vec<&Array> {
        let own = [Some(&self.query_array), self.key.as_array(), self.value.as_ref()];
        own.into_iter().flatten().chain(self.options.arrays()).collect()
    }

    /// The result that goes to `out`, or to a new array of the query's kind.
    ///
    /// # Errors
    /// Those of [`Target`].
    pub fn result(
        &self,
        out: Option<Bound<'py, PyAny>>,
        columns: usize,
        dtype: Option<Dtype>,
    ) -> PyResult<Target<'py>> {
        match out {
            Some(out) => Target::given(out, dtype),
            None => self.new_result(columns, dtype.unwrap_or(self.query_array.dtype())),
        }
    }

    /// A new array of the query's kind, with so many columns for each query row.
    ///
    /// # Errors
    /// Those of [`Target`].
    pub fn new_result(&self, columns: usize, dtype: Dtype) -> PyResult<Target<'py>> {
        self.new_array([None, None, Some(columns)], Axes::All, dtype)
    }

    /// A new array of the query's kind, with so many heads, and a column for each key.
    ///
    /// # Errors
    /// Those of [`Target`].
    pub fn new_weights_of_heads(&self, heads: usize, dtype: Dtype) -> PyResult<Target<'py>> {
        self.new_array([Some(heads), None, Some(self.keys())], Axes::All, dtype)
    }

    /// A new array of the query's kind, with one element for each query row and no axis of columns.
    ///
    /// # Errors
    /// Those of [`Target`].
    pub fn new_row_result(&self, dtype: Dtype) -> PyResult<Target<'py>> {
        self.new_array([None, None, Some(1)], Axes::NoColumns, dtype)
    }

    /// A new array of the query's kind, with one element for each key of each query head, or of each
    /// key head, and no axis of rows.
    ///
    /// # Errors
    /// Those of [`Target`].
    pub fn new_key_result(&self, per_key_head: bool, dtype: Dtype) -> PyResult<Target<'py>> {
        let heads = per_key_head.then(|| self.key.shape()[1]);
        self.new_array([heads, Some(1), Some(self.keys())], Axes::NoRows, dtype)
    }

    /// A new array of the query's kind and shape, but for those of the last three extents that are given.
    fn new_array(
        &self,
        [heads, rows, columns]: [Option<usize>; 3],
        axes: Axes,
        dtype: Dtype,
    ) -> PyResult<Target<'py>> {
        let mut shape = self.query_array.shape().to_vec();
        for (own, given) in shape.iter_mut().rev().zip([columns, rows, heads]) {
            *own = given.unwrap_or(*own);
        }
        Target::new(self.query, &self.query_array, &shape, axes, dtype)
    }

    /// Computes.
    ///
    /// # Errors
    /// Those of the library.
    pub fn run(&self, outputs: Outputs<'_>) -> PyResult<()> {
        let attention = self.options.attention().threads(self.place.threads());
        let (query, keys_values) = (self.query_array.as_view(), self.keys_values());
        self.place
            .run(self.query.py(), |workspace| attention.run(query, keys_values, outputs, workspace))
    }
}
