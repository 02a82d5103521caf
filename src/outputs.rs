//! What a call is asked for, and where it goes.

use crate::options::Logits;
use crate::tensor::ViewMut;

/// The results that a call writes, each into the caller's memory: any set of them.
///
/// Views have any strides that keep their elements apart; elements between them are not touched.
///
/// ```
/// use softdot::{Attention, Outputs, TensorMut, TensorRef, Workspace};
///
/// let (query, key) = ([0.5f32; 3 * 8], [0.25f32; 5 * 8]);
/// let (query, key) = (TensorRef::new(&query[..], [3, 8]), TensorRef::new(&key[..], [5, 8]));
/// let (mut weights, mut largest) = ([0.0f32; 3 * 5], [0.0f32; 3]);
/// let outputs = Outputs::new()
///     .weights(TensorMut::new(&mut weights[..], [3, 5]))
///     .max_logit(TensorMut::new(&mut largest[..], [3, 1]));
/// Attention::new().run(query, key, outputs, &mut Workspace::new())?;
/// assert!(weights.iter().all(|weight| (weight - 0.2).abs() < 1e-6));
/// assert!(largest.iter().all(|logit| (logit - 8.0f32.sqrt() / 8.0).abs() < 1e-6));
/// # Ok::<(), softdot::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Outputs<'o> {
    pub(crate) weights: Option<ViewMut<'o>>,
    pub(crate) logits: Option<(Logits, ViewMut<'o>)>,
    pub(crate) max_logit: Option<ViewMut<'o>>,
    pub(crate) output: Option<ViewMut<'o>>,
    pub(crate) lse: Option<ViewMut<'o>>,
}

impl<'o> Outputs<'o> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The attention weights, `[batch, q_heads, query_rows, keys]`: each row sums to 1 (less with a
    /// sink), or is exactly 0 throughout if all its keys are excluded.
    #[must_use]
    pub fn weights(mut self, view: impl Into<ViewMut<'o>>) -> Self {
        self.weights = Some(view.into());
        self
    }

    /// The logits at one point on the way to the weights, `[batch, q_heads, query_rows, keys]`, in
    /// natural units. Beside other outputs they cost a pass of their own, because the softmax
    /// computes in units of log2.
    #[must_use]
    pub fn logits(mut self, stage: Logits, view: impl Into<ViewMut<'o>>) -> Self {
        self.logits = Some((stage, view.into()));
        self
    }

    /// The output `weights · V`, `[batch, q_heads, query_rows, v_dim]`, exactly 0 for rows whose keys
    /// are all excluded. The weights are not stored on the way.
    #[must_use]
    pub fn output(mut self, view: impl Into<ViewMut<'o>>) -> Self {
        self.output = Some(view.into());
        self
    }

    /// The log-sum-exp of each row's logits, `[batch, q_heads, query_rows, 1]`: the natural logarithm
    /// of the sum that normalises the weights, the sink included, so that
    /// `weight = exp(logit − lse)`. −∞ if all keys are excluded and there is no sink.
    ///
    /// torch's and flash-attention's (`softmax_lse`) are the same without a sink; FlashInfer's is in
    /// base 2: this one divided by ln 2.
    #[must_use]
    pub fn lse(mut self, view: impl Into<ViewMut<'o>>) -> Self {
        self.lse = Some(view.into());
        self
    }

    /// The largest logit that each row attends to, `[batch, q_heads, query_rows, 1]`, in natural
    /// units and without the sink; −∞ if all its keys are excluded, NaN if its weights are.
    #[must_use]
    pub fn max_logit(mut self, view: impl Into<ViewMut<'o>>) -> Self {
        self.max_logit = Some(view.into());
        self
    }
}
