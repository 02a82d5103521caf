//! `matrixmultiply`, what ndarray multiplies by.
//!
//! Scaling is free, a factor of the product. The product is shared among its own threads, one head
//! after the other: their number is the process's, so heads cannot be given to threads of ours
//! where one head alone is to be shared, too. The softmax runs on the current rayon pool.

use super::transposed::TransposedKeys;
use super::unfused::Products;
use crate::problem::Problem;
use crate::workload::Workload;
use anyhow::Result;

/// Whether it can use just as many threads: it splits its loops in 2 or 4.
pub fn can_use(threads: usize) -> bool {
    matches!(threads, 1 | 2 | 4)
}

/// The keys are transposed beforehand: measured to be faster, for one query row twice as fast.
/// Threads are those of `MATMUL_NUM_THREADS`.
pub struct MatrixMultiply<'a> {
    problem: &'a Problem,
    key: TransposedKeys,
}

impl<'a> MatrixMultiply<'a> {
    /// Transposes the keys.
    pub fn new(problem: &'a Problem) -> Self {
        Self { problem, key: TransposedKeys::new(problem) }
    }
}

impl Products for MatrixMultiply<'_> {
    fn scores(&self, head: usize, scores: &mut [f32]) -> Result<()> {
        let query = self.problem.key_head_query(head);
        let columns = self.problem.workload.keys;
        multiply(self.problem.scale(), query, self.key.head(head), columns, scores);
        Ok(())
    }

    fn output(&self, head: usize, weights: &[f32], output: &mut [f32]) -> Result<()> {
        let value = self.problem.key_head_value(head);
        multiply(1.0, weights, value, self.problem.workload.head_dim, output);
        Ok(())
    }

    fn heads_per_task(&self, workload: &Workload) -> usize {
        workload.kv_heads
    }
}

/// `factor` times two row-major matrices, the right one and the product of so many columns.
#[expect(unsafe_code, reason = "matrixmultiply takes pointers")]
fn multiply(factor: f32, left: &[f32], right: &[f32], columns: usize, product: &mut [f32]) {
    let (rows, inner) = (product.len() / columns, right.len() / columns);
    let elements = (left.len(), right.len(), product.len());
    assert_eq!(elements, (rows * inner, inner * columns, rows * columns));
    let stride = |elements: usize| isize::try_from(elements).expect("the extent of a slice");
    // SAFETY: row-major, `left` has rows × inner elements, `right` inner × columns and `product`,
    // which nothing else refers to, rows × columns (above); each is read or written at
    // row · columns + column, with strides (row, column) below.
    unsafe {
        matrixmultiply::sgemm(
            rows,
            inner,
            columns,
            factor,
            left.as_ptr(),
            stride(inner),
            1,
            right.as_ptr(),
            stride(columns),
            1,
            0.0,
            product.as_mut_ptr(),
            stride(columns),
            1,
        );
    }
}
