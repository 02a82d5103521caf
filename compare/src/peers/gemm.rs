//! `gemm`, what candle and faer multiply by.
//!
//! Scaling is free, a factor of the product. With at least as many key heads as threads, each thread
//! takes whole heads (measured to be faster than sharing each head's product); with fewer, gemm
//! shares the product.

use super::unfused::Products;
use crate::problem::Problem;
use crate::workload::Workload;
use anyhow::Result;
use gemm::Parallelism;

/// Keys and values are row-major, as they come.
pub struct Gemm<'a> {
    problem: &'a Problem,
    parallelism: Parallelism,
}

impl<'a> Gemm<'a> {
    /// On so many threads.
    pub fn new(problem: &'a Problem, threads: usize) -> Self {
        let parallelism = match problem.workload.kv_heads < threads {
            true => Parallelism::Rayon(threads),
            false => Parallelism::None,
        };
        Self { problem, parallelism }
    }
}

impl Products for Gemm<'_> {
    fn scores(&self, head: usize, scores: &mut [f32]) -> Result<()> {
        let Workload { keys, head_dim, .. } = self.problem.workload;
        let key = Right {
            elements: self.problem.key_head_key(head),
            rows: head_dim,
            columns: keys,
            strides: [1, head_dim],
        };
        let query = self.problem.key_head_query(head);
        multiply(self.problem.scale(), query, key, scores, self.parallelism);
        Ok(())
    }

    fn output(&self, head: usize, weights: &[f32], output: &mut [f32]) -> Result<()> {
        let Workload { keys, head_dim, .. } = self.problem.workload;
        let value = Right {
            elements: self.problem.key_head_value(head),
            rows: keys,
            columns: head_dim,
            strides: [head_dim, 1],
        };
        multiply(1.0, weights, value, output, self.parallelism);
        Ok(())
    }
}

/// The right matrix of a product.
struct Right<'a> {
    elements: &'a [f32],
    rows: usize,
    columns: usize,
    /// From row to row, and from column to column.
    strides: [usize; 2],
}

/// `factor` times a row-major matrix and another, row-major.
#[expect(unsafe_code, reason = "gemm takes pointers")]
fn multiply(
    factor: f32,
    left: &[f32],
    right: Right<'_>,
    product: &mut [f32],
    parallelism: Parallelism,
) {
    let Right { elements, rows: inner, columns, strides } = right;
    let rows = left.len() / inner;
    let last = (inner - 1) * strides[0] + (columns - 1) * strides[1];
    assert_eq!((left.len(), product.len()), (rows * inner, rows * columns));
    assert!(last < elements.len());
    let stride = |elements: usize| isize::try_from(elements).expect("the extent of a slice");
    // SAFETY: row-major, `left` has rows × inner elements and `product`, which nothing else refers to,
    // rows × columns (above); each is read or written at row · columns + column, with strides
    // (column, row) below. `elements` is read at row · strides[0] + column · strides[1] for rows below
    // inner and columns below columns, at most `last`, which it has (above).
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            product.as_mut_ptr(),
            1,
            stride(columns),
            false,
            left.as_ptr(),
            1,
            stride(inner),
            elements.as_ptr(),
            stride(strides[1]),
            stride(strides[0]),
            0.0,
            factor,
            false,
            false,
            false,
            parallelism,
        );
    }
}
