//! The definition in f64, as it reads on paper: for tests, fuzzing and benchmarks.
//!
//! Slow, simple and independent of the kernels. Inputs are dense and row-major. [`Problem`] is all
//! of attention, one function for each step; the free functions are one head without options.

use crate::options::Logits;
use crate::positions::Causal;
use alloc::vec::Vec;

/// `scale · q·k` for every query row and key of one head.
pub fn scores(query: &[f32], key: &[f32], head_dim: usize, scale: f64) -> Vec<f64> {
    let mut scores = Vec::new();
    for query in query.chunks_exact(head_dim) {
        for key in key.chunks_exact(head_dim) {
            scores.push(scale * dot(query, key));
        }
    }
    scores
}

/// `exp(s_j) / Σ exp(s_j)`, shifted by the largest score.
pub fn softmax(scores: &[f64]) -> Vec<f64> {
    softmax_with_sink(scores, f64::NEG_INFINITY)
}

/// `exp(s_j) / (exp(sink) + Σ exp(s_j))`, shifted by the largest of all.
pub fn softmax_with_sink(scores: &[f64], sink: f64) -> Vec<f64> {
    let max = scores.iter().copied().fold(sink, f64::max);
    let exponentials: Vec<f64> = scores.iter().map(|score| (score - max).exp()).collect();
    let sum = exponentials.iter().sum::<f64>() + (sink - max).exp();
    exponentials.into_iter().map(|exponential| exponential / sum).collect()
}

/// `softmax(scale · Q Kᵀ)` of one head: `query` `[query_rows, head_dim]`, `key`
/// `[keys, head_dim]`, result `[query_rows, keys]`.
pub fn weights(query: &[f32], key: &[f32], head_dim: usize, scale: f64) -> Vec<f64> {
    let keys = key.len() / head_dim;
    scores(query, key, head_dim, scale).chunks(keys.max(1)).flat_map(softmax).collect()
}

fn dot(query: &[f32], key: &[f32]) -> f64 {
    query.iter().zip(key).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum()
}

/// Attention with all its options; those that are `None` do nothing.
#[derive(Clone, Debug, Default)]
pub struct Problem<'a> {
    /// Entries of the batch.
    pub batch: usize,
    /// Heads of the query.
    pub q_heads: usize,
    /// Heads of the key, of which `q_heads` is a multiple.
    pub kv_heads: usize,
    /// Rows of each query head.
    pub query_rows: usize,
    /// Keys of each key head.
    pub keys: usize,
    /// Dimensions of queries and keys.
    pub head_dim: usize,
    /// `[batch, q_heads, query_rows, head_dim]`.
    pub query: &'a [f32],
    /// `[batch, kv_heads, keys, head_dim]`.
    pub key: &'a [f32],
    /// What `q·k` is multiplied by.
    pub scale: f64,
    /// Above 0.
    pub softcap: Option<f64>,
    /// `[batch, q_heads, query_rows, keys]`.
    pub bias: Option<&'a [f32]>,
    /// `[q_heads]`.
    pub alibi_slopes: Option<&'a [f32]>,
    /// `[batch, q_heads, query_rows, keys]`, `true` = attend.
    pub mask: Option<&'a [bool]>,
    /// Whether rows attend to no key after their own position, and what that is.
    pub causal: Option<Causal>,
    /// Keys before and after a row's own position that it attends to.
    pub window: (Option<usize>, Option<usize>),
    /// `[batch]`: how many keys each entry has, the first ones.
    pub key_lengths: Option<&'a [usize]>,
    /// `[q_heads]`.
    pub sinks: Option<&'a [f32]>,
}

/// A query row: batch entry, query head, row.
type Row = [usize; 3];

