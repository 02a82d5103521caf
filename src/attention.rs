//! The options of a call, and the calls on them.

use crate::caches::Caches;
use crate::call::Call;
use crate::dispatch;
use crate::driver;
use crate::element::MaskElement;
use crate::error::Error;
use crate::extents::Extents;
use crate::isa::Isa;
use crate::keys::{Keys, KeysValues};
use crate::locks::Locks;
use crate::options::{Logits, Options};
use crate::outputs::Outputs;
use crate::plan::{Plan, Workload};
use crate::positions::Causal;
use crate::problem::{Goal, Inputs, KeyInput, Problem};
use crate::targets::{SoftmaxTargets, Targets};
use crate::tensor::{Tensor, TensorMut, TensorRef, View, element_count};
use crate::threads::Threads;
use crate::workspace::Workspace;
use alloc::vec::Vec;

/// The options of attention, to be reused over calls.
///
/// ```
/// use softdot::{Attention, Outputs, TensorRef, TensorMut, Workspace};
///
/// // 1 batch entry, 4 query heads on 2 key heads, 3 queries, 5 keys, 8 dimensions.
/// let query = [0.5f32; 4 * 3 * 8];
/// let key = [0.25f32; 2 * 5 * 8];
/// let attention = Attention::new().scale(0.5);
///
/// let query = TensorRef::new(&query[..], [4, 3, 8]);
/// let key = TensorRef::new(&key[..], [2, 5, 8]);
/// let weights = attention.weights(query, key)?;
/// assert_eq!(weights.len(), 4 * 3 * 5);
/// assert!(weights.iter().all(|w| (w - 0.2).abs() < 1e-6));
///
/// // Into your own memory, without allocating once the workspace has grown.
/// let mut memory = [0.0; 4 * 3 * 5];
/// let mut workspace = Workspace::new();
/// let outputs = Outputs::new().weights(TensorMut::new(&mut memory[..], [4, 3, 5]));
/// attention.run(query, key, outputs, &mut workspace)?;
/// assert_eq!(memory[..], weights[..]);
/// # Ok::<(), softdot::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Attention<'a> {
    options: Options<'a>,
    isa: Option<Isa>,
    threads: Threads<'a>,
}

impl<'a> Attention<'a> {
    /// `scale = 1/√head_dim` and no other option, on the widest instruction set and the current
    /// pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `q·k` is multiplied by. Any finite value; the default is `1/√head_dim`
    /// (Vaswani et al. 2017, section 3.2.1).
    #[must_use]
    pub fn scale(mut self, scale: f32) -> Self {
        self.options.scale = Some(scale);
        self
    }

    /// Caps scores softly to (−softcap, softcap): `softcap · tanh(score / softcap)`, before bias
    /// and mask (Gemma 2). Finite and above 0.
    #[must_use]
    pub fn softcap(mut self, softcap: f32) -> Self {
        self.options.softcap = Some(softcap);
        self
    }

    /// What to add to the scaled, capped scores: `[batch, q_heads, query_rows, keys]`, each extent
    /// as that of the result or 1, any strides. −∞ excludes.
    #[must_use]
    pub fn bias(mut self, bias: impl Into<View<'a>>) -> Self {
        self.options.bias = Some(bias.into());
        self
    }

    /// ALiBi: adds `slope · (key position − query position)`, one slope for each query head.
    /// [`alibi_slopes`](crate::alibi_slopes) has the standard ones. Query rows stand where
    /// [`Attention::causal`] says.
    #[must_use]
    pub fn alibi_slopes(mut self, slopes: &'a [f32]) -> Self {
        self.options.alibi_slopes = Some(slopes);
        self
    }

    /// Which keys each row may attend to, `true` = attend: `[batch, q_heads, query_rows, keys]`,
    /// each extent as that of the result or 1, any strides. Elements are `bool`, or `u8` of which any
    /// but 0 is `true`.
    #[must_use]
    pub fn mask<T: MaskElement>(mut self, mask: Tensor<&'a [T]>) -> Self {
        self.options.mask = Some(Tensor { data: T::bytes(mask.data), layout: mask.layout });
        self
    }

