//! What a call computes, and how much work that is.

use super::work::{Access, Work};
use half::{bf16, f16};
use softdot::Logits;
use std::ops::Range;

/// What is computed.
#[derive(Clone, Debug)]
pub enum Task {
    /// What queries and keys, and values, give.
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
    /// Elements of a query row, of a key and of a value.
    pub head_dim: usize,
    /// What is asked for.
    pub result: AttentionResult,
    /// Whether the keys are `PackedKeys`.
    pub packed: bool,
    /// Type of queries, keys and values.
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

    /// Elements of the values, as wide as the keys; only the output has any.
    pub fn value_elements(&self) -> usize {
        match self.result {
            AttentionResult::Output => self.key_elements(),
            AttentionResult::Weights | AttentionResult::Logits(_) => 0,
        }
    }

    /// The shape of what there is one of for each pair.
    pub fn pair_shape(&self) -> [usize; 3] {
        [self.q_heads, self.query_rows, self.keys]
    }

    /// Pairs of a query row and a key, whether or not the row attends to it.
    pub fn pairs(&self) -> usize {
        self.pair_shape().iter().product()
    }

    /// The result's shape.
    pub fn shape(&self) -> [usize; 3] {
        match self.result {
            AttentionResult::Output => [self.q_heads, self.query_rows, self.head_dim],
            AttentionResult::Weights | AttentionResult::Logits(_) => self.pair_shape(),
        }
    }

    /// Elements of the result.
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
        let (key_elements, value_elements) = (self.key_elements(), self.value_elements());
        let kv_bytes = (key_elements + value_elements) * self.number_type.size();
        // Each pair takes a dot product, and one addition to the sum of weighted values.
        let products = if value_elements > 0 { 2 } else { 1 };
        let query_bytes = self.query_elements() * self.number_type.size();
        Work {
            pairs,
            flops: Some(2 * products * pairs * self.head_dim),
            counted_bytes: kv_bytes,
            touched_bytes: query_bytes + kv_bytes + self.elements() * size_of::<f32>(),
            access: Access::Read,
        }
    }
}

/// What attention can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionResult {
    /// The attention weights.
    Weights,
    /// The logits at one point on the way to them.
    Logits(Logits),
    /// The weighted sums of the values.
    Output,
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

/// Types of queries, keys and values.
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
