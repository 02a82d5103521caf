//! Numbers to compute with: made of integers and exact in f32, so that no library function is involved.

use super::hash::fnv1a;
use super::problem::Hashes;
use softdot::{Attention, Outputs, TensorMut, TensorRef, Workspace};

/// Multiples of 1/64 in [−2, 2], without a short period.
pub fn exact(length: usize, step: usize) -> Vec<f32> {
    (0..length).map(|i| ((i * step + i / 61 * 17) % 257) as f32 / 64.0 - 2.0).collect()
}

/// The extents of a problem.
#[derive(Clone, Copy, Debug)]
pub struct Extents {
    pub batch: usize,
    pub q_heads: usize,
    pub kv_heads: usize,
    pub rows: usize,
    pub keys: usize,
    pub head_dim: usize,
    pub v_dim: usize,
}

impl Extents {
    /// `[batch, q_heads, kv_heads]` of `[rows, keys, head_dim]`, values as wide as keys.
    pub const fn new(heads: [usize; 3], [rows, keys, head_dim]: [usize; 3]) -> Self {
        let [batch, q_heads, kv_heads] = heads;
        Self { batch, q_heads, kv_heads, rows, keys, head_dim, v_dim: head_dim }
    }

    pub fn query_shape(&self) -> [usize; 4] {
        [self.batch, self.q_heads, self.rows, self.head_dim]
    }

    pub fn key_shape(&self) -> [usize; 4] {
        [self.batch, self.kv_heads, self.keys, self.head_dim]
    }

    pub fn value_shape(&self) -> [usize; 4] {
        [self.batch, self.kv_heads, self.keys, self.v_dim]
    }

    /// Of a result with so many elements for each query row.
    pub fn rows_of(&self, elements: usize) -> [usize; 4] {
        [self.batch, self.q_heads, self.rows, elements]
    }
}

/// Dense queries, keys and values.
#[derive(Clone, Debug)]
pub struct Inputs {
    pub extents: Extents,
    pub query: Vec<f32>,
    pub key: Vec<f32>,
    pub value: Vec<f32>,
}

impl Inputs {
    pub fn new(extents: Extents) -> Self {
        let numbers = |shape: [usize; 4], step| exact(shape.iter().product(), step);
        Self {
            extents,
            query: numbers(extents.query_shape(), 37),
            key: numbers(extents.key_shape(), 101),
            value: numbers(extents.value_shape(), 53),
        }
    }

    pub fn query(&self) -> TensorRef<'_> {
        TensorRef::new(&self.query, self.extents.query_shape())
    }

    pub fn key(&self) -> TensorRef<'_> {
        TensorRef::new(&self.key, self.extents.key_shape())
    }

    pub fn value(&self) -> TensorRef<'_> {
        TensorRef::new(&self.value, self.extents.value_shape())
    }

    /// Output and log-sum-exp of one call, then the weights of another.
    pub fn hashes(&self, attention: &Attention<'_>) -> Hashes {
        let [output_shape, lse_shape] =
            [self.extents.v_dim, 1].map(|elements| self.extents.rows_of(elements));
        let (mut output, mut lse) = (zeros::<f32>(output_shape), zeros::<f32>(lse_shape));
        let outputs = Outputs::new()
            .output(TensorMut::new(&mut output[..], output_shape))
            .lse(TensorMut::new(&mut lse[..], lse_shape));
        let workspace = &mut Workspace::new();
        attention.run(self.query(), (self.key(), self.value()), outputs, workspace)?;
        let weights = attention.weights(self.query(), self.key())?;
        Ok(vec![fnv1a(&output), fnv1a(&lse), fnv1a(&weights)])
    }
}

/// Zeros of a type for a dense tensor.
pub fn zeros<T: Clone + Default>(shape: [usize; 4]) -> Vec<T> {
    vec![T::default(); shape.iter().product()]
}