    /// No row attends to keys after its own position. Without this option rows stand as in
    /// [`Causal::BottomRight`], for those options that count from there.
    #[must_use]
    pub fn causal(mut self, causal: Causal) -> Self {
        self.options.positions.causal = Some(causal);
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
        self.options.positions.window = (left.into(), right.into());
        self
    }

    /// How many keys each batch entry has, the first ones; nothing beyond them is read.
    #[must_use]
    pub fn key_lengths(mut self, lengths: &'a [usize]) -> Self {
        self.options.positions.key_lengths = Some(lengths);
        self
    }

    /// A logit for each query head that takes part in the normalisation and gets no weight
    /// (GPT-OSS). Neither scaled nor capped; −∞ is no sink.
    #[must_use]
    pub fn sinks(mut self, sinks: &'a [f32]) -> Self {
        self.options.sinks = Some(sinks);
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
    pub fn threads(mut self, threads: Threads<'a>) -> Self {
        self.threads = threads;
        self
    }

    /// Computes the outputs that are asked for, into the caller's memory.
    ///
    /// `query` is `[batch, q_heads, query_rows, head_dim]`, the keys are
    /// `[batch, kv_heads, keys, head_dim]`, a [`TensorRef`] or [`&PackedKeys`](crate::PackedKeys);
    /// `q_heads` is a multiple of `kv_heads`, and query head `h` reads key head
    /// `h / (q_heads / kv_heads)` (grouped-query attention). Keys and values of one batch entry serve all
    /// entries of the query. For the output, `keys` is a pair of the keys and the values
    /// `[batch, kv_heads, keys, v_dim]`. Extents may be 0: without dimensions every score is 0, without
    /// keys rows of weights are empty and outputs 0.
    ///
    /// Once `workspace` has seen a call of this size, nothing is allocated (by softdot; rayon's
    /// queues are its own).
    ///
    /// # Errors
    /// Views and options that do not fit each other or reach past their data, a scale that is not
    /// finite, an instruction set that the CPU lacks, memory that cannot be had. See [`Error`]. Then
    /// nothing has been written.
    pub fn run<'k>(
        &self,
        query: impl Into<View<'k>>,
        keys: impl Into<KeysValues<'k>>,
        outputs: Outputs<'_>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        self.compute(&self.check(query.into(), keys.into())?, outputs, workspace)
    }

