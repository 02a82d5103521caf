//! What a call computes, and how much work that is.

use super::work::{Access, Work};
use half::{bf16, f16};
use softdot::Logits;
use std::ops::Range;

/// What is computed.
#[derive(Clone, Debug)]
pub enum Task {
    /// Scores or weights of queries and keys.
    Attention(AttentionTask),
    /// The softmax of rows by themselves.
    Softmax(SoftmaxTask),
}

impl Task {
    /// How much work one call is.
    pub fn work(&self) -> Work {
        match self {
            Task::Attention(task) => task.work(),
            Task::Softmax(task) => task.work(),
        }
    }
}

/// Attention of one batch entry.
#[derive(Clone, Debug)]
pub struct AttentionTask {
    /// Heads of the query.
    pub q_heads: usize,
    /// Heads of the keys, which groups of query heads share.
    pub kv_heads: usize,
    /// Query rows of a head.
    pub query_rows: usize,
    /// Keys of a head.
    pub keys: usize,
    /// Elements of a query row and of a key.
    pub head_dim: usize,
    /// Scores or weights.
    pub logits: Option<Logits>,
    /// Whether the keys are `PackedKeys`.
    pub packed: bool,
    /// Type of queries and keys.
    pub number_type: NumberType,
    /// Whether rows attend to no key after their own, the last row's being the last.
    pub causal: bool,
    /// Keys before its own that a row attends to at most.
    pub window: Option<usize>,
    /// What else happens between scores and weights.
    pub adjustment: Option<Adjustment>,
}

impl AttentionTask {
    /// Elements of the queries.
    pub fn query_elements(&self) -> usize {
        self.q_heads * self.query_rows * self.head_dim
    }

    /// Elements of the keys.
    pub fn key_elements(&self) -> usize {
        self.kv_heads * self.keys * self.head_dim
    }

    /// The output's shape.
    pub fn shape(&self) -> [usize; 3] {
        [self.q_heads, self.query_rows, self.keys]
    }

    /// Elements of the output.
    pub fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    /// The key at which a row stands.
    pub fn position(&self, row: usize) -> usize {
        row + self.keys - self.query_rows
    }

    /// The keys that a row attends to by its position.
    pub fn allowed(&self, row: usize) -> Range<usize> {
        let position = self.position(row);
        let start = self.window.map_or(0, |window| position.saturating_sub(window));
        start..if self.causal { position + 1 } else { self.keys }
    }

    fn work(&self) -> Work {
        let row_pairs = (0..self.query_rows).map(|row| self.allowed(row).len());
        let pairs = self.q_heads * row_pairs.sum::<usize>();
        let key_bytes = self.key_elements() * self.number_type.size();
        let query_bytes = self.query_elements() * self.number_type.size();
        Work {
            pairs,
            flops: Some(2 * pairs * self.head_dim),
            counted_bytes: key_bytes,
            touched_bytes: query_bytes + key_bytes + self.elements() * size_of::<f32>(),
            access: Access::Read,
        }
    }
}

/// The softmax of `rows` rows, one call each.
#[derive(Clone, Debug)]
pub struct SoftmaxTask {
    /// Rows that are gone through over and over.
    pub rows: usize,
    /// Elements of a row.
    pub row_elements: usize,
}

impl SoftmaxTask {
    fn work(&self) -> Work {
        let elements = self.rows * self.row_elements;
        let bytes = 2 * elements * size_of::<f32>();
        Work {
            pairs: elements,
            flops: None,
            counted_bytes: bytes,
            touched_bytes: bytes,
            access: Access::Copy,
        }
    }
}

/// Types of queries and keys.
#[derive(Clone, Copy, Debug)]
pub enum NumberType {
    /// `f32`
    F32,
    /// `half::f16`
    F16,
    /// `half::bf16`
    Bf16,
}

impl NumberType {
    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            NumberType::F32 => size_of::<f32>(),
            NumberType::F16 => size_of::<f16>(),
            NumberType::Bf16 => size_of::<bf16>(),
        }
    }
}

/// One of the options between scores and weights.
#[derive(Clone, Copy, Debug)]
pub enum Adjustment {
    /// A soft cap on scores.
    Softcap,
    /// A bias for each pair of each head.
    Bias,
    /// ALiBi with the standard slopes.
    Alibi,
    /// A truth value for each pair of each head, three quarters of them true.
    Mask,
    /// A sink for each head.
    Sinks,
}
