//! Every instruction set, real and emulated, gives the same bits on every shape and layout, and
//! these are within the derived bound of the f64 definition.
//!
//! The expected bits come from a transcription of the contract in plain Rust; `Isa::Scalar` is
//! one more instruction set that has to agree with it.

mod common;

use common::call::{Call, ENDS, Stage};
use common::strided::Layout;
use common::{Extents, Problem, bounds, transcription};
use common::{assert_same_bits, default_scale, isas, scaled_down, serial, thinned};
use softdot::{Isa, TensorRef, Threads, Workspace};

/// `[batch, q_heads, kv_heads]`: groups of 1, 2 and 4.
const HEADS: [[usize; 3]; 6] = [[1, 1, 1], [1, 2, 1], [2, 2, 2], [1, 4, 1], [2, 4, 2], [3, 3, 3]];

/// Around tile rows (2, 6, 8), the virtual lanes and the rows of a block (48).
const ROWS: [usize; 18] = [0, 1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 47, 48, 49];

/// Around registers (4, 8, 16), panels (16, 32) and segments (1024).
const KEYS: [usize; 26] = [
    0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 1023, 1024, 1025, 2047,
    2048, 2049,
];

/// Around transposed blocks (4), runs of query dimensions (8) and common head sizes.
const HEAD_DIMS: [usize; 19] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 63, 64, 65];

/// Multiply-adds beyond which a case keeps to one head: the slow instruction sets take a few
/// nanoseconds for each.
const MOST_WORK: usize = 1 << 21;

fn cross(rows: &[usize], keys: &[usize], head_dims: &[usize]) -> Vec<Extents> {
    let mut cases = Vec::new();
    for &rows in rows {
        for &keys in keys {
            for &head_dim in head_dims {
                cases.push(Extents::single(rows, keys, head_dim));
            }
        }
    }
    cases
}

/// Every pair of rows and keys, every pair of rows and head_dim, every pair of keys and head_dim
/// that a Latin square gives: head_dim moves on with each row and each key.
fn pairwise() -> Vec<Extents> {
    let mut cases = Vec::new();
    for (i, &rows) in ROWS.iter().enumerate() {
        for (j, &keys) in KEYS.iter().enumerate() {
            let head_dim = HEAD_DIMS[(i + j) % HEAD_DIMS.len()];
            cases.push(Extents::single(rows, keys, head_dim));
        }
    }
    cases
}

/// The same cases with head counts taken in turn.
fn over_heads(cases: Vec<Extents>) -> Vec<Extents> {
    let heads = HEADS.into_iter().cycle();
    cases
        .into_iter()
        .zip(heads)
        .map(|(extents, heads)| {
            let grouped = extents.with_heads(heads);
            if grouped.work() <= MOST_WORK { grouped } else { extents }
        })
        .collect()
}

/// One case on every instruction set, against the transcription on a dense copy.
fn check(extents: Extents, layout: Layout, stage: Stage) {
    let query = layout.query(extents.query_shape()).random(1);
    let key = layout.key(extents.key_shape()).random(2);
    let dense = Problem { extents, query: query.dense(), key: key.dense() };
    let expected = transcription::attention(&dense, stage, None);
    let mut workspace = Workspace::new();
    for isa in isas() {
        let what = format!("{isa}, {stage:?}, {layout:?}, {extents:?}");
        let mut output = layout.output(extents.output_shape());
        serial(isa)
            .stage(stage)
            .compute_into(query.view(), key.view(), output.view_mut(), &mut workspace)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_same_bits(&expected, &output.dense(), &what);
        output.assert_gaps_untouched(&what);
    }
}

fn check_all(cases: Vec<Extents>) {
    let layouts = Layout::ALL.into_iter().cycle();
    for (extents, layout) in cases.into_iter().zip(layouts) {
        for stage in ENDS {
            check(extents, layout, stage);
        }
    }
}

#[test]
fn small_shapes_in_every_combination() {
    let rows = [0, 1, 2, 6, 7, 8, 9];
    let keys = [0, 1, 4, 15, 16, 17, 32, 33];
    // Nine of them, and seven rows: the layouts, eight, and the heads, six, drift against both.
    let head_dims = [0, 1, 2, 3, 4, 5, 8, 9, 12];
    check_all(thinned(over_heads(cross(&rows, &keys, &head_dims)), 11));
}

