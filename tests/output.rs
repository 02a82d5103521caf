//! The output with V, log-sum-exp and row results: the bits of the transcription for every shape,
//! option, element type, stride, kind of keys, number of threads and split of the rows, alone or
//! together.

mod common;

use common::call::Stage;
use common::elements::Type;
use common::options::{Kind, Options};
use common::strided::{Layout, Strided};
use common::transcription::{self, RowResults};
use common::{
    Extents, Problem, Random, assert_same_bits, isas, pool, random, scaled_down, thinned,
};
use proptest::prelude::*;
use softdot::{
    Attention, Causal, Error, Isa, KeysValues, Logits, Outputs, PackedKeys, TensorMut, TensorRef,
    Threads, View, Workspace,
};

/// What a call is compared with.
struct Expected {
    rows: Vec<RowResults>,
}

impl Expected {
    fn new(problem: &Problem, options: &Options, value: &[f32], v_dim: usize) -> Self {
        Expected { rows: transcription::results(problem, options, value, v_dim) }
    }

    fn output(&self) -> Vec<f32> {
        self.rows.iter().flat_map(|row| row.output.iter().copied()).collect()
    }

    fn lse(&self) -> Vec<f32> {
        self.rows.iter().map(|row| row.lse).collect()
    }

    fn weights(&self) -> Vec<f32> {
        self.rows.iter().flat_map(|row| row.weights.iter().copied()).collect()
    }
}

/// The results of one call.
#[derive(Default)]
struct Found {
    output: Vec<f32>,
    lse: Vec<f32>,
    weights: Vec<f32>,
}

/// Asks for the output, and for the others if they are wanted.
fn call<'k>(
    attention: &Attention,
    query: View<'k>,
    keys: impl Into<KeysValues<'k>>,
    (extents, v_dim): (&Extents, usize),
    with_others: bool,
) -> Found {
    let Extents { batch, q_heads, rows, .. } = *extents;
    let count: usize = extents.output_shape().iter().product();
    let mut found = Found {
        output: vec![f32::NAN; batch * q_heads * rows * v_dim],
        lse: vec![f32::NAN; if with_others { batch * q_heads * rows } else { 0 }],
        weights: vec![f32::NAN; if with_others { count } else { 0 }],
    };
    let shape = [batch, q_heads, rows, v_dim];
    let mut outputs = Outputs::new().output(TensorMut::new(&mut found.output[..], shape));
    if with_others {
        outputs = outputs
            .lse(TensorMut::new(&mut found.lse[..], [batch, q_heads, rows, 1]))
            .weights(TensorMut::new(&mut found.weights[..], extents.output_shape()));
    }
    attention.run(query, keys, outputs, &mut Workspace::new()).expect("a valid problem");
    found
}

fn serial<'a>(isa: Isa) -> Attention<'a> {
    Attention::new().isa(isa).threads(Threads::Serial)
}

fn set_options<'a>(options: &'a Options, isa: Isa) -> Attention<'a> {
    options.set_on(common::serial(isa)).into_attention()
}

fn value_shape(extents: &Extents, v_dim: usize) -> [usize; 4] {
    [extents.batch, extents.kv_heads, extents.keys, v_dim]
}

/// Random values of a problem.
fn values(extents: &Extents, v_dim: usize, seed: u64) -> Vec<f32> {
    random(value_shape(extents, v_dim).iter().product(), seed ^ 0x5eed)
}

/// One problem on every instruction set, alone and beside the other outputs, with views and packed keys.
fn check(extents: Extents, options: &Options, v_dim: usize) {
    let problem = Problem::random(extents, (extents.keys + 7 * v_dim) as u64);
    let value = values(&extents, v_dim, 1);
    let expected = Expected::new(&problem, options, &value, v_dim);
    let value = TensorRef::new(&value, value_shape(&extents, v_dim));
    let packed = PackedKeys::from_view(problem.key_view()).expect("keys");
    for isa in isas() {
        let attention = set_options(options, isa);
        let query = problem.query_view().into();
        for with_others in [false, true] {
            let sizes = (&extents, v_dim);
            let what = format!("{isa}, {extents:?}, v_dim {v_dim}, others {with_others}");
            for found in [
                call(&attention, query, (problem.key_view(), value), sizes, with_others),
                call(&attention, query, (&packed, value), sizes, with_others),
            ] {
                assert_same_bits(&expected.output(), &found.output, &what);
                if with_others {
                    assert_same_bits(&expected.lse(), &found.lse, format_args!("{what}, lse"));
                    let what = format!("{what}, weights");
                    assert_same_bits(&expected.weights(), &found.weights, what);
                }
            }
        }
    }
}

