//! `gemm`, what candle and faer multiply by: a product for each head, and a softmax.
//!
//! Scaling is free, a factor of the product. With at least as many heads as threads, each thread
//! takes whole heads (measured to be faster than sharing each head's product); with fewer, gemm
//! shares the product.

use super::heads;
use super::peer::Peer;
use super::softmax::Softmax;
use crate::problem::Problem;
use crate::workload::Workload;
use anyhow::Result;
use gemm::Parallelism;
use std::borrow::Cow;

/// The keys are row-major, as they come.
pub struct Gemm<'a> {
    problem: &'a Problem,
    parallelism: Parallelism,
    softmax: Softmax,
    weights: Vec<f32>,
}

impl<'a> Gemm<'a> {
    /// Allocates the output.
    pub fn new(problem: &'a Problem, threads: usize, softmax: Softmax) -> Self {
        let parallelism = match problem.workload.heads < threads {
            true => Parallelism::Rayon(threads),
            false => Parallelism::None,
        };
        let weights = vec![f32::NAN; problem.workload.answer_elements()];
        Self { problem, parallelism, softmax, weights }
    }
}

impl Peer for Gemm<'_> {
    fn name(&self) -> &'static str {
        match self.softmax {
            Softmax::Plain => "gemm + plain softmax",
            Softmax::Vectorised => "gemm + rten-vecmath",
        }
    }

    fn compute(&mut self) -> Result<()> {
        let Self { problem, parallelism, softmax, ref mut weights } = *self;
        heads::for_each(&problem.workload, weights, |head, weights| {
            scores(problem, head, weights, parallelism);
            softmax.apply(weights, problem.workload.keys);
            Ok(())
        })
    }

    fn answer(&self) -> Result<Cow<'_, [f32]>> {
        Ok(Cow::Borrowed(&self.weights))
    }
}

/// The scaled logits of a head.
#[expect(unsafe_code, reason = "gemm takes pointers")]
fn scores(problem: &Problem, head: usize, scores: &mut [f32], parallelism: Parallelism) {
    let Workload { query_rows, keys, head_dim, .. } = problem.workload;
    let (query, key) = (problem.head_query(head), problem.head_key(head));
    assert_eq!(scores.len(), query_rows * keys);
    let stride = |elements: usize| isize::try_from(elements).expect("the extent of a slice");
    // SAFETY: row-major, `query` has query_rows × head_dim elements and `key` keys × head_dim
    // (`Problem`), `scores` query_rows × keys (above), which nothing else refers to; each is read
    // or written at row · columns + column, with strides (column, row) below. The key is read as
    // its transpose: columns of the product are rows of it.
    unsafe {
        gemm::gemm(
            query_rows,
            keys,
            head_dim,
            scores.as_mut_ptr(),
            1,
            stride(keys),
            false,
            query.as_ptr(),
            1,
            stride(head_dim),
            key.as_ptr(),
            stride(head_dim),
            1,
            0.0,
            problem.scale(),
            false,
            false,
            false,
            parallelism,
        );
    }
}
