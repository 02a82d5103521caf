//! Heads shared among threads, as a user of a matrix product would share them.

use crate::workload::Workload;
use anyhow::Result;
use rayon::prelude::*;

/// Multiply-adds below which a task is not worth waking a thread for.
pub const SMALLEST_TASK: usize = 1 << 19;

/// Calls `compute` with each head's index and weights, on the threads of the current pool.
///
/// # Errors
/// Those of `compute`.
pub fn for_each(
    workload: &Workload,
    weights: &mut [f32],
    compute: impl Fn(usize, &mut [f32]) -> Result<()> + Sync,
) -> Result<()> {
    let head_work = workload.head_pairs() * workload.head_dim;
    weights
        .par_chunks_exact_mut(workload.head_pairs())
        .enumerate()
        .with_min_len((SMALLEST_TASK / head_work).max(1))
        .try_for_each(|(head, weights)| compute(head, weights))
}
