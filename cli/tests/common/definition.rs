//! Attention in f64 as it reads on paper, with every option: one pair at a time, no sharing.

use softdot::Causal;

/// What `--stage` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Scores,
    Capped,
    Biased,
    Weights,
}

/// A tensor whose missing or single axes repeat.
#[derive(Clone, Debug)]
pub struct Repeated<T> {
    pub shape: Vec<usize>,
    pub data: Vec<T>,
}

impl<T: Copy> Repeated<T> {
    pub fn new(shape: &[usize], data: Vec<T>) -> Self {
        assert_eq!(data.len(), shape.iter().product::<usize>());
        Self { shape: shape.to_vec(), data }
    }

    fn at(&self, index: [usize; 4]) -> T {
        let indices = &index[4 - self.shape.len()..];
        let place = self.shape.iter().zip(indices).fold(0, |place, (&extent, &index)| {
            place * extent + if extent == 1 { 0 } else { index }
        });
        self.data[place]
    }
}

/// Query `[batch, q_heads, query_rows, head_dim]`, key `[batch, kv_heads, keys, head_dim]`, options.
#[derive(Clone, Debug)]
pub struct Problem {
    pub query_shape: [usize; 4],
    pub key_shape: [usize; 4],
    pub query: Vec<f32>,
    pub key: Vec<f32>,
    pub scale: Option<f64>,
    pub softcap: Option<f64>,
    pub bias: Option<Repeated<f32>>,
    /// One for each query head.
    pub slopes: Option<Vec<f64>>,
    pub mask: Option<Repeated<bool>>,
    pub causal: Option<Causal>,
    pub window: (Option<i64>, Option<i64>),
    pub key_lengths: Option<Vec<usize>>,
    pub sinks: Option<Vec<f32>>,
}

impl Problem {
    /// Without options.
    pub fn new(query_shape: [usize; 4], key_shape: [usize; 4]) -> Self {
        Self {
            query_shape,
            key_shape,
            query: super::numbers(query_shape.iter().product(), 1),
            key: super::numbers(key_shape.iter().product(), 2),
            scale: None,
            softcap: None,
            bias: None,
            slopes: None,
            mask: None,
            causal: None,
            window: (None, None),
            key_lengths: None,
            sinks: None,
        }
    }

    pub fn shape(&self) -> [usize; 4] {
        let [batch, q_heads, query_rows, _] = self.query_shape;
        [batch, q_heads, query_rows, self.key_shape[2]]
    }

    pub fn compute(&self, stage: Stage) -> Vec<f64> {
        let [batch, q_heads, query_rows, keys] = self.shape();
        let mut result = Vec::new();
        for entry in 0..batch {
            for head in 0..q_heads {
                for row in 0..query_rows {
                    let logit = |key| self.logit(stage, [entry, head, row, key]);
                    let logits: Vec<f64> = (0..keys).map(logit).collect();
                    match stage {
                        Stage::Weights => result.extend(self.softmax(head, &logits)),
                        _ => result.extend(logits),
                    }
                }
            }
        }
        result
    }

    /// The weighted sums of values `[batch, kv_heads, keys, v_dim]`.
    pub fn output(&self, value: &[f32], v_dim: usize) -> Vec<f64> {
        let ([_, q_heads, query_rows, keys], kv_heads) = (self.shape(), self.key_shape[1]);
        let weights = self.compute(Stage::Weights);
        let mut result = Vec::new();
        for (row, weights) in weights.chunks(keys).enumerate() {
            let (entry, head) = (row / query_rows / q_heads, row / query_rows % q_heads);
            let kv_head = entry * kv_heads + head / (q_heads / kv_heads);
            let value = |key: usize, column: usize| {
                f64::from(value[(kv_head * keys + key) * v_dim + column])
            };
            let sum = |column| (0..keys).map(|key| weights[key] * value(key, column)).sum::<f64>();
            result.extend((0..v_dim).map(sum));
        }
        result
    }

