//! candle: `matmul` with the transposed keys, `softmax_last_dim`.
//!
//! The queries are scaled rather than the scores, which are more: so its fastest form. Every
//! operation allocates its result; the interface takes no memory of the caller's, so allocating is
//! inside the time.

use super::peer::Peer;
use crate::problem::Problem;
use crate::workload::Workload;
use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use std::borrow::Cow;

/// The keys are row-major, transposed as a view. Threads of the product are those of
/// `RAYON_NUM_THREADS` and run on the current rayon pool, as those of the softmax do.
pub struct Candle {
    query: Tensor,
    key: Tensor,
    scale: f64,
    weights: Option<Tensor>,
}

impl Candle {
    /// Copies queries and keys into tensors.
    ///
    /// # Errors
    /// candle's own.
    pub fn new(problem: &Problem) -> Result<Self> {
        let Workload { heads, query_rows, keys, head_dim, .. } = problem.workload;
        let tensor =
            |data: &[f32], rows| Tensor::from_slice(data, (heads, rows, head_dim), &Device::Cpu);
        Ok(Self {
            query: tensor(&problem.query, query_rows)?,
            key: tensor(&problem.key, keys)?,
            scale: f64::from(problem.scale()),
            weights: None,
        })
    }
}

impl Peer for Candle {
    fn name(&self) -> &'static str {
        "candle"
    }

    fn compute(&mut self) -> Result<()> {
        // Freed first, its memory can be had again.
        self.weights = None;
        let scores = (&self.query * self.scale)?.matmul(&self.key.t()?)?;
        self.weights = Some(candle_nn::ops::softmax_last_dim(&scores)?);
        Ok(())
    }

    fn weights(&self) -> Result<Cow<'_, [f32]>> {
        let weights = self.weights.as_ref().context("candle has not been called yet")?;
        Ok(Cow::Owned(weights.flatten_all()?.to_vec1()?))
    }
}
