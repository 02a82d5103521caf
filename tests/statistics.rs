//! Statistics of the weights: the bits of the transcription for every shape, option, kind of keys and
//! number of threads, alone or beside other outputs.

mod common;

use common::call::Stage;
use common::options::Options;
use common::transcription::{self, RowResults};
use common::{Extents, Problem, Random, assert_same_bits, isas, pool, scaled_down, thinned};
use softdot::{Attention, Error, Outputs, PackedKeys, TensorMut, TensorRef, Threads, Workspace};

/// The statistics of one call.
#[derive(Default)]
struct Found {
    max_weight: Vec<f32>,
    max_weight_key: Vec<i64>,
    entropy: Vec<f32>,
    top_weights: Vec<f32>,
    top_keys: Vec<i64>,
    /// For each query head, and for each key head.
    key_mass: Vec<f64>,
    head_mass: Vec<f64>,
    key_max: Vec<f32>,
}

/// Weights of `top_k`.
const K: usize = 5;

impl Found {
    fn new(extents: &Extents) -> Self {
        let rows = extents.batch * extents.q_heads * extents.rows;
        Found {
            max_weight: vec![7.0; rows],
            max_weight_key: vec![7; rows],
            entropy: vec![7.0; rows],
            top_weights: vec![7.0; rows * K],
            top_keys: vec![7; rows * K],
            key_mass: vec![0.5; extents.batch * extents.q_heads * extents.keys],
            head_mass: vec![0.0; extents.batch * extents.kv_heads * extents.keys],
            key_max: vec![0.0; extents.batch * extents.q_heads * extents.keys],
        }
    }

    fn outputs(&mut self, extents: &Extents) -> Outputs<'_> {
        let shape = [extents.batch, extents.q_heads, extents.rows, 1];
        Outputs::new()
            .max_weight(TensorMut::new(&mut self.max_weight[..], shape))
            .max_weight_key(TensorMut::new(&mut self.max_weight_key[..], shape))
            .entropy(TensorMut::new(&mut self.entropy[..], shape))
            .top_k(
                TensorMut::new(&mut self.top_weights[..], [shape[0], shape[1], shape[2], K]),
                TensorMut::new(&mut self.top_keys[..], [shape[0], shape[1], shape[2], K]),
            )
            .key_mass(TensorMut::new(&mut self.key_mass[..], mass_shape(extents, extents.q_heads)))
            .key_max(TensorMut::new(&mut self.key_max[..], mass_shape(extents, extents.q_heads)))
    }

    /// The sum over the query heads of each group, alone.
    fn head_mass(&mut self, extents: &Extents) -> Outputs<'_> {
        let shape = mass_shape(extents, extents.kv_heads);
        Outputs::new().key_mass(TensorMut::new(&mut self.head_mass[..], shape))
    }

    fn check_mass(&self, extents: &Extents, expected: &[RowResults], what: &str) {
        let mut mass = vec![0.5; self.key_mass.len()];
        let mut head_mass = vec![0.0; self.head_mass.len()];
        let mut max = vec![0.0f32; self.key_max.len()];
        let (keys, group) = (extents.keys, extents.q_heads / extents.kv_heads);
        for (i, row) in expected.iter().enumerate() {
            let head = i / extents.rows;
            for (key, &weight) in row.weights.iter().enumerate() {
                let place = head * keys + key;
                let rounded = (f64::from(weight) * 2f64.powi(32)).round_ties_even() / 2f64.powi(32);
                mass[place] += rounded;
                head_mass[head / group * keys + key] += rounded;
                let is_larger = weight > max[place] || weight.is_nan();
                max[place] = if is_larger { weight } else { max[place] };
            }
        }
        assert_same_f64s(&mass, &self.key_mass, &format!("{what} mass"));
        assert_same_f64s(&head_mass, &self.head_mass, &format!("{what} mass of key heads"));
        assert_same_bits(&max, &self.key_max, format_args!("{what} max"));
    }

    fn check(&self, expected: &[RowResults], what: &str) {
        let of = |field: fn(&RowResults) -> f32| expected.iter().map(field).collect::<Vec<_>>();
        assert_same_bits(
            &of(|row| row.max_weight),
            &self.max_weight,
            format_args!("{what} weight"),
        );
        assert_same_bits(&of(|row| row.entropy), &self.entropy, format_args!("{what} entropy"));
        let keys: Vec<i64> = expected.iter().map(|row| row.max_weight_key).collect();
        assert_eq!(keys, self.max_weight_key, "{what} keys");
        let (mut weights, mut keys) = (Vec::new(), Vec::new());
        for row in expected {
            let is_nan = row.weights.iter().any(|weight| weight.is_nan());
            let mut largest: Vec<usize> = (0..row.weights.len()).collect();
            largest.retain(|&key| row.weights[key] > 0.0 && !is_nan);
            largest.sort_by(|&a, &b| row.weights[b].total_cmp(&row.weights[a]));
            largest.truncate(K);
            let padding = K - largest.len();
            weights.extend(largest.iter().map(|&key| row.weights[key]));
            weights.extend(vec![if is_nan { f32::NAN } else { 0.0 }; padding]);
            keys.extend(largest.iter().map(|&key| key as i64));
            keys.extend(vec![-1; padding]);
        }
        assert_same_bits(&weights, &self.top_weights, format_args!("{what} top weights"));
        assert_eq!(keys, self.top_keys, "{what} top keys");
    }
}

