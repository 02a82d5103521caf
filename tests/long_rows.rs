//! Rows of a million keys: their error, their bits and the memory that they take.

mod common;

use common::bounds::{self, assert_rows_sum_to_one, assert_within};
use common::call::Call;
use common::{Extents, Problem, assert_same_bits, fast_isas, isas, pool, scaled_down, serial};
use softdot::{Keys, PackedKeys, TensorMut, TensorRef, Workspace};

const HEAD_DIM: usize = 8;

/// Even a short run has enough keys for the pool.
fn problem(rows: usize) -> Problem {
    let keys = scaled_down(1_000_000, 150_000);
    let mut problem = Problem::random(Extents::single(rows, keys, HEAD_DIM), rows as u64);
    // Scores up to ±8 or so: weights of all sizes, none of which vanishes.
    problem.query.iter_mut().for_each(|element| *element *= 4.0);
    problem
}

/// The weights, into a workspace of exactly the announced size.
fn weights(problem: &Problem, attention: &Call) -> Vec<f32> {
    let mut output = vec![f32::NAN; problem.extents.output_shape().iter().product()];
    let mut workspace = Workspace::new();
    let view = TensorMut::new(&mut output[..], problem.extents.output_shape());
    let (query, key) = (problem.query_view(), problem.key_view());
    attention.compute_into(query, key, view, &mut workspace).expect("valid");
    let plan = attention.plan(query, key).expect("a plan");
    // What is announced, and up to a cache line to begin on one.
    assert!(workspace.bytes() <= plan.workspace_bytes + 64, "{plan}: {}", workspace.bytes());
    output
}

/// On the widest instruction set every weight is within the derived bound, and rows sum to 1.
#[test]
fn weights_are_within_their_bounds() {
    for rows in [1, 9] {
        let problem = problem(rows);
        let keys = problem.extents.keys;
        let found = weights(&problem, &serial(fast_isas()[0]));
        assert_rows_sum_to_one(&found, keys, format_args!("{rows} rows"));
        let queries = problem.query.chunks(HEAD_DIM);
        for (row, (query, found)) in queries.zip(found.chunks(keys)).enumerate() {
            let scale = common::default_scale(HEAD_DIM);
            let scores = bounds::Scores::new(query, &problem.key, HEAD_DIM, scale);
            let expected = bounds::Weights::new(&scores.exact, &scores.error);
            let what = format!("row {row} of {rows}");
            assert_within(&expected.exact, &expected.error, found, what);
        }
    }
}

/// One row everywhere; nine where there are vectors.
#[test]
fn the_same_bits_everywhere() {
    for (rows, isas) in [(1, isas()), (9, fast_isas())] {
        let problem = problem(rows);
        let expected = weights(&problem, &serial(fast_isas()[0]));
        let packed = PackedKeys::from_view(problem.key_view()).expect("valid keys");
        for isa in isas {
            assert_same_bits(&expected, &weights(&problem, &serial(isa)), isa);
            let found = serial(isa).compute(problem.query_view(), &packed).expect("valid");
            assert_same_bits(&expected, &found, format_args!("{isa}, packed keys"));
        }
        for threads in [2, 5] {
            let found = pool(threads).install(|| {
                let attention = Call::new();
                let plan = attention.plan(problem.query_view(), problem.key_view());
                assert!(plan.expect("a plan").splits > 1);
                weights(&problem, &attention)
            });
            assert_same_bits(&expected, &found, format_args!("{threads} threads"));
        }
    }
}

/// Four megabytes for each row of a block, which is a tile of rows at most, and the keys in panels
/// where there are more rows than a tile has (docs/embedding.md).
#[test]
fn the_workspace_is_that_of_a_tile() {
    const KEYS: usize = 1_000_000;
    let data = [0.5; 1_000 * HEAD_DIM];
    // A plan reads nothing: all keys may be one.
    let key = TensorRef::with_strides(&data, [1, 1, KEYS, HEAD_DIM], [0, 0, 0, 1]);
    let kept = PackedKeys::from_view(key).expect("valid keys");
    // Between the rows and behind the segments there is a little more.
    let strip = |rows: usize| rows * KEYS * size_of::<f32>() * 105 / 100;
    let panels = KEYS * HEAD_DIM * size_of::<f32>();
    for isa in fast_isas() {
        let bytes = |rows: usize, key: Keys| {
            let query = TensorRef::new(&data[..rows * HEAD_DIM], [rows, HEAD_DIM]);
            serial(isa).plan(query, key).expect("a plan").workspace_bytes
        };
        assert!(bytes(1, key.into()) < strip(1), "{isa}");
        assert!(bytes(1, (&kept).into()) < strip(1), "{isa}");
        for rows in [9, 1_000] {
            assert!(bytes(rows, key.into()) < strip(8) + panels, "{isa}, {rows} rows");
            assert!(bytes(rows, (&kept).into()) < strip(8), "{isa}, {rows} rows");
        }
    }
}
