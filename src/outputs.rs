//! What a call is asked for, and where it goes.

use crate::layout;
use crate::options::Logits;
use crate::tensor::{TensorMut, ViewMut};
use core::ops::Range;

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
    pub(crate) weights_of_heads: Option<(&'o [usize], ViewMut<'o>)>,
    pub(crate) max_logit: Option<ViewMut<'o>>,
    pub(crate) max_weight: Option<ViewMut<'o>>,
    pub(crate) max_weight_key: Option<TensorMut<'o, i64>>,
    pub(crate) entropy: Option<ViewMut<'o>>,
    pub(crate) top_k: Option<(ViewMut<'o>, TensorMut<'o, i64>)>,
    pub(crate) key_mass: Option<TensorMut<'o, f64>>,
    pub(crate) key_max: Option<TensorMut<'o, f32>>,
    pub(crate) mass_rows: Option<Range<usize>>,
    pub(crate) output: Option<ViewMut<'o>>,
    pub(crate) lse: Option<ViewMut<'o>>,
}

impl<'o> Outputs<'o> {
    /// Weights of each row at most that [`Outputs::top_k`] writes.
    pub const MAX_TOP_K: usize = layout::MAX_TOP_K;

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

    /// The weights of some query heads alone, `[batch, heads.len(), query_rows, keys]`, in the order of
    /// the list. Each head costs a pass of its own, beside the other outputs, which computes its weights
    /// alone.
    #[must_use]
    pub fn weights_of_heads(mut self, heads: &'o [usize], view: impl Into<ViewMut<'o>>) -> Self {
        self.weights_of_heads = Some((heads, view.into()));
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

    /// The largest weight of each row, `[batch, q_heads, query_rows, 1]`; 0 if all its keys are
    /// excluded.
    #[must_use]
    pub fn max_weight(mut self, view: impl Into<ViewMut<'o>>) -> Self {
        self.max_weight = Some(view.into());
        self
    }

    /// The key of each row's largest weight, `[batch, q_heads, query_rows, 1]`, of several the lowest;
    /// −1 if no weight is above 0.
    #[must_use]
    pub fn max_weight_key(mut self, view: TensorMut<'o, i64>) -> Self {
        self.max_weight_key = Some(view);
        self
    }

    /// The entropy of each row's weights, `−Σ w · ln w` in nats, `[batch, q_heads, query_rows, 1]`:
    /// 0 for a row that attends to one key alone, ln n for equal weights on n keys. A sink takes part
    /// in the weights' normalisation but is no term of the sum.
    #[must_use]
    pub fn entropy(mut self, view: impl Into<ViewMut<'o>>) -> Self {
        self.entropy = Some(view.into());
        self
    }

    /// The largest weights of each row and their keys, both `[batch, q_heads, query_rows, k]` with k
    /// up to [`Outputs::MAX_TOP_K`]: the largest first, of equal ones the lower key. Where fewer than k
    /// weights are above 0, the rest are weights of 0 with key −1.
    #[must_use]
    pub fn top_k(mut self, weights: impl Into<ViewMut<'o>>, keys: TensorMut<'o, i64>) -> Self {
        self.top_k = Some((weights.into(), keys));
        self
    }

    /// *Adds* to what is there the weights that each key received, summed over query rows:
    /// `[batch, q_heads, 1, keys]`, or `[batch, kv_heads, 1, keys]` for the sum over the query heads of
    /// each group. All rows count, or those of [`Outputs::mass_rows`].
    ///
    /// Each weight is rounded to a multiple of 2⁻³² (an error of 2⁻³³ at most), and such sums are exact
    /// below 2²¹: rows in several calls, in whatever order, give the bits of one call. A row of NaN
    /// makes all keys of its head NaN.
    ///
    /// What H2O (Zhang et al. 2023) and SnapKV (Li et al. 2024) keep or drop keys by: docs/statistics.md.
    #[must_use]
    pub fn key_mass(mut self, view: TensorMut<'o, f64>) -> Self {
        self.key_mass = Some(view);
        self
    }

    /// The largest weight that each key received, if it is larger than what is there; shapes and rows
    /// as for [`Outputs::key_mass`].
    #[must_use]
    pub fn key_max(mut self, view: TensorMut<'o, f32>) -> Self {
        self.key_max = Some(view);
        self
    }

    /// The query rows that count for [`Outputs::key_mass`] and [`Outputs::key_max`]: all, unless this
    /// is set.
    #[must_use]
    pub fn mass_rows(mut self, rows: Range<usize>) -> Self {
        self.mass_rows = Some(rows);
        self
    }
}