fn mass_shape(extents: &Extents, heads: usize) -> [usize; 4] {
    [extents.batch, heads, 1, extents.keys]
}

fn assert_same_f64s(expected: &[f64], found: &[f64], what: &str) {
    let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    let first = expected.iter().zip(found).position(|pair| !same(pair));
    assert_eq!(first.map(|i| (i, expected[i], found[i])), None, "{what}");
}

/// One problem on every instruction set, alone and beside output and weights.
fn check(extents: Extents, options: &Options) {
    let problem = Problem::random(extents, extents.keys as u64);
    let value = common::random(extents.batch * extents.kv_heads * extents.keys * 5, 3);
    let expected = transcription::results(&problem, options, &value, 5);
    let value = TensorRef::new(&value, [extents.batch, extents.kv_heads, extents.keys, 5]);
    let packed = PackedKeys::from_view(problem.key_view()).expect("keys");
    let workspace = &mut Workspace::new();
    for isa in isas() {
        let attention = options.set_on(common::serial(isa)).into_attention();
        let query = problem.query_view();
        let what = format!("{isa}, {extents:?}");
        let mut found = Found::new(&extents);
        let outputs = found.outputs(&extents);
        attention.run(query, problem.key_view(), outputs, workspace).expect("alone");
        found.check(&expected, &what);
        let outputs = found.head_mass(&extents);
        attention.run(query, problem.key_view(), outputs, workspace).expect("mass alone");
        found.check_mass(&extents, &expected, &what);
        let mut found = Found::new(&extents);
        let outputs = found.outputs(&extents);
        attention.run(query, &packed, outputs, workspace).expect("packed");
        found.check(&expected, &what);
        let mut found = Found::new(&extents);
        let mut weights = vec![0.0; extents.output_shape().iter().product()];
        let mut output = vec![0.0; extents.batch * extents.q_heads * extents.rows * 5];
        let outputs = found
            .outputs(&extents)
            .weights(TensorMut::new(&mut weights[..], extents.output_shape()))
            .output(TensorMut::new(
                &mut output[..],
                [extents.batch, extents.q_heads, extents.rows, 5],
            ));
        attention.run(query, (problem.key_view(), value), outputs, workspace).expect("together");
        found.check(&expected, &what);
        let threaded = attention.clone().threads(Threads::Pool);
        for threads in [2, 7] {
            let mut found = Found::new(&extents);
            let outputs = found.outputs(&extents);
            pool(threads)
                .install(|| threaded.run(query, problem.key_view(), outputs, workspace))
                .expect("on a pool");
            found.check(&expected, &what);
            pool(threads)
                .install(|| {
                    let outputs = found.head_mass(&extents);
                    threaded.run(query, problem.key_view(), outputs, workspace)
                })
                .expect("on a pool");
            found.check_mass(&extents, &expected, &what);
        }
    }
}

