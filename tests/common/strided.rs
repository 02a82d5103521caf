//! Tensors with gaps: any strides, NaN wherever no element is.

use softdot::{TensorMut, TensorRef};

/// What fills the gaps of inputs and the whole of outputs before a call: a NaN with a payload of
/// its own, so that reading a gap ruins a result and writing one shows.
pub const SENTINEL: u32 = 0x7fed_cba9;

/// A tensor with its own memory.
#[derive(Clone, Debug)]
pub struct Strided<T = f32> {
    data: Vec<T>,
    offset: usize,
    shape: [usize; 4],
    strides: [isize; 4],
}

/// The index of an element of a dense shape.
pub fn index_of(mut element: usize, shape: [usize; 4]) -> [usize; 4] {
    let mut index = [0; 4];
    for axis in (0..4).rev() {
        index[axis] = element % shape[axis];
        element /= shape[axis];
    }
    index
}

/// Every index of a shape, in row-major order.
fn indices(shape: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
    (0..shape.iter().product()).map(move |element| index_of(element, shape))
}

impl Strided {
    /// A tensor of sentinels; the data starts `offset` elements into its allocation and ends
    /// with the last element.
    pub fn new(shape: [usize; 4], strides: [isize; 4], offset: usize) -> Self {
        let span = match shape.contains(&0) {
            true => 0,
            false => 1 + (0..4).map(|i| (shape[i] - 1) * strides[i].unsigned_abs()).sum::<usize>(),
        };
        Strided { data: vec![f32::from_bits(SENTINEL); offset + span], offset, shape, strides }
    }

    /// As [`Strided::new`], elements in [−1, 1).
    pub fn random(self, seed: u64) -> Self {
        let mut random = super::Random::new(seed);
        self.filled(|_| random.unit())
    }

    /// Fails if anything but elements was written.
    #[track_caller]
    pub fn assert_gaps_untouched(&self, what: impl core::fmt::Display) {
        self.assert_gaps_hold(f32::from_bits(SENTINEL), what);
    }

    /// Fails if anything else than `sentinel` is between the elements.
    #[track_caller]
    pub fn assert_gaps_hold(&self, sentinel: f32, what: impl core::fmt::Display) {
        let mut is_element = vec![false; self.data.len()];
        for index in indices(self.shape) {
            is_element[self.position(index)] = true;
        }
        for (i, (value, is_element)) in self.data.iter().zip(is_element).enumerate() {
            assert!(
                is_element || value.to_bits() == sentinel.to_bits(),
                "{what}: wrote {value} into a gap, at {i}"
            );
        }
    }
}

impl<T: Copy> Strided<T> {
    /// The tensor with other elements, which are asked for in row-major order; gaps stay.
    pub fn filled(mut self, mut value: impl FnMut([usize; 4]) -> T) -> Self {
        for index in indices(self.shape) {
            let position = self.position(index);
            self.data[position] = value(index);
        }
        self
    }

    /// The same tensor of another type, gaps too.
    pub fn converted<U>(&self, convert: impl Fn(T) -> U) -> Strided<U> {
        let Strided { offset, shape, strides, .. } = *self;
        let data = self.data.iter().map(|&value| convert(value)).collect();
        Strided { data, offset, shape, strides }
    }

    fn position(&self, index: [usize; 4]) -> usize {
        let steps = (0..4).map(|axis| index[axis] * self.strides[axis].unsigned_abs());
        self.offset + steps.sum::<usize>()
    }

    pub fn view(&self) -> TensorRef<'_, T> {
        TensorRef::with_strides(&self.data[self.offset..], self.shape, self.strides)
    }

    pub fn view_mut(&mut self) -> TensorMut<'_, T> {
        TensorMut::with_strides(&mut self.data[self.offset..], self.shape, self.strides)
    }

    /// The elements, row-major.
    pub fn dense(&self) -> Vec<T> {
        indices(self.shape).map(|index| self.data[self.position(index)]).collect()
    }
}

/// How query, key and output lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[batch, heads, rows, columns]`, row-major.
    Dense,
    /// `[batch, rows, heads, columns]`, as models store it.
    SequenceMajor,
    /// Rows beside each other: the key is stored as `[head_dim, keys]`.
    Transposed,
    /// Each row followed by five elements of something else.
    PaddedRows,
    /// Dense, one element past the alignment of the allocation.
    Misaligned,
    /// Every second or third element.
    StridedColumns,
    /// All batch entries and key heads are one (stride 0).
    SharedHeads,
    /// All query rows are one, and all keys (stride 0).
    SharedRows,
}

impl Layout {
    pub const ALL: [Layout; 8] = [
        Layout::Dense,
        Layout::SequenceMajor,
        Layout::Transposed,
        Layout::PaddedRows,
        Layout::Misaligned,
        Layout::StridedColumns,
        Layout::SharedHeads,
        Layout::SharedRows,
    ];

    pub fn query(self, shape: [usize; 4]) -> Strided {
        self.tensor(shape, 2, |[_, head, row, column]| match self {
            Layout::SharedHeads => [0, head, row, column],
            Layout::SharedRows => [head * shape[1] as isize, head, 0, column],
            _ => unreachable!("shared layouts only"),
        })
    }

    pub fn key(self, shape: [usize; 4]) -> Strided {
        self.tensor(shape, 3, |[_, head, row, column]| match self {
            Layout::SharedHeads => [0, 0, row, column],
            Layout::SharedRows => [head * shape[1] as isize, head, 0, column],
            _ => unreachable!("shared layouts only"),
        })
    }

    /// Elements of an output may not share memory: it is dense where inputs are shared.
    pub fn output(self, shape: [usize; 4]) -> Strided {
        match self {
            Layout::SharedHeads | Layout::SharedRows => Layout::Dense.output(shape),
            _ => self.tensor(shape, 3, |strides| strides),
        }
    }

    /// `share` turns dense strides into those of the shared layouts.
    fn tensor(
        self,
        shape: [usize; 4],
        column_step: usize,
        share: impl Fn([isize; 4]) -> [isize; 4],
    ) -> Strided {
        let nested = |outer_to_inner, step, padding| nest(shape, outer_to_inner, step, padding);
        let dense = nested([0, 1, 2, 3], 1, 0);
        let (strides, offset) = match self {
            Layout::Dense => (dense, 0),
            Layout::SequenceMajor => (nested([0, 2, 1, 3], 1, 0), 0),
            Layout::Transposed => (nested([0, 1, 3, 2], 1, 0), 0),
            Layout::PaddedRows => (nested([0, 1, 2, 3], 1, 5), 0),
            Layout::Misaligned => (dense, 1),
            Layout::StridedColumns => (nested([0, 1, 2, 3], column_step, 0), 0),
            Layout::SharedHeads | Layout::SharedRows => (share(dense), 0),
        };
        Strided::new(shape, strides, offset)
    }
}

/// Strides with the axes in the order `outer_to_inner`, the innermost in steps of `step`,
/// followed by `padding` elements.
pub fn nest(
    shape: [usize; 4],
    outer_to_inner: [usize; 4],
    step: usize,
    padding: usize,
) -> [isize; 4] {
    let mut strides = [0; 4];
    let mut next = step;
    for (depth, axis) in outer_to_inner.into_iter().rev().enumerate() {
        strides[axis] = next as isize;
        next = next * shape[axis].max(1) + if depth == 0 { padding } else { 0 };
    }
    strides
}
