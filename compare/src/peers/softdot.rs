//! softdot, into a buffer that is there, with a workspace that is warm: on the keys as they come,
//! and on keys in its own order, beside those who get theirs transposed. Values are as they come.
//!
//! Threads are those of the current rayon pool; work too small to share stays on one.

use super::peer::Peer;
use crate::problem::Problem;
use crate::workload::{Answer, Attended, Workload};
use anyhow::Result;
use softdot::{
    Attention, Causal, Keys, Outputs, PackedKeys, Tensor, TensorMut, TensorRef, Workspace,
};
use std::borrow::Cow;

/// What both have.
struct Call<'a> {
    problem: &'a Problem,
    attention: Attention<'a>,
    workspace: Workspace<'static>,
    answer: Vec<f32>,
}

impl<'a> Call<'a> {
    fn new(problem: &'a Problem) -> Self {
        let attention = Attention::new().scale(problem.scale());
        let attention = match problem.workload.attended {
            Attended::All => attention,
            Attended::Causal => attention.causal(Causal::BottomRight),
            Attended::Unpadded => {
                attention.mask(Tensor::new(&problem.mask[..], [1, problem.workload.keys]))
            }
        };
        let answer = vec![f32::NAN; problem.workload.answer_elements()];
        Self { problem, attention, workspace: Workspace::new(), answer }
    }

    fn compute(&mut self, keys: Keys<'_>) -> Result<()> {
        let Workload { heads, query_rows, head_dim, .. } = self.problem.workload;
        let query = TensorRef::new(&self.problem.query[..], [heads, query_rows, head_dim]);
        let shape = [heads, query_rows, self.problem.workload.answer_columns()];
        let answer = TensorMut::new(&mut self.answer[..], shape);
        let (attention, workspace) = (&self.attention, &mut self.workspace);
        match self.problem.workload.answer {
            Answer::Output => {
                let keys = (keys, view(self.problem, &self.problem.value));
                attention.run(query, keys, Outputs::new().output(answer), workspace)?;
            }
            Answer::Weights => {
                attention.run(query, keys, Outputs::new().weights(answer), workspace)?;
            }
        }
        Ok(())
    }
}

/// Of the keys or the values.
fn view<'a>(problem: &Problem, elements: &'a [f32]) -> TensorRef<'a> {
    let Workload { kv_heads, keys, head_dim, .. } = problem.workload;
    TensorRef::new(elements, [kv_heads, keys, head_dim])
}

/// On row-major keys, as they come.
pub struct Softdot<'a>(Call<'a>);

impl<'a> Softdot<'a> {
    /// Allocates the answer.
    pub fn new(problem: &'a Problem) -> Self {
        Self(Call::new(problem))
    }
}

impl Peer for Softdot<'_> {
    fn name(&self) -> &'static str {
        "softdot"
    }

    fn compute(&mut self) -> Result<()> {
        self.0.compute(Keys::View(view(self.0.problem, &self.0.problem.key).into()))
    }

    fn answer(&self) -> Result<Cow<'_, [f32]>> {
        Ok(Cow::Borrowed(&self.0.answer))
    }
}

/// On keys that were packed beforehand, as a cache of keys keeps them.
pub struct PackedSoftdot<'a> {
    call: Call<'a>,
    keys: PackedKeys,
}

impl<'a> PackedSoftdot<'a> {
    /// Packs the keys and allocates the answer.
    ///
    /// # Errors
    /// softdot's own.
    pub fn new(problem: &'a Problem) -> Result<Self> {
        let keys = PackedKeys::from_view(view(problem, &problem.key))?;
        Ok(Self { call: Call::new(problem), keys })
    }
}

impl Peer for PackedSoftdot<'_> {
    fn name(&self) -> &'static str {
        "softdot, PackedKeys"
    }

    fn compute(&mut self) -> Result<()> {
        self.call.compute(Keys::Packed(&self.keys))
    }

    fn answer(&self) -> Result<Cow<'_, [f32]>> {
        Ok(Cow::Borrowed(&self.call.answer))
    }
}
