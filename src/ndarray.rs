//! Views of ndarray as views of softdot, in place.

use crate::error::Error;
use crate::tensor::{Tensor, TensorMut, TensorRef};
use ndarray::{ArrayView, ArrayViewMut, Axis, Dimension};

/// Of 2, 3 or 4 axes in any order, without gaps between elements; axes may be repeated, as
/// `broadcast` does. (The gaps of a view may be written through other views meanwhile:
/// [`TensorRef::part_of`] knows that they are not.)
impl<'a, T, D: Dimension> TryFrom<ArrayView<'a, T, D>> for TensorRef<'a, T> {
    type Error = Error;

    fn try_from(mut view: ArrayView<'a, T, D>) -> Result<Self, Error> {
        let (shape, strides) = layout(view.shape(), view.strides())?;
        if view.is_empty() {
            return Ok(Tensor::with_strides(&[], shape, strides));
        }
        for axis in 0..view.ndim() {
            if view.strides()[axis] == 0 {
                view.collapse_axis(Axis(axis), 0);
            }
        }
        match view.to_slice_memory_order() {
            Some(data) => Ok(Tensor::with_strides(data, shape, strides)),
            None => Err(Error::Gaps { shape, strides }),
        }
    }
}

impl<'a, T> TensorRef<'a, T> {
    /// Any part of an array: a slice with gaps, the filled rows of a cache, permuted or repeated.
    ///
    /// The array is a view of all the memory around the part, which so cannot change meanwhile.
    ///
    /// ```
    /// use ndarray::{Array, s};
    /// use softdot::TensorRef;
    ///
    /// let cache = Array::<f32, _>::zeros((1, 8, 4096, 64));
    /// let filled = TensorRef::part_of(cache.view(), cache.slice(s![.., .., ..100, ..]))?;
    /// assert_eq!(filled.shape(), [1, 8, 100, 64]);
    /// # Ok::<(), softdot::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Axes`] unless the part has 2, 3 or 4 axes, [`Error::Gaps`] if the array has any, and
    /// [`Error::NotAPart`] if the part begins outside the array.
    pub fn part_of<D: Dimension, P: Dimension>(
        array: ArrayView<'a, T, D>,
        part: ArrayView<'_, T, P>,
    ) -> Result<Self, Error> {
        let (shape, strides) = layout(part.shape(), part.strides())?;
        if part.is_empty() {
            return Ok(Tensor::with_strides(&[], shape, strides));
        }
        let Some(data) = array.to_slice_memory_order() else {
            let (shape, strides) = layout(array.shape(), array.strides())?;
            return Err(Error::Gaps { shape, strides });
        };
        // A part's elements stand where the array's do, whole steps from its first.
        let data = part
            .as_ptr()
            .addr()
            .checked_sub(data.as_ptr().addr())
            .and_then(|bytes| data.get(bytes / size_of::<T>().max(1)..))
            .filter(|data| !data.is_empty())
            .ok_or(Error::NotAPart { shape, strides })?;
        Ok(Tensor::with_strides(data, shape, strides))
    }
}

/// Of 2, 3 or 4 axes in any order, without gaps between elements. (Others may write into the gaps of
/// a view meanwhile: pass the slice of the whole array to [`Tensor::with_strides`].)
impl<'a, T, D: Dimension> TryFrom<ArrayViewMut<'a, T, D>> for TensorMut<'a, T> {
    type Error = Error;

    fn try_from(view: ArrayViewMut<'a, T, D>) -> Result<Self, Error> {
        let (shape, strides) = layout(view.shape(), view.strides())?;
        if view.is_empty() {
            return Ok(Tensor::with_strides(&mut [], shape, strides));
        }
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