#[test]
fn shapes_that_straddle_every_boundary() {
    check_all(thinned(over_heads(pairwise()), 23));
}

#[test]
fn every_layout_with_every_grouping() {
    let shapes = [Extents::single(7, 37, 5), Extents::single(3, 1030, 8)];
    for layout in Layout::ALL {
        for heads in thinned(HEADS.to_vec(), 5) {
            for shape in shapes {
                for stage in ENDS {
                    check(shape.with_heads(heads), layout, stage);
                }
            }
        }
    }
}

/// Above the size where the pool is used: many rows, few rows and many segments, many heads,
/// fewer rows than threads, and everything odd.
#[test]
fn any_number_of_threads() {
    let quick = scaled_down(1, 0) == 0;
    let cases = [
        Extents::single(200, 333, 33),
        Extents::single(1, 5000, 211),
        Extents::single(2, 6 * 1024, 90).with_heads([1, 2, 2]),
        Extents::single(3, 1025, 65).with_heads([1, 6, 3]),
        Extents::single(17, 129, 16).with_heads([2, 16, 4]),
    ];
    for extents in cases {
        assert!(extents.work() >= 1 << 20, "{extents:?} would not use the pool");
        let problem = Problem::random(extents, 3);
        for stage in ENDS {
            let expected = transcription::attention(&problem, stage, None);
            for threads in if quick { vec![3] } else { vec![1, 2, 3, 7] } {
                let pool = common::pool(threads);
                for isa in isas() {
                    let attention = Call::new().isa(isa).threads(Threads::Pool).stage(stage);
                    let found = pool.install(|| problem.compute(&attention));
                    let what = format!("{isa}, {stage:?}, {threads} threads, {extents:?}");
                    assert_same_bits(&expected, &found, what);
                }
            }
        }
    }
}

/// `permute` and explicit strides are two ways to say the same.
#[test]
fn permuted_views() {
    let extents = Extents::single(9, 35, 12).with_heads([2, 4, 2]);
    let problem = Problem::random(extents, 4);
    let (batch, rows, keys) = (extents.batch, extents.rows, extents.keys);
    let query = TensorRef::new(&problem.query, [batch, rows, 4, 12]).permute([0, 2, 1, 3]);
    let key = TensorRef::new(&problem.key, [12, keys, 2, batch]).permute([3, 2, 1, 0]);
    assert_eq!((query.shape(), key.shape()), (extents.query_shape(), extents.key_shape()));
    let copy = |view: TensorRef<'_>, data: &[f32]| {
        let mut dense = Vec::new();
        let [s0, s1, s2, s3] = view.strides().map(isize::unsigned_abs);
        let [n0, n1, n2, n3] = view.shape();
        for (i, j) in (0..n0).flat_map(|i| (0..n1).map(move |j| (i, j))) {
            for (k, l) in (0..n2).flat_map(|k| (0..n3).map(move |l| (k, l))) {
                dense.push(data[i * s0 + j * s1 + k * s2 + l * s3]);
            }
        }
        dense
    };
    let dense =
        Problem { extents, query: copy(query, &problem.query), key: copy(key, &problem.key) };
    for isa in isas() {
        let found = serial(isa).compute(query, key).expect("valid views");
        assert_same_bits(&dense.compute(&serial(isa)), &found, isa);
    }
}

/// The widest instruction set alone: the tests above tie the others to it.
fn check_bounds(problem: &Problem, scale: f32) {
    let Extents { keys, head_dim, .. } = problem.extents;
    let what = format!("scale {scale}, {:?}", problem.extents);
    let attention = Call::new().scale(scale);
    let scores = problem.compute(&attention.clone().stage(Stage::Scores));
    let weights = problem.compute(&attention);
    bounds::assert_rows_sum_to_one(&weights, keys, &what);
    let rows_of = |values: &[f32]| values.chunks(keys).map(<[f32]>::to_vec).collect::<Vec<_>>();
    let mut rows = rows_of(&scores).into_iter().zip(rows_of(&weights));
    for head in problem.heads() {
        let exact = bounds::Scores::new(head.query, head.key, head_dim, scale);
        let exact_rows = exact.exact.chunks(keys).zip(exact.error.chunks(keys));
        for ((exact, error), (scores, weights)) in exact_rows.zip(&mut rows) {
            bounds::assert_within(exact, error, &scores, format_args!("scores, {what}"));
            let exact = bounds::Weights::new(exact, error);
            bounds::assert_within(
                &exact.exact,
                &exact.error,
                &weights,
                format_args!("weights, {what}"),
            );
        }
    }
    assert!(rows.next().is_none(), "{what}: rows left over");
}

