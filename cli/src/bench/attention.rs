//! Attention as a trial.

use super::inputs::{largest, numbers, relative_error, sample};
use super::workload::{AttentionTask, Trial};
use anyhow::Result;
use softdot::{
    Attention, Isa, Keys, PackedKeys, Stage, TensorMut, TensorRef, Workspace, reference,
};

/// Queries up to 3 and keys up to 1 in magnitude give scores with a standard deviation of 1: the
/// weights of a row differ as those of a model do.
const QUERY_LIMIT: f32 = 3.0;
const KEY_LIMIT: f32 = 1.0;

/// A task with its data.
pub struct AttentionTrial {
    task: AttentionTask,
    query: Vec<f32>,
    key: Vec<f32>,
    packed: Option<PackedKeys>,
    output: Vec<f32>,
    workspace: Workspace,
}

impl AttentionTrial {
    /// Makes the data.
    pub fn new(task: &AttentionTask) -> Result<Self> {
        let key = numbers(task.key_elements(), KEY_LIMIT, 2);
        let packed =
            task.packed.then(|| PackedKeys::from_view(key_view(task, &key))).transpose()?;
        Ok(Self {
            task: task.clone(),
            query: numbers(task.query_elements(), QUERY_LIMIT, 1),
            packed,
            key,
            output: vec![f32::NAN; task.pairs()],
            workspace: Workspace::new(),
        })
    }

    fn attention(&self, isa: Isa) -> Attention<'static> {
        Attention::new().stage(self.task.stage).isa(isa)
    }

    /// A row of the output against the definition.
    fn row_error(&self, head: usize, row: usize) -> f64 {
        let AttentionTask { q_heads, kv_heads, query_rows, keys, head_dim, .. } = self.task;
        let (row, kv_head) = (head * query_rows + row, head / (q_heads / kv_heads));
        let query = &self.query[row * head_dim..][..head_dim];
        let key = &self.key[kv_head * keys * head_dim..][..keys * head_dim];
        let scale = (head_dim as f64).sqrt().recip();
        let expected = match self.task.stage {
            Stage::Scores => reference::scores(query, key, head_dim, scale),
            _ => reference::weights(query, key, head_dim, scale),
        };
        relative_error(&self.output[row * keys..][..keys], &expected)
    }
}

fn query_view<'a>(task: &AttentionTask, query: &'a [f32]) -> TensorRef<'a> {
    TensorRef::new(query, [task.q_heads, task.query_rows, task.head_dim])
}

fn key_view<'a>(task: &AttentionTask, key: &'a [f32]) -> TensorRef<'a> {
    TensorRef::new(key, [task.kv_heads, task.keys, task.head_dim])
}

fn keys<'a>(task: &AttentionTask, key: &'a [f32], packed: Option<&'a PackedKeys>) -> Keys<'a> {
    packed.map_or_else(|| Keys::View(key_view(task, key).into()), Keys::Packed)
}

impl Trial for AttentionTrial {
    fn threads(&self, isa: Isa) -> Result<usize> {
        let keys = keys(&self.task, &self.key, self.packed.as_ref());
        Ok(self.attention(isa).plan(query_view(&self.task, &self.query), keys)?.threads)
    }

    fn call(&mut self, isa: Isa) -> Result<()> {
        let attention = self.attention(isa);
        let AttentionTask { q_heads, query_rows, keys: key_count, .. } = self.task;
        let output = TensorMut::new(&mut self.output[..], [q_heads, query_rows, key_count]);
        let query = query_view(&self.task, &self.query);
        let keys = keys(&self.task, &self.key, self.packed.as_ref());
        Ok(attention.compute_into(query, keys, output, &mut self.workspace)?)
    }

    fn spoil(&mut self) {
        self.output.fill(f32::NAN);
    }

    fn largest_error(&self) -> f64 {
        let rows = sample(self.task.query_rows);
        let heads = sample(self.task.q_heads);
        let places = heads.iter().flat_map(|&head| rows.iter().map(move |&row| (head, row)));
        largest(places.map(|(head, row)| self.row_error(head, row)))
    }
}