/// Around lanes, panels, tiles, passes and segments.
#[test]
fn shapes() {
    let mut cases = Vec::new();
    for v_dim in [0, 1, 7, 8, 15, 16, 17, 32, 33, 64, 65, 80, 128] {
        for (rows, keys) in [(1, 1), (2, 15), (5, 16), (6, 17), (7, 33), (9, 64), (13, 100)] {
            cases.push((Extents::single(rows, keys, 9), v_dim));
        }
    }
    for keys in [127, 128, 129, 255, 256, 257, 511, 1023, 1024, 1025] {
        cases.push((Extents::single(3, keys, 4), 17));
        cases.push((Extents::single(26, keys, 4), 33));
    }
    for (rows, keys) in [(1, 2048), (1, 2049), (2, 3000), (7, 3073), (1, 5121), (25, 2100)] {
        cases.push((Extents::single(rows, keys, 3), 5));
        cases.push((Extents::single(rows, keys, 3), 16));
    }
    cases.push((Extents::single(3, 0, 4), 5));
    cases.push((Extents::single(0, 3, 4), 5));
    cases.push((Extents::single(3, 4, 0), 5));
    cases.push((Extents::single(50, 40, 5).with_heads([2, 4, 2]), 6));
    cases.push((Extents::single(1, 40, 5).with_heads([2, 6, 2]), 32));
    cases.push((Extents::single(2, 3, 4), 1024));
    for (extents, v_dim) in thinned(cases, 5) {
        check(extents, &Options::default(), v_dim);
    }
}

/// Options of every kind, at random.
#[test]
fn options() {
    let cases = scaled_down(120, 12);
    for seed in 0..cases as u64 {
        let mut random = Random::new(seed);
        let (extents, options) = Options::random_case(
            &mut random,
            [1, 2, 5, 9, 30],
            [1, 6, 17, 40, 130, 1030, 2100],
            seed,
        );
        check(extents, &options, random.one_of([1, 8, 16, 19, 48]));
    }
}

/// Values of any element type and strides, outputs of any element type and strides.
#[test]
fn layouts() {
    let cases = scaled_down(200, 30);
    for seed in 0..cases as u64 {
        let mut random = Random::new(seed);
        let extents = Extents {
            batch: 1 + random.below(2),
            q_heads: 2,
            kv_heads: random.one_of([1, 2]),
            rows: random.one_of([1, 3, 8, 27]),
            keys: random.one_of([1, 5, 16, 37, 300, 1025]),
            head_dim: 4,
        };
        let v_dim = random.one_of([1, 4, 16, 32, 50]);
        let problem = Problem::random(extents, seed);
        let layout = Layout::ALL[random.below(Layout::ALL.len())];
        let types = Type::ALL;
        let value_type = types[random.below(types.len())];
        let strided = layout.key(value_shape(&extents, v_dim)).random(seed);
        let value = value_type.tensor(&strided);
        let dense = value.widened().dense();
        let expected = Expected::new(&problem, &Options::default(), &dense, v_dim);
        let result_type = types[random.below(types.len())];
        let Extents { batch, q_heads, rows, .. } = extents;
        let shape = [batch, q_heads, rows, v_dim];
        let output_layout = loop {
            let layout = Layout::ALL[random.below(Layout::ALL.len())];
            if !matches!(layout, Layout::SharedHeads | Layout::SharedRows) {
                break layout;
            }
        };
        for isa in isas() {
            let mut output = result_type.tensor(&output_layout.output(shape));
            let outputs = Outputs::new().output(output.view_mut());
            let keys = (problem.key_view(), value.view());
            serial(isa)
                .run(problem.query_view(), keys, outputs, &mut Workspace::new())
                .expect("valid views");
            let rounded: Vec<f32> =
                expected.output().into_iter().map(|x| result_type.round(x)).collect();
            let what =
                format!("{isa}, {layout:?} {value_type:?} to {output_layout:?} {result_type:?}");
            assert_same_bits(&rounded, &output.widened().dense(), &what);
            output.assert_gaps_untouched(&what);
        }
    }
}

