//! NaN, infinities, subnormals and numbers at the ends of the range: what they do is defined, and
//! the same on every instruction set.

mod common;

use common::call::{Call, ENDS, Stage, scaled_softmax_in_place_on, scaled_softmax_on};
use common::options::{Broadcast, Options};
use common::{Extents, Problem, assert_same_bits, bits, isas, serial, transcription};
use softdot::{Causal, Isa, PackedKeys, TensorRef};

/// Quiet and signalling, of both signs, with payloads in the low bits (which the exponent of
/// exp2 is made of), in the high ones and in all.
const NANS: [u32; 10] = [
    0x7fc0_0000,
    0xffc0_0000,
    0x7f80_0001,
    0xff80_0001,
    0x7fc0_0001,
    0xffc0_01ff,
    0x7fa5_5aa5,
    0xffbf_ffff,
    0x7fff_ffff,
    0xffff_ffff,
];

/// Several tiles of rows; panels that are full and one that is not; one segment and two.
const SHAPES: [Extents; 3] = [
    Extents { batch: 1, q_heads: 1, kv_heads: 1, rows: 9, keys: 41, head_dim: 5 },
    Extents { batch: 1, q_heads: 2, kv_heads: 1, rows: 3, keys: 1101, head_dim: 3 },
    Extents { batch: 2, q_heads: 2, kv_heads: 2, rows: 2, keys: 17, head_dim: 12 },
];

/// Every instruction set gives the bits of the transcription; they are returned.
#[track_caller]
fn everywhere(problem: &Problem, attention: &Call, scale: f32, stage: Stage) -> Vec<f32> {
    let expected = transcription::attention(problem, stage, Some(scale));
    for isa in isas() {
        let attention = attention.clone().isa(isa).scale(scale).stage(stage);
        let what = format!("{isa}, {stage:?}, scale {scale:e}, {:?}", problem.extents);
        assert_same_bits(&expected, &problem.compute(&attention), what);
    }
    expected
}

/// The weights of one row of scores, the same from attention and from `scaled_softmax`.
#[track_caller]
fn weights_of(scores: &[f32], scale: f32) -> Vec<f32> {
    let problem = Problem::of_scores(scores);
    let weights = everywhere(&problem, &serial(Isa::Scalar), scale, Stage::Weights);
    for isa in isas() {
        let mut output = vec![0.0; scores.len()];
        scaled_softmax_on(isa, scores, scale, &mut output).expect("valid");
        assert_same_bits(&weights, &output, format_args!("{isa}, scaled_softmax"));
        let mut in_place = scores.to_vec();
        scaled_softmax_in_place_on(isa, &mut in_place, scale).expect("valid");
        assert_same_bits(&weights, &in_place, format_args!("{isa}, in place"));
    }
    weights
}

/// Which (row, key) of the result are NaN, over all heads.
fn nan_places(result: &[f32], keys: usize) -> Vec<(usize, usize)> {
    let nan = result.iter().enumerate().filter(|(_, value)| value.is_nan());
    nan.map(|(i, _)| (i / keys, i % keys)).collect()
}

#[test]
fn a_nan_query_ruins_its_row_and_no_other() {
    for shape in SHAPES {
        let sound = Problem::random(shape, 1);
        let rows = sound.query.len() / shape.head_dim;
        for (i, nan) in NANS.into_iter().enumerate() {
            let row = (i * 5 + 1) % rows;
            let mut problem = sound.clone();
            problem.query[row * shape.head_dim + i % shape.head_dim] = f32::from_bits(nan);
            for stage in ENDS {
                let found = everywhere(&problem, &serial(Isa::Scalar), 0.5, stage);
                let expected: Vec<_> = (0..shape.keys).map(|key| (row, key)).collect();
                assert_eq!(nan_places(&found, shape.keys), expected, "{nan:#x}, {stage:?}");
                let mut healed = found;
                let sound = everywhere(&sound, &serial(Isa::Scalar), 0.5, stage);
                let ruined = row * shape.keys..(row + 1) * shape.keys;
                healed[ruined.clone()].copy_from_slice(&sound[ruined]);
                assert_same_bits(&sound, &healed, "the other rows");
            }
        }
    }
}

