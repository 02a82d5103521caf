//! The options of a call, and the calls on them.

use crate::driver;
use crate::element::Element;
use crate::error::Error;
use crate::isa::Isa;
use crate::kernel::Call;
use crate::packed_keys::PackedKeys;
use crate::plan::Plan;
use crate::positions::{Causal, Positions};
use crate::problem::{Extents, Inputs, Output};
use crate::tensor::{Tensor, TensorMut, TensorRef, View, ViewMut, element_count};
use crate::workspace::Workspace;
use alloc::vec::Vec;
use core::f64::consts::LOG2_E;

/// What a call computes: the weights, or the logits at one of three points on the way to them.
///
/// scale → softcap → bias and ALiBi → exclusion → sink → softmax (docs/semantics.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The scaled logits, `scale · q·k`, of every key that exists. Keys beyond a length are −∞.
    Scores,
    /// The scores after the softcap, `softcap · tanh(score / softcap)`, of every key that exists.
    Capped,
    /// The logits that the softmax sees: capped scores plus bias and ALiBi; −∞ where excluded.
    Biased,
    /// The attention weights, the softmax over the keys: each row sums to 1, or is 0 throughout if
    /// nothing is left of it.
    #[default]
    Weights,
}

/// `scale · log2(e)`, rounded once, kept finite.
pub(crate) fn log2_units(scale: f32) -> f32 {
    ((f64::from(scale) * LOG2_E) as f32).clamp(f32::MIN, f32::MAX)
}

/// A logit in the units of a stage: log2 where exponentials follow.
pub(crate) fn in_units_of(stage: Stage, logit: f32) -> f32 {
    match stage {
        Stage::Weights => (f64::from(logit) * LOG2_E) as f32,
        Stage::Scores | Stage::Capped | Stage::Biased => logit,
    }
}

/// `1/√head_dim`; 1 if there are no dimensions.
pub(crate) fn default_scale(head_dim: usize) -> f32 {
    let root = pulp::Simd::sqrt_f64s(pulp::Scalar, head_dim.max(1) as f64);
    (1.0 / root) as f32
}

/// Which threads share the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Threads {
    /// Those of the current rayon pool: the global one, or the one whose `install` the call is
    /// inside. Work too small to share stays on the caller's thread and wakes nobody. Without
    /// the feature `rayon` this is the same as `Serial`.
    #[default]
    Pool,
    /// The caller's thread alone, for hosts that bring their own threads.
    Serial,
}

/// Multiply-adds below which a call stays on the caller's thread: about what waking a thread and
/// waiting for it costs (docs/performance.md).
const SERIAL_WORK: usize = 1 << 20;

/// Keys as a view, or packed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Keys<'a> {
    /// `[batch, kv_heads, keys, head_dim]` with any strides.
    View(View<'a>),
    /// Kept in panels from call to call.
    Packed(&'a PackedKeys),
}

impl<'a, T: Element> From<TensorRef<'a, T>> for Keys<'a> {
    fn from(view: TensorRef<'a, T>) -> Self {
        Keys::View(view.into())
    }
}

impl<'a> From<View<'a>> for Keys<'a> {
    fn from(view: View<'a>) -> Self {
        Keys::View(view)
    }
}

impl<'a> From<&'a PackedKeys> for Keys<'a> {
    fn from(packed: &'a PackedKeys) -> Self {
        Keys::Packed(packed)
    }
}

/// The options of attention, to be reused over calls.
///
/// ```
/// use softdot::{Attention, TensorRef, TensorMut, Workspace};
///
/// // 1 batch entry, 4 query heads on 2 key heads, 3 queries, 5 keys, 8 dimensions.
/// let query = [0.5f32; 4 * 3 * 8];
/// let key = [0.25f32; 2 * 5 * 8];
/// let attention = Attention::new().scale(0.5);
///
/// let query = TensorRef::new(&query[..], [4, 3, 8]);
/// let key = TensorRef::new(&key[..], [2, 5, 8]);
/// let weights = attention.compute(query, key)?;
/// assert_eq!(weights.len(), 4 * 3 * 5);
/// assert!(weights.iter().all(|w| (w - 0.2).abs() < 1e-6));
///
/// // Into your own memory, without allocating once the workspace is warm.
/// let mut output = [0.0; 4 * 3 * 5];
/// let mut workspace = Workspace::new();
/// attention.compute_into(query, key, TensorMut::new(&mut output[..], [4, 3, 5]), &mut workspace)?;
/// assert_eq!(output[..], weights[..]);
/// # Ok::<(), softdot::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Attention<'a> {
    pub(crate) scale: Option<f32>,
    pub(crate) softcap: Option<f32>,
    pub(crate) bias: Option<View<'a>>,
    pub(crate) alibi_slopes: Option<&'a [f32]>,
    pub(crate) mask: Option<Tensor<&'a [bool]>>,
    pub(crate) positions: Positions<'a>,
    pub(crate) sinks: Option<&'a [f32]>,
    pub(crate) stage: Stage,
    isa: Option<Isa>,
    threads: Threads,
}

