//! Tensors in memory, and the views of them that softdot reads.

use super::contents::Numbers;
use anyhow::{Context, Result};
use softdot::{Elements, Tensor, TensorRef, View};
use std::fmt;

/// Which axis is contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisOrder {
    /// The last.
    C,
    /// The first.
    Fortran,
}

/// A tensor in memory as its file holds it; Fortran order is read through strides, not moved.
#[derive(Debug)]
pub struct Array<Contents = Numbers> {
    contents: Contents,
    shape: Vec<usize>,
    order: AxisOrder,
}

impl<C> Array<C> {
    /// Contents of this shape, in this order.
    pub fn new(contents: C, shape: Vec<usize>, order: AxisOrder) -> Self {
        Self { contents, shape, order }
    }

    /// As in the file.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Data with the array's layout: leading axes that the file lacks have one entry.
    fn lay_out<Data>(&self, data: Data) -> Tensor<Data> {
        let missing = 4 - self.shape.len();
        let strides = std::array::from_fn(|axis| match axis.checked_sub(missing) {
            None => 0,
            Some(axis) => self.stride(axis),
        });
        Tensor::with_strides(data, four_axes(&self.shape), strides)
    }

    /// Elements from one entry of an axis to the next. Saturates where the tensor is empty.
    fn stride(&self, axis: usize) -> isize {
        let inner = match self.order {
            AxisOrder::C => &self.shape[axis + 1..],
            AxisOrder::Fortran => &self.shape[..axis],
        };
        let elements = inner.iter().fold(1usize, |product, &extent| product.saturating_mul(extent));
        isize::try_from(elements).unwrap_or(isize::MAX)
    }
}

impl Array<Numbers> {
    /// The tensor as softdot reads it.
    pub fn view(&self) -> View<'_> {
        self.lay_out::<Elements<'_>>(self.contents.elements())
    }

    /// The elements of an array of one axis.
    ///
    /// # Errors
    /// A lack of memory.
    pub fn into_f32(self) -> Result<Vec<f32>> {
        self.contents.into_f32()
    }
}

/// Type and shape, as a summary has them.
impl fmt::Display for Array<Numbers> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.contents.type_name(), self.shape)
    }
}

impl Array<Vec<bool>> {
    /// The mask as softdot reads it.
    pub fn view(&self) -> TensorRef<'_, bool> {
        self.lay_out(&self.contents[..])
    }
}

/// A shape of at most 4 extents with leading ones.
pub fn four_axes(shape: &[usize]) -> [usize; 4] {
    let mut extents = [1; 4];
    extents[4 - shape.len()..].copy_from_slice(shape);
    extents
}

/// Bytes of a tensor of this shape and element size.
///
/// # Errors
/// If they do not fit in memory.
pub fn byte_count(shape: &[usize], size: usize) -> Result<usize> {
    let elements = match shape.contains(&0) {
        true => Some(0),
        false => shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent)),
    };
    let bytes = elements.and_then(|elements| elements.checked_mul(size));
    bytes
        .filter(|&bytes| bytes <= isize::MAX as usize)
        .with_context(|| format!("expected a shape that fits in memory, found {shape:?}"))
}
