//! `matrixmultiply`, what ndarray multiplies by: a product for each head, and a softmax.
//!
//! Scaling is free, a factor of the product. The product is shared among its own threads, one head
//! after the other: their number is the process's, so heads cannot be given to threads of ours
//! where one head alone is to be shared, too. The softmax runs on the current rayon pool.

use super::peer::Peer;
use super::softmax::Softmax;
use super::transposed::TransposedKeys;
use crate::problem::Problem;
use crate::workload::Workload;
use anyhow::Result;
use std::borrow::Cow;

/// Whether it can use just as many threads: it splits its loops in 2 or 4.
pub fn can_use(threads: usize) -> bool {
    matches!(threads, 1 | 2 | 4)
}

/// The keys are transposed beforehand: measured to be faster, for one query row twice as fast.
/// Threads are those of `MATMUL_NUM_THREADS`.
pub struct MatrixMultiply<'a> {
    problem: &'a Problem,
    key: TransposedKeys,
    weights: Vec<f32>,
}

impl<'a> MatrixMultiply<'a> {
    /// Transposes the keys and allocates the output.
    pub fn new(problem: &'a Problem) -> Self {
        let weights = vec![f32::NAN; problem.workload.answer_elements()];
        Self { problem, key: TransposedKeys::new(problem), weights }
    }
}

impl Peer for MatrixMultiply<'_> {
    fn name(&self) -> &'static str {
        "matrixmultiply + rten-vecmath, Kᵀ"
    }

    fn compute(&mut self) -> Result<()> {
        let workload = &self.problem.workload;
        let heads = self.weights.chunks_exact_mut(workload.head_pairs());
        for (head, weights) in heads.enumerate() {
            scores(self.problem, head, self.key.head(head), weights);
            Softmax::Vectorised.apply(weights, workload.keys);
        }
        Ok(())
    }

    fn answer(&self) -> Result<Cow<'_, [f32]>> {
        Ok(Cow::Borrowed(&self.weights))
    }
}

/// The scaled logits of a head.
#[expect(unsafe_code, reason = "matrixmultiply takes pointers")]
fn scores(problem: &Problem, head: usize, key: &[f32], scores: &mut [f32]) {
    let Workload { query_rows, keys, head_dim, .. } = problem.workload;
    let query = problem.head_query(head);
    assert_eq!((key.len(), scores.len()), (head_dim * keys, query_rows * keys));
    let stride = |elements: usize| isize::try_from(elements).expect("the extent of a slice");
    // SAFETY: row-major, `query` has query_rows × head_dim elements (`Problem`), `key` head_dim ×
    // keys and `scores` query_rows × keys (above), which nothing else refers to; each is read or
    // written at row · columns + column, with strides (row, column) below.
    unsafe {
        matrixmultiply::sgemm(
            query_rows,
            head_dim,
            keys,
            problem.scale(),
            query.as_ptr(),
            stride(head_dim),
            1,
            key.as_ptr(),
            stride(keys),
            1,
            0.0,
            scores.as_mut_ptr(),
            stride(keys),
            1,
        );
    }
}