impl<'a> Attention<'a> {
    /// Weights, `scale = 1/√head_dim`, on the widest instruction set and the current pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `q·k` is multiplied by. Any finite value; the default is `1/√head_dim`
    /// (Vaswani et al. 2017, section 3.2.1).
    #[must_use]
    pub fn scale(mut self, scale: f32) -> Self {
        self.scale = Some(scale);
        self
    }

    /// Caps scores softly to (−softcap, softcap): `softcap · tanh(score / softcap)`, before bias
    /// and mask (Gemma 2). Finite and above 0.
    #[must_use]
    pub fn softcap(mut self, softcap: f32) -> Self {
        self.softcap = Some(softcap);
        self
    }

    /// What to add to the scaled, capped scores: `[batch, q_heads, query_rows, keys]`, each extent
    /// as that of the result or 1, any strides. −∞ excludes.
    #[must_use]
    pub fn bias(mut self, bias: impl Into<View<'a>>) -> Self {
        self.bias = Some(bias.into());
        self
    }

    /// ALiBi: adds `slope · (key position − query position)`, one slope for each query head.
    /// [`alibi_slopes`](crate::alibi_slopes) has the standard ones. Query rows stand where
    /// [`Attention::causal`] says.
    #[must_use]
    pub fn alibi_slopes(mut self, slopes: &'a [f32]) -> Self {
        self.alibi_slopes = Some(slopes);
        self
    }

    /// Which keys each row may attend to, `true` = attend: `[batch, q_heads, query_rows, keys]`,
    /// each extent as that of the result or 1, any strides.
    #[must_use]
    pub fn mask(mut self, mask: Tensor<&'a [bool]>) -> Self {
        self.mask = Some(mask);
        self
    }

    /// No row attends to keys after its own position. Without this option rows stand as in
    /// [`Causal::BottomRight`], for those options that count from there.
    #[must_use]
    pub fn causal(mut self, causal: Causal) -> Self {
        self.positions.causal = Some(causal);
        self
    }

    /// Each row attends to at most `left` keys before its own position and `right` after it, and to
    /// the key at it; `None` is unbounded. Query rows stand where [`Attention::causal`] says.
    #[must_use]
    pub fn window(
        mut self,
        left: impl Into<Option<usize>>,
        right: impl Into<Option<usize>>,
    ) -> Self {
        self.positions.window = (left.into(), right.into());
        self
    }

    /// How many keys each batch entry has, the first ones; nothing beyond them is read.
    #[must_use]
    pub fn key_lengths(mut self, lengths: &'a [usize]) -> Self {
        self.positions.key_lengths = Some(lengths);
        self
    }

    /// A logit for each query head that takes part in the normalisation and gets no weight
    /// (GPT-OSS). Neither scaled nor capped; −∞ is no sink.
    #[must_use]
    pub fn sinks(mut self, sinks: &'a [f32]) -> Self {
        self.sinks = Some(sinks);
        self
    }

    /// What to compute: weights, or logits on the way to them.
    #[must_use]
    pub fn stage(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self
    }

    /// Forces an instruction set. The result has the same bits on each.
    #[must_use]
    pub fn isa(mut self, isa: Isa) -> Self {
        self.isa = Some(isa);
        self
    }

