//! A tensor as softdot reads it: its storage, where it is.

use crate::error::unexpected;
use candle_core::{CpuStorage, DType, Layout, Result, Storage, StorageRef, Tensor};
use softdot::{Element, View};

/// The order of the axes of queries, keys, values and the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Axes {
    /// `[batch, heads, rows, columns]`.
    #[default]
    HeadsFirst,
    /// `[batch, rows, heads, columns]`.
    RowsFirst,
}

impl Axes {
    /// These axes' places in a tensor, to make `[batch, heads, rows, columns]` of it; and to go back.
    pub(crate) fn permutation(self) -> [usize; 4] {
        match self {
            Axes::HeadsFirst => [0, 1, 2, 3],
            Axes::RowsFirst => [0, 2, 1, 3],
        }
    }

    fn names(self) -> &'static str {
        match self {
            Axes::HeadsFirst => "4 axes [batch, heads, rows, columns]",
            Axes::RowsFirst => "4 axes [batch, rows, heads, columns]",
        }
    }
}

/// A tensor whose storage is locked for reading.
pub(crate) struct Operand<'t> {
    argument: &'static str,
    storage: StorageRef<'t>,
    layout: &'t Layout,
}

impl<'t> Operand<'t> {
    pub(crate) fn new(argument: &'static str, tensor: &'t Tensor) -> Result<Self> {
        if tensor.track_op() {
            let expected = "a tensor that tracks no operations, as softdot computes no gradients";
            return Err(unexpected(argument, expected, "one that does (detach it)"));
        }
        let (storage, layout) = tensor.storage_and_layout();
        Ok(Operand { argument, storage, layout })
    }

    /// `[batch, heads, rows, columns]`, of a tensor with just these axes in some order.
    pub(crate) fn view(&self, axes: Axes) -> Result<View<'_>> {
        if self.layout.dims().len() != 4 {
            return Err(unexpected(self.argument, axes.names(), self.shape()));
        }
        Ok(self.elements()?.permute(axes.permutation()))
    }

    /// `[batch, heads, rows, keys]`, of a tensor that may lack the first of these axes.
    pub(crate) fn broadcast_view(&self) -> Result<View<'_>> {
        self.expect_four_axes_at_most()?;
        self.elements()
    }

    /// As [`Operand::broadcast_view`], of bytes.
    pub(crate) fn broadcast_bytes(&self) -> Result<softdot::TensorRef<'_, u8>> {
        self.expect_four_axes_at_most()?;
        match self.cpu_storage()? {
            CpuStorage::U8(data) => Ok(self.part_of(data)),
            _ => Err(unexpected(self.argument, "elements of u8", self.dtype().as_str())),
        }
    }

    fn expect_four_axes_at_most(&self) -> Result<()> {
        if self.layout.dims().len() > 4 {
            let expected = "up to 4 axes [batch, heads, rows, keys]";
            return Err(unexpected(self.argument, expected, self.shape()));
        }
        Ok(())
    }

    fn elements(&self) -> Result<View<'_>> {
        match self.cpu_storage()? {
            CpuStorage::F32(data) => Ok(self.view_of(data)),
            CpuStorage::F16(data) => Ok(self.view_of(data)),
            CpuStorage::BF16(data) => Ok(self.view_of(data)),
            _ => {
                let expected = "elements of f32, f16 or bf16";
                Err(unexpected(self.argument, expected, self.dtype().as_str()))
            }
        }
    }

    fn view_of<'s, T: Element>(&self, data: &'s [T]) -> View<'s> {
        self.part_of(data).into()
    }

    /// What of the storage is this tensor's, with leading axes of extent 1.
    fn part_of<'s, T>(&self, data: &'s [T]) -> softdot::TensorRef<'s, T> {
        let (mut shape, mut strides) = ([1; 4], [0; 4]);
        let leading = 4 - self.layout.dims().len();
        shape[leading..].copy_from_slice(self.layout.dims());
        for (to, &stride) in strides[leading..].iter_mut().zip(self.layout.stride()) {
            *to = stride as isize;
        }
        // An empty tensor may begin anywhere.
        let data = data.get(self.layout.start_offset()..).unwrap_or_default();
        softdot::TensorRef::with_strides(data, shape, strides)
    }

    fn cpu_storage(&self) -> Result<&CpuStorage> {
        match &*self.storage {
            Storage::Cpu(storage) => Ok(storage),
            other => {
                let found = format!("one on {:?}", other.device().location());
                Err(unexpected(self.argument, "a tensor on the CPU", found))
            }
        }
    }

    fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    fn shape(&self) -> String {
        format!("shape {:?}", self.layout.dims())
    }
}