/// Around lanes, panels, tiles and segments.
#[test]
fn shapes() {
    let mut cases = Vec::new();
    for (rows, keys) in [(1, 1), (2, 15), (5, 16), (6, 17), (7, 33), (13, 100), (3, 0), (0, 3)] {
        cases.push(Extents::single(rows, keys, 9));
    }
    for keys in [1023, 1024, 1025, 2048, 2049, 3073, 5121] {
        cases.push(Extents::single(1, keys, 3));
        cases.push(Extents::single(26, keys, 64));
    }
    cases.push(Extents::single(50, 40, 5).with_heads([2, 4, 2]));
    for extents in thinned(cases, 5) {
        check(extents, &Options::default());
    }
}

/// Options of every kind, at random.
#[test]
fn options() {
    let cases = scaled_down(80, 10);
    for seed in 0..cases as u64 {
        let mut random = Random::new(seed);
        let (extents, options) = Options::random_case(
            &mut random,
            [1, 2, 5, 9, 30],
            [1, 6, 17, 40, 130, 1030, 2100],
            seed,
        );
        check(extents, &options);
    }
}

/// Entropy, mass, log-sum-exp and output are close to the definition in f64, with every option.
#[test]
fn close_to_the_definition() {
    for seed in 0..scaled_down(60, 8) as u64 {
        let mut random = Random::new(seed);
        let (extents, options) =
            Options::random_case(&mut random, [1, 5, 20], [1, 17, 130, 1030], seed);
        let problem = Problem::random(extents, seed);
        let definition = common::bounds::Definition::new(&problem, &options);
        let (exact, (weights, errors)) =
            (definition.reference(), definition.bounds(Stage::Weights));
        let value = common::random(extents.batch * extents.kv_heads * extents.keys * 3, seed);
        let view = TensorRef::new(&value, [extents.batch, extents.kv_heads, extents.keys, 3]);
        let Extents { batch, q_heads, rows, keys, .. } = extents;
        let mut found = Found::new(&extents);
        found.key_mass.fill(0.0);
        let (mut lse, mut output) =
            (vec![7.0; batch * q_heads * rows], vec![7.0; batch * q_heads * rows * 3]);
        let outputs = found
            .outputs(&extents)
            .lse(TensorMut::new(&mut lse[..], [batch, q_heads, rows, 1]))
            .output(TensorMut::new(&mut output[..], [batch, q_heads, rows, 3]));
        let attention = options.set_on(common::serial(common::fast_isas()[0])).into_attention();
        attention
            .run(problem.query_view(), (problem.key_view(), view), outputs, &mut Workspace::new())
            .expect("a valid problem");
        let u = 2f64.powi(-24);
        let mut mass_errors = vec![0.0; batch * q_heads * keys];
        for i in 0..batch * q_heads * rows {
            let row = [i / (q_heads * rows), i / rows % q_heads, i % rows];
            let (weights, errors) = (&weights[i * keys..][..keys], &errors[i * keys..][..keys]);
            for (key, error) in errors.iter().enumerate() {
                mass_errors[i / rows * keys + key] += error + 2f64.powi(-33);
            }
            let relative = |(w, e): (&f64, &f64)| if *w > 1e-30 { e / w } else { 0.0 };
            let relative = weights.iter().zip(errors).map(relative).fold(0.0, f64::max);
            let entropy = exact.entropy(row);
            let bound =
                (relative + 82.0 * u) * (entropy + 2.0 * (keys as f64).ln() + 2.0) + 2.0 * relative;
            let difference = (f64::from(found.entropy[i]) - entropy).abs();
            assert!(difference <= bound, "{extents:?}: {difference:e} for {entropy} ± {bound:e}");
            let expected = exact.lse(row);
            let close = (f64::from(lse[i]) - expected).abs() <= 1e-5 * (1.0 + expected.abs());
            assert!(f64::from(lse[i]) == expected || close, "{} for {expected}", lse[i]);
            let expected = exact.output(row, &value, 3);
            for (&found, expected) in output[i * 3..].iter().zip(expected) {
                let bound = errors.iter().sum::<f64>() * 4.0 + 1e-4;
                assert!((f64::from(found) - expected).abs() <= bound, "{found} for {expected}");
            }
        }
        for ((&found, expected), bound) in
            found.key_mass.iter().zip(exact.key_mass()).zip(mass_errors)
        {
            assert!((found - expected).abs() <= bound, "{found} for {expected} ± {bound}");
        }
    }
}

