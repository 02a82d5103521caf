//! The softmax that follows a product of matrices: their crates have none.

use super::heads::SMALLEST_TASK;
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

/// What an exponential costs, in multiply-adds, at least.
const EXPONENTIAL_WORK: usize = 16;

impl Softmax {
    /// Each row by itself, the rows shared among the threads of the current pool.
    pub fn apply(self, rows: &mut [f32], row_elements: usize) {
        let rows_per_task = (SMALLEST_TASK / (EXPONENTIAL_WORK * row_elements)).max(1);
        let rows = rows.par_chunks_exact_mut(row_elements).with_min_len(rows_per_task);
        match self {
            Softmax::Plain => rows.for_each(plain),
            Softmax::Vectorised => rows.for_each(vectorised),
        }
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
