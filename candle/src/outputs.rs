//! What a call computes beside the output, and the tensors of it.

use crate::memory::{tensor, zeros};
use candle_core::{Result, Tensor};
use softdot::TensorMut;

/// What a call computes beside the output, in the same pass: nothing yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outputs<'a> {
    weights: bool,
    weights_of_heads: Option<&'a [usize]>,
    lse: bool,
    key_mass: bool,
}

impl<'a> Outputs<'a> {
    /// The output alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// The attention weights of all query heads ([`softdot::Outputs::weights`]).
    #[must_use]
    pub fn weights(self) -> Self {
        Outputs { weights: true, ..self }
    }

    /// The weights of some query heads, in the order of the list
    /// ([`softdot::Outputs::weights_of_heads`]).
    #[must_use]
    pub fn weights_of_heads(self, heads: &'a [usize]) -> Self {
        Outputs { weights_of_heads: Some(heads), ..self }
    }

    /// The log-sum-exp of each row ([`softdot::Outputs::lse`]).
    #[must_use]
    pub fn lse(self) -> Self {
        Outputs { lse: true, ..self }
    }

    /// The sum of the weights that each key receives ([`softdot::Outputs::key_mass`]).
    #[must_use]
    pub fn key_mass(self) -> Self {
        Outputs { key_mass: true, ..self }
    }
}

/// What a call computed; `None` is what it was not asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Results {
    /// `[batch, q_heads, query_rows, v_dim]`, of the query's type.
    pub output: Tensor,
    /// `[batch, q_heads, query_rows, keys]`, f32.
    pub weights: Option<Tensor>,
    /// `[batch, heads asked for, query_rows, keys]`, f32.
    pub weights_of_heads: Option<Tensor>,
    /// `[batch, q_heads, query_rows]`, f32.
    pub lse: Option<Tensor>,
    /// `[batch, q_heads, keys]`, f64.
    pub key_mass: Option<Tensor>,
}

/// Memory of all that is computed beside the output.
pub(crate) struct Memory<'a> {
    /// `[batch, q_heads, query_rows, keys]`.
    shape: [usize; 4],
    weights: Option<Vec<f32>>,
    weights_of_heads: Option<(&'a [usize], Vec<f32>)>,
    lse: Option<Vec<f32>>,
    key_mass: Option<Vec<f64>>,
}

impl<'a> Memory<'a> {
    /// `shape` is that of the weights.
    pub(crate) fn new(outputs: &Outputs<'a>, shape: [usize; 4]) -> Result<Self> {
        let [batch, heads, rows, keys] = shape;
        let of_heads = |heads: &'a [usize]| {
            Ok::<_, candle_core::Error>((
                heads,
                zeros("weights", [batch, heads.len(), rows, keys])?,
            ))
        };
        let when = |wanted: bool| wanted.then_some(());
        Ok(Memory {
            shape,
            weights: when(outputs.weights).map(|()| zeros("weights", shape)).transpose()?,
            weights_of_heads: outputs.weights_of_heads.map(of_heads).transpose()?,
            lse: when(outputs.lse).map(|()| zeros("lse", [batch, heads, rows, 1])).transpose()?,
            key_mass: when(outputs.key_mass)
                .map(|()| zeros("key_mass", [batch, heads, 1, keys]))
                .transpose()?,
        })
    }

    /// These as softdot's outputs.
    pub(crate) fn outputs(&mut self) -> softdot::Outputs<'_> {
        let [batch, heads, rows, keys] = self.shape;
        let mut outputs = softdot::Outputs::new();
        if let Some(weights) = &mut self.weights {
            outputs = outputs.weights(TensorMut::new(&mut weights[..], self.shape));
        }
        if let Some((heads, weights)) = &mut self.weights_of_heads {
            let shape = [batch, heads.len(), rows, keys];
            outputs = outputs.weights_of_heads(heads, TensorMut::new(&mut weights[..], shape));
        }
        if let Some(lse) = &mut self.lse {
            outputs = outputs.lse(TensorMut::new(&mut lse[..], [batch, heads, rows, 1]));
        }
        if let Some(mass) = &mut self.key_mass {
            outputs = outputs.key_mass(TensorMut::new(&mut mass[..], [batch, heads, 1, keys]));
        }
        outputs
    }

    /// The results, once they are computed.
    pub(crate) fn results(self, output: Tensor) -> Result<Results> {
        let [batch, heads, rows, keys] = self.shape;
        let of_heads = |(heads, weights): (&[usize], Vec<f32>)| {
            tensor(weights, (batch, heads.len(), rows, keys))
        };
        Ok(Results {
            output,
            weights: self.weights.map(|weights| tensor(weights, &self.shape)).transpose()?,
            weights_of_heads: self.weights_of_heads.map(of_heads).transpose()?,
            lse: self.lse.map(|lse| tensor(lse, (batch, heads, rows))).transpose()?,
            key_mass: self.key_mass.map(|mass| tensor(mass, (batch, heads, keys))).transpose()?,
        })
    }
}
