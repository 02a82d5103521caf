//! candle's fused attention, `candle_nn::attention::flash_attn` on CPU tensors.

use super::peer::Peer;
use crate::problem::Problem;
use crate::workload::{Attended, Workload};
use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use candle_nn::attention::{AttnMask, flash_attn};
use std::borrow::Cow;

/// Tensors are `[1, rows, heads, head_dim]`, as it takes them. Causal rows and shared key heads are
/// options of its own; a padding mask is added to the scores. It allocates its result. Causal rows
/// run on threads of candle's own, `CANDLE_NUM_THREADS`, others on the current rayon pool.
pub struct CandleFlash {
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: AttnMask,
    scale: f32,
    answer: Option<Tensor>,
}

impl CandleFlash {
    /// Copies queries, keys and values into tensors.
    ///
    /// # Errors
    /// candle's own.
    pub fn new(problem: &Problem) -> Result<Self> {
        let Workload { heads, kv_heads, query_rows, keys, head_dim, .. } = problem.workload;
        let tensor = |data: &[f32], heads, rows| {
            let heads_first = Tensor::from_slice(data, (1, heads, rows, head_dim), &Device::Cpu)?;
            heads_first.transpose(1, 2)?.contiguous()
        };
        let mask = match problem.workload.attended {
            Attended::All => AttnMask::None,
            Attended::Causal => AttnMask::causal_with_offset(keys - query_rows),
            Attended::Unpadded => {
                AttnMask::Mask(Tensor::from_vec(problem.added(), (query_rows, keys), &Device::Cpu)?)
            }
        };
        Ok(Self {
            query: tensor(&problem.query, heads, query_rows)?,
            key: tensor(&problem.key, kv_heads, keys)?,
            value: tensor(&problem.value, kv_heads, keys)?,
            mask,
            scale: problem.scale(),
            answer: None,
        })
    }
}

impl Peer for CandleFlash {
    fn name(&self) -> &'static str {
        "candle, flash_attn"
    }

    fn compute(&mut self) -> Result<()> {
        // Freed first, its memory can be had again.
        self.answer = None;
        let Self { query, key, value, mask, scale, .. } = self;
        let answer = flash_attn::<f32>(query, key, value, *scale, mask.clone(), None, None)?;
        self.answer = Some(answer);
        Ok(())
    }

    fn answer(&self) -> Result<Cow<'_, [f32]>> {
        let answer = self.answer.as_ref().context("candle has not been called yet")?;
        Ok(Cow::Owned(answer.flatten_all()?.to_vec1()?))
    }
}
