//! A workload with its numbers, and how far an answer is from the definition.

use crate::inputs::{largest, numbers, relative_error, sample};
use crate::workload::{Answer, Workload};
use softdot::reference;

/// Queries up to 3 and keys up to 1 in magnitude give scores with a standard deviation of 1: the
/// weights of a row differ as those of a model do.
const QUERY_LIMIT: f32 = 3.0;
const KEY_LIMIT: f32 = 1.0;
const VALUE_LIMIT: f32 = 1.0;

/// What every contender is given.
#[derive(Debug)]
pub struct Problem {
    /// Its extents.
    pub workload: Workload,
    /// `[heads, query_rows, head_dim]`, row-major.
    pub query: Vec<f32>,
    /// `[kv_heads, keys, head_dim]`, row-major.
    pub key: Vec<f32>,
    /// As the keys.
    pub value: Vec<f32>,
    /// `[keys]`: which of them are not padding.
    pub mask: Vec<bool>,
}

impl Problem {
    /// The same numbers in every run.
    pub fn new(workload: Workload) -> Self {
        let Workload { heads, kv_heads, query_rows, keys, head_dim, .. } = workload;
        let attended = workload.attended_keys(query_rows - 1);
        Self {
            workload,
            query: numbers(heads * query_rows * head_dim, QUERY_LIMIT, 1),
            key: numbers(kv_heads * keys * head_dim, KEY_LIMIT, 2),
            value: numbers(kv_heads * keys * head_dim, VALUE_LIMIT, 3),
            mask: (0..keys).map(|key| key < attended).collect(),
        }
    }

    /// What `q·k` is multiplied by: `1/√head_dim`.
    pub fn scale(&self) -> f32 {
        (self.workload.head_dim as f32).sqrt().recip()
    }

    /// The rows of all query heads that share a key head, one head after the other.
    pub fn key_head_query(&self, head: usize) -> &[f32] {
        let elements = self.workload.rows_of_key_head() * self.workload.head_dim;
        &self.query[head * elements..][..elements]
    }

    /// The keys of a key head.
    pub fn key_head_key(&self, head: usize) -> &[f32] {
        let elements = self.workload.keys * self.workload.head_dim;
        &self.key[head * elements..][..elements]
    }

    /// The values of a key head.
    pub fn key_head_value(&self, head: usize) -> &[f32] {
        let elements = self.workload.keys * self.workload.head_dim;
        &self.value[head * elements..][..elements]
    }

    /// What others add to a head's scores, `[query_rows, keys]`: −∞ where a row does not attend.
    pub fn added(&self) -> Vec<f32> {
        let Workload { query_rows, keys, .. } = self.workload;
        let row = |row| {
            let attended = self.workload.attended_keys(row);
            (0..keys).map(move |key| if key < attended { 0.0 } else { f32::NEG_INFINITY })
        };
        (0..query_rows).flat_map(row).collect()
    }

    /// The largest error of a sample of an answer's rows, each relative to its row's largest
    /// magnitude; NaN where the answer has one.
    pub fn largest_error(&self, answer: &[f32]) -> f64 {
        let heads = sample(self.workload.heads);
        let rows = sample(self.workload.query_rows);
        let places = heads.iter().flat_map(|&head| rows.iter().map(move |&row| (head, row)));
        largest(places.map(|(head, row)| self.row_error(answer, head, row)))
    }

    fn row_error(&self, answer: &[f32], head: usize, row: usize) -> f64 {
        let Workload { query_rows, head_dim, .. } = self.workload;
        let lengths = [self.workload.attended_keys(row)];
        let definition = self.definition(&lengths);
        let expected = match self.workload.answer {
            Answer::Output => definition.output([0, head, row], &self.value, head_dim),
            Answer::Weights => definition.weights([0, head, row]),
        };
        let columns = self.workload.answer_columns();
        relative_error(&answer[(head * query_rows + row) * columns..][..columns], &expected)
    }

    /// In f64, of rows that attend to so many keys, the first ones.
    fn definition<'a>(&'a self, key_lengths: &'a [usize; 1]) -> reference::Problem<'a> {
        let Workload { heads, kv_heads, query_rows, keys, head_dim, .. } = self.workload;
        reference::Problem {
            batch: 1,
            q_heads: heads,
            kv_heads,
            query_rows,
            keys,
            head_dim,
            query: &self.query,
            key: &self.key,
            scale: (head_dim as f64).sqrt().recip(),
            key_lengths: Some(key_lengths),
            ..reference::Problem::default()
        }
    }
}
