//! A sound problem for tests to spoil, and what a refused call has to leave as it was.

use super::call::Call;
use softdot::{Error, TensorMut, TensorRef, Workspace};

/// What an output holds before a call that is to be refused.
pub const SENTINEL: f32 = 12_345.678;

/// Larger than any address space, as an extent.
pub const ABSURD: usize = usize::MAX;

/// Shape and strides of a view whose data is given elsewhere.
pub type Layout = ([usize; 4], [isize; 4]);

/// The error of a call into an output of 64 elements, which has to stay as it was.
#[track_caller]
pub fn refused(attention: &Call, query: TensorRef, key: TensorRef, output: Layout) -> Error {
    let mut data = [SENTINEL; 64];
    let view = TensorMut::with_strides(&mut data[..], output.0, output.1);
    let error = attention.compute_into(query, key, view, &mut Workspace::new()).unwrap_err();
    assert_eq!(data, [SENTINEL; 64], "{error}: wrote all the same");
    error
}

/// A sound problem that tests spoil: `[2, 2, 2, 3]` against `[2, 1, 4, 3]`.
pub struct Sound {
    pub data: [f32; 24],
    pub output: Layout,
}

pub const QUERY: [usize; 4] = [2, 2, 2, 3];
pub const KEY: [usize; 4] = [2, 1, 4, 3];
pub const OUTPUT: [usize; 4] = [2, 2, 2, 4];

impl Sound {
    pub fn new() -> Self {
        Sound { data: [0.5; 24], output: (OUTPUT, [16, 8, 4, 1]) }
    }

    pub fn query(&self) -> TensorRef<'_> {
        TensorRef::new(&self.data, QUERY)
    }

    pub fn key(&self) -> TensorRef<'_> {
        TensorRef::new(&self.data, KEY)
    }

    #[track_caller]
    pub fn refused_query(&self, shape: [usize; 4], strides: [isize; 4]) -> Error {
        let query = TensorRef::with_strides(&self.data, shape, strides);
        refused(&Call::new(), query, self.key(), self.output)
    }

    #[track_caller]
    pub fn refused_key(&self, shape: [usize; 4], strides: [isize; 4]) -> Error {
        let key = TensorRef::with_strides(&self.data, shape, strides);
        refused(&Call::new(), self.query(), key, self.output)
    }

    #[track_caller]
    pub fn refused_output(&self, shape: [usize; 4], strides: [isize; 4]) -> Error {
        refused(&Call::new(), self.query(), self.key(), (shape, strides))
    }
}

/// Strides of dense data.
pub fn dense(shape: [usize; 4]) -> [isize; 4] {
    TensorRef::<f32>::new(&[], shape).strides()
}
