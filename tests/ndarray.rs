//! Views of ndarray go in as they are.

mod common;

use common::call::Call;
use common::{Extents, Problem, assert_same_bits, isas, serial};
use ndarray::{Array, ArrayView, s};
use softdot::{Error, TensorMut, TensorRef, Workspace};

#[test]
fn any_order_of_axes_gives_the_same_bits() {
    let extents = Extents::single(5, 18, 7).with_heads([2, 4, 2]);
    let problem = Problem::random(extents, 3);
    let query = ArrayView::from_shape(extents.query_shape(), &problem.query).unwrap();
    let key = ArrayView::from_shape(extents.key_shape(), &problem.key).unwrap();
    // The same numbers, stored [batch, sequence, heads, head_dim] and [.., head_dim, keys].
    let query = query.permuted_axes([0, 2, 1, 3]).as_standard_layout().into_owned();
    let key = key.permuted_axes([0, 1, 3, 2]).as_standard_layout().into_owned();
    let query = query.view().permuted_axes([0, 2, 1, 3]);
    let key = key.view().permuted_axes([0, 1, 3, 2]);
    for isa in isas() {
        let expected = problem.compute(&serial(isa));
        let mut output = Array::zeros(extents.output_shape());
        serial(isa)
            .compute_into(
                TensorRef::try_from(query).unwrap(),
                TensorRef::try_from(key).unwrap(),
                TensorMut::try_from(output.view_mut()).unwrap(),
                &mut Workspace::new(),
            )
            .unwrap();
        assert_same_bits(&expected, output.as_slice().unwrap(), isa);
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let array = Array::<f32, _>::zeros((4, 6));
    let gaps = TensorRef::try_from(array.slice(s![.., ..3])).unwrap_err();
    assert!(matches!(gaps, Error::Gaps { shape: [1, 1, 4, 3], .. }), "{gaps}");
    let axes = TensorRef::try_from(array.slice(s![0, ..])).unwrap_err();
    assert!(matches!(axes, Error::Axes { found: 1 }), "{axes}");
    let reversed = TensorRef::try_from(array.slice(s![..;-1, ..])).unwrap();
    let view = TensorRef::try_from(array.view()).unwrap();
    let error = Call::new().compute(reversed, view).unwrap_err();
    assert!(matches!(error, Error::NegativeStride { argument: "query", .. }), "{error}");
}