    /// Makes a workspace large enough for [`Attention::run`] with the same arguments, which then
    /// allocates nothing even the first time. Nothing is computed or written.
    ///
    /// ```
    /// # use softdot::{Attention, Outputs, TensorMut, TensorRef, Workspace};
    /// # let data = [0.5f32; 6];
    /// # let (query, key) = (TensorRef::new(&data[..4], [2, 2]), TensorRef::new(&data[..], [3, 2]));
    /// let mut weights = [0.0; 6];
    /// let mut workspace = Workspace::new();
    /// let outputs = Outputs::new().weights(TensorMut::new(&mut weights[..], [2, 3]));
    /// Attention::new().reserve(query, key, outputs, &mut workspace)?;
    /// assert!(workspace.bytes() > 0);
    /// assert_eq!(weights, [0.0; 6]);
    /// # Ok::<(), softdot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Attention::run`].
    pub fn reserve<'k>(
        &self,
        query: impl Into<View<'k>>,
        keys: impl Into<KeysValues<'k>>,
        outputs: Outputs<'_>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let inputs = self.check(query.into(), keys.into())?;
        let targets = check_outputs(&inputs, outputs)?;
        let grow = |plan: &Plan| workspace.grow(plan.memory.total(), plan.row_slots());
        self.plans(&inputs, &targets, &passes(&inputs, &targets), grow).map(|_| ())
    }

    /// How many elements the memory of [`Workspace::lent`] has to have for [`Attention::run`] with the
    /// same arguments. Nothing is computed, written or allocated.
    ///
    /// # Errors
    /// As [`Attention::run`].
    pub fn workspace_elements<'k>(
        &self,
        query: impl Into<View<'k>>,
        keys: impl Into<KeysValues<'k>>,
        outputs: Outputs<'_>,
    ) -> Result<usize, Error> {
        let inputs = self.check(query.into(), keys.into())?;
        let targets = check_outputs(&inputs, outputs)?;
        let mut most = 0;
        let measure = |plan: &Plan| {
            let elements = plan.memory.total();
            let error = Error::Allocation { argument: "workspace", elements };
            most = most.max(Workspace::lent_elements(elements, plan.row_slots()).ok_or(error)?);
            Ok(())
        };
        self.plans(&inputs, &targets, &passes(&inputs, &targets), measure)?;
        Ok(most)
    }

    /// The output `softmax(scale · Q Kᵀ + …) · V`, dense, `[batch, q_heads, query_rows, v_dim]`.
    /// Inputs as for [`Attention::run`].
    ///
    /// ```
    /// # use softdot::{Attention, TensorRef};
    /// // Both keys are equally close, so the output is the mean of their values.
    /// let (query, key, value) = ([1.0f32; 2], [0.5f32; 4], [1.0f32, 2.0, 3.0, 3.0, 4.0, 5.0]);
    /// let (query, key) = (TensorRef::new(&query[..], [1, 2]), TensorRef::new(&key[..], [2, 2]));
    /// let output = Attention::new().output(query, key, TensorRef::new(&value[..], [2, 3]))?;
    /// assert_eq!(output, [2.0, 3.0, 4.0]);
    /// # Ok::<(), softdot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Attention::run`].
    pub fn output<'k>(
        &self,
        query: impl Into<View<'k>>,
        key: impl Into<Keys<'k>>,
        value: impl Into<View<'k>>,
    ) -> Result<Vec<f32>, Error> {
        let inputs = self.check(query.into(), (key.into(), value.into()).into())?;
        let shape = inputs.extents.output_shape();
        let mut memory = allocate("output", shape)?;
        let outputs = Outputs::new().output(TensorMut::new(&mut memory, shape));
        self.compute(&inputs, outputs, &mut Workspace::new())?;
        Ok(memory)
    }

    /// The attention weights `softmax(scale · Q Kᵀ + …)`, dense, `[batch, q_heads, query_rows, keys]`.
    /// Inputs as for [`Attention::run`].
    ///
    /// ```
    /// # use softdot::{Attention, TensorRef};
    /// let (query, key) = ([1.0f32; 4], [0.5f32, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0]);
    /// let (query, key) = (TensorRef::new(&query[..], [1, 4]), TensorRef::new(&key[..], [2, 4]));
    /// let weights = Attention::new().weights(query, key)?;
    /// assert!((weights[1] / weights[0] - 1f32.exp()).abs() < 1e-6);
    /// # Ok::<(), softdot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Attention::run`].
    pub fn weights<'k>(
        &self,
        query: impl Into<View<'k>>,
        key: impl Into<Keys<'k>>,
    ) -> Result<Vec<f32>, Error> {
        let inputs = self.check(query.into(), key.into().into())?;
        let shape = inputs.extents.weights_shape();
        let mut memory = allocate("weights", shape)?;
        let outputs = Outputs::new().weights(TensorMut::new(&mut memory, shape));
        self.compute(&inputs, outputs, &mut Workspace::new())?;
        Ok(memory)
    }

    /// The logits at one point on the way to the weights, dense, `[batch, q_heads, query_rows, keys]`.
    /// Inputs as for [`Attention::run`].
    ///
    /// ```
    /// # use softdot::{Attention, Logits, TensorRef};
    /// let (query, key) = ([2.0f32; 4], [0.5f32; 4]);
    /// let (query, key) = (TensorRef::new(&query[..], [1, 4]), TensorRef::new(&key[..], [1, 4]));
    /// assert_eq!(Attention::new().logits(query, key, Logits::Scores)?, [2.0]);
    /// # Ok::<(), softdot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Attention::run`].
    pub fn logits<'k>(
        &self,
        query: impl Into<View<'k>>,
        key: impl Into<Keys<'k>>,
        stage: Logits,
    ) -> Result<Vec<f32>, Error> {
        let inputs = self.check(query.into(), key.into().into())?;
        let shape = inputs.extents.weights_shape();
        let mut memory = allocate("logits", shape)?;
        let outputs = Outputs::new().logits(stage, TensorMut::new(&mut memory, shape));
        self.compute(&inputs, outputs, &mut Workspace::new())?;
        Ok(memory)
    }

    /// How a call for the weights of these views would run; with values, a call for the output.
    ///
    /// ```
    /// # use softdot::{Attention, TensorRef};
    /// let data = [0.0f32; 64 * 32];
    /// let view = TensorRef::new(&data[..], [64, 32]);
    /// let plan = Attention::new().plan(view, view)?;
    /// assert_eq!((plan.rows, plan.keys, plan.threads), (64, 64, 1));
    /// let of_output = Attention::new().plan(view, (view, view))?;
    /// assert!(of_output.workspace_bytes < 64 * 1024);
    /// println!("{plan}");
    /// # Ok::<(), softdot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Attention::run`], but for memory.
    pub fn plan<'k>(
        &self,
        query: impl Into<View<'k>>,
        keys: impl Into<KeysValues<'k>>,
    ) -> Result<Plan, Error> {
        let inputs = self.check(query.into(), keys.into())?;
        let targets = SoftmaxTargets::default();
        let problem = Problem::new(&inputs, Goal::Softmax(&targets));
        let workload = Workload::new(&problem);
        let workload = if inputs.has_values() {
            Workload { v_dim: inputs.extents.v_dim, ..workload }
        } else {
            let pairs = element_count("weights", inputs.extents.weights_shape())?;
            Workload { pair_bytes: pairs * size_of::<f32>(), ..workload }
        };
        self.plan_for(&workload, &inputs.extents)
    }

    fn check<'s>(&self, query: View<'s>, keys: KeysValues<'s>) -> Result<Inputs<'s>, Error>
    where
        'a: 's,
    {
        let KeysValues { keys, values } = keys;
        let keys = match keys {
            Keys::View(view) => KeyInput::View(view),
            Keys::Packed(packed) => KeyInput::Panels(packed.panels()),
        };
        Inputs::new(query, keys, values, &self.options)
    }

    /// Plans and runs a pass for the logits and one for what follows from the softmax, as far as they
    /// are asked for, and one for each head whose weights are asked for by themselves.
    fn compute(
        &self,
        inputs: &Inputs<'_>,
        outputs: Outputs<'_>,
        workspace: &mut Workspace,
    ) -> Result<(), Error> {
        let targets = check_outputs(inputs, outputs)?;
        let passes = passes(inputs, &targets);
        // All memory is there before anything is computed.
        let grow = |plan: &Plan| workspace.grow(plan.memory.total(), plan.row_slots());
        let plans = self.plans(inputs, &targets, &passes, grow)?;
        for (plan, problem) in plans.iter().zip(&passes) {
            if let (Some(plan), Some(problem)) = (plan, problem) {
                compute_pass(problem, plan, self.threads, workspace);
            }
        }
        for (head, targets) in targets.of_heads() {
            let problem = Problem::new(&inputs.of_head(head), Goal::Softmax(&targets));
            let plan = self.plan_of(&problem)?;
            compute_pass(&problem, &plan, self.threads, workspace);
        }
        Ok(())
    }

    /// The plans of the first two passes. `prepare` sees those of all.
    fn plans(
        &self,
        inputs: &Inputs<'_>,
        targets: &Targets<'_>,
        passes: &[Option<Problem<'_>>; 2],
        mut prepare: impl FnMut(&Plan) -> Result<(), Error>,
    ) -> Result<[Option<Plan>; 2], Error> {
        let mut plans = [None, None];
        for (plan, problem) in plans.iter_mut().zip(passes) {
            if let Some(problem) = problem {
                *plan = Some(self.plan_of(problem)?);
            }
        }
        plans.iter().flatten().try_for_each(&mut prepare)?;
        for (head, targets) in targets.of_heads() {
            let problem = Problem::new(&inputs.of_head(head), Goal::Softmax(&targets));
            prepare(&self.plan_of(&problem)?)?;
        }
        Ok(plans)
    }

    fn plan_of(&self, problem: &Problem<'_>) -> Result<Plan, Error> {
        self.plan_for(&Workload::new(problem), &problem.extents)
    }

    fn plan_for(&self, workload: &Workload, extents: &Extents) -> Result<Plan, Error> {
        let isa = dispatch::choose(self.isa)?;
        let is_shared = extents.multiply_adds() >= Threads::SERIAL_WORK;
        let threads = if is_shared { driver::count(self.threads) } else { 1 };
        Ok(Plan::new(workload, isa, threads, &Caches::detect()))
    }
}