#[test]
fn a_nan_key_ruins_every_row_that_sees_it() {
    for shape in SHAPES {
        let sound = Problem::random(shape, 2);
        // The first key head of the first batch entry is seen by the first group of query heads.
        let rows_that_see = shape.rows * shape.q_heads / shape.kv_heads;
        let keys = [0, 1, 15, 16, shape.keys - 1, shape.keys / 2];
        for (i, nan) in NANS.into_iter().enumerate() {
            let key = keys[i % keys.len()];
            let mut problem = sound.clone();
            problem.key[key * shape.head_dim + i % shape.head_dim] = f32::from_bits(nan);
            let scores = everywhere(&problem, &serial(Isa::Scalar), 0.5, Stage::Scores);
            let expected: Vec<_> = (0..rows_that_see).map(|row| (row, key)).collect();
            assert_eq!(nan_places(&scores, shape.keys), expected, "{nan:#x}, scores");
            let weights = everywhere(&problem, &serial(Isa::Scalar), 0.5, Stage::Weights);
            let ruined = rows_that_see * shape.keys;
            assert!(weights[..ruined].iter().all(|weight| weight.is_nan()), "{nan:#x}");
            assert!(weights[ruined..].iter().all(|weight| weight.is_finite()), "{nan:#x}");
        }
    }
}

#[test]
fn a_nan_score_ruins_a_lone_row() {
    for nan in NANS {
        for length in [1, 2, 16, 17, 1024, 1025, 2049] {
            for place in [0, length / 2, length - 1] {
                let mut scores = common::random(length, 3);
                scores[place] = f32::from_bits(nan);
                assert!(weights_of(&scores, 1.0).iter().all(|weight| weight.is_nan()), "{nan:#x}");
            }
        }
    }
}

#[test]
fn plus_infinity_makes_the_row_nan() {
    for length in [1, 2, 17, 1025, 2049] {
        for place in [0, length - 1] {
            let mut scores = common::random(length, 4);
            scores[place] = f32::INFINITY;
            assert!(weights_of(&scores, 1.0).iter().all(|weight| weight.is_nan()), "{length}");
            scores[length - 1 - place] = f32::NEG_INFINITY;
            assert!(length == 1 || weights_of(&scores, 1.0).iter().all(|weight| weight.is_nan()));
        }
    }
}

#[test]
fn minus_infinity_weighs_exactly_nothing() {
    for length in [2, 16, 17, 1025, 2049, 3000] {
        for place in [0, length / 2, length - 1] {
            let finite = common::random(length, 5);
            let mut scores = finite.clone();
            scores[place] = f32::NEG_INFINITY;
            let weights = weights_of(&scores, 1.0);
            assert_eq!(weights[place].to_bits(), 0);
            assert!(weights.iter().enumerate().all(|(i, &weight)| i == place || weight > 0.0));
            common::bounds::assert_rows_sum_to_one(&weights, length, "the others");
        }
    }
}

/// A whole segment of −∞ is nothing but a part of the row.
#[test]
fn segments_of_minus_infinity() {
    for finite in [0usize, 1023, 1024, 2047, 2048, 2100] {
        let mut scores = vec![f32::NEG_INFINITY; 2101];
        scores[finite] = -3.0;
        let weights = weights_of(&scores, 1.0);
        for (key, weight) in weights.iter().enumerate() {
            let expected = if key == finite { 1.0f32 } else { 0.0 };
            assert_eq!(weight.to_bits(), expected.to_bits(), "key {key} of {finite}");
        }
    }
}

/// Nothing is masked here, so IEEE arithmetic decides: 0/0.
#[test]
fn a_row_of_minus_infinity_is_nan() {
    for length in [1, 16, 17, 1024, 1025, 2049] {
        let weights = weights_of(&vec![f32::NEG_INFINITY; length], 1.0);
        assert!(weights.iter().all(|weight| weight.is_nan()), "{length}");
    }
}

