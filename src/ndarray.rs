//! Views of ndarray as views of softdot, in place.

use crate::error::Error;
use crate::tensor::{Tensor, TensorMut, TensorRef};
use ndarray::{ArrayView, ArrayViewMut, Dimension};

/// Of 2, 3 or 4 axes in any order, without gaps between elements. (A view with gaps may share its
/// memory with other, writable views: then pass the slice of the whole array to
/// [`Tensor::with_strides`].)
impl<'a, D: Dimension> TryFrom<ArrayView<'a, f32, D>> for TensorRef<'a> {
    type Error = Error;

    fn try_from(view: ArrayView<'a, f32, D>) -> Result<Self, Error> {
        let (shape, strides) = layout(view.shape(), view.strides())?;
        match view.to_slice_memory_order() {
            Some(data) => Ok(Tensor::with_strides(data, shape, strides)),
            None => Err(Error::Gaps { shape, strides }),
        }
    }
}

/// As for [`TensorRef`].
impl<'a, D: Dimension> TryFrom<ArrayViewMut<'a, f32, D>> for TensorMut<'a> {
    type Error = Error;

    fn try_from(view: ArrayViewMut<'a, f32, D>) -> Result<Self, Error> {
        let (shape, strides) = layout(view.shape(), view.strides())?;
        match view.into_slice_memory_order() {
            Some(data) => Ok(Tensor::with_strides(data, shape, strides)),
            None => Err(Error::Gaps { shape, strides }),
        }
    }
}

/// Shape and strides with leading axes of extent 1.
fn layout(shape: &[usize], strides: &[isize]) -> Result<([usize; 4], [isize; 4]), Error> {
    let axes = shape.len();
    let missing = match axes {
        2..=4 => 4 - axes,
        _ => return Err(Error::Axes { found: axes }),
    };
    let (mut all_extents, mut all_strides) = ([1; 4], [0; 4]);
    all_extents[missing..].copy_from_slice(shape);
    all_strides[missing..].copy_from_slice(strides);
    Ok((all_extents, all_strides))
}
