//! `PackedKeys` gives the bits that the same keys give as a view, however they came in.

mod common;

use common::{Extents, Problem, assert_same_bits, isas, serial};
use softdot::{Error, Isa, PackedKeys, TensorRef};

/// Keys `first..first + count` of every head of a problem.
fn keys_from(problem: &Problem, first: usize, count: usize) -> TensorRef<'_> {
    let [batch, heads, keys, head_dim] = problem.extents.key_shape();
    let strides = [heads * keys * head_dim, keys * head_dim, head_dim, 1].map(|n| n as isize);
    TensorRef::with_strides(
        &problem.key[first * head_dim..],
        [batch, heads, count, head_dim],
        strides,
    )
}

#[test]
fn same_bits_as_a_view_in_any_portions() {
    let shapes = [(1, 1, 1), (1, 100, 64), (2, 33, 7), (9, 1025, 12), (5, 31, 0), (8, 16, 3)];
    for (rows, keys, head_dim) in shapes {
        let extents = Extents::single(rows, keys, head_dim).with_heads([2, 4, 2]);
        let problem = Problem::random(extents, 1);
        for portion in [1, 5, 16, 17, keys] {
            let mut packed = PackedKeys::new(2, 2, head_dim);
            for first in (0..keys).step_by(portion) {
                packed.append(keys_from(&problem, first, portion.min(keys - first))).unwrap();
            }
            assert_eq!(packed.shape(), extents.key_shape());
            for isa in isas() {
                let attention = serial(isa);
                let expected = problem.compute(&attention);
                let found = attention.compute(problem.query_view(), &packed).unwrap();
                assert_same_bits(&expected, &found, format!("{isa} {extents:?} by {portion}"));
            }
        }
    }
}

#[test]
fn what_was_truncated_leaves_no_trace() {
    let extents = Extents::single(3, 40, 9);
    let problem = Problem::random(extents, 2);
    let poison = [f32::NAN; 40 * 9];
    let mut packed = PackedKeys::from_view(keys_from(&problem, 0, 21)).unwrap();
    packed.append(TensorRef::new(&poison[..], [40, 9])).unwrap();
    packed.truncate(21);
    let [batch, heads, ..] = extents.key_shape();
    let first_keys = keys_from(&problem, 0, 21);
    for isa in isas() {
        let attention = serial(isa);
        let expected = attention.compute(problem.query_view(), first_keys).unwrap();
        let found = attention.compute(problem.query_view(), &packed).unwrap();
        assert_same_bits(&expected, &found, isa);
    }
    packed.append(keys_from(&problem, 21, 19)).unwrap();
    assert_eq!(packed.shape(), [batch, heads, 40, 9]);
    let expected = problem.compute(&serial(isas()[0]));
    let found = serial(isas()[0]).compute(problem.query_view(), &packed).unwrap();
    assert_same_bits(&expected, &found, "appended again");
}

#[test]
fn capacity_doubles_so_keys_move_once_on_average() {
    let mut packed = PackedKeys::new(1, 1, 4);
    let key = [1.0f32; 4];
    let mut moves = 0;
    for _ in 0..1000 {
        let before = packed.capacity();
        packed.append(TensorRef::new(&key[..], [1, 4])).unwrap();
        moves += usize::from(packed.capacity() != before);
    }
    assert_eq!(packed.len(), 1000);
    assert!(moves <= 7, "{moves} moves from 16 to 1,024 keys");
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let data = [0.5f32; 2 * 3 * 4];
    let mut packed = PackedKeys::from_view(TensorRef::new(&data[..], [2, 3, 4])).unwrap();
    for wrong in [[1, 6, 4], [2, 4, 3], [3, 2, 4]] {
        let error = packed.append(TensorRef::new(&data[..], wrong)).unwrap_err();
        assert!(matches!(error, Error::Extent { argument: "key", .. }), "{error}");
    }
    let short = TensorRef::new(&data[..23], [2, 3, 4]);
    assert!(matches!(packed.append(short).unwrap_err(), Error::OutOfBounds { .. }));
    assert!(matches!(packed.reserve(usize::MAX).unwrap_err(), Error::Overflow { .. }));
    assert_eq!((packed.shape(), packed.is_empty()), ([1, 2, 3, 4], false));
}

/// A forced instruction set packs, with the same bits; one that the CPU lacks is refused and changes
/// nothing.
#[test]
fn packing_on_a_forced_instruction_set() {
    let problem = Problem::random(Extents::single(2, 37, 11), 3);
    for isa in isas() {
        let mut packed = PackedKeys::new(1, 1, 11).isa(isa);
        packed.append(problem.key_view()).expect("available");
        let found = serial(isa).compute(problem.query_view(), &packed).expect("valid");
        assert_same_bits(&problem.compute(&serial(isa)), &found, isa);
    }
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        let mut packed = PackedKeys::new(1, 1, 11).isa(isa);
        assert_eq!(packed.append(problem.key_view()), Err(Error::IsaUnavailable { isa }));
        assert_eq!((packed.len(), packed.capacity()), (0, 0));
    }
}
