//! The definition: what a row of a result has to be, in f64.

use super::super::task::{AttentionResult, AttentionTask};
use super::adjustment::Pair;
use super::operand::Operand;
use super::problem::Problem;
use softdot::reference;

impl Problem {
    /// A row of the result by the definition.
    pub fn expected(&self, head: usize, row: usize) -> Vec<f64> {
        let scores = self.expected_scores(head, row);
        match self.task.result {
            AttentionResult::Logits(_) => scores,
            AttentionResult::Weights => self.expected_weights(scores, head, row),
            AttentionResult::Output => {
                self.expected_output(&self.expected_weights(scores, head, row), head)
            }
        }
    }

    /// The rows of a key head, of keys or values.
    fn rows_of<'a>(&self, operand: &'a Operand, head: usize) -> &'a [f32] {
        let AttentionTask { q_heads, kv_heads, keys, head_dim, .. } = self.task;
        let kv_head = head / (q_heads / kv_heads);
        &operand.widened()[kv_head * keys * head_dim..][..keys * head_dim]
    }

    fn expected_scores(&self, head: usize, row: usize) -> Vec<f64> {
        let AttentionTask { query_rows, head_dim, .. } = self.task;
        let query = &self.query.widened()[(head * query_rows + row) * head_dim..][..head_dim];
        let scale = (head_dim as f64).sqrt().recip();
        reference::scores(query, self.rows_of(&self.key, head), head_dim, scale)
    }

    fn expected_weights(&self, mut row_values: Vec<f64>, head: usize, row: usize) -> Vec<f64> {
        let AttentionTask { query_rows, keys, .. } = self.task;
        let row_index = head * query_rows + row;
        let (allowed, position) = (self.task.allowed(row), self.task.position(row));
        for (key, value) in row_values.iter_mut().enumerate() {
            let distance = key as f64 - position as f64;
            let pair = Pair { head, place: row_index * keys + key, distance };
            *value = match &self.adjustment {
                _ if !allowed.contains(&key) => f64::NEG_INFINITY,
                Some(adjustment) => adjustment.adjusted(*value, pair),
                None => *value,
            };
        }
        // A sink is a key whose weight nobody gets.
        let sink = self.adjustment.as_ref().map(|adjustment| adjustment.sink(head));
        row_values.push(sink.unwrap_or(f64::NEG_INFINITY));
        let mut weights = reference::softmax(&row_values);
        weights.pop();
        weights
    }

    fn expected_output(&self, weights: &[f64], head: usize) -> Vec<f64> {
        let head_dim = self.task.head_dim;
        let mut output = vec![0.0; head_dim];
        let values = self.rows_of(&self.value, head).chunks_exact(head_dim);
        for (weight, value) in weights.iter().zip(values) {
            for (sum, &value) in output.iter_mut().zip(value) {
                *sum += weight * f64::from(value);
            }
        }
        output
    }
}
