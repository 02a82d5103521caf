//! The options of a call, and the calls on them.

use crate::driver;
use crate::error::Error;
use crate::isa::Isa;
use crate::kernel::Call;
use crate::packed_keys::PackedKeys;
use crate::plan::Plan;
use crate::problem::{Extents, Inputs, Output};
use crate::tensor::{TensorMut, TensorRef, element_count};
use crate::workspace::Workspace;
use alloc::vec::Vec;
use core::f64::consts::LOG2_E;

/// What a call computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The scaled logits, `scale · q·k`.
    Scores,
    /// The attention weights, `softmax(scale · Q Kᵀ)` over the keys: each row sums to 1.
    #[default]
    Weights,
}

impl Stage {
    /// What queries are multiplied by: `scale`, in log2 units where exponentials follow.
    pub(crate) fn query_factor(self, scale: Option<f32>, head_dim: usize) -> f32 {
        let scale = scale.unwrap_or_else(|| default_scale(head_dim));
        match self {
            Stage::Scores => scale,
            Stage::Weights => log2_units(scale),
        }
    }
}

/// `scale · log2(e)`, rounded once, kept finite.
pub(crate) fn log2_units(scale: f32) -> f32 {
    ((f64::from(scale) * LOG2_E) as f32).clamp(f32::MIN, f32::MAX)
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
    View(TensorRef<'a>),
    /// Kept in panels from call to call.
    Packed(&'a PackedKeys),
}

impl<'a> From<TensorRef<'a>> for Keys<'a> {
    fn from(view: TensorRef<'a>) -> Self {
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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attention {
    scale: Option<f32>,
    stage: Stage,
    isa: Option<Isa>,
    threads: Threads,
}

impl Attention {
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

    /// What to compute: scores or weights.
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
    /// `[batch, kv_heads, keys, head_dim]`, a [`TensorRef`] or [`&PackedKeys`](PackedKeys); `q_heads` is a multiple of `kv_heads`, and query head
    /// `h` reads key head `h / (q_heads / kv_heads)` (grouped-query attention). Extents may be 0:
    /// without dimensions every score is 0, without keys rows are empty.
    ///
    /// # Errors
    /// Views that do not fit each other or reach past their data, a scale that is not finite, an
    /// instruction set that the CPU lacks, memory that cannot be had. See [`Error`].
    pub fn compute<'a>(
        &self,
        query: TensorRef<'a>,
        key: impl Into<Keys<'a>>,
    ) -> Result<Vec<f32>, Error> {
        let key = key.into();
        let inputs = Inputs::new(query, key, self.scale, self.stage)?;
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
    pub fn compute_into<'a>(
        &self,
        query: TensorRef<'a>,
        key: impl Into<Keys<'a>>,
        output: TensorMut<'_>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let inputs = Inputs::new(query, key.into(), self.scale, self.stage)?;
        let output = Output::new(output, &inputs.extents)?;
        let plan = self.plan_for(&inputs)?;
        if plan.is_empty() {
            return Ok(());
        }
        let memory = workspace.aligned(plan.workspace_bytes / size_of::<f32>())?;
        driver::run(Call { inputs: &inputs, output: &output, plan: &plan }, memory);
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
    pub fn plan<'a>(&self, query: TensorRef<'a>, key: impl Into<Keys<'a>>) -> Result<Plan, Error> {
        self.plan_for(&Inputs::new(query, key.into(), self.scale, self.stage)?)
    }

    fn plan_for(&self, inputs: &Inputs<'_>) -> Result<Plan, Error> {
        let isa = choose_isa(self.isa)?;
        let extents = &inputs.extents;
        let threads = match self.threads {
            Threads::Pool if work(extents) >= SERIAL_WORK => driver::pool_threads(),
            _ => 1,
        };
        Ok(Plan::new(extents, inputs.key_form(), self.stage, isa, threads))
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
