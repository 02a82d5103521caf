//! Trials of tasks.

use super::attention::AttentionTrial;
use super::softmax::SoftmaxTrial;
use super::task::Task;
use super::trial::Trial;
use anyhow::Result;

/// A task with its data.
///
/// # Errors
/// The library's.
pub fn prepare(task: &Task) -> Result<Box<dyn Trial>> {
    Ok(match task {
        Task::Attention(task) => Box::new(AttentionTrial::new(task)?),
        Task::Softmax(task) => Box::new(SoftmaxTrial::new(task)),
    })
}
