//! What is measured, and how much work it is.

use super::attention::{Adjustment, AttentionTrial, NumberType};
use super::softmax::SoftmaxTrial;
use anyhow::Result;
use softdot::{Isa, Logits};
use std::ops::Range;

/// A named task.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The kind, the heads × query rows × keys, the head_dim.
    pub name: String,
    /// What is computed.
    pub task: Task,
    /// What its rate is compared with: measured in turn with it.
    pub plain: Option<Box<Workload>>,
    /// Whether `--quick` measures it.
    pub quick: bool,
    /// Whether it is small enough for the scalar kernel to be measured unasked.
    pub with_scalar: bool,
    /// Its point of the scaling plot. Such workloads are measured on numbers of threads between
    /// one and all, too.
    pub scaling: Option<ScalingPoint>,
}

/// Where a workload is in the scaling plot.
#[derive(Clone, Copy, Debug)]
pub struct ScalingPoint {
    /// Keys of a row.
    pub keys: usize,
    /// Elements of a query row and of a key.
    pub head_dim: usize,
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

/// How much work one call is.
#[derive(Clone, Debug)]
pub struct Work {
    /// Elements of the output, less those that position excludes.
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
