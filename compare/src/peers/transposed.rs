//! Keys for those who multiply by them faster as the columns of a row-major matrix.

use crate::problem::Problem;
use crate::workload::Workload;

/// Every key head's keys, transposed once: `[kv_heads, head_dim, keys]`, row-major.
#[derive(Debug)]
pub struct TransposedKeys {
    head_elements: usize,
    elements: Vec<f32>,
}

impl TransposedKeys {
    /// Transposes a problem's keys.
    pub fn new(problem: &Problem) -> Self {
        let Workload { kv_heads, keys, head_dim, .. } = problem.workload;
        let head_elements = head_dim * keys;
        let mut elements = vec![0.0; kv_heads * head_elements];
        for (head, transposed) in elements.chunks_exact_mut(head_elements).enumerate() {
            for (index, key) in problem.key_head_key(head).chunks_exact(head_dim).enumerate() {
                for (column, &element) in transposed[index..].iter_mut().step_by(keys).zip(key) {
                    *column = element;
                }
            }
        }
        Self { head_elements, elements }
    }

    /// Those of a head.
    pub fn head(&self, head: usize) -> &[f32] {
        &self.elements[head * self.head_elements..][..self.head_elements]
    }
}