/// Infinite elements under products and sums: ∞ − ∞ and 0 · ∞ are NaN, ∞ · −1 is −∞.
#[test]
fn infinite_elements_follow_ieee() {
    let extents = Extents::single(2, 3, 2);
    let inf = f32::INFINITY;
    let query = vec![1.0, 1.0, 0.0, -1.0];
    let key = vec![inf, -inf, -inf, 1.0, 1.0, inf];
    let problem = Problem { extents, query, key };
    let scores = everywhere(&problem, &serial(Isa::Scalar), 1.0, Stage::Scores);
    let nan = f32::NAN;
    assert_same_bits(&[nan, -inf, inf, nan, nan, -inf], &scores, "scores");
    let weights = everywhere(&problem, &serial(Isa::Scalar), 1.0, Stage::Weights);
    assert!(weights.iter().all(|weight| weight.is_nan()));
}

/// Sentinels that stand for a mask in other libraries are ordinary numbers.
#[test]
fn finite_sentinels() {
    for sentinel in [-1e4, f32::MIN] {
        for length in [2, 17, 1025] {
            let mut scores = vec![sentinel; length];
            scores[length - 1] = 2.0;
            let weights = weights_of(&scores, 1.0);
            let (last, others) = weights.split_last().expect("weights");
            assert_eq!(last.to_bits(), 1.0f32.to_bits());
            assert!(others.iter().all(|weight| weight.to_bits() == 0), "{sentinel:e}");
        }
    }
    for sentinel in [-1e4, 1e4, f32::MIN / 2.0, f32::MAX / 2.0] {
        for length in [1, 2, 17, 1025] {
            let weights = weights_of(&vec![sentinel; length], 1.0);
            let uniform = vec![1.0 / length as f32; length];
            assert_same_bits(&uniform, &weights, format_args!("{sentinel:e}, {length}"));
        }
    }
}

/// The largest finite sentinels are ordinary numbers as long as they are finite in log2 units,
/// too: alone in a row they give uniform weights.
#[test]
fn a_row_of_one_sentinel_is_uniform() {
    for sentinel in [-1e4, -1e9, f32::MIN / 2.0, f32::MAX / 2.0] {
        for length in [1, 2, 17, 1025] {
            let weights = weights_of(&vec![sentinel; length], 1.0);
            assert_same_bits(&vec![1.0 / length as f32; length], &weights, length);
        }
    }
}

/// Finite scores stay finite, also beyond f32::MAX / log2(e): f32::MIN is what model libraries put on
/// padding, in f32 and bf16.
#[test]
fn finite_scores_stay_finite() {
    let bf16_min = -f32::from_bits(0x7f7f_0000);
    for huge in [f32::MIN, bf16_min, -2.4e38, -3e38, f32::MAX, 3e38] {
        for length in [1, 2, 17, 33, 1025, 2100] {
            let weights = weights_of(&vec![huge; length], 1.0);
            assert_same_bits(&vec![1.0 / length as f32; length], &weights, huge);
        }
    }
    let among_others = weights_of(&[f32::MIN, 0.0, f32::MIN], 1.0);
    assert_same_bits(&[0.0, 1.0, 0.0], &among_others, "f32::MIN among others");
    let beside_infinity = weights_of(&[f32::MIN, f32::NEG_INFINITY, f32::MIN], 1.0);
    assert_same_bits(&[0.5, 0.0, 0.5], &beside_infinity, "f32::MIN beside −∞");
    assert!(weights_of(&[f32::MIN, f32::INFINITY], 1.0).iter().all(|weight| weight.is_nan()));
    // An infinite element is infinite in natural units, too; so is a product that overflows there.
    assert!(weights_of(&[f32::NEG_INFINITY; 3], 1.0).iter().all(|weight| weight.is_nan()));
    assert!(weights_of(&[f32::MIN; 3], 2.0).iter().all(|weight| weight.is_nan()));
}

