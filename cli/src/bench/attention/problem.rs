//! What a call reads, and with which options.

use super::super::task::{AttentionResult, AttentionTask};
use super::adjustment::AdjustmentData;
use super::operand::Operand;
use anyhow::Result;
use softdot::{Attention, Causal, Isa, Keys, KeysValues, PackedKeys, View};

/// Queries up to 3 and keys up to 1 in magnitude give scores with a standard deviation of 1: the
/// weights of a row differ as those of a model do.
const QUERY_LIMIT: f32 = 3.0;
const KEY_LIMIT: f32 = 1.0;
const VALUE_LIMIT: f32 = 1.0;

/// A task and what its call reads.
pub struct Problem {
    pub task: AttentionTask,
    pub query: Operand,
    pub key: Operand,
    /// Of no elements where the result needs none.
    pub value: Operand,
    packed: Option<PackedKeys>,
    pub adjustment: Option<AdjustmentData>,
}

impl Problem {
    pub fn new(task: &AttentionTask) -> Result<Self> {
        let number_type = task.number_type;
        let mut problem = Self {
            query: Operand::new(number_type, task.query_elements(), QUERY_LIMIT, 1),
            key: Operand::new(number_type, task.key_elements(), KEY_LIMIT, 2),
            value: Operand::new(number_type, task.value_elements(), VALUE_LIMIT, 4),
            packed: None,
            adjustment: task.adjustment.map(|adjustment| AdjustmentData::new(adjustment, task)),
            task: task.clone(),
        };
        if task.packed {
            problem.packed = Some(PackedKeys::from_view(problem.key_view())?);
        }
        Ok(problem)
    }

    pub fn attention(&self, isa: Isa) -> Attention<'_> {
        let AttentionTask { causal, window, .. } = self.task;
        let mut attention = Attention::new().isa(isa).window(window, None);
        if causal {
            attention = attention.causal(Causal::BottomRight);
        }
        match &self.adjustment {
            Some(adjustment) => adjustment.option(attention, self.task.pair_shape()),
            None => attention,
        }
    }

    pub fn query_view(&self) -> View<'_> {
        let AttentionTask { q_heads, query_rows, head_dim, .. } = self.task;
        self.query.view([q_heads, query_rows, head_dim])
    }

    fn key_view(&self) -> View<'_> {
        let AttentionTask { kv_heads, keys, head_dim, .. } = self.task;
        self.key.view([kv_heads, keys, head_dim])
    }

    pub fn keys(&self) -> Keys<'_> {
        self.packed.as_ref().map_or_else(|| Keys::View(self.key_view()), Keys::Packed)
    }

    /// The keys, with the values where the result needs them.
    pub fn keys_values(&self) -> KeysValues<'_> {
        let AttentionTask { kv_heads, keys, head_dim, result, .. } = self.task;
        match result {
            AttentionResult::Output => {
                (self.keys(), self.value.view([kv_heads, keys, head_dim])).into()
            }
            AttentionResult::Weights | AttentionResult::Logits(_) => self.keys().into(),
        }
    }
}