/// NaN, infinities and garbage in the values of excluded keys have no influence, also where other rows
/// of the tile attend to these keys; in values that are attended they make their own columns so.
#[test]
fn values_of_excluded_keys() {
    for (rows, keys) in [(1, 20), (7, 40), (30, 100), (5, 1100)] {
        let v_dim = 18;
        let extents = Extents { batch: 2, q_heads: 2, kv_heads: 1, rows, keys, head_dim: 3 };
        let problem = Problem::random(extents, 5);
        for kinds in [
            &[Kind::Causal][..],
            &[Kind::Window],
            &[Kind::Mask],
            &[Kind::Bias],
            &[Kind::KeyLengths],
            &[Kind::Causal, Kind::Mask, Kind::KeyLengths, Kind::Sinks],
        ] {
            let options = Options::random(&extents, kinds, (rows + keys) as u64);
            let mut value = values(&extents, v_dim, 2);
            for (i, poison) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0]
                .into_iter()
                .cycle()
                .enumerate()
            {
                let place = 7 + i * 41;
                if place >= value.len() {
                    break;
                }
                value[place] = poison;
            }
            let expected = Expected::new(&problem, &options, &value, v_dim);
            let view = TensorRef::new(&value, value_shape(&extents, v_dim));
            for isa in isas() {
                let attention = set_options(&options, isa);
                let keys_values = (problem.key_view(), view);
                let query = problem.query_view().into();
                let found = call(&attention, query, keys_values, (&extents, v_dim), true);
                let what = format!("{isa}, {rows} × {keys}, {kinds:?}");
                assert_same_bits(&expected.output(), &found.output, &what);
                assert_same_bits(&expected.lse(), &found.lse, &what);
            }
        }
    }
}

/// Nothing at all is left of these rows: an output of exactly 0, and no logarithm but the sink's.
#[test]
fn rows_with_nothing_left() {
    let extents = Extents::single(3, 5, 2);
    let problem = Problem::random(extents, 1);
    let value = [f32::NAN; 5 * 4];
    let value = TensorRef::new(&value, [5, 4]);
    let lengths = [0];
    for isa in isas() {
        for (sink, lse) in [(None, f32::NEG_INFINITY), (Some([2.0f32]), 2.0)] {
            let mut attention = serial(isa).key_lengths(&lengths);
            if let Some(sink) = &sink {
                attention = attention.sinks(sink);
            }
            let keys = (problem.key_view(), value);
            let found = call(&attention, problem.query_view().into(), keys, (&extents, 4), true);
            assert_same_bits(&[0.0; 12], &found.output, isa);
            assert!(
                found.lse.iter().all(|&x| x == lse || (x - lse).abs() < 1e-6),
                "{:?}",
                found.lse
            );
        }
        // Without keys there is memory to fill, too.
        let none = TensorRef::<f32>::new(&[], [0, 2]);
        let found = call(
            &serial(isa),
            problem.query_view().into(),
            (none, TensorRef::<f32>::new(&[], [0, 4])),
            (&Extents::single(3, 0, 2), 4),
            true,
        );
        assert_same_bits(&[0.0; 12], &found.output, isa);
        assert_same_bits(&[f32::NEG_INFINITY; 3], &found.lse, isa);
    }
}