/// The outputs, which fit the inputs.
fn check_outputs<'o>(inputs: &Inputs<'_>, outputs: Outputs<'o>) -> Result<Targets<'o>, Error> {
    if outputs.output.is_some() && !inputs.has_values() {
        return Err(Error::NoValues);
    }
    Targets::new(outputs, &inputs.extents)
}

/// The pass for the logits and the one for what follows from the softmax, as far as they are asked for.
fn passes<'t>(inputs: &Inputs<'t>, targets: &'t Targets<'_>) -> [Option<Problem<'t>>; 2] {
    let Targets { logits, softmax, .. } = targets;
    let of_logits = logits.map(|(stage, target)| Goal::Logits(stage, target));
    let of_softmax = (!softmax.is_empty()).then_some(Goal::Softmax(softmax));
    [of_logits, of_softmax].map(|goal| goal.map(|goal| Problem::new(inputs, goal)))
}

/// Computes one pass over the pairs of query rows and keys, in a workspace that has grown.
fn compute_pass(
    problem: &Problem<'_>,
    plan: &Plan,
    threads: Threads<'_>,
    workspace: &mut Workspace,
) {
    let (memory, rows) = workspace.parts(plan.memory.total(), plan.row_slots());
    let locks = &Locks::new();
    driver::run(Call { problem, plan, locks }, threads, memory, rows);
}

