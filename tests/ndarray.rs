//! Views of ndarray go in as they are: any element type, order of axes, gaps and repetitions.

mod common;

use common::call::Call;
use common::{Extents, Problem, assert_same_bits, isas, serial};
use ndarray::{Array, Array2, ArrayView, ArrayViewD, Axis, s};
use softdot::{Causal, Error, Outputs, TensorMut, TensorRef, Workspace};

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

/// Views of a larger array with gaps: a cache's filled part, every other row, one head for all.
#[test]
fn parts_of_an_array_are_read_in_place() {
    let cache = Array::from_shape_fn((1, 2, 30, 8), |(_, head, key, dim)| {
        ((head * 7 + key * 5 + dim * 3) % 11) as f32 - 5.0
    });
    let query = Array::from_shape_fn((1, 2, 4, 6), |(_, head, row, dim)| {
        ((head * 3 + row * 5 + dim) % 7) as f32 - 3.0
    });
    let query = TensorRef::try_from(query.view()).unwrap();
    let filled = cache.slice(s![.., .., ..17, ..6]);
    let head = cache.slice(s![.., 1..2, 5..9, ..6]);
    let parts: [ArrayViewD<f32>; 4] = [
        filled.into_dyn(),
        cache.slice(s![.., .., 3..;2, 1..7]).into_dyn(),
        cache.slice(s![0, 1, .., 2..]).into_dyn(),
        head.broadcast((1, 2, 4, 6)).unwrap().into_dyn(),
    ];
    for part in parts {
        let dense = part.as_standard_layout();
        let expected = Call::new().compute(query, TensorRef::try_from(dense.view()).unwrap());
        let found = TensorRef::part_of(cache.view(), part.view()).unwrap();
        assert_eq!(Call::new().compute(query, found), expected, "{:?}", part.shape());
        assert!(expected.is_ok() && TensorRef::try_from(part).is_err());
    }
}

#[test]
fn what_broadcast_repeats_is_read_in_place() {
    let row = Array::from_iter((0..6).map(|i| i as f32 - 2.0));
    let repeated = row.broadcast((2, 3, 4, 6)).unwrap();
    let view = TensorRef::try_from(repeated.view()).unwrap();
    assert_eq!((view.shape(), view.strides()), ([2, 3, 4, 6], [0, 0, 0, 1]));
    let dense = repeated.as_standard_layout();
    let dense = TensorRef::try_from(dense.view()).unwrap();
    assert_eq!(Call::new().compute(view, view), Call::new().compute(dense, dense));
    let one = Array::<f32, _>::from_elem((1, 1), 0.5);
    let view = TensorRef::try_from(one.broadcast((5, 6)).unwrap()).unwrap();
    assert_eq!(Call::new().compute(view, view), Ok(vec![0.2; 25]));
}

/// Reversing one entry, or none, leaves everything where it is.
#[test]
fn empty_and_single_axes_convert() {
    let array = Array::<f32, _>::from_elem((1, 6), 0.5);
    let expected = Call::new().compute(view(&array), view(&array)).unwrap();
    let reversed = TensorRef::try_from(array.slice(s![..;-1, ..])).unwrap();
    assert_eq!(Call::new().compute(reversed, reversed), Ok(expected));
    let wide = Array::<f32, _>::from_elem((4, 6), 0.5);
    for part in [wide.slice(s![..;-1, ..0]), wide.slice(s![2..2, ..;-1])] {
        let key = TensorRef::try_from(part).unwrap();
        let rows = part.shape()[0];
        let found = Call::new().compute(key, key);
        assert_eq!(found, Ok(vec![0.25; rows * rows]));
        TensorRef::part_of(wide.view(), part).unwrap();
    }
    // Weights of no keys.
    let mut weights = wide.clone();
    let empty = TensorMut::try_from(weights.slice_mut(s![..;-1, ..0])).unwrap();
    let key = Array::<f32, _>::zeros((0, 6));
    let memory = &mut Workspace::new();
    Call::new().compute_into(view(&wide), view(&key), empty, memory).unwrap();
}

fn view(array: &Array2<f32>) -> TensorRef<'_> {
    TensorRef::try_from(array.view()).unwrap()
}

#[test]
fn masks_and_counts_convert() {
    let data = Array::<f32, _>::from_elem((3, 4), 0.5);
    let mask = Array::from_shape_fn((3, 3), |(row, key)| key <= row);
    let causal = Call::new().causal(Causal::TopLeft).compute(view(&data), view(&data));
    let masked = Call::new().mask(TensorRef::try_from(mask.view()).unwrap());
    assert_eq!(masked.compute(view(&data), view(&data)), causal);
    let (mut keys, mut mass) = (Array::from_elem((3, 1), 9i64), Array::from_elem((1, 3), 0f64));
    let outputs = Outputs::new()
        .max_weight_key(TensorMut::try_from(keys.view_mut()).unwrap())
        .key_mass(TensorMut::try_from(mass.view_mut()).unwrap());
    let attention = masked.into_attention();
    attention.run(view(&data), view(&data), outputs, &mut Workspace::new()).unwrap();
    assert_eq!(keys, Array::zeros((3, 1)));
    assert!((mass.sum() - 3.0).abs() < 1e-6, "{mass}");
}

#[cfg(feature = "half")]
#[test]
fn narrow_arrays_convert() {
    use half::{bf16, f16};
    let wide = Array::from_shape_fn((5, 8), |(row, dim)| (row * dim % 5) as f32 - 2.0);
    let expected = Call::new().compute(view(&wide), view(&wide));
    let (f16s, bf16s) = (wide.mapv(f16::from_f32), wide.mapv(bf16::from_f32));
    let query = TensorRef::try_from(f16s.view()).unwrap();
    let key = TensorRef::try_from(bf16s.view()).unwrap();
    assert_eq!(Call::new().compute(query, key), expected);
    let mut weights = Array::from_elem((5, 5), f16::NAN);
    let output = TensorMut::try_from(weights.view_mut()).unwrap();
    Call::new().compute_into(query, key, output, &mut Workspace::new()).unwrap();
    let rounded = expected.unwrap().into_iter().map(f16::from_f32);
    assert!(weights.into_iter().eq(rounded));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let array = Array::<f32, _>::zeros((4, 6));
    let gaps = TensorRef::try_from(array.slice(s![.., ..3])).unwrap_err();
    assert!(matches!(gaps, Error::Gaps { shape: [1, 1, 4, 3], .. }), "{gaps}");
    let gaps = TensorRef::part_of(array.slice(s![.., ..3]), array.view()).unwrap_err();
    assert!(matches!(gaps, Error::Gaps { shape: [1, 1, 4, 3], .. }), "{gaps}");
    let (top, bottom) = array.view().split_at(Axis(0), 2);
    for (array, part) in [(top, bottom), (bottom, top)] {
        let elsewhere = TensorRef::part_of(array, part).unwrap_err();
        assert!(matches!(elsewhere, Error::NotAPart { shape: [1, 1, 2, 6], .. }), "{elsewhere}");
    }
    let axes = TensorRef::try_from(array.slice(s![0, ..])).unwrap_err();
    assert!(matches!(axes, Error::Axes { found: 1 }), "{axes}");
    let reversed = TensorRef::try_from(array.slice(s![..;-1, ..])).unwrap();
    let view = TensorRef::try_from(array.view()).unwrap();
    let error = Call::new().compute(reversed, view).unwrap_err();
    assert!(matches!(error, Error::NegativeStride { argument: "query", .. }), "{error}");
}
