//! The options of a call, and the calls on them.

use crate::error::of_softdot;
use crate::inputs::Inputs;
use crate::keys_values::KeysValues;
use crate::memory::{tensor, zeros};
use crate::operand::{Axes, Operand};
use crate::outputs::{Memory, Outputs, Results};
use candle_core::{DType, Result, Tensor, WithDType};
use half::{bf16, f16};
use softdot::{Causal, Element, Isa, TensorMut, Threads, Workspace};

/// The options of attention on tensors, to be reused over calls: those of [`softdot::Attention`], with tensors
/// for bias and mask.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use softdot_candle::{Attention, Outputs, softdot::Workspace};
/// let q = Tensor::ones((1, 4, 3, 8), candle_core::DType::F32, &Device::Cpu)?;
/// let k = Tensor::ones((1, 2, 5, 8), candle_core::DType::F32, &Device::Cpu)?;
/// let mask = Tensor::new(&[1u8, 1, 0, 0, 0], &Device::Cpu)?;
/// let outputs = Outputs::new().weights().lse();
/// let attention = Attention::new().mask(&mask);
/// let results = attention.run_with(&q, (&k, &k), &outputs, &mut Workspace::new())?;
/// assert_eq!(results.output.dims(), [1, 4, 3, 8]);
/// let weights = results.weights.expect("asked for").flatten_all()?.to_vec1::<f32>()?;
/// assert_eq!(weights[..5], [0.5, 0.5, 0.0, 0.0, 0.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Attention<'a> {
    options: softdot::Attention<'a>,
    axes: Axes,
    bias: Option<&'a Tensor>,
    mask: Option<&'a Tensor>,
}

impl<'a> Attention<'a> {
    /// `scale = 1/√head_dim` and no other option.
    pub fn new() -> Self {
        Self::default()
    }

    /// Queries, keys, values and the output are `[batch, rows, heads, columns]`, as in flash-attention:
    /// what a projection reshaped to heads is, and what `flatten_from(2)` makes the input of the next
    /// one from, both without a copy. All else, a [`KvCache`](crate::KvCache) too, stays as it is.
    #[must_use]
    pub fn rows_first(mut self) -> Self {
        self.axes = Axes::RowsFirst;
        self
    }

    /// What `q·k` is multiplied by; [`softdot::Attention::scale`].
    #[must_use]
    pub fn scale(mut self, scale: f32) -> Self {
        self.options = self.options.scale(scale);
        self
    }

    /// `softcap · tanh(score / softcap)`; [`softdot::Attention::softcap`].
    #[must_use]
    pub fn softcap(mut self, softcap: f32) -> Self {
        self.options = self.options.softcap(softcap);
        self
    }

    /// What to add to the scaled, capped scores: f32, f16 or bf16, any shape that candle broadcasts to
    /// `[batch, q_heads, query_rows, keys]`. −∞ excludes.
    #[must_use]
    pub fn bias(mut self, bias: &'a Tensor) -> Self {
        self.bias = Some(bias);
        self
    }

    /// Which keys each row may attend to: u8, 0 excludes (a mask for `where_cond` or `masked_fill` that
    /// marks what is *ex*cluded has to be inverted: `mask.eq(0u8)?`), any shape that candle broadcasts to
    /// `[batch, q_heads, query_rows, keys]`.
    #[must_use]
    pub fn mask(mut self, mask: &'a Tensor) -> Self {
        self.mask = Some(mask);
        self
    }

    /// ALiBi, one slope for each query head; [`softdot::Attention::alibi_slopes`].
    #[must_use]
    pub fn alibi_slopes(mut self, slopes: &'a [f32]) -> Self {
        self.options = self.options.alibi_slopes(slopes);
        self
    }

    /// No row attends to keys after its own position; [`softdot::Attention::causal`]. With
    /// [`Causal::BottomRight`] the rows are the last ones of the keys, as with a cache.
    #[must_use]
    pub fn causal(mut self, causal: Causal) -> Self {
        self.options = self.options.causal(causal);
        self
    }

    /// At most `left` keys before a row's position and `right` after it; [`softdot::Attention::window`].
    #[must_use]
    pub fn window(
        mut self,
        left: impl Into<Option<usize>>,
        right: impl Into<Option<usize>>,
    ) -> Self {
        self.options = self.options.window(left, right);
        self
    }

