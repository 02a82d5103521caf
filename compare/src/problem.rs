//! A workload with its numbers, and how far an answer is from the definition.

use crate::inputs::{largest, numbers, relative_error, sample};
use crate::workload::Workload;
use softdot::reference;

/// Queries up to 3 and keys up to 1 in magnitude give scores with a standard deviation of 1: the
/// weights of a row differ as those of a model do.
const QUERY_LIMIT: f32 = 3.0;
const KEY_LIMIT: f32 = 1.0;

/// What every contender is given.
#[derive(Debug)]
pub struct Problem {
    /// Its extents.
    pub workload: Workload,
    /// `[heads, query_rows, head_dim]`, row-major.
    pub query: Vec<f32>,
    /// `[heads, keys, head_dim]`, row-major.
    pub key: Vec<f32>,
}

impl Problem {
    /// The same numbers in every run.
    pub fn new(workload: Workload) -> Self {
        let Workload { heads, query_rows, keys, head_dim, .. } = workload;
        Self {
            workload,
            query: numbers(heads * query_rows * head_dim, QUERY_LIMIT, 1),
            key: numbers(heads * keys * head_dim, KEY_LIMIT, 2),
        }
    }

    /// What `q·k` is multiplied by: `1/√head_dim`.
    pub fn scale(&self) -> f32 {
        (self.workload.head_dim as f32).sqrt().recip()
    }

    /// The query rows of a head.
    pub fn head_query(&self, head: usize) -> &[f32] {
        let elements = self.workload.query_rows * self.workload.head_dim;
        &self.query[head * elements..][..elements]
    }

    /// The keys of a head.
    pub fn head_key(&self, head: usize) -> &[f32] {
        let elements = self.workload.keys * self.workload.head_dim;
        &self.key[head * elements..][..elements]
    }

    /// The largest error of a sample of the weights' rows, each relative to its row's largest
    /// magnitude; NaN where the weights have one.
    pub fn largest_error(&self, weights: &[f32]) -> f64 {
        let heads = sample(self.workload.heads);
        let rows = sample(self.workload.query_rows);
        let places = heads.iter().flat_map(|&head| rows.iter().map(move |&row| (head, row)));
        largest(places.map(|(head, row)| self.row_error(weights, head, row)))
    }

    fn row_error(&self, weights: &[f32], head: usize, row: usize) -> f64 {
        let Workload { query_rows, keys, head_dim, .. } = self.workload;
        let query = &self.head_query(head)[row * head_dim..][..head_dim];
        let scale = (head_dim as f64).sqrt().recip();
        let expected = reference::weights(query, self.head_key(head), head_dim, scale);
        relative_error(&weights[(head * query_rows + row) * keys..][..keys], &expected)
    }
}
