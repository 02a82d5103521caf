//! `PackedKeys` gives the bits that the same keys give as a view, however they came in.

mod common;

use common::{Extents, Problem, assert_same_bits, isas, random, serial};
use softdot::{Attention, Error, Isa, Outputs, PackedKeys, TensorMut, TensorRef, Workspace};

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

/// Without batch entries, heads or dimensions there are no elements, but keys are counted.
#[test]
fn more_keys_than_can_be_counted() {
    for (batch, heads, head_dim) in [(0, 1, 4), (1, 0, 4), (1, 2, 0)] {
        let mut packed = PackedKeys::new(batch, heads, head_dim);
        let keys = |count| TensorRef::new(&[0.0f32; 0][..], [batch, heads, count, head_dim]);
        packed.append(keys(usize::MAX - 1)).unwrap();
        let error = packed.append(keys(2)).unwrap_err();
        assert!(
            matches!(error, Error::OutOfRange { argument: "key", limit: 1, found: 2, .. }),
            "{error}"
        );
        assert_eq!(packed.len(), usize::MAX - 1);
        packed.append(keys(1)).unwrap();
        packed.append(keys(usize::MAX)).unwrap_err();
        assert_eq!(packed.shape(), [batch, heads, usize::MAX, head_dim]);
        packed.unpack(&mut []).unwrap();
        assert_eq!(packed.prefix(usize::MAX, usize::MAX).unwrap().len(), usize::MAX);
    }
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

/// A copy of some keys has their bits, room for more, and memory for these alone.
#[test]
fn a_prefix_is_independent() {
    let problem = Problem::random(Extents::single(3, 40, 9).with_heads([2, 4, 2]), 4);
    let packed = PackedKeys::from_view(problem.key_view()).unwrap();
    for (keys, additional, capacity) in [(0, 0, 0), (5, 0, 16), (17, 20, 48), (90, 1, 48)] {
        let mut prefix = packed.prefix(keys, additional).unwrap();
        let first = keys.min(40);
        assert_eq!((prefix.shape(), prefix.capacity()), ([2, 2, first, 9], capacity));
        prefix.append(keys_from(&problem, first, 40 - first)).unwrap();
        let found = serial(isas()[0]).compute(problem.query_view(), &prefix).unwrap();
        assert_same_bits(&problem.compute(&serial(isas()[0])), &found, keys);
    }
    assert_eq!(packed.shape(), [2, 2, 40, 9]);
    assert!(matches!(packed.prefix(1, usize::MAX), Err(Error::Overflow { .. })));
}

#[test]
fn keys_are_unpacked_as_they_came() {
    for (keys, head_dim) in [(40, 9), (16, 1), (0, 9), (7, 0)] {
        let problem = Problem::random(Extents::single(1, keys, head_dim).with_heads([3, 2, 2]), 5);
        let packed = PackedKeys::from_view(problem.key_view()).unwrap();
        let mut rows = vec![f32::NAN; 3 * 2 * keys * head_dim];
        packed.unpack(&mut rows).unwrap();
        assert_same_bits(&problem.key, &rows, keys);
        rows.push(7.0);
        assert!(matches!(packed.unpack(&mut rows), Err(Error::Length { argument: "rows", .. })));
    }
}

/// The keys of a prompt that all beams read.
#[test]
fn keys_and_values_of_one_entry_serve_all_entries_of_the_query() {
    let (batch, heads, kv_heads, rows, head_dim, v_dim) = (3, 4, 2, 3, 12, 5);
    for keys in [0, 1, 20, 1100] {
        let query = random(batch * heads * rows * head_dim, 1);
        let query = TensorRef::new(&query[..], [batch, heads, rows, head_dim]);
        let key = random(kv_heads * keys * head_dim, 2);
        let value = random(kv_heads * keys * v_dim, 3);
        let one_key = TensorRef::new(&key[..], [1, kv_heads, keys, head_dim]);
        let one_value = TensorRef::new(&value[..], [1, kv_heads, keys, v_dim]);
        let repeated = |data, columns| {
            let strides = [0, keys * columns, columns, 1].map(|stride| stride as isize);
            TensorRef::with_strides(data, [batch, kv_heads, keys, columns], strides)
        };
        let (every_key, every_value) = (repeated(&key[..], head_dim), repeated(&value[..], v_dim));
        let packed = PackedKeys::from_view(one_key).unwrap();
        for isa in isas() {
            let attention = Attention::new().isa(isa);
            let expected = attention.output(query, every_key, every_value).unwrap();
            let what = format!("{isa}, {keys} keys");
            let found = attention.output(query, one_key, one_value).unwrap();
            assert_same_bits(&expected, &found, &what);
            let found = attention.output(query, &packed, one_value).unwrap();
            assert_same_bits(&expected, &found, &what);
            let expected = attention.weights(query, every_key).unwrap();
            let mut found = vec![0.0; expected.len()];
            let all_heads = [0, 1, 2, 3];
            let view = TensorMut::new(&mut found[..], [batch, heads, rows, keys]);
            let outputs = Outputs::new().weights_of_heads(&all_heads, view);
            attention.run(query, &packed, outputs, &mut Workspace::new()).unwrap();
            assert_same_bits(&expected, &found, &what);
        }
    }
}
