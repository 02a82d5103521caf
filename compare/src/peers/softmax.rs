//! The softmax that follows a product of matrices: their crates have none.

use crate::workload::Workload;
use rayon::prelude::*;
use rten_simd::SimdOp;

/// How a row's softmax is computed, in place.
#[derive(Clone, Copy, Debug)]
pub enum Softmax {
    /// In three passes, by the standard library's `exp`.
    Plain,
    /// rten-vecmath's, whose `exp` is vectorised.
    Vectorised,
}

/// Multiply-adds below which a task is not worth waking a thread for.
pub const SMALLEST_TASK: usize = 1 << 19;

/// What an exponential costs, in multiply-adds, at least.
const EXPONENTIAL_WORK: usize = 16;

impl Softmax {
    /// Each row of a key head by itself, over the keys that it attends to, with zeros for the others;
    /// the rows shared among the threads of the current pool.
    pub fn apply(self, rows: &mut [f32], workload: &Workload) {
        let rows_per_task = (SMALLEST_TASK / (EXPONENTIAL_WORK * workload.keys)).max(1);
        let rows = rows.par_chunks_exact_mut(workload.keys).with_min_len(rows_per_task);
        rows.enumerate().for_each(|(index, row)| {
            // Query heads that share the keys follow each other.
            let attended = workload.attended_keys(index % workload.query_rows);
            let (row, excluded) = row.split_at_mut(attended);
            match self {
                Softmax::Plain => plain(row),
                Softmax::Vectorised => vectorised(row),
            }
            excluded.fill(0.0);
        });
    }
}

fn plain(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for element in &mut *row {
        *element = (*element - max).exp();
        sum += *element;
    }
    let factor = 1.0 / sum;
    for element in row {
        *element *= factor;
    }
}

fn vectorised(row: &mut [f32]) {
    rten_vecmath::Softmax::new_mut(row).dispatch();
}
