//! Attention as a trial.

mod adjustment;
mod definition;
mod operand;
mod problem;

use super::inputs::{largest, relative_error, sample};
use super::task::{AttentionResult, AttentionTask};
use super::trial::Trial;
use anyhow::Result;
use problem::Problem;
use softdot::{Isa, Outputs, TensorMut, Workspace};

/// A task with its data.
pub struct AttentionTrial {
    problem: Problem,
    output: Vec<f32>,
    workspace: Workspace<'static>,
}

impl AttentionTrial {
    /// Makes the data.
    pub fn new(task: &AttentionTask) -> Result<Self> {
        let output = vec![f32::NAN; task.elements()];
        Ok(Self { problem: Problem::new(task)?, output, workspace: Workspace::new() })
    }
}

impl Trial for AttentionTrial {
    fn threads(&self, isa: Isa) -> Result<usize> {
        let problem = &self.problem;
        Ok(problem.attention(isa).plan(problem.query_view(), problem.keys_values())?.threads)
    }

    fn call(&mut self, isa: Isa) -> Result<()> {
        let problem = &self.problem;
        let output = TensorMut::new(&mut self.output[..], problem.task.shape());
        let (query, keys) = (problem.query_view(), problem.keys_values());
        let outputs = match problem.task.result {
            AttentionResult::Weights => Outputs::new().weights(output),
            AttentionResult::Logits(stage) => Outputs::new().logits(stage, output),
            AttentionResult::Output => Outputs::new().output(output),
        };
        Ok(problem.attention(isa).run(query, keys, outputs, &mut self.workspace)?)
    }

    fn spoil(&mut self) {
        self.output.fill(f32::NAN);
    }

    fn largest_error(&self) -> f64 {
        let [q_heads, query_rows, columns] = self.problem.task.shape();
        let (heads, rows) = (sample(q_heads), sample(query_rows));
        let places = heads.iter().flat_map(|&head| rows.iter().map(move |&row| (head, row)));
        largest(places.map(|(head, row)| {
            let found = &self.output[(head * query_rows + row) * columns..][..columns];
            relative_error(found, &self.problem.expected(head, row))
        }))
    }
}