/// The same bits for any number of threads, also where tasks share the segments of a row.
#[test]
fn any_number_of_threads() {
    for (extents, v_dim) in [
        (Extents::single(1, 9000, 64), 80),
        (Extents::single(3, 5000, 40).with_heads([1, 4, 2]), 33),
        (Extents::single(300, 300, 20).with_heads([1, 4, 4]), 32),
        (Extents::single(40, 130, 64).with_heads([1, 12, 12]), 64),
    ] {
        let problem = Problem::random(extents, 3);
        let value = values(&extents, v_dim, 3);
        let view = TensorRef::new(&value, value_shape(&extents, v_dim));
        let expected = Expected::new(&problem, &Options::default(), &value, v_dim);
        for threads in [1, 2, 7] {
            for isa in common::fast_isas() {
                for with_others in [false, true] {
                    let attention = Attention::new().isa(isa);
                    let query = problem.query_view().into();
                    let keys = (problem.key_view(), view);
                    let found = pool(threads)
                        .install(|| call(&attention, query, keys, (&extents, v_dim), with_others));
                    let what = format!("{isa}, {threads} threads, {extents:?}");
                    assert_same_bits(&expected.output(), &found.output, &what);
                    if with_others {
                        assert_same_bits(&expected.lse(), &found.lse, &what);
                        assert_same_bits(&expected.weights(), &found.weights, &what);
                    }
                }
            }
        }
    }
}