    /// How many keys each batch entry has; [`softdot::Attention::key_lengths`].
    #[must_use]
    pub fn key_lengths(mut self, lengths: &'a [usize]) -> Self {
        self.options = self.options.key_lengths(lengths);
        self
    }

    /// A logit for each query head that gets no weight; [`softdot::Attention::sinks`].
    #[must_use]
    pub fn sinks(mut self, sinks: &'a [f32]) -> Self {
        self.options = self.options.sinks(sinks);
        self
    }

    /// Forces an instruction set; the bits are the same on each.
    #[must_use]
    pub fn isa(mut self, isa: Isa) -> Self {
        self.options = self.options.isa(isa);
        self
    }

    /// Which threads share the work: those of the current rayon pool, which is candle's, or the caller's alone.
    #[must_use]
    pub fn threads(mut self, threads: Threads<'a>) -> Self {
        self.options = self.options.threads(threads);
        self
    }

    /// The output `softmax(scale · Q Kᵀ + …) · V`, `[batch, q_heads, query_rows, v_dim]`, dense, of `q`'s type.
    ///
    /// `q` is `[batch, q_heads, query_rows, head_dim]`; keys and values, a pair of tensors or a
    /// [`&KvCache`](crate::KvCache), are `[batch, kv_heads, keys, head_dim]` and
    /// `[batch, kv_heads, keys, v_dim]`. Each of f32, f16 or bf16, any strides. Query head `h` reads key head
    /// `h / (q_heads / kv_heads)`.
    ///
    /// # Errors
    /// Tensors that do not fit each other, have other types or axes, are elsewhere than on the CPU, or
    /// track operations; options that do not fit; memory that cannot be had. Each names the argument,
    /// what was expected and what came.
    pub fn run<'k>(&self, q: &Tensor, keys: impl Into<KeysValues<'k>>) -> Result<Tensor> {
        Ok(self.run_with(q, keys, &Outputs::new(), &mut Workspace::new())?.output)
    }

    /// As [`Attention::run`], with what else is asked for, in a workspace that a model keeps from call to
    /// call, so that its memory is got once.
    ///
    /// # Errors
    /// As [`Attention::run`].
    pub fn run_with<'k>(
        &self,
        q: &Tensor,
        keys: impl Into<KeysValues<'k>>,
        outputs: &Outputs<'_>,
        workspace: &mut Workspace,
    ) -> Result<Results> {
        let keys = keys.into();
        match q.dtype() {
            DType::F16 => self.run_as::<f16>(q, keys, outputs, workspace),
            DType::BF16 => self.run_as::<bf16>(q, keys, outputs, workspace),
            // Any other type is refused where the query is read.
            _ => self.run_as::<f32>(q, keys, outputs, workspace),
        }
    }

    /// The call of a query of type `T`.
    fn run_as<T: Element + WithDType>(
        &self,
        q: &Tensor,
        keys: KeysValues<'_>,
        outputs: &Outputs<'_>,
        workspace: &mut Workspace,
    ) -> Result<Results> {
        let inputs = Inputs::new(q, keys, self.axes)?;
        let shape = inputs.output_shape()?;
        let mut output = zeros::<T>("output", shape)?;
        let mut others = Memory::new(outputs, inputs.weights_shape()?)?;
        self.write(&inputs, &mut output, others.outputs(), workspace)?;
        let shape = self.axes.permutation().map(|axis| shape[axis]);
        others.results(tensor(output, &shape)?)
    }

    /// Computes into the memory of an output, dense in the order of its axes, and into other outputs.
    pub(crate) fn write<T: Element>(
        &self,
        inputs: &Inputs<'_>,
        output: &mut [T],
        others: softdot::Outputs<'_>,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let bias = self.bias.map(|bias| Operand::new("bias", bias)).transpose()?;
        let mask = self.mask.map(|mask| Operand::new("mask", mask)).transpose()?;
        let mut attention = self.options.clone();
        if let Some(bias) = &bias {
            attention = attention.bias(bias.broadcast_view()?);
        }
        if let Some(mask) = &mask {
            attention = attention.mask(mask.broadcast_bytes()?);
        }
        let to_axes = self.axes.permutation();
        let shape = inputs.output_shape()?;
        let output = TensorMut::new(output, to_axes.map(|axis| shape[axis])).permute(to_axes);
        let keys = (inputs.keys()?, inputs.values()?);
        attention.run(inputs.query()?, keys, others.output(output), workspace).map_err(of_softdot)
    }
}
