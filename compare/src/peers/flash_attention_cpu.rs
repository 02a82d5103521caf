//! `flash-attention-cpu`: its second algorithm, which is its default, with its default blocks.
//!
//! Heads and blocks of query rows are shared among the threads of the current rayon pool. The scale
//! is always `1/√head_dim`.

use super::peer::Peer;
use crate::problem::Problem;
use crate::workload::{Attended, Workload};
use anyhow::Result;
use flash_attention_cpu::{FlashAttentionConfig, flash_attention_multihead_v2};
use std::borrow::Cow;

/// Whether it has what is asked for: of options, causal rows that stand at the key of their number.
pub fn can_compute(workload: &Workload) -> bool {
    match workload.attended {
        Attended::All => true,
        Attended::Causal => {
            workload.query_rows == workload.keys && workload.heads == workload.kv_heads
        }
        Attended::Unpadded => false,
    }
}

/// Query heads that share a key head are rows of one head.
pub struct FlashAttentionCpu<'a> {
    problem: &'a Problem,
    config: FlashAttentionConfig,
    output: Vec<f32>,
}

impl<'a> FlashAttentionCpu<'a> {
    /// Allocates the output.
    pub fn new(problem: &'a Problem) -> Self {
        let causal = problem.workload.attended == Attended::Causal;
        let config = FlashAttentionConfig { causal, ..FlashAttentionConfig::default() };
        let output = vec![f32::NAN; problem.workload.answer_elements()];
        Self { problem, config, output }
    }
}

impl Peer for FlashAttentionCpu<'_> {
    fn name(&self) -> &'static str {
        "flash-attention-cpu"
    }

    fn compute(&mut self) -> Result<()> {
        let Problem { workload, query, key, value, .. } = self.problem;
        flash_attention_multihead_v2(
            query,
            key,
            value,
            1,
            workload.kv_heads,
            workload.rows_of_key_head(),
            workload.keys,
            workload.head_dim,
            &self.config,
            &mut self.output,
        );
        Ok(())
    }

    fn answer(&self) -> Result<Cow<'_, [f32]>> {
        Ok(Cow::Borrowed(&self.output))
    }
}