/// Prefill, chunked prefill and decoding, row by row, are the same.
#[test]
fn any_split_of_the_rows() {
    let (rows, v_dim) = (40, 24);
    let extents = Extents::single(rows, 1100, 8).with_heads([1, 2, 1]);
    let problem = Problem::random(extents, 4);
    let value = values(&extents, v_dim, 4);
    let value = TensorRef::new(&value, value_shape(&extents, v_dim));
    for isa in isas() {
        let offset = 1100 - rows as isize;
        let attention = |first: usize| serial(isa).causal(Causal::Offset(offset + first as isize));
        let keys = (problem.key_view(), value);
        let query = problem.query_view().into();
        let whole = call(&attention(0), query, keys, (&extents, v_dim), false).output;
        for chunk in [1, 3, 16, 17] {
            for first in (0..rows).step_by(chunk).take(scaled_down(40, 4)) {
                let count = chunk.min(rows - first);
                let part = Extents { rows: count, ..extents };
                let data = &problem.query[first * 8..];
                let strides = [0, rows as isize * 8, 8, 1];
                let query = TensorRef::with_strides(data, [1, 2, count, 8], strides).into();
                let found = call(&attention(first), query, keys, (&part, v_dim), false).output;
                for head in 0..2 {
                    let expected = &whole[(head * rows + first) * v_dim..][..count * v_dim];
                    let found = &found[head * count * v_dim..][..count * v_dim];
                    assert_same_bits(
                        expected,
                        found,
                        format_args!("{isa}, {count} rows from {first}"),
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(common::proptests(60, 6))]

    /// Within the rounding of a weighted mean of the definition in f64.
    #[test]
    fn close_to_the_definition(
        rows in 1usize..20, keys in 1usize..1500, head_dim in 1usize..40, v_dim in 1usize..40, seed: u64,
    ) {
        let extents = Extents::single(rows, keys, head_dim);
        let problem = Problem::random(extents, seed);
        let value = values(&extents, v_dim, seed);
        let view = TensorRef::new(&value, value_shape(&extents, v_dim));
        let options = Options::default();
        let definition = common::bounds::Definition::new(&problem, &options);
        let (weights, errors) = definition.bounds(Stage::Weights);
        let isa = common::fast_isas()[0];
        let keys_values = (problem.key_view(), view);
        let query = problem.query_view().into();
        let found = call(&serial(isa), query, keys_values, (&extents, v_dim), false).output;
        for row in 0..rows {
            for column in 0..v_dim {
                let (mut exact, mut bound) = (0.0, 0.0);
                for key in 0..keys {
                    let v = f64::from(value[key * v_dim + column]);
                    let (weight, error) = (weights[row * keys + key], errors[row * keys + key]);
                    exact += weight * v;
                    // Each weight's error, and a chain of at most 1,024 fused operations, the tree and
                    // the last step.
                    bound += (error + weight * common::bounds::gamma(keys.min(1024) + 8)) * v.abs();
                }
                let found = f64::from(found[row * v_dim + column]);
                prop_assert!((found - exact).abs() <= bound + 1e-38, "{found} for {exact} ± {bound}");
            }
        }
    }
}

/// The logarithm is close to that of the definition.
#[test]
fn lse_is_the_logarithm_of_the_sum() {
    for scores in
        [&[0.0f32][..], &[1.0, 2.0, 3.0], &[-80.0, -81.0], &[1e4, 1e4 - 3.0], &[1e-3; 700]]
    {
        let problem = Problem::of_scores(scores);
        let exact = {
            let max = f64::from(scores.iter().copied().fold(f32::MIN, f32::max));
            max + scores.iter().map(|&s| (f64::from(s) - max).exp()).sum::<f64>().ln()
        };
        for isa in isas() {
            let mut lse = [f32::NAN];
            let mut largest = [f32::NAN];
            let outputs = Outputs::new()
                .lse(TensorMut::new(&mut lse[..], [1, 1]))
                .max_logit(TensorMut::new(&mut largest[..], [1, 1]));
            let attention = serial(isa).scale(1.0);
            let keys = problem.key_view();
            attention
                .run(problem.query_view(), keys, outputs, &mut Workspace::new())
                .expect("valid");
            let error = (f64::from(lse[0]) - exact).abs();
            // Three roundings of log2 units, one of ln 2, one of the sum of two terms.
            assert!(
                error <= 6.0 * 2f64.powi(-24) * (exact.abs() + 1.0),
                "{isa}: {} for {exact}",
                lse[0]
            );
            let max = scores.iter().copied().fold(f32::MIN, f32::max);
            assert!((largest[0] - max).abs() <= 3.0 * f32::EPSILON * max.abs(), "{isa}");
        }
    }
}

/// What does not fit is refused by name, and nothing is written.
#[test]
fn refusals() {
    let data = [0.5f32; 64];
    let view = |shape: [usize; 4]| TensorRef::new(&data[..], shape);
    let (query, key) = (view([1, 2, 3, 4]), view([1, 1, 5, 4]));
    let run = |value: Option<TensorRef>, shape: [usize; 4]| {
        let mut output = [7.0; 24];
        let outputs = Outputs::new().output(TensorMut::new(&mut output[..], shape));
        let mut workspace = Workspace::new();
        let result = match value {
            Some(value) => Attention::new().run(query, (key, value), outputs, &mut workspace),
            None => Attention::new().run(query, key, outputs, &mut workspace),
        };
        assert!(result.is_ok() || output == [7.0; 24]);
        result.map_err(|error| error.to_string())
    };
    assert_eq!(run(Some(view([1, 1, 5, 4])), [1, 2, 3, 4]), Ok(()));
    let message = "value: expected values for the output, as (key, value), found keys alone";
    assert_eq!(run(None, [1, 2, 3, 4]), Err(message.into()));
    for (value, message) in [
        ([2, 1, 5, 4], "value: expected 1 batch entries (as the query, or 1), found 2"),
        ([1, 2, 5, 4], "value: expected 1 heads (as the key), found 2"),
        ([1, 1, 6, 4], "value: expected 5 rows (keys) (as the key), found 6"),
    ] {
        assert_eq!(run(Some(view(value)), [1, 2, 3, 4]), Err(message.into()));
    }
    let message = "output: expected 4 columns (v_dim) (as the value), found 3";
    assert_eq!(run(Some(view([1, 1, 5, 4])), [1, 2, 3, 3]), Err(message.into()));
    let short = TensorRef::new(&data[..19], [1, 1, 5, 4]);
    let message =
        "value: expected data of at least 20 elements for its shape and strides, found 19";
    assert_eq!(run(Some(short), [1, 2, 3, 4]), Err(message.into()));
    let overflow = TensorRef::with_strides(&data[..1], [1, 1, 5, usize::MAX], [0; 4]);
    let error = Attention::new().output(query, key, overflow).unwrap_err();
    assert!(matches!(error, Error::Overflow { argument: "value", .. }), "{error}");
}

/// Latent attention: the values are the first columns of the keys' own memory.
#[test]
fn values_in_the_memory_of_the_keys() {
    let extents = Extents::single(9, 70, 24).with_heads([1, 3, 1]);
    let problem = Problem::random(extents, 8);
    let v_dim = 16;
    let view = TensorRef::with_strides(&problem.key, [1, 1, 70, v_dim], [0, 0, 24, 1]);
    let copied = Strided::new([1, 1, 70, v_dim], [0, 0, v_dim as isize, 1], 0)
        .filled(|[_, _, key, column]| problem.key[key * 24 + column]);
    for isa in isas() {
        let query = problem.query_view().into();
        let sizes = (&extents, v_dim);
        let attention = serial(isa);
        let shared = call(&attention, query, (problem.key_view(), view), sizes, false);
        let own = call(&attention, query, (problem.key_view(), copied.view()), sizes, false);
        assert_same_bits(&own.output, &shared.output, isa);
    }
}

/// All outputs in one call are what each is alone.
#[test]
fn any_set_of_outputs_together() {
    for (rows, keys) in [(1, 40), (5, 7), (20, 1100)] {
        let v_dim = 9;
        let extents = Extents::single(rows, keys, 6).with_heads([1, 4, 2]);
        let problem = Problem::random(extents, 6);
        let value = values(&extents, v_dim, 6);
        let keys_values =
            (problem.key_view(), TensorRef::new(&value, value_shape(&extents, v_dim)));
        let options = Options::random(&extents, &[Kind::Causal, Kind::Softcap, Kind::Sinks], 3);
        for isa in isas() {
            let attention = set_options(&options, isa);
            let pairs = extents.output_shape();
            let of_rows = [1, 4, rows, 1];
            let run = |outputs: Outputs| {
                let query = problem.query_view();
                attention.run(query, keys_values, outputs, &mut Workspace::new()).expect("valid");
            };
            let memory = |elements: usize| vec![f32::NAN; elements];
            let (mut weights, mut logits) = (memory(4 * rows * keys), memory(4 * rows * keys));
            let mut output = memory(4 * rows * v_dim);
            let (mut lse, mut max) = (memory(4 * rows), memory(4 * rows));
            run(Outputs::new()
                .weights(TensorMut::new(&mut weights[..], pairs))
                .logits(Logits::Biased, TensorMut::new(&mut logits[..], pairs))
                .output(TensorMut::new(&mut output[..], [1, 4, rows, v_dim]))
                .lse(TensorMut::new(&mut lse[..], of_rows))
                .max_logit(TensorMut::new(&mut max[..], of_rows)));
            let (mut lse_alone, mut max_alone) = (memory(4 * rows), memory(4 * rows));
            run(Outputs::new().lse(TensorMut::new(&mut lse_alone[..], of_rows)));
            run(Outputs::new().max_logit(TensorMut::new(&mut max_alone[..], of_rows)));
            let (query, (key, value)) = (problem.query_view(), keys_values);
            let what = format!("{isa}, {rows} × {keys}");
            let alone = attention.weights(query, key).expect("valid");
            assert_same_bits(&alone, &weights, &what);
            let alone = attention.logits(query, key, Logits::Biased).expect("valid");
            assert_same_bits(&alone, &logits, &what);
            let alone = attention.output(query, key, value).expect("valid");
            assert_same_bits(&alone, &output, &what);
            assert_same_bits(&lse_alone, &lse, &what);
            assert_same_bits(&max_alone, &max, &what);
        }
        // Nothing is a set, too.
        let mut workspace = Workspace::new();
        let result = serial(Isa::Scalar).run(
            problem.query_view(),
            keys_values,
            Outputs::new(),
            &mut workspace,
        );
        assert_eq!(result, Ok(()));
    }
}

/// Memory that cannot be had, in a later pass: nothing is written by an earlier one.
#[test]
fn a_call_without_memory_writes_nothing() {
    // Packed keys of 2⁴⁵ dimensions are more than any address space of today.
    let data = [0.5f32; 40];
    let wide = TensorRef::with_strides(&data[..], [1, 1, 40, 1 << 45], [0, 0, 1, 0]);
    let mut logits = [7.0; 1600];
    let mut lse = [7.0; 40];
    let outputs = Outputs::new()
        .logits(Logits::Scores, TensorMut::new(&mut logits[..], [40, 40]))
        .lse(TensorMut::new(&mut lse[..], [40, 1]));
    let error = Attention::new().run(wide, wide, outputs, &mut Workspace::new()).unwrap_err();
    assert!(matches!(error, Error::Allocation { argument: "workspace", .. }), "{error}");
    assert!(logits.iter().chain(&lse).all(|&x| x == 7.0));
}
