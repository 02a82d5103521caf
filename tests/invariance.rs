//! What may not change the result, on random problems: how the rows are split into calls, what
//! else is in the batch, how many threads there are, where the data lies. And what the softmax
//! owes to mathematics, within its error.

mod common;

use common::call::{Call, ENDS, Stage};
use common::strided::Layout;
use common::{Extents, Problem, assert_same_bits, bounds, isas, proptests, scaled_down, serial};
use proptest::prelude::*;
use softdot::{Causal, Isa, PackedKeys, TensorMut, TensorRef, Threads, Workspace};

fn any_isa() -> impl Strategy<Value = Isa> {
    prop::sample::select(isas())
}

fn any_stage() -> impl Strategy<Value = Stage> {
    prop::sample::select(ENDS.to_vec())
}

prop_compose! {
    fn any_extents()(
        batch in 1usize..3,
        kv_heads in 1usize..4,
        group in prop::sample::select(vec![1usize, 2, 4]),
        rows in 1usize..20,
        keys in prop_oneof![1usize..70, 1000usize..1100, 2040usize..2060],
        head_dim in 1usize..40,
    ) -> Extents {
        Extents { batch, q_heads: kv_heads * group, kv_heads, rows, keys, head_dim }
    }
}

prop_compose! {
    fn any_problem()(extents in any_extents(), seed: u64) -> Problem {
        Problem::random(extents, seed)
    }
}

/// The heads of a problem, each computed by itself on dense slices.
fn head_by_head(problem: &Problem, attention: &Call) -> Vec<f32> {
    let Extents { rows, keys, head_dim, .. } = problem.extents;
    let compute = |head: common::Head<'_>| {
        let query = TensorRef::new(head.query, [rows, head_dim]);
        attention.compute(query, TensorRef::new(head.key, [keys, head_dim])).expect("valid")
    };
    problem.heads().into_iter().flat_map(compute).collect()
}

/// The query rows `rows` of every head, in a call of their own, into their place in `output`.
fn compute_rows(
    problem: &Problem,
    attention: &Call,
    rows: core::ops::Range<usize>,
    output: &mut [f32],
    workspace: &mut Workspace,
) {
    let extents = problem.extents;
    let Extents { batch, q_heads, keys, head_dim, .. } = extents;
    let view = problem.query_view();
    let query = TensorRef::with_strides(
        &problem.query[rows.start * head_dim..],
        [batch, q_heads, rows.len(), head_dim],
        view.strides(),
    );
    let strides = TensorRef::new(&*output, extents.output_shape()).strides();
    let output = TensorMut::with_strides(
        &mut output[rows.start * keys..],
        [batch, q_heads, rows.len(), keys],
        strides,
    );
    attention.compute_into(query, problem.key_view(), output, workspace).expect("valid");
}