/// Equal weights have the lowest key and ln n; one key alone has no entropy; a row with a NaN has NaN
/// and no key; without queries against keys of zeros all is equal.
#[test]
fn known_values() {
    for keys in [1usize, 3, 1024, 1025, 3000] {
        let query = [1.0f32, f32::NAN];
        let key = vec![0.5f32; keys];
        let extents = Extents { batch: 1, q_heads: 1, kv_heads: 1, rows: 2, keys, head_dim: 1 };
        for isa in isas() {
            let mut found = Found::new(&extents);
            let outputs = found.outputs(&extents);
            Attention::new()
                .isa(isa)
                .run(
                    TensorRef::new(&query[..], [2, 1]),
                    TensorRef::new(&key[..], [keys, 1]),
                    outputs,
                    &mut Workspace::new(),
                )
                .expect("a valid problem");
            assert_eq!(found.max_weight_key, [0, -1], "{isa}, {keys} keys");
            assert!((found.max_weight[0] - 1.0 / keys as f32).abs() < 1e-6);
            assert!((found.entropy[0] - (keys as f32).ln()).abs() < 2e-6, "{:?}", found.entropy);
            assert!(found.max_weight[1].is_nan() && found.entropy[1].is_nan());
        }
    }
}

/// Rows in several calls, and in ranges of one, add up to the bits of one call.
#[test]
fn mass_of_several_calls() {
    let extents = Extents { batch: 2, q_heads: 4, kv_heads: 2, rows: 30, keys: 1100, head_dim: 5 };
    let problem = Problem::random(extents, 4);
    let shape = mass_shape(&extents, 2);
    let count = shape.iter().product();
    let query = problem.query_view();
    for isa in isas() {
        let attention = Attention::new().isa(isa);
        let mass = |parts: &[core::ops::Range<usize>]| {
            let mut mass = vec![0.0; count];
            for rows in parts {
                let outputs = Outputs::new()
                    .key_mass(TensorMut::new(&mut mass[..], shape))
                    .mass_rows(rows.clone());
                attention
                    .run(query, problem.key_view(), outputs, &mut Workspace::new())
                    .expect("a valid problem");
            }
            mass
        };
        let whole = mass(&[0..30, 0..0]);
        assert!((whole.iter().sum::<f64>() - 240.0).abs() < 1e-3);
        assert_same_f64s(&whole, &mass(&[7..30, 0..7]), "parts");
        assert_same_f64s(&whole, &mass(&[20..30, 0..1, 1..20, 4..4]), "parts");
    }
}

/// The weights of some heads, with every option, from views and packed keys, beside the output.
#[test]
fn weights_of_heads() {
    for seed in 0..scaled_down(40, 8) as u64 {
        let mut random = Random::new(seed);
        let (extents, options) =
            Options::random_case(&mut random, [1, 7, 30], [0, 1, 6, 17, 130, 1030], seed);
        let problem = Problem::random(extents, seed);
        let Extents { batch, kv_heads, rows, keys, .. } = extents;
        let value = common::random(batch * kv_heads * keys * 3, seed);
        let value = TensorRef::new(&value, [batch, kv_heads, keys, 3]);
        let packed = PackedKeys::from_view(problem.key_view()).expect("keys");
        let heads = [3, 0, 3];
        for isa in isas() {
            let attention = options.set_on(common::serial(isa)).into_attention();
            let query = problem.query_view();
            let all = attention.weights(query, problem.key_view()).expect("a valid problem");
            let expected: Vec<f32> = (0..batch)
                .flat_map(|batch| heads.map(|head| (batch * 4 + head) * rows * keys))
                .flat_map(|start| all[start..start + rows * keys].iter().copied())
                .collect();
            let mut found = vec![7.0; expected.len()];
            let mut output = vec![7.0; batch * 4 * rows * 3];
            let workspace = &mut Workspace::new();
            let outputs = Outputs::new()
                .output(TensorMut::new(&mut output[..], [batch, 4, rows, 3]))
                .weights_of_heads(&heads, TensorMut::new(&mut found[..], [batch, 3, rows, keys]));
            let both = (problem.key_view(), value);
            attention.run(query, both, outputs, workspace).expect("a valid problem");
            assert_same_bits(&expected, &found, format_args!("{isa}, {extents:?}"));
            found.fill(7.0);
            let outputs = Outputs::new()
                .weights_of_heads(&heads, TensorMut::new(&mut found[..], [batch, 3, rows, keys]));
            attention.run(query, &packed, outputs, workspace).expect("a valid problem");
            assert_same_bits(&expected, &found, format_args!("{isa}, {extents:?}, packed"));
        }
    }
}