    /// Which threads share the work. The result has the same bits for any number.
    #[must_use]
    pub fn threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// Scores or weights, dense, `[batch, q_heads, query_rows, keys]`.
    ///
    /// `query` is `[batch, q_heads, query_rows, head_dim]`, `key` is
    /// `[batch, kv_heads, keys, head_dim]`, a [`TensorRef`] or [`&PackedKeys`](PackedKeys);
    /// `q_heads` is a multiple of `kv_heads`, and query head `h` reads key head
    /// `h / (q_heads / kv_heads)` (grouped-query attention). Extents may be 0: without dimensions
    /// every score is 0, without keys rows are empty.
    ///
    /// # Errors
    /// Views and options that do not fit each other or reach past their data, a scale that is not
    /// finite, an instruction set that the CPU lacks, memory that cannot be had. See [`Error`].
    pub fn compute<'k>(
        &self,
        query: impl Into<View<'k>>,
        key: impl Into<Keys<'k>>,
    ) -> Result<Vec<f32>, Error> {
        let (query, key) = (query.into(), key.into());
        let inputs = Inputs::new(query, key, self)?;
        let shape = inputs.extents.output_shape();
        let elements = element_count("output", shape)?;
        let mut output = Vec::new();
        output
            .try_reserve_exact(elements)
            .map_err(|_| Error::Allocation { argument: "output", elements })?;
        output.resize(elements, 0.0);
        self.compute_into(query, key, TensorMut::new(&mut output, shape), &mut Workspace::new())?;
        Ok(output)
    }

    /// As [`Attention::compute`], into the caller's memory.
    ///
    /// `output` is `[batch, q_heads, query_rows, keys]` with any strides that keep its elements
    /// apart. Elements between them are not touched. Once `workspace` has seen a call of this
    /// size, nothing is allocated (by softdot; rayon's queues are its own).
    ///
    /// # Errors
    /// As [`Attention::compute`]; then nothing has been written.
    pub fn compute_into<'k, 'o>(
        &self,
        query: impl Into<View<'k>>,
        key: impl Into<Keys<'k>>,
        output: impl Into<ViewMut<'o>>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let inputs = Inputs::new(query.into(), key.into(), self)?;
        let output = Output::new(output.into(), &inputs.extents)?;
        let plan = self.plan_for(&inputs)?;
        if plan.is_empty() {
            return Ok(());
        }
        let (memory, rows) = workspace.reserve(plan.memory().total(), plan.known_rows())?;
        driver::run(Call { inputs: &inputs, output: &output, plan: &plan }, memory, rows);
        Ok(())
    }

    /// How a call on these views would run.
    ///
    /// ```
    /// # use softdot::{Attention, TensorRef};
    /// let data = [0.0f32; 64 * 32];
    /// let view = TensorRef::new(&data[..], [64, 32]);
    /// println!("{}", Attention::new().plan(view, view)?);
    /// # Ok::<(), softdot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Attention::compute`], but for memory.
    pub fn plan<'k>(
        &self,
        query: impl Into<View<'k>>,
        key: impl Into<Keys<'k>>,
    ) -> Result<Plan, Error> {
        self.plan_for(&Inputs::new(query.into(), key.into(), self)?)
    }

    fn plan_for(&self, inputs: &Inputs<'_>) -> Result<Plan, Error> {
        let isa = choose_isa(self.isa)?;
        let threads = match self.threads {
            Threads::Pool if work(&inputs.extents) >= SERIAL_WORK => driver::pool_threads(),
            _ => 1,
        };
        Ok(Plan::new(inputs, isa, threads))
    }
}

/// Multiply-adds of a call.
fn work(extents: &Extents) -> usize {
    (extents.output_shape().iter())
        .fold(extents.head_dim, |product, &extent| product.saturating_mul(extent))
}

/// The instruction set asked for, or the one that detection chooses.
pub(crate) fn choose_isa(asked: Option<Isa>) -> Result<Isa, Error> {
    match asked {
        None => Ok(Isa::detect()?.isa),
        Some(isa) if isa.is_available() => Ok(isa),
        Some(isa) => Err(Error::IsaUnavailable { isa }),
    }
}

/// Attention weights of one head on dense rows: `softmax(query · keyᵀ / √head_dim)`.
///
/// `query` is `[query_rows, head_dim]`, `key` is `[keys, head_dim]`, the result is
/// `[query_rows, keys]`, all row-major. [`Attention`] has the options.
///
/// ```
/// // The textbook example: d = 4, dot products 2, 4, 6, scaled 1, 2, 3.
/// let query = [1.0f32, 1.0, 1.0, 1.0];
/// let key = [0.5f32, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.5, 1.5, 1.5, 1.5];
/// let weights = softdot::attention_weights(&query, &key, 4)?;
/// let rounded: Vec<String> = weights.iter().map(|w| format!("{w:.4}")).collect();
/// assert_eq!(rounded, ["0.0900", "0.2447", "0.6652"]);
/// # Ok::<(), softdot::Error>(())
/// ```
///
/// # Errors
/// [`Error::Length`] if a slice is not a whole number of rows, and those of
/// [`Attention::compute`].
pub fn attention_weights(query: &[f32], key: &[f32], head_dim: usize) -> Result<Vec<f32>, Error> {
    let rows = |argument, data: &[f32]| match data.len().checked_rem(head_dim) {
        Some(0) => Ok(data.len() / head_dim),
        _ => Err(Error::Length {
            argument,
            expected: "a length that is a multiple of a head_dim > 0, here",
            value: head_dim,
            found: data.len(),
        }),
    };
    let query = TensorRef::new(query, [rows("query", query)?, head_dim]);
    let key = TensorRef::new(key, [rows("key", key)?, head_dim]);
    Attention::new().compute(query, key)
}
