//! Views of the caller's memory: data, shape and strides.

use crate::element::{Element, Elements, ElementsMut};
use crate::error::Error;

/// Extents `[batch, heads, rows, columns]`; shorter shapes get leading ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape(pub(crate) [usize; 4]);

impl From<[usize; 2]> for Shape {
    fn from([rows, columns]: [usize; 2]) -> Self {
        Shape([1, 1, rows, columns])
    }
}

impl From<[usize; 3]> for Shape {
    fn from([heads, rows, columns]: [usize; 3]) -> Self {
        Shape([1, heads, rows, columns])
    }
}

impl From<[usize; 4]> for Shape {
    fn from(shape: [usize; 4]) -> Self {
        Shape(shape)
    }
}

/// Strides of a dense row-major tensor. Extents too large to multiply saturate here and are
/// refused when the view is checked.
fn dense_strides([_, heads, rows, columns]: [usize; 4]) -> [isize; 4] {
    let stride = |extents: &[usize]| {
        let product =
            extents.iter().fold(1usize, |product, &extent| product.saturating_mul(extent));
        isize::try_from(product).unwrap_or(isize::MAX)
    };
    [stride(&[heads, rows, columns]), stride(&[rows, columns]), stride(&[columns]), 1]
}

/// A view `[batch, heads, rows, columns]` of the caller's memory, with any non-negative strides
/// in elements: [`TensorRef`] to read, [`TensorMut`] to write. The stride of an axis that nothing
/// steps along, of extent 1 or in an empty view, may be any number.
///
/// Building a view checks nothing; the call that takes it does, and its error names the argument.
///
/// ```
/// use softdot::TensorRef;
/// let data = [0.0f32; 2 * 5 * 3 * 4];
/// // Stored as [batch, sequence, heads, head_dim]: the middle axes change places.
/// let query = TensorRef::new(&data, [2, 5, 3, 4]).permute([0, 2, 1, 3]);
/// assert_eq!(query.shape(), [2, 3, 5, 4]);
/// // One head of keys, read by all three heads: stride 0.
/// let shared = TensorRef::with_strides(&data[..20], [1, 3, 5, 4], [0, 0, 4, 1]);
/// # let _ = shared;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tensor<Data> {
    pub(crate) data: Data,
    pub(crate) layout: Layout,
}

/// A read-only view.
pub type TensorRef<'a, T = f32> = Tensor<&'a [T]>;

/// A writable view.
pub type TensorMut<'a, T = f32> = Tensor<&'a mut [T]>;

/// A read-only view whose element type is known at run time: what calls take, made from any
/// [`TensorRef`] by `into`.
pub type View<'a> = Tensor<Elements<'a>>;

/// A writable view whose element type is known at run time, made from any [`TensorMut`].
pub type ViewMut<'a> = Tensor<ElementsMut<'a>>;

impl<'a, T: Element> From<TensorRef<'a, T>> for View<'a> {
    fn from(view: TensorRef<'a, T>) -> Self {
        Tensor { data: T::elements(view.data), layout: view.layout }
    }
}

impl<'a, T: Element> From<TensorMut<'a, T>> for ViewMut<'a> {
    fn from(view: TensorMut<'a, T>) -> Self {
        Tensor { data: T::elements_mut(view.data), layout: view.layout }
    }
}

impl<Data> Tensor<Data> {
    /// A dense row-major view of 2, 3 or 4 extents; missing leading ones are 1.
    pub fn new(data: Data, shape: impl Into<Shape>) -> Self {
        let Shape(shape) = shape.into();
        Self { data, layout: Layout { shape, strides: dense_strides(shape) } }
    }

    /// A view with explicit strides in elements; 0 repeats an axis.
    pub fn with_strides(data: Data, shape: [usize; 4], strides: [isize; 4]) -> Self {
        Self { data, layout: Layout { shape, strides } }
    }

    /// The same elements with their axes in another order: axis `i` of the result is axis
    /// `axes[i]` of this view.
    ///
    /// # Panics
    /// If `axes` is not a permutation of `0, 1, 2, 3`.
    #[must_use]
    pub fn permute(self, axes: [usize; 4]) -> Self {
        Self { layout: self.layout.permute(axes), ..self }
    }

    /// Extents `[batch, heads, rows, columns]`.
    pub fn shape(&self) -> [usize; 4] {
        self.layout.shape
    }

    /// Strides in elements.
    pub fn strides(&self) -> [isize; 4] {
        self.layout.strides
    }
}

/// Shape and strides as the caller gave them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) shape: [usize; 4],
    pub(crate) strides: [isize; 4],
}

