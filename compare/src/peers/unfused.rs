//! Attention by a library's matrix products, a key head at a time: scores, their softmax, and for the
//! output the product with the values. As a user would put them together, where all options are.

use super::peer::Peer;
use super::softmax::{SMALLEST_TASK, Softmax};
use crate::problem::Problem;
use crate::workload::{Answer, Workload};
use anyhow::Result;
use rayon::prelude::*;
use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

/// A library's products of a key head. Its rows are those of all query heads that share it.
pub trait Products: Sync {
    /// The scaled logits of each row and key, `[rows, keys]`.
    ///
    /// # Errors
    /// The library's own.
    fn scores(&self, head: usize, scores: &mut [f32]) -> Result<()>;

    /// Weights, `[rows, keys]`, times values: `[rows, head_dim]`.
    ///
    /// # Errors
    /// The library's own.
    fn output(&self, head: usize, weights: &[f32], output: &mut [f32]) -> Result<()>;

    /// How many heads, at least, a thread of the current pool computes one after the other.
    fn heads_per_task(&self, workload: &Workload) -> usize {
        let head_work = workload.key_head_pairs() * workload.head_dim;
        (SMALLEST_TASK / head_work).max(1)
    }
}

/// Heads shared among the threads of the current pool.
pub struct Unfused<'a, P> {
    name: &'static str,
    problem: &'a Problem,
    softmax: Softmax,
    products: P,
    /// Memory for weights of a head that are not asked for, kept from call to call: as many as there
    /// were heads at once.
    spare: Mutex<Vec<Vec<f32>>>,
    answer: Vec<f32>,
}

impl<'a, P> Unfused<'a, P> {
    /// Allocates the answer.
    pub fn new(name: &'static str, problem: &'a Problem, softmax: Softmax, products: P) -> Self {
        let answer = vec![f32::NAN; problem.workload.answer_elements()];
        Self { name, problem, softmax, products, spare: Mutex::default(), answer }
    }
}

impl<P: Products> Peer for Unfused<'_, P> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn compute(&mut self) -> Result<()> {
        let Self { problem, ref products, softmax, ref spare, ref mut answer, .. } = *self;
        let workload = &problem.workload;
        let compute_weights = |head, weights: &mut [f32]| {
            products.scores(head, weights)?;
            softmax.apply(weights, workload);
            Ok(())
        };
        let head_elements = workload.rows_of_key_head() * workload.answer_columns();
        answer
            .par_chunks_exact_mut(head_elements)
            .with_min_len(products.heads_per_task(workload))
            .enumerate()
            .try_for_each(|(head, answer)| {
                if workload.answer == Answer::Weights {
                    return compute_weights(head, answer);
                }
                let buffer = spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let mut buffer = buffer.unwrap_or_else(|| vec![0.0; workload.key_head_pairs()]);
                compute_weights(head, &mut buffer)?;
                products.output(head, &buffer, answer)?;
                spare.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
                Ok(())
            })
    }

    fn answer(&self) -> Result<Cow<'_, [f32]>> {
        Ok(Cow::Borrowed(&self.answer))
    }
}