/// The same of biases: with few keys and many, few rows and many, excluded keys beside them, whole
/// batch entries of padding, and keys of every source.
#[test]
fn finite_biases_stay_finite() {
    let bf16_min = -f32::from_bits(0x7f7f_0000);
    for (rows, keys) in [(1, 3), (1, 40), (7, 5), (9, 33), (50, 100), (2, 1030)] {
        let extents = Extents { batch: 2, q_heads: 2, kv_heads: 1, rows, keys, head_dim: 5 };
        let problem = Problem::random(extents, 3);
        let shape = [2, 1, 1, keys];
        for huge in [f32::MIN, bf16_min, -2.4e38, 3.3e38] {
            // The first entry is padding; in the second the last key is a token, the first excluded.
            let mut bias = vec![huge; 2 * keys];
            bias[keys] = f32::NEG_INFINITY;
            bias[2 * keys - 1] = 0.0;
            let mut index = 0;
            let bias = Broadcast::new(shape, || {
                index += 1;
                bias[index - 1]
            });
            for causal in [None, Some(Causal::TopLeft)] {
                for window in [(None, None), (Some(1), None)] {
                    let bias = Some(bias.clone());
                    let options = Options { bias, causal, window, ..Options::default() };
                    let expected = transcription::with_options(&problem, &options, Stage::Weights);
                    assert!(expected.iter().all(|weight| weight.is_finite()));
                    for isa in isas() {
                        let call = options.set_on(serial(isa));
                        let what = format!("{isa}, {rows} × {keys}, {huge:e}, {causal:?}");
                        assert_same_bits(&expected, &problem.compute(&call), &what);
                        let packed = PackedKeys::from_view(problem.key_view()).expect("keys");
                        let found = call.compute(problem.query_view(), &packed).expect("valid");
                        assert_same_bits(&expected, &found, &what);
                    }
                }
            }
        }
    }
    // The definition: rows of padding attend uniformly.
    let problem = Problem::random(Extents::single(2, 40, 3), 3);
    let bias = vec![f32::MIN; 40];
    for isa in isas() {
        let weights = problem.compute(&serial(isa).bias(TensorRef::new(&bias, [1, 40])));
        assert_same_bits(&[1.0 / 40.0; 80], &weights, isa);
    }
}

/// Chains that overflow in units of log2 alone, with every option on top.
#[test]
fn chains_that_overflow_only_in_log2_units() {
    for (rows, keys) in [(1, 3), (1, 40), (7, 20), (50, 100)] {
        let extents = Extents::single(rows, keys, 2);
        let mut problem = Problem::random(extents, 9);
        problem.query.fill(1.5e19);
        for (j, key) in problem.key.as_chunks_mut().0.iter_mut().enumerate() {
            *key = [1e19, if j % 2 == 0 { 1e19 } else { 1.0e18 }].map(|x: f32| -x);
        }
        let sinks = [f32::MIN];
        for sinks in [None, Some(sinks.to_vec())] {
            let options = Options { scale: Some(1.0), sinks, ..Options::default() };
            let expected = transcription::with_options(&problem, &options, Stage::Weights);
            assert!(expected.iter().all(|weight| weight.is_finite()));
            for isa in isas() {
                let found = problem.compute(&options.set_on(serial(isa)));
                assert_same_bits(&expected, &found, format_args!("{isa}, {rows} × {keys}"));
            }
        }
    }
}

/// Subnormal numbers take part as IEEE says: flushed to zero these scores would be 0.
#[test]
fn subnormal_inputs_count() {
    let tiny = f32::from_bits(1);
    let subnormal = f32::from_bits(0x0012_3456);
    let extents = Extents::single(3, 2, 2);
    let query = vec![tiny, 0.0, -subnormal, 0.0, subnormal, tiny];
    let key = vec![1.0, 1.0, 2f32.powi(40), 2f32.powi(20)];
    let problem = Problem { extents, query, key };
    let scores = everywhere(&problem, &serial(Isa::Scalar), 1.0, Stage::Scores);
    let pow40 = 2f32.powi(40);
    let expected = [
        tiny,
        tiny * pow40,
        -subnormal,
        -(subnormal * pow40),
        f32::from_bits(0x0012_3457),
        tiny.mul_add(2f32.powi(20), subnormal * pow40),
    ];
    assert_same_bits(&expected, &scores, "subnormal queries");
    let swapped = Problem {
        extents: Extents::single(2, 3, 2),
        query: problem.key.clone(),
        key: problem.query.clone(),
    };
    let scores = everywhere(&swapped, &serial(Isa::Scalar), 1.0, Stage::Scores);
    let transposed: Vec<f32> = [0, 2, 4, 1, 3, 5].iter().map(|&i| expected[i]).collect();
    assert_same_bits(&transposed, &scores, "subnormal keys");

    let weights = weights_of(&[0.0, tiny, subnormal, -subnormal], 1.0);
    assert_same_bits(&[0.25; 4], &weights, "differences of nothing");
    // With a scale that makes 0 and almost 1 of them, they differ.
    let weights = weights_of(&[0.0, f32::from_bits(0x007f_ffff)], 2f32.powi(126));
    assert!(weights[1] > 0.731 && weights[1] < 0.7311, "{weights:?}");
}