proptest! {
    #![proptest_config(proptests(48, 6))]

    #[test]
    fn rows_sum_to_one(problem in any_problem(), isa in any_isa(), scale in -50f32..50.0) {
        let weights = problem.compute(&serial(isa).scale(scale));
        prop_assert!(weights.iter().all(|weight| (0.0..=1.0).contains(weight)));
        bounds::assert_rows_sum_to_one(&weights, problem.extents.keys, isa);
    }

    /// Chunked prefill, decoding, and everything between.
    #[test]
    fn splitting_the_rows_changes_no_bit(
        problem in any_problem(),
        isa in any_isa(),
        stage in any_stage(),
        chunk in 1usize..20,
    ) {
        let attention = serial(isa).stage(stage);
        let whole = problem.compute(&attention);
        let mut output = vec![f32::NAN; whole.len()];
        let mut workspace = Workspace::new();
        let rows = problem.extents.rows;
        for first in (0..rows).step_by(chunk) {
            let rows = first..rows.min(first + chunk);
            compute_rows(&problem, &attention, rows, &mut output, &mut workspace);
        }
        assert_same_bits(&whole, &output, isa);
    }

    #[test]
    fn a_batch_is_its_heads(
        problem in any_problem(),
        isa in any_isa(),
        stage in any_stage(),
    ) {
        let attention = serial(isa).stage(stage);
        let alone = head_by_head(&problem, &attention);
        assert_same_bits(&alone, &problem.compute(&attention), isa);
    }

    #[test]
    fn strides_change_no_bit(
        extents in any_extents(),
        isa in any_isa(),
        stage in any_stage(),
        layouts in prop::array::uniform3(prop::sample::select(Layout::ALL.to_vec())),
    ) {
        let query = layouts[0].query(extents.query_shape()).random(1);
        let key = layouts[1].key(extents.key_shape()).random(2);
        let mut output = layouts[2].output(extents.output_shape());
        let dense = Problem { extents, query: query.dense(), key: key.dense() };
        let attention = serial(isa).stage(stage);
        attention
            .compute_into(query.view(), key.view(), output.view_mut(), &mut Workspace::new())
            .expect("valid");
        assert_same_bits(&dense.compute(&attention), &output.dense(), isa);
        output.assert_gaps_untouched(isa);
    }

    /// The order of the keys is that of the scores, bit for bit. The weights' sums are added in
    /// another order, so each order has the error of the derived bound, and two have twice that.
    #[test]
    fn permuting_the_keys_permutes_the_result(
        seed: u64,
        isa in any_isa(),
        keys in prop_oneof![2usize..70, 1020usize..1030, 2500usize..2600],
        head_dim in 1usize..20,
    ) {
        let problem = Problem::random(Extents::single(3, keys, head_dim), seed);
        let order = shuffled(keys, seed);
        let key = order.iter().flat_map(|&j| problem.key[j * head_dim..][..head_dim].to_vec());
        let permuted = Problem { key: key.collect(), ..problem.clone() };
        let back = |result: Vec<f32>| -> Vec<f32> {
            let mut ordered = vec![f32::NAN; result.len()];
            for (row, result) in result.chunks(keys).enumerate() {
                for (&j, value) in order.iter().zip(result) {
                    ordered[row * keys + j] = *value;
                }
            }
            ordered
        };
        let scores = serial(isa).scale(1.0).stage(Stage::Scores);
        assert_same_bits(&problem.compute(&scores), &back(permuted.compute(&scores)), isa);

        let weights = serial(isa).scale(1.0);
        let (expected, found) = (problem.compute(&weights), back(permuted.compute(&weights)));
        let exact = bounds::Scores::new(&problem.query, &problem.key, head_dim, 1.0);
        let rows = expected.chunks(keys).zip(found.chunks(keys));
        // The scores themselves are the same: what is left is the softmax's own error.
        for (scores, (expected, found)) in exact.exact.chunks(keys).zip(rows) {
            let error = bounds::Weights::new(scores, &vec![0.0; keys]).error;
            let drift = exact.error.iter().copied().fold(0.0, f64::max);
            for ((&a, &b), error) in expected.iter().zip(found).zip(error) {
                let distance = (f64::from(a) - f64::from(b)).abs();
                prop_assert!(distance <= 2.0 * error * (1.0 + 4.0 * drift), "{a:e} {b:e}");
            }
        }
    }

    /// softmax(s + c) = softmax(s). The constant comes in as one more dimension in which all keys
    /// are 1 and the query is c; each side is within its own bound of the definition.
    #[test]
    fn adding_a_constant_changes_nothing_but_rounding(
        seed: u64,
        isa in any_isa(),
        keys in prop_oneof![1usize..70, 1020usize..1030],
        constant in -100f32..100.0,
    ) {
        let mut plain = Problem::random(Extents::single(1, keys, 6), seed);
        for key in plain.key.chunks_mut(6) {
            key[5] = 1.0;
        }
        plain.query[5] = 0.0;
        let mut shifted = plain.clone();
        shifted.query[5] = constant;
        let exact = |problem: &Problem| {
            let scores = bounds::Scores::new(&problem.query, &problem.key, 6, 1.0);
            bounds::Weights::new(&scores.exact, &scores.error)
        };
        let attention = serial(isa).scale(1.0);
        let (of_plain, of_shifted) = (exact(&plain), exact(&shifted));
        let errors = of_plain.error.iter().zip(&of_shifted.error);
        let results = plain.compute(&attention).into_iter().zip(shifted.compute(&attention));
        for ((a, b), (error, other_error)) in results.zip(errors) {
            let distance = (f64::from(a) - f64::from(b)).abs();
            // f64 itself adds the constant with an error of 2⁻⁵³ · 100: far below f32's.
            prop_assert!(distance <= error + other_error, "{a:e} {b:e}, constant {constant}");
        }
    }
}

