//! softdot, into a buffer that is there, with a workspace that is warm: on the keys as they come,
//! and on keys in its own order, beside those who get theirs transposed.
//!
//! Threads are those of the current rayon pool; work too small to share stays on one.

use super::peer::Peer;
use crate::problem::Problem;
use crate::workload::Workload;
use anyhow::Result;
use softdot::{Attention, Keys, Outputs, PackedKeys, TensorMut, TensorRef, Workspace};
use std::borrow::Cow;

/// What both have.
struct Call<'a> {
    problem: &'a Problem,
    attention: Attention<'static>,
    workspace: Workspace<'static>,
    weights: Vec<f32>,
}

impl<'a> Call<'a> {
    fn new(problem: &'a Problem) -> Self {
        Self {
            problem,
            attention: Attention::new().scale(problem.scale()),
            workspace: Workspace::new(),
            weights: vec![f32::NAN; problem.workload.pairs()],
        }
    }

    fn compute(&mut self, keys: Keys<'_>) -> Result<()> {
        let Workload { heads, query_rows, keys: key_count, head_dim, .. } = self.problem.workload;
        let query = TensorRef::new(&self.problem.query[..], [heads, query_rows, head_dim]);
        let weights = TensorMut::new(&mut self.weights[..], [heads, query_rows, key_count]);
        let outputs = Outputs::new().weights(weights);
        Ok(self.attention.run(query, keys, outputs, &mut self.workspace)?)
    }
}

fn key_view(problem: &Problem) -> TensorRef<'_> {
    let Workload { heads, keys, head_dim, .. } = problem.workload;
    TensorRef::new(&problem.key[..], [heads, keys, head_dim])
}

/// On row-major keys, as they come.
pub struct Softdot<'a>(Call<'a>);

impl<'a> Softdot<'a> {
    /// Allocates the output.
    pub fn new(problem: &'a Problem) -> Self {
        Self(Call::new(problem))
    }
}

impl Peer for Softdot<'_> {
    fn name(&self) -> &'static str {
        "softdot"
    }

    fn compute(&mut self) -> Result<()> {
        self.0.compute(Keys::View(key_view(self.0.problem).into()))
    }

    fn weights(&self) -> Result<Cow<'_, [f32]>> {
        Ok(Cow::Borrowed(&self.0.weights))
    }
}

/// On keys that were packed beforehand, as a cache of keys keeps them.
pub struct PackedSoftdot<'a> {
    call: Call<'a>,
    keys: PackedKeys,
}

impl<'a> PackedSoftdot<'a> {
    /// Packs the keys and allocates the output.
    ///
    /// # Errors
    /// softdot's own.
    pub fn new(problem: &'a Problem) -> Result<Self> {
        Ok(Self { call: Call::new(problem), keys: PackedKeys::from_view(key_view(problem))? })
    }
}

impl Peer for PackedSoftdot<'_> {
    fn name(&self) -> &'static str {
        "softdot, PackedKeys"
    }

    fn compute(&mut self) -> Result<()> {
        self.call.compute(Keys::Packed(&self.keys))
    }

    fn weights(&self) -> Result<Cow<'_, [f32]>> {
        Ok(Cow::Borrowed(&self.call.weights))
    }
}