#[test]
fn results_are_within_the_derived_bounds() {
    let cases = pairwise().into_iter().filter(|e| e.rows * e.keys * e.head_dim > 0).collect();
    for (i, extents) in thinned(over_heads(cases), 17).into_iter().enumerate() {
        let problem = Problem::random(extents, i as u64);
        let scale = default_scale(extents.head_dim);
        // From the usual range to weights that reach down to nothing, and the wrong way round.
        for scale in [scale, -3.0 * scale, 40.0, 700.0] {
            check_bounds(&problem, scale);
        }
    }
}

/// Long rows: many segments with the largest score first, last or in the middle.
#[test]
fn long_rows_are_within_the_derived_bounds() {
    let keys = scaled_down(40_000, 5_000);
    for trend in [-20.0f32, 0.0, 20.0] {
        let mut problem = Problem::random(Extents::single(3, keys, 2), 5);
        for (j, key) in problem.key.chunks_mut(2).enumerate() {
            key[1] = 1.0 + trend * (j as f32 / keys as f32);
        }
        for query in problem.query.chunks_mut(2) {
            query[1] = query[1].abs();
        }
        check_bounds(&problem, 1.0);
    }
}

/// Without dimensions every score is 0 and every weight 1/keys, the quotient rounded once.
#[test]
fn no_dimensions() {
    for keys in [1, 2, 3, 16, 17, 1000, 1024, 1025, 3000] {
        let problem = Problem::random(Extents::single(3, keys, 0), 6);
        let weights = vec![1.0 / keys as f32; 3 * keys];
        for isa in isas() {
            assert_same_bits(
                &weights,
                &problem.compute(&serial(isa)),
                format_args!("{isa} {keys}"),
            );
            let scores = problem.compute(&serial(isa).stage(Stage::Scores));
            assert_same_bits(&vec![0.0; 3 * keys], &scores, format_args!("{isa} {keys}"));
        }
    }
}

/// A result larger than the caches is written by non-temporal stores: these and ordinary ones have to
/// meet at rows of every alignment.
#[test]
fn results_larger_than_the_caches() {
    let keys = 4099;
    // Not more than 64 MiB, however large the caches are.
    let elements = softdot::Caches::detect().l3.min(64 << 20) / size_of::<f32>();
    let rows = scaled_down(elements / keys + 2, 50);
    let problem = Problem::random(Extents::single(rows, keys, 1), 7);
    let plan = Call::new().plan(problem.query_view(), problem.key_view()).expect("a plan");
    println!("{plan}");
    let larger = rows * keys * size_of::<f32>() > softdot::Caches::detect().l3;
    assert_eq!(plan.nontemporal, larger);
    for isa in common::fast_isas() {
        for stage in ENDS {
            let attention = Call::new().isa(isa).stage(stage);
            let whole = problem.compute(&attention);
            for (row, found) in whole.chunks(keys).enumerate() {
                let extents = Extents::single(1, keys, 1);
                let query = vec![problem.query[row]];
                let alone = Problem { extents, query, key: problem.key.clone() };
                if row % 16 == 3 {
                    let what = format!("{isa}, {stage:?}, row {row}");
                    assert_same_bits(&alone.compute(&attention), found, what);
                }
            }
            assert!(whole.iter().all(|value| value.is_finite()), "{isa}");
        }
    }
}

/// The tests above would say nothing if this were not so.
#[test]
fn more_than_one_instruction_set_is_compared() {
    assert!(isas().contains(&Isa::Scalar) && isas().len() >= 4);
}