/// Where there is one entry, or none at all, nothing steps along the axis: any stride will do, of
/// inputs and outputs, masks and biases.
#[test]
fn strides_of_axes_without_steps_are_free() {
    let shapes = [[1, 1, 1, 1], [1, 2, 3, 1], [2, 1, 3, 5], [1, 3, 1, 40], [0, 2, 3, 4]];
    for [batch, heads, rows, keys] in shapes {
        for head_dim in [1, 9] {
            let extents = Extents::single(rows, keys, head_dim).with_heads([batch, heads, heads]);
            let problem = Problem::random(extents, keys as u64);
            let bias = common::random(extents.output_shape().iter().product(), 3);
            let mask: Vec<bool> = bias.iter().map(|element| *element > -0.5).collect();
            for isa in isas() {
                let shape = extents.output_shape();
                let plain = serial(isa)
                    .bias(TensorRef::new(&bias[..], shape))
                    .mask(TensorRef::new(&mask[..], shape));
                let expected = problem.compute(&plain);
                for stride in [isize::MIN, -1, 7, isize::MAX] {
                    let free = |shape: [usize; 4]| {
                        let mut strides = TensorRef::<f32>::new(&[], shape).strides();
                        for (axis, extent) in shape.into_iter().enumerate() {
                            if extent == 1 || shape.contains(&0) {
                                strides[axis] = stride;
                            }
                        }
                        strides
                    };
                    let (query_shape, key_shape) = (extents.query_shape(), extents.key_shape());
                    let query =
                        TensorRef::with_strides(&problem.query, query_shape, free(query_shape));
                    let key = TensorRef::with_strides(&problem.key, key_shape, free(key_shape));
                    let attention = serial(isa)
                        .bias(TensorRef::with_strides(&bias, shape, free(shape)))
                        .mask(TensorRef::with_strides(&mask, shape, free(shape)));
                    let mut output = vec![f32::NAN; expected.len()];
                    let target = TensorMut::with_strides(&mut output[..], shape, free(shape));
                    let memory = &mut Workspace::new();
                    attention.compute_into(query, key, target, memory).expect("valid");
                    assert_same_bits(&expected, &output, format!("{isa} {extents:?} {stride}"));
                }
            }
        }
    }
}

/// A permutation of 0..length.
fn shuffled(length: usize, seed: u64) -> Vec<usize> {
    let mut random = common::Random::new(seed);
    let mut order: Vec<usize> = (0..length).collect();
    for i in (1..length).rev() {
        order.swap(i, (random.next() % (i as u64 + 1)) as usize);
    }
    order
}

/// Few rows on many threads, so that tasks share the segments of a row; many rows, so that they
/// do not; and both with more than one head. All large enough to leave the caller's thread.
#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let cases = [
        Extents::single(1, 5000, 212),
        Extents::single(2, 5000, 40).with_heads([1, 3, 3]),
        Extents::single(2, 5000, 40).with_heads([1, 3, 1]),
        Extents::single(1, 1024, 64).with_heads([2, 8, 2]),
        Extents::single(1, 1025, 64).with_heads([1, 16, 16]),
        Extents::single(333, 100, 32),
        Extents::single(100, 1500, 8),
    ];
    let pools = [1, 2, 7].map(common::pool);
    let isas = if common::emulated() { common::fast_isas() } else { isas() };
    for (i, extents) in cases.into_iter().enumerate() {
        assert!(extents.work() >= 1 << 20, "{extents:?} would not use the pool");
        let problem = Problem::random(extents, i as u64);
        for isa in isas.iter().copied() {
            for stage in ENDS {
                let attention = Call::new().isa(isa).stage(stage);
                let serial = problem.compute(&attention.clone().threads(Threads::Serial));
                for pool in &pools {
                    let found = pool.install(|| problem.compute(&attention));
                    let threads = pool.current_num_threads();
                    let what = format!("{isa}, {stage:?}, {threads} threads, {extents:?}");
                    assert_same_bits(&serial, &found, what);
                }
            }
        }
    }
}

/// One row of five segments is shared out; the plan says so. Without this the test above could
/// pass without ever splitting a row.
#[test]
fn few_rows_are_split_by_keys() {
    for extents in
        [Extents::single(1, 5000, 212), Extents::single(2, 5000, 40).with_heads([1, 3, 3])]
    {
        let problem = Problem::random(extents, 1);
        let plan = common::pool(7)
            .install(|| Call::new().plan(problem.query_view(), problem.key_view()))
            .expect("a plan");
        assert_eq!(plan.threads, 7);
        assert!(plan.keys.div_ceil(1024) == 5 && plan.splits > 1, "{plan}");
    }
}

