//! candle: `matmul` with the transposed keys, `softmax_last_dim`; for the output, `matmul` with the
//! values.
//!
//! The queries are scaled rather than the scores, which are more: so its fastest form. Every
//! operation allocates its result; the interface takes no memory of the caller's, so allocating is
//! inside the time.

use super::peer::Peer;
use crate::problem::Problem;
use crate::workload::{Answer, Attended, Workload};
use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use std::borrow::Cow;

/// The keys are row-major, transposed as a view. Query heads that share a key head are rows of one
/// product. Threads of the product are those of `RAYON_NUM_THREADS` and run on the current rayon
/// pool, as those of the softmax do.
pub struct Candle {
    query: Tensor,
    key: Tensor,
    /// Where the output is asked for.
    value: Option<Tensor>,
    /// To the scores, where not all keys are attended.
    added: Option<Tensor>,
    scale: f64,
    answer: Option<Tensor>,
}

impl Candle {
    /// Copies queries, keys and values into tensors.
    ///
    /// # Errors
    /// candle's own.
    pub fn new(problem: &Problem) -> Result<Self> {
        let Workload { answer, attended, kv_heads, query_rows, keys, head_dim, .. } =
            problem.workload;
        let tensor =
            |data: &[f32], rows| Tensor::from_slice(data, (kv_heads, rows, head_dim), &Device::Cpu);
        let added = || Tensor::from_vec(problem.added(), (query_rows, keys), &Device::Cpu);
        Ok(Self {
            query: tensor(&problem.query, problem.workload.rows_of_key_head())?,
            key: tensor(&problem.key, keys)?,
            value: (answer == Answer::Output).then(|| tensor(&problem.value, keys)).transpose()?,
            added: (attended != Attended::All).then(added).transpose()?,
            scale: f64::from(problem.scale()),
            answer: None,
        })
    }
}

impl Peer for Candle {
    fn name(&self) -> &'static str {
        "candle"
    }

    fn compute(&mut self) -> Result<()> {
        // Freed first, its memory can be had again.
        self.answer = None;
        let mut scores = (&self.query * self.scale)?.matmul(&self.key.t()?)?;
        if let Some(added) = &self.added {
            scores = scores.broadcast_add(added)?;
        }
        let weights = candle_nn::ops::softmax_last_dim(&scores)?;
        self.answer = Some(match &self.value {
            Some(value) => weights.matmul(value)?,
            None => weights,
        });
        Ok(())
    }

    fn answer(&self) -> Result<Cow<'_, [f32]>> {
        let answer = self.answer.as_ref().context("candle has not been called yet")?;
        Ok(Cow::Owned(answer.flatten_all()?.to_vec1()?))
    }
}