    /// The log-sum-exp of each row's logits and sink.
    pub fn lse(&self) -> Vec<f64> {
        let [_, q_heads, query_rows, keys] = self.shape();
        let logits = self.compute(Stage::Biased);
        let lse = |(row, logits): (usize, &[f64])| {
            let head = row / query_rows % q_heads;
            let sink = self.sinks.as_ref().map_or(f64::NEG_INFINITY, |sinks| sinks[head].into());
            let sum = logits.iter().map(|logit| logit.exp()).sum::<f64>() + sink.exp();
            sum.ln()
        };
        logits.chunks(keys).enumerate().map(lse).collect()
    }

    /// Each row's largest logit.
    pub fn max_logit(&self) -> Vec<f64> {
        let logits = self.compute(Stage::Biased);
        let largest = |row: &[f64]| row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        logits.chunks(self.shape()[3]).map(largest).collect()
    }

    fn logit(&self, stage: Stage, index: [usize; 4]) -> f64 {
        let [entry, head, row, key] = index;
        let [_, q_heads, query_rows, head_dim] = self.query_shape;
        let [_, kv_heads, keys, _] = self.key_shape;
        let length = self.key_lengths.as_ref().map_or(keys, |lengths| lengths[entry]);
        if key >= length {
            return f64::NEG_INFINITY;
        }
        let query = (entry * q_heads + head) * query_rows + row;
        let kv_head = entry * kv_heads + head / (q_heads / kv_heads);
        let product = |d: usize| {
            let key = self.key[(kv_head * keys + key) * head_dim + d];
            f64::from(self.query[query * head_dim + d]) * f64::from(key)
        };
        let scale = self.scale.unwrap_or((head_dim as f64).sqrt().recip());
        let mut logit = scale * (0..head_dim).map(product).sum::<f64>();
        if let (Some(cap), false) = (self.softcap, stage == Stage::Scores) {
            logit = cap * (logit / cap).tanh();
        }
        if matches!(stage, Stage::Scores | Stage::Capped) {
            return logit;
        }
        let distance = key as i64 - self.position(row, length);
        logit += self.bias.as_ref().map_or(0.0, |bias| bias.at(index).into());
        logit += self.slopes.as_ref().map_or(0.0, |slopes| slopes[head] * distance as f64);
        let (left, right) = self.window;
        let excluded = self.mask.as_ref().is_some_and(|mask| !mask.at(index))
            || self.causal.is_some() && distance > 0
            || left.is_some_and(|left| distance < -left)
            || right.is_some_and(|right| distance > right);
        if excluded { f64::NEG_INFINITY } else { logit }
    }

    /// The key at which a row stands.
    fn position(&self, row: usize, length: usize) -> i64 {
        let first = match self.causal {
            Some(Causal::TopLeft) => 0,
            Some(Causal::Offset(offset)) => offset as i64,
            Some(Causal::BottomRight) | None => length as i64 - self.query_shape[2] as i64,
        };
        first + row as i64
    }

    fn softmax(&self, head: usize, logits: &[f64]) -> Vec<f64> {
        let sink = self.sinks.as_ref().map_or(f64::NEG_INFINITY, |sinks| sinks[head].into());
        let max = logits.iter().copied().fold(sink, f64::max);
        if max == f64::NEG_INFINITY {
            return vec![0.0; logits.len()];
        }
        let exponentials: Vec<f64> = logits.iter().map(|logit| (logit - max).exp()).collect();
        let sum = exponentials.iter().sum::<f64>() + (sink - max).exp();
        exponentials.iter().map(|exponential| exponential / sum).collect()
    }
}

/// Compares with what the definition says. `rounding` is that of the result's type, 0 for f32.
///
/// Numbers up to 1 in at most 16 dimensions have scores up to 4, of rounding errors below 20 · 2⁻²⁴
/// of that: 5e-6. The softmax at most doubles it and weighs it; biases add as little again.
#[track_caller]
pub fn assert_close(found: &[f32], expected: &[f64], rounding: f64) {
    const TOLERANCE: f64 = 2e-5;
    assert_eq!(found.len(), expected.len());
    for (place, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let close = match expected.is_finite() {
            true => (f64::from(found) - expected).abs() <= TOLERANCE + rounding * expected.abs(),
            false => f64::from(found) == expected,
        };
        assert!(close, "at {place}: expected {expected}, found {found}");
    }
}
