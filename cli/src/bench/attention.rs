//! Attention as a trial.

mod adjustment;
mod operand;

use super::inputs::{largest, relative_error, sample};
use super::task::AttentionTask;
use super::trial::Trial;
use adjustment::{AdjustmentData, Pair};
use anyhow::Result;
use operand::Operand;
use softdot::{
    Attention, Causal, Isa, Keys, Outputs, PackedKeys, TensorMut, View, Workspace, reference,
};

/// Queries up to 3 and keys up to 1 in magnitude give scores with a standard deviation of 1: the
/// weights of a row differ as those of a model do.
const QUERY_LIMIT: f32 = 3.0;
const KEY_LIMIT: f32 = 1.0;

/// A task with its data.
pub struct AttentionTrial {
    inputs: Inputs,
    output: Vec<f32>,
    workspace: Workspace,
}

/// What a call reads.
struct Inputs {
    task: AttentionTask,
    query: Operand,
    key: Operand,
    packed: Option<PackedKeys>,
    adjustment: Option<AdjustmentData>,
}

impl AttentionTrial {
    /// Makes the data.
    pub fn new(task: &AttentionTask) -> Result<Self> {
        let output = vec![f32::NAN; task.elements()];
        Ok(Self { inputs: Inputs::new(task)?, output, workspace: Workspace::new() })
    }
}

impl Inputs {
    fn new(task: &AttentionTask) -> Result<Self> {
        let number_type = task.number_type;
        let mut inputs = Self {
            query: Operand::new(number_type, task.query_elements(), QUERY_LIMIT, 1),
            key: Operand::new(number_type, task.key_elements(), KEY_LIMIT, 2),
            packed: None,
            adjustment: task.adjustment.map(|adjustment| AdjustmentData::new(adjustment, task)),
            task: task.clone(),
        };
        if task.packed {
            inputs.packed = Some(PackedKeys::from_view(inputs.key_view())?);
        }
        Ok(inputs)
    }

    fn attention(&self, isa: Isa) -> Attention<'_> {
        let AttentionTask { causal, window, .. } = self.task;
        let mut attention = Attention::new().isa(isa).window(window, None);
        if causal {
            attention = attention.causal(Causal::BottomRight);
        }
        match &self.adjustment {
            Some(adjustment) => adjustment.option(attention, self.task.shape()),
            None => attention,
        }
    }

    fn query_view(&self) -> View<'_> {
        let AttentionTask { q_heads, query_rows, head_dim, .. } = self.task;
        self.query.view([q_heads, query_rows, head_dim])
    }

    fn key_view(&self) -> View<'_> {
        let AttentionTask { kv_heads, keys, head_dim, .. } = self.task;
        self.key.view([kv_heads, keys, head_dim])
    }

    fn keys(&self) -> Keys<'_> {
        self.packed.as_ref().map_or_else(|| Keys::View(self.key_view()), Keys::Packed)
    }

    /// A row by the definition.
    fn expected(&self, head: usize, row: usize) -> Vec<f64> {
        let AttentionTask { q_heads, kv_heads, query_rows, keys, head_dim, logits, .. } = self.task;
        let (row_index, kv_head) = (head * query_rows + row, head / (q_heads / kv_heads));
        let query = &self.query.widened()[row_index * head_dim..][..head_dim];
        let key = &self.key.widened()[kv_head * keys * head_dim..][..keys * head_dim];
        let scale = (head_dim as f64).sqrt().recip();
        let mut row_values = reference::scores(query, key, head_dim, scale);
        if logits.is_some() {
            return row_values;
        }
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
}

impl Trial for AttentionTrial {
    fn threads(&self, isa: Isa) -> Result<usize> {
        let inputs = &self.inputs;
        Ok(inputs.attention(isa).plan(inputs.query_view(), inputs.keys())?.threads)
    }

    fn call(&mut self, isa: Isa) -> Result<()> {
        let inputs = &self.inputs;
        let output = TensorMut::new(&mut self.output[..], inputs.task.shape());
        let (query, keys) = (inputs.query_view(), inputs.keys());
        let outputs = match inputs.task.logits {
            Some(stage) => Outputs::new().logits(stage, output),
            None => Outputs::new().weights(output),
        };
        Ok(inputs.attention(isa).run(query, keys, outputs, &mut self.workspace)?)
    }

    fn spoil(&mut self) {
        self.output.fill(f32::NAN);
    }

    fn largest_error(&self) -> f64 {
        let AttentionTask { q_heads, query_rows, keys, .. } = self.inputs.task;
        let (heads, rows) = (sample(q_heads), sample(query_rows));
        let places = heads.iter().flat_map(|&head| rows.iter().map(move |&row| (head, row)));
        largest(places.map(|(head, row)| {
            let found = &self.output[(head * query_rows + row) * keys..][..keys];
            relative_error(found, &self.inputs.expected(head, row))
        }))
    }
}
