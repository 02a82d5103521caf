//! What looks odd but is valid: problems without results, whatever their other extents and options.

mod common;

use common::call::Call;
use common::refusals::{ABSURD, SENTINEL};
use common::{STAGES, isas, serial};
use softdot::{Causal, Error, TensorMut, TensorRef, Workspace};
use std::panic::catch_unwind;

/// Nothing to compute: no elements in the result, whatever the other extents are.
#[test]
fn empty_results_are_valid() {
    let sizes = [0, 1, 3, 1 << 40, ABSURD];
    let mut shapes = vec![([0, 0, 0, 0], [0, 0, 0, 0])];
    for size in sizes {
        for other in sizes {
            shapes.extend([
                // No batch entries, no heads, no rows, no keys.
                ([0, size, other, size], [0, size, other, size]),
                ([size, 0, other, size], [size, 0, other, size]),
                ([size, 0, other, size], [size, 1, other, size]),
                ([size, 2, 0, other], [size, 1, 3, other]),
                ([2, 2, 0, 3], [2, 1, size, 3]),
                ([size, 2, 3, other], [size, 1, 0, other]),
                ([2, 4, size, 3], [2, 2, 0, 3]),
                // No dimensions either.
                ([size, 2, other, 0], [size, 2, 0, 0]),
                ([size, 2, 0, 0], [size, 2, other, 0]),
            ]);
        }
    }
    for (query, key) in shapes {
        for stage in STAGES {
            check_empty(query, key, &Call::new().stage(stage));
        }
    }
}

/// A problem without results either succeeds with nothing, or one of its operands is itself too
/// large: never a panic, never an element.
fn check_empty(query_shape: [usize; 4], key_shape: [usize; 4], attention: &Call) {
    let query = TensorRef::with_strides(&[0.0], query_shape, [0; 4]);
    let key = TensorRef::with_strides(&[0.0], key_shape, [0; 4]);
    let what = format!("query {query_shape:?}, key {key_shape:?}, {attention:?}");
    let too_large = |shape: [usize; 4]| {
        let product = shape.iter().map(|&extent| extent as u128).fold(1, u128::saturating_mul);
        !shape.contains(&0) && product > isize::MAX as u128 / 4
    };
    let result = catch_unwind(|| attention.compute(query, key))
        .unwrap_or_else(|_| panic!("panicked: {what}"));
    match result {
        Ok(weights) => assert_eq!(weights, [], "{what}"),
        Err(Error::Overflow { argument, .. }) => {
            let shape = if argument == "query" { query_shape } else { key_shape };
            assert!(too_large(shape), "{what}: {argument} is not too large");
        }
        Err(error) => panic!("{what}: {error}"),
    }
    // A plan can be asked for too; it may fail, not panic.
    let plan = catch_unwind(|| attention.plan(query, key).map(|plan| plan.to_string()));
    assert!(plan.is_ok(), "the plan panicked: {what}");
}

/// Options of problems without elements in the result: nothing to do, nothing to fail.
#[test]
fn options_of_empty_results() {
    let (bias, mask): ([f32; 0], [bool; 0]) = ([], []);
    for (rows, keys, heads) in [(0, 4, 2), (2, 0, 2), (2, 4, 0)] {
        let shape = [1, heads, rows, keys];
        let numbers = vec![0.5; heads];
        let query = TensorRef::with_strides(&[0.5], [1, heads, rows, 3], [0; 4]);
        let key = TensorRef::with_strides(&[0.5], [1, heads, keys, 3], [0; 4]);
        for stage in STAGES {
            let attention = Call::new()
                .stage(stage)
                .softcap(2.0)
                .bias(TensorRef::new(&bias, shape))
                .mask(TensorRef::new(&mask, shape))
                .alibi_slopes(&numbers)
                .sinks(&numbers)
                .key_lengths(&[0])
                .causal(Causal::Offset(isize::MIN))
                .window(usize::MAX, usize::MAX);
            assert_eq!(attention.compute(query, key), Ok(vec![]), "{shape:?}");
            attention.plan(query, key).expect("a plan");
        }
    }
}

/// No key: rows without elements. No row, no head: no rows. The same on every instruction set,
/// in the caller's memory, which stays as it was.
#[test]
fn empty_results_touch_nothing() {
    let data = [0.5; 24];
    for isa in isas() {
        for (query, key, output) in [
            ([1, 2, 2, 3], [1, 1, 0, 3], [1, 2, 2, 0]),
            ([1, 2, 0, 3], [1, 1, 4, 3], [1, 2, 0, 4]),
            ([0, 2, 2, 3], [0, 1, 4, 3], [0, 2, 2, 4]),
            ([1, 0, 2, 3], [1, 0, 4, 3], [1, 0, 2, 4]),
            ([1, 0, 2, 3], [1, 2, 4, 3], [1, 0, 2, 4]),
        ] {
            let mut found = [SENTINEL; 8];
            let view = TensorMut::new(&mut found[..], output);
            let (query, key) = (TensorRef::new(&data, query), TensorRef::new(&data, key));
            serial(isa).compute_into(query, key, view, &mut Workspace::new()).expect("valid");
            assert_eq!(found, [SENTINEL; 8]);
        }
    }
}
