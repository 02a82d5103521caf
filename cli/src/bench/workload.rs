//! What is measured, and how much work it is.

use super::attention::AttentionTrial;
use super::softmax::SoftmaxTrial;
use anyhow::Result;
use softdot::{Isa, Stage};

/// A named task.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The kind, the heads × query rows × keys, the head_dim.
    pub name: String,
    /// What is computed.
    pub task: Task,
    /// Whether `--quick` measures it.
    pub quick: bool,
    /// Whether it is small enough for the scalar kernel to be measured unasked.
    pub with_scalar: bool,
}

/// What is computed.
#[derive(Clone, Debug)]
pub enum Task {
    /// Scores or weights of queries and keys.
    Attention(AttentionTask),
    /// The softmax of rows by themselves.
    Softmax(SoftmaxTask),
}

impl Task {
    /// The task with its data.
    pub fn prepare(&self) -> Result<Box<dyn Trial>> {
        Ok(match self {
            Task::Attention(task) => Box::new(AttentionTrial::new(task)?),
            Task::Softmax(task) => Box::new(SoftmaxTrial::new(task)),
        })
    }

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
    pub stage: Stage,
    /// Whether the keys are `PackedKeys`.
    pub packed: bool,
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

    /// Elements of the output: one for each pair of a query row and a key.
    pub fn pairs(&self) -> usize {
        self.q_heads * self.query_rows * self.keys
    }

    fn work(&self) -> Work {
        let elements = self.query_elements() + self.key_elements() + self.pairs();
        Work {
            pairs: self.pairs(),
            flops: Some(2 * self.pairs() * self.head_dim),
            counted_bytes: self.key_elements() * size_of::<f32>(),
            touched_bytes: elements * size_of::<f32>(),
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

/// How much work one call is.
#[derive(Clone, Debug)]
pub struct Work {
    /// Elements of the output.
    pub pairs: usize,
    /// Two for each multiply-add of the dot products; exponentials are not counted.
    pub flops: Option<usize>,
    /// What GB/s counts: the keys, once; of a softmax, what is read and what is written.
    pub counted_bytes: usize,
    /// Everything that is read or written, once.
    pub touched_bytes: usize,
    /// Which of the machine's rates GB/s is compared with.
    pub access: Access,
}

/// How memory is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading alone.
    Read,
    /// Reading, and writing as much.
    Copy,
}

/// A task with its data, ready to be called.
pub trait Trial: Send + Sync {
    /// Threads of the current pool that a call would use.
    fn threads(&self, isa: Isa) -> Result<usize>;

    /// One call.
    fn call(&mut self, isa: Isa) -> Result<()>;

    /// Overwrites the output with what no right answer has.
    fn spoil(&mut self);

    /// The largest error of a sample of the output's rows, each relative to its row's largest
    /// magnitude; NaN where the output has one.
    fn largest_error(&self) -> f64;
}