impl Problem<'_> {
    /// The logits at a stage, `[batch, q_heads, query_rows, keys]`.
    pub fn logits(&self, stage: Logits) -> Vec<f64> {
        let logit = |row, key| match stage {
            Logits::Scores => self.score(row, key),
            Logits::Capped => self.capped(row, key),
            Logits::Biased => self.biased(row, key),
        };
        self.rows().flat_map(|row| self.each_key(move |key| logit(row, key))).collect()
    }

    /// The weights of all rows, `[batch, q_heads, query_rows, keys]`.
    pub fn all_weights(&self) -> Vec<f64> {
        self.rows().flat_map(|row| self.weights(row)).collect()
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        let (q_heads, query_rows) = (self.q_heads, self.query_rows);
        (0..self.batch).flat_map(move |batch| {
            (0..q_heads).flat_map(move |head| (0..query_rows).map(move |row| [batch, head, row]))
        })
    }

    fn each_key<T>(&self, value: impl Fn(usize) -> T) -> impl Iterator<Item = T> {
        (0..self.keys).map(value)
    }

    /// `scale · q·k`; −∞ for keys that the batch entry does not have.
    pub fn score(&self, row: Row, key: usize) -> f64 {
        let [batch, head, _] = row;
        if key >= self.keys_of(batch) {
            return f64::NEG_INFINITY;
        }
        let kv_head = head / (self.q_heads / self.kv_heads);
        let query = (batch * self.q_heads + head) * self.query_rows + row[2];
        let key = (batch * self.kv_heads + kv_head) * self.keys + key;
        let query = &self.query[query * self.head_dim..][..self.head_dim];
        let key = &self.key[key * self.head_dim..][..self.head_dim];
        self.scale * dot(query, key)
    }

    /// `softcap · tanh(score / softcap)`, of keys that exist.
    pub fn capped(&self, row: Row, key: usize) -> f64 {
        let score = self.score(row, key);
        match self.softcap {
            Some(cap) if key < self.keys_of(row[0]) => cap * (score / cap).tanh(),
            _ => score,
        }
    }

    /// The capped score plus bias and `slope · (key − position)`; −∞ where the row does not attend.
    pub fn biased(&self, row: Row, key: usize) -> f64 {
        if !self.attends(row, key) {
            return f64::NEG_INFINITY;
        }
        let bias = self.bias.map_or(0.0, |bias| f64::from(bias[self.index(row, key)]));
        let alibi = self.alibi_slopes.map_or(0.0, |slopes| {
            f64::from(slopes[row[1]]) * (key as i128 - self.position(row)) as f64
        });
        self.capped(row, key) + bias + alibi
    }

    /// The softmax of the biased scores with the head's sink; 0 throughout if nothing is attended.
    pub fn weights(&self, row: Row) -> Vec<f64> {
        if !(0..self.keys).any(|key| self.attends(row, key)) {
            return self.each_key(|_| 0.0).collect();
        }
        let biased: Vec<f64> = self.each_key(|key| self.biased(row, key)).collect();
        let sink = self.sinks.map_or(f64::NEG_INFINITY, |sinks| f64::from(sinks[row[1]]));
        softmax_with_sink(&biased, sink)
    }

    /// `Σ w_j · v_j` of a row, `[v_dim]`; `value` is `[batch, kv_heads, keys, v_dim]`. Values of excluded
    /// keys are left out.
    pub fn output(&self, row: Row, value: &[f32], v_dim: usize) -> Vec<f64> {
        let head = row[0] * self.kv_heads + row[1] / (self.q_heads / self.kv_heads);
        let mut output = alloc::vec![0.0; v_dim];
        for (key, weight) in self.weights(row).into_iter().enumerate() {
            if self.attends(row, key) {
                let value = &value[(head * self.keys + key) * v_dim..][..v_dim];
                output.iter_mut().zip(value).for_each(|(o, &v)| *o += weight * f64::from(v));
            }
        }
        output
    }

    /// `ln(exp(sink) + Σ exp(s_j))` of a row's biased scores; −∞ if there is nothing to sum.
    pub fn lse(&self, row: Row) -> f64 {
        let sink = self.sinks.map_or(f64::NEG_INFINITY, |sinks| f64::from(sinks[row[1]]));
        let logits: Vec<f64> = self.each_key(|key| self.biased(row, key)).chain([sink]).collect();
        let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if max == f64::NEG_INFINITY {
            return max;
        }
        max + logits.iter().map(|logit| (logit - max).exp()).sum::<f64>().ln()
    }

    /// `−Σ w · ln w` of a row's weights.
    pub fn entropy(&self, row: Row) -> f64 {
        let term = |w: f64| if w > 0.0 { -w * w.ln() } else { 0.0 };
        self.weights(row).into_iter().map(term).sum()
    }

    /// The sum over query rows of the weights that each key received, `[batch, q_heads, keys]`.
    pub fn key_mass(&self) -> Vec<f64> {
        let mut mass = alloc::vec![0.0; self.batch * self.q_heads * self.keys];
        for row in self.rows() {
            let head = (row[0] * self.q_heads + row[1]) * self.keys;
            for (mass, weight) in mass[head..].iter_mut().zip(self.weights(row)) {
                *mass += weight;
            }
        }
        mass
    }

    /// Whether a row attends to a key.
    pub fn attends(&self, row: Row, key: usize) -> bool {
        let distance = key as i128 - self.position(row);
        let (left, right) = self.window;
        key < self.keys_of(row[0])
            && (self.causal.is_none() || distance <= 0)
            && left.is_none_or(|left| -distance <= left as i128)
            && right.is_none_or(|right| distance <= right as i128)
            && self.mask.is_none_or(|mask| mask[self.index(row, key)])
            && self.bias.is_none_or(|bias| bias[self.index(row, key)] != f32::NEG_INFINITY)
    }

    /// The key at which a row stands.
    pub fn position(&self, row: Row) -> i128 {
        let [batch, _, row] = row;
        let first = match self.causal {
            Some(Causal::TopLeft) => 0,
            Some(Causal::Offset(offset)) => offset as i128,
            Some(Causal::BottomRight) | None => {
                self.keys_of(batch) as i128 - self.query_rows as i128
            }
        };
        first + row as i128
    }

    /// Keys that a batch entry has.
    pub fn keys_of(&self, batch: usize) -> usize {
        self.key_lengths.map_or(self.keys, |lengths| lengths[batch])
    }

    /// Where a row and a key meet in the bias, the mask and the result.
    fn index(&self, [batch, head, row]: Row, key: usize) -> usize {
        ((batch * self.q_heads + head) * self.query_rows + row) * self.keys + key
    }
}