/// Weights may be subnormal (exponentials are not): e_j · (1 / l) is a product like any other.
#[test]
fn small_weights() {
    let keys = 4000;
    let mut scores = vec![0.0f32; keys];
    scores[0] = -87.0;
    let weights = weights_of(&scores, 1.0);
    assert!(weights[0] > 0.0 && weights[0] < f32::MIN_POSITIVE, "{:e}", weights[0]);
    scores[0] = -87.5;
    assert_eq!(weights_of(&scores, 1.0)[0].to_bits(), 0);
}

#[test]
fn scales_at_the_ends_of_the_range() {
    let subnormal = f32::from_bits(0x0000_0123);
    let scales =
        [f32::MAX, f32::MIN, f32::MIN_POSITIVE, subnormal, -subnormal, 1e30, -1e30, 0.0, -0.0];
    for shape in SHAPES {
        let problem = Problem::random(shape, 6);
        for scale in scales {
            for stage in ENDS {
                everywhere(&problem, &serial(Isa::Scalar), scale, stage);
            }
        }
        let zero = everywhere(&problem, &serial(Isa::Scalar), 0.0, Stage::Weights);
        let uniform = vec![1.0 / shape.keys as f32; zero.len()];
        assert_same_bits(&uniform, &zero, "scale 0");
        let negative = everywhere(&problem, &serial(Isa::Scalar), -0.0, Stage::Weights);
        assert_same_bits(&uniform, &negative, "scale −0");
    }
}

/// A scale of 0 does not hide what is not a number.
#[test]
fn zero_times_infinity_is_nan() {
    let weights = weights_of(&[1.0, f32::INFINITY], 0.0);
    assert!(weights.iter().all(|weight| weight.is_nan()));
}

#[test]
fn scores_overflow_to_infinity() {
    let extents = Extents::single(2, 2, 2);
    let huge = 2f32.powi(100);
    let problem =
        Problem { extents, query: vec![huge, 0.0, huge, huge], key: vec![huge, huge, -huge, 1.0] };
    let scores = everywhere(&problem, &serial(Isa::Scalar), 1.0, Stage::Scores);
    let inf = f32::INFINITY;
    assert_same_bits(&[inf, -inf, inf, -inf], &scores, "scores");
    // The largest scale makes infinities of queries above 1.
    let problem = Problem { query: vec![2.0, 0.0, -2.0, 0.0], key: vec![1.0; 4], extents };
    let scores = everywhere(&problem, &serial(Isa::Scalar), f32::MAX, Stage::Scores);
    assert_same_bits(&[inf, inf, -inf, -inf], &scores, "scores");
}

/// The sign of a zero score: a chain starts at +0, so only a sum that is nothing but −0 products
/// could be −0, and +0 + −0 is +0.
#[test]
fn zero_scores_are_positive() {
    let extents = Extents::single(2, 17, 3);
    let problem = Problem { extents, query: vec![-0.0; 6], key: vec![1.0; 51] };
    for scale in [1.0, -1.0, 0.0, -0.0] {
        let scores = everywhere(&problem, &serial(Isa::Scalar), scale, Stage::Scores);
        assert!(scores.iter().all(|&score| bits(score) == 0), "{scale}");
    }
}