/// The axes of what has an element for each pair of a query row and a key.
pub(crate) const RESULT_AXES: [&str; 4] = ["batch entries", "heads", "rows", "columns (keys)"];

/// Strides that are known to keep every element inside the data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strides {
    pub(crate) batch: usize,
    pub(crate) head: usize,
    pub(crate) row: usize,
    pub(crate) column: usize,
}

impl From<[usize; 4]> for Strides {
    fn from([batch, head, row, column]: [usize; 4]) -> Self {
        Strides { batch, head, row, column }
    }
}

impl Layout {
    fn permute(self, axes: [usize; 4]) -> Self {
        let mut seen = [false; 4];
        for axis in axes {
            assert!(
                axis < 4 && !seen[axis],
                "axes: expected a permutation of 0, 1, 2, 3, found {axes:?}"
            );
            seen[axis] = true;
        }
        Layout {
            shape: axes.map(|axis| self.shape[axis]),
            strides: axes.map(|axis| self.strides[axis]),
        }
    }

    /// The strides, once every element is known to lie within `length` elements of data. That of an
    /// axis of extent 1 is 0, so that one entry can stand for all; but one column is contiguous, 1.
    pub(crate) fn check(&self, argument: &'static str, length: usize) -> Result<Strides, Error> {
        let overflow = Error::Overflow { argument, shape: self.shape };
        let mut used = [0, 0, 0, 1];
        if self.shape.contains(&0) {
            return Ok(Strides::from(used));
        }
        for (axis, &stride) in self.strides.iter().enumerate() {
            if self.shape[axis] > 1 {
                used[axis] = usize::try_from(stride).map_err(|_| Error::NegativeStride {
                    argument,
                    axis,
                    stride,
                })?;
            }
        }
        element_count(argument, self.shape)?;
        let span = self.shape.iter().zip(used).try_fold(1usize, |span, (&extent, stride)| {
            span.checked_add((extent - 1).checked_mul(stride)?)
        });
        match span {
            None => Err(overflow),
            Some(expected) if expected > length => {
                Err(Error::OutOfBounds { argument, expected, found: length })
            }
            Some(_) => Ok(Strides::from(used)),
        }
    }

    /// As [`Layout::check`], for a view that repeats its axes of extent 1 to fill `shape`.
    pub(crate) fn check_broadcast(
        &self,
        argument: &'static str,
        length: usize,
        shape: [usize; 4],
    ) -> Result<Strides, Error> {
        for ((axis, expected), found) in RESULT_AXES.into_iter().zip(shape).zip(self.shape) {
            if found != 1 && found != expected {
                let expected_from = "as the result, or 1";
                return Err(Error::Extent { argument, axis, expected, expected_from, found });
            }
        }
        let strides = self.check(argument, length)?;
        // The one axis of extent 1 whose stride is not 0 already.
        let column = if self.shape[3] == 1 { 0 } else { strides.column };
        Ok(Strides { column, ..strides })
    }

    /// As [`Layout::check`], and no two elements share memory: each stride steps over all that
    /// the smaller strides span. (Interleaved layouts that do not nest this way are refused too.)
    pub(crate) fn check_disjoint(
        &self,
        argument: &'static str,
        length: usize,
    ) -> Result<Strides, Error> {
        let strides = self.check(argument, length)?;
        if self.shape.contains(&0) {
            return Ok(strides);
        }
        let mut axes =
            [0, 1, 2, 3].map(|axis| (self.strides[axis].unsigned_abs(), self.shape[axis]));
        axes.sort_unstable();
        let mut span = 0;
        for (stride, extent) in axes.into_iter().filter(|&(_, extent)| extent > 1) {
            if stride <= span {
                return Err(Error::Overlap { argument, shape: self.shape, strides: self.strides });
            }
            span += (extent - 1) * stride;
        }
        Ok(strides)
    }
}

/// The product of the extents, if that many elements fit in memory.
pub(crate) fn element_count(argument: &'static str, shape: [usize; 4]) -> Result<usize, Error> {
    if shape.contains(&0) {
        return Ok(0);
    }
    shape
        .iter()
        .try_fold(1usize, |product, &extent| product.checked_mul(extent))
        .filter(|&elements| elements <= isize::MAX as usize / size_of::<f32>())
        .ok_or(Error::Overflow { argument, shape })
}

pub(crate) fn expect_extent(
    argument: &'static str,
    axis: &'static str,
    expected: usize,
    expected_from: &'static str,
    found: usize,
) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Extent { argument, axis, expected, expected_from, found })
}
