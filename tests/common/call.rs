//! A call for one result, so that the same test runs over all of them; and the primitives on a given
//! instruction set.

use softdot::{
    Attention, Causal, Error, Isa, Keys, Logits, Outputs, Plan, Primitives, Tensor, Threads, View,
    ViewMut, Workspace,
};

/// The results with an element for each pair of a query row and a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    Scores,
    Capped,
    Biased,
    #[default]
    Weights,
}

impl Stage {
    /// What the call is asked for.
    pub fn outputs<'o>(self, view: impl Into<ViewMut<'o>>) -> Outputs<'o> {
        let logits = match self {
            Stage::Scores => Logits::Scores,
            Stage::Capped => Logits::Capped,
            Stage::Biased => Logits::Biased,
            Stage::Weights => return Outputs::new().weights(view),
        };
        Outputs::new().logits(logits, view)
    }
}

/// The first stage and the last one.
pub const ENDS: [Stage; 2] = [Stage::Scores, Stage::Weights];

/// The options of [`Attention`], and one result.
#[derive(Clone, Debug, Default)]
pub struct Call<'a> {
    attention: Attention<'a>,
    stage: Stage,
}

impl<'a> Call<'a> {
    /// The weights, without options.
    pub fn new() -> Self {
        Self::default()
    }

    pub fn stage(self, stage: Stage) -> Self {
        Call { stage, ..self }
    }

    /// The options alone.
    pub fn into_attention(self) -> Attention<'a> {
        self.attention
    }

    fn with(self, set: impl FnOnce(Attention<'a>) -> Attention<'a>) -> Self {
        Call { attention: set(self.attention), ..self }
    }

    pub fn scale(self, scale: f32) -> Self {
        self.with(|attention| attention.scale(scale))
    }

    pub fn softcap(self, softcap: f32) -> Self {
        self.with(|attention| attention.softcap(softcap))
    }

    pub fn bias(self, bias: impl Into<View<'a>>) -> Self {
        self.with(|attention| attention.bias(bias))
    }

    pub fn alibi_slopes(self, slopes: &'a [f32]) -> Self {
        self.with(|attention| attention.alibi_slopes(slopes))
    }

    pub fn mask(self, mask: Tensor<&'a [bool]>) -> Self {
        self.with(|attention| attention.mask(mask))
    }

    pub fn causal(self, causal: Causal) -> Self {
        self.with(|attention| attention.causal(causal))
    }

    pub fn window(self, left: impl Into<Option<usize>>, right: impl Into<Option<usize>>) -> Self {
        self.with(|attention| attention.window(left, right))
    }

    pub fn key_lengths(self, lengths: &'a [usize]) -> Self {
        self.with(|attention| attention.key_lengths(lengths))
    }

    pub fn sinks(self, sinks: &'a [f32]) -> Self {
        self.with(|attention| attention.sinks(sinks))
    }

    pub fn isa(self, isa: Isa) -> Self {
        self.with(|attention| attention.isa(isa))
    }

    pub fn threads(self, threads: Threads<'a>) -> Self {
        self.with(|attention| attention.threads(threads))
    }

    /// The result, dense.
    pub fn compute<'k>(
        &self,
        query: impl Into<View<'k>>,
        key: impl Into<Keys<'k>>,
    ) -> Result<Vec<f32>, Error> {
        match self.stage {
            Stage::Weights => self.attention.weights(query, key),
            Stage::Scores => self.attention.logits(query, key, Logits::Scores),
            Stage::Capped => self.attention.logits(query, key, Logits::Capped),
            Stage::Biased => self.attention.logits(query, key, Logits::Biased),
        }
    }

    /// The result, into a view.
    pub fn compute_into<'k, 'o>(
        &self,
        query: impl Into<View<'k>>,
        key: impl Into<Keys<'k>>,
        output: impl Into<ViewMut<'o>>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        self.attention.run(query, key.into(), self.stage.outputs(output), workspace)
    }

    /// The plan of the same call for the weights.
    pub fn plan<'k>(
        &self,
        query: impl Into<View<'k>>,
        key: impl Into<Keys<'k>>,
    ) -> Result<Plan, Error> {
        self.attention.plan(query, key.into())
    }
}

pub fn dot_on(isa: Isa, a: &[f32], b: &[f32]) -> Result<f32, Error> {
    Primitives::on(isa)?.dot(a, b)
}

pub fn scaled_softmax_on(isa: Isa, row: &[f32], scale: f32, out: &mut [f32]) -> Result<(), Error> {
    Primitives::on(isa)?.scaled_softmax(row, scale, out)
}

pub fn scaled_softmax_in_place_on(isa: Isa, row: &mut [f32], scale: f32) -> Result<(), Error> {
    Primitives::on(isa)?.scaled_softmax_in_place(row, scale)
}

pub fn dot(a: &[f32], b: &[f32]) -> Result<f32, Error> {
    Primitives::new()?.dot(a, b)
}

pub fn scaled_softmax(row: &[f32], scale: f32, output: &mut [f32]) -> Result<(), Error> {
    Primitives::new()?.scaled_softmax(row, scale, output)
}

pub fn scaled_softmax_in_place(row: &mut [f32], scale: f32) -> Result<(), Error> {
    Primitives::new()?.scaled_softmax_in_place(row, scale)
}
