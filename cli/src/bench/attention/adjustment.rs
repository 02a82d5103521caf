//! What workloads have between scores and weights, and what it does to a score in f64.

use super::super::inputs::numbers;
use super::super::task::{Adjustment, AttentionTask};
use softdot::{Attention, TensorRef, alibi_slopes};

/// An adjustment's data.
pub enum AdjustmentData {
    Softcap(f32),
    Bias(Vec<f32>),
    Slopes(Vec<f32>),
    Mask(Vec<bool>),
    Sinks(Vec<f32>),
}

/// A query row and a key of a head.
#[derive(Clone, Copy)]
pub struct Pair {
    /// The query head.
    pub head: usize,
    /// Where among the pairs.
    pub place: usize,
    /// From the row's own position to the key.
    pub distance: f64,
}

impl AdjustmentData {
    /// Makes the data.
    pub fn new(adjustment: Adjustment, task: &AttentionTask) -> Self {
        const SEED: u64 = 3;
        match adjustment {
            // As Gemma 2 has it.
            Adjustment::Softcap => AdjustmentData::Softcap(50.0),
            Adjustment::Bias => AdjustmentData::Bias(numbers(task.pairs(), 1.0, SEED)),
            Adjustment::Alibi => AdjustmentData::Slopes(alibi_slopes(task.q_heads)),
            Adjustment::Mask => {
                let numbers = numbers(task.pairs(), 1.0, SEED);
                AdjustmentData::Mask(numbers.into_iter().map(|number| number > -0.5).collect())
            }
            Adjustment::Sinks => AdjustmentData::Sinks(numbers(task.q_heads, 4.0, SEED)),
        }
    }

    /// The option with this data; `shape` is that of the pairs.
    pub fn option<'a>(&'a self, attention: Attention<'a>, shape: [usize; 3]) -> Attention<'a> {
        match self {
            AdjustmentData::Softcap(cap) => attention.softcap(*cap),
            AdjustmentData::Bias(data) => attention.bias(TensorRef::new(&data[..], shape)),
            AdjustmentData::Slopes(slopes) => attention.alibi_slopes(slopes),
            AdjustmentData::Mask(data) => attention.mask(TensorRef::new(&data[..], shape)),
            AdjustmentData::Sinks(sinks) => attention.sinks(sinks),
        }
    }

    /// The definition: what becomes of a score.
    pub fn adjusted(&self, score: f64, pair: Pair) -> f64 {
        match self {
            AdjustmentData::Softcap(cap) => f64::from(*cap) * (score / f64::from(*cap)).tanh(),
            AdjustmentData::Bias(data) => score + f64::from(data[pair.place]),
            AdjustmentData::Slopes(slopes) => score + f64::from(slopes[pair.head]) * pair.distance,
            AdjustmentData::Mask(data) if !data[pair.place] => f64::NEG_INFINITY,
            AdjustmentData::Mask(_) | AdjustmentData::Sinks(_) => score,
        }
    }

    /// The sink of a head; −∞ is none.
    pub fn sink(&self, head: usize) -> f64 {
        match self {
            AdjustmentData::Sinks(sinks) => sinks[head].into(),
            _ => f64::NEG_INFINITY,
        }
    }
}