/// Memory for a dense result.
fn allocate(argument: &'static str, shape: [usize; 4]) -> Result<Vec<f32>, Error> {
    let elements = element_count(argument, shape)?;
    let mut memory = Vec::new();
    memory.try_reserve_exact(elements).map_err(|_| Error::Allocation { argument, elements })?;
    memory.resize(elements, 0.0);
    Ok(memory)
}

/// The output of attention of one head on dense rows: `softmax(query · keyᵀ / √head_dim) · value`.
///
/// `query` is `[query_rows, head_dim]`, `key` is `[keys, head_dim]`, `value` is `[keys, v_dim]`, the
/// result is `[query_rows, v_dim]`, all row-major (Vaswani et al. 2017, equation 1). [`Attention`] has
/// the options.
///
/// ```
/// let query = [1.0f32, 1.0, 1.0, 1.0];
/// let key = [0.5f32, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.5, 1.5, 1.5, 1.5];
/// let value = [1.0f32, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
/// // With a row of the unit matrix as each key's value, the output is the weights.
/// let output = softdot::attention(&query, &key, &value, 4)?;
/// assert_eq!(output, softdot::attention_weights(&query, &key, 4)?);
/// # Ok::<(), softdot::Error>(())
/// ```
///
/// # Errors
/// [`Error::Length`] if a slice is not a whole number of rows, and those of
/// [`Attention::output`].
pub fn attention(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    head_dim: usize,
) -> Result<Vec<f32>, Error> {
    let (query, key) = (rows("query", query, head_dim)?, rows("key", key, head_dim)?);
    let [_, _, keys, _] = key.shape();
    if value.len().checked_rem(keys).unwrap_or(value.len()) != 0 {
        let expected = "a multiple of the number of keys, here";
        let found = value.len();
        return Err(Error::Length { argument: "value", expected, value: keys, found });
    }
    let v_dim = value.len().checked_div(keys).unwrap_or(0);
    Attention::new().output(query, key, TensorRef::new(value, [keys, v_dim]))
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
/// [`Attention::weights`].
pub fn attention_weights(query: &[f32], key: &[f32], head_dim: usize) -> Result<Vec<f32>, Error> {
    Attention::new().weights(rows("query", query, head_dim)?, rows("key", key, head_dim)?)
}

/// A slice as rows of `head_dim` elements.
fn rows<'a>(
    argument: &'static str,
    data: &'a [f32],
    head_dim: usize,
) -> Result<TensorRef<'a>, Error> {
    match data.len().checked_rem(head_dim) {
        Some(0) => Ok(TensorRef::new(data, [data.len() / head_dim, head_dim])),
        _ => Err(Error::Length {
            argument,
            expected: "a length that is a multiple of a head_dim > 0, here",
            value: head_dim,
            found: data.len(),
        }),
    }
}