/// More weights than a row has, and the most that there may be.
#[test]
fn many_weights_of_a_row() {
    for (keys, k) in [(3, 8), (700, 256), (3000, 256), (3000, 1), (40, 0), (3000, 0)] {
        let problem = Problem::random(Extents::single(3, keys, 4), keys as u64);
        let weights = transcription::results(&problem, &Options::default(), &[], 0);
        for isa in isas() {
            let (mut top, mut top_keys) = (vec![7.0f32; 3 * k], vec![7i64; 3 * k]);
            let outputs = Outputs::new().top_k(
                TensorMut::new(&mut top[..], [3, k]),
                TensorMut::new(&mut top_keys[..], [3, k]),
            );
            Attention::new()
                .isa(isa)
                .run(problem.query_view(), problem.key_view(), outputs, &mut Workspace::new())
                .expect("a valid problem");
            for (row, top) in weights.iter().zip(top.chunks(k.max(1))) {
                let mut sorted = row.weights.clone();
                sorted.sort_by(|a, b| b.total_cmp(a));
                sorted.resize(k, 0.0);
                assert_same_bits(&sorted, top, format_args!("{isa}, {k} of {keys}"));
            }
        }
    }
}

/// A view of another shape is refused by name, before anything is written.
#[test]
fn refusals() {
    let data = [0.0f32; 6];
    let view = TensorRef::new(&data[..], [3, 2]);
    let mut keys = [7i64; 4];
    let outputs = Outputs::new().max_weight_key(TensorMut::new(&mut keys[..], [4, 1]));
    let error = Attention::new().run(view, view, outputs, &mut Workspace::new()).unwrap_err();
    assert!(matches!(error, Error::Extent { argument: "max_weight_key", .. }), "{error:?}");
    assert_eq!(keys, [7; 4]);
    let mut mass = [7.0f64; 9];
    let outputs = Outputs::new().key_mass(TensorMut::new(&mut mass[..], [3, 3]));
    let error = Attention::new().run(view, view, outputs, &mut Workspace::new()).unwrap_err();
    assert!(matches!(error, Error::Extent { argument: "key_mass", .. }), "{error:?}");
    let outputs = Outputs::new().key_mass(TensorMut::new(&mut mass[..], [1, 3])).mass_rows(1..4);
    let error = Attention::new().run(view, view, outputs, &mut Workspace::new()).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { argument: "mass_rows", .. }), "{error:?}");
    let (mut weights, mut keys) = (vec![7.0f32; 3 * 257], vec![7i64; 3 * 257]);
    let outputs = Outputs::new()
        .top_k(TensorMut::new(&mut weights[..], [3, 257]), TensorMut::new(&mut keys[..], [3, 257]));
    let error = Attention::new().run(view, view, outputs, &mut Workspace::new()).unwrap_err();
    assert!(matches!(error, Error::Extent { argument: "top_k weights", .. }), "{error:?}");
    let mut found = [7.0; 9];
    let outputs = Outputs::new().weights_of_heads(&[1], TensorMut::new(&mut found[..], [3, 3]));
    let error = Attention::new().run(view, view, outputs, &mut Workspace::new()).unwrap_err();
    assert_eq!(error.to_string(), "weights_of_heads: expected query heads below 1, found 1");
    assert_eq!(found, [7.0; 9]);
    assert_eq!((mass, weights[0], keys[0]), ([7.0; 9], 7.0, 7));
}