/// Short heads are computed several at a time, of batch entries of different lengths too.
#[test]
fn short_heads_do_not_know_of_each_other() {
    let (batch, heads) = (4, 13);
    let sinks: Vec<f32> = (0..heads).map(|head| head as f32 / 4.0 - 1.0).collect();
    for isa in isas() {
        for (rows, keys, head_dim) in [(1, 1, 1), (1, 33, 8), (3, 5, 7), (6, 6, 32), (7, 17, 12)] {
            let extents = Extents { batch, q_heads: heads, kv_heads: heads, rows, keys, head_dim };
            let problem = Problem::random(extents, (rows * keys * head_dim) as u64);
            let lengths = [keys, 0, keys / 2, keys.saturating_sub(1)];
            for attention in [serial(isa), serial(isa).causal(Causal::BottomRight)] {
                let all = problem.compute(&attention.clone().key_lengths(&lengths).sinks(&sinks));
                let each = problem.heads().into_iter().enumerate().flat_map(|(index, head)| {
                    let (length, head_sink) = (lengths[index / heads], sinks[index % heads]);
                    let query = TensorRef::new(head.query, [rows, head_dim]);
                    let key = TensorRef::new(head.key, [keys, head_dim]);
                    attention
                        .clone()
                        .key_lengths(&[length])
                        .sinks(&[head_sink])
                        .compute(query, key)
                        .expect("valid")
                });
                assert_same_bits(
                    &each.collect::<Vec<_>>(),
                    &all,
                    format_args!("{isa}, {extents:?}"),
                );
            }
        }
    }
}

/// Calls with the same pool, from several threads at a time, do not disturb each other.
#[test]
fn concurrent_calls() {
    let problems: Vec<Problem> =
        (0..4).map(|seed| Problem::random(Extents::single(40, 1100, 32), seed)).collect();
    let pool = common::pool(3);
    std::thread::scope(|scope| {
        for problem in &problems {
            let pool = &pool;
            scope.spawn(move || {
                let expected = problem.compute(&Call::new().threads(Threads::Serial));
                for _ in 0..scaled_down(20, 3) {
                    let found = pool.install(|| problem.compute(&Call::new()));
                    assert_same_bits(&expected, &found, "concurrent");
                }
            });
        }
    });
}

/// A workspace remembers nothing: large calls, small ones, other stages and instruction sets.
#[test]
fn a_workspace_carries_nothing_over() {
    let mut workspace = Workspace::new();
    for (seed, (rows, keys, head_dim)) in
        [(3, 2100, 9), (50, 20, 64), (1, 1, 1), (7, 1025, 0), (20, 300, 33)].into_iter().enumerate()
    {
        let problem = Problem::random(Extents::single(rows, keys, head_dim), seed as u64);
        for isa in isas() {
            for stage in ENDS {
                let attention = serial(isa).stage(stage);
                let mut output = vec![f32::NAN; rows * keys];
                compute_rows(&problem, &attention, 0..rows, &mut output, &mut workspace);
                assert_same_bits(&problem.compute(&attention), &output, isa);
            }
        }
        assert!(workspace.bytes() > 0);
    }
}

/// Few keys without options stay in registers; with a sink that is none they do not.
#[test]
fn few_keys_have_the_bits_of_many() {
    for (keys, head_dim) in (1..=40).flat_map(|keys| [0, 1, 7, 8, 37].map(|dim| (keys, dim))) {
        for rows in [1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 49] {
            let extents = Extents::single(rows, keys, head_dim).with_heads([1, 4, 2]);
            let problem = Problem::random(extents, (rows * keys) as u64);
            let packed = PackedKeys::from_view(problem.key_view()).expect("valid");
            for isa in isas() {
                let attention = serial(isa).causal(Causal::BottomRight);
                let with_sinks = attention.clone().sinks(&[f32::NEG_INFINITY; 4]);
                let expected = problem.compute(&with_sinks);
                let what = format!("{isa} {extents:?}");
                assert_same_bits(&expected, &problem.compute(&attention), &what);
                let weights = attention.compute(problem.query_view(), &packed).expect("valid");
                assert_same_bits(&expected, &weights, format!("{what}, PackedKeys"));
            }
        }
    }
}
