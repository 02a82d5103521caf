//! Each line of the table in docs/semantics.md: what another library defines, in plain loops, against
//! softdot's options.

mod common;

use common::call::{Call, Stage};
use common::{Extents, Problem};
use softdot::{Causal, Tensor, TensorRef, alibi_slopes};

const ROWS: usize = 5;
const KEYS: usize = 9;
const HEADS: usize = 4;
const HEAD_DIM: usize = 8;

fn problem() -> Problem {
    Problem::random(Extents::single(ROWS, KEYS, HEAD_DIM).with_heads([2, HEADS, 2]), 3)
}

/// `softmax(logit(scaled dot product, entry, head, i, j))`, −∞ = excluded; `sink` joins the sum.
fn softmax_of(
    logit: impl Fn(f64, usize, usize, usize, usize) -> f64,
    sink: Option<f64>,
) -> Vec<f64> {
    let problem = problem();
    let mut weights = Vec::new();
    for (index, head) in problem.heads().iter().enumerate() {
        let (entry, q_head) = (index / HEADS, index % HEADS);
        for (i, query) in head.query.chunks(HEAD_DIM).enumerate() {
            let logits: Vec<f64> = (head.key.chunks(HEAD_DIM).enumerate())
                .map(|(j, key)| {
                    let products =
                        query.iter().zip(key).map(|(&q, &k)| f64::from(q) * f64::from(k));
                    let scaled = products.sum::<f64>() / (HEAD_DIM as f64).sqrt();
                    logit(scaled, entry, q_head, i, j)
                })
                .collect();
            let exponentials: Vec<f64> = logits.iter().map(|logit| logit.exp()).collect();
            let sum = exponentials.iter().sum::<f64>() + sink.map_or(0.0, f64::exp);
            weights.extend(exponentials.iter().map(|e| if sum == 0.0 { 0.0 } else { e / sum }));
        }
    }
    weights
}

#[track_caller]
fn assert_same(attention: &Call, expected: &[f64]) {
    let found = problem().compute(attention);
    assert_eq!(found.len(), expected.len());
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(found) - expected).abs() < 1e-6, "element {i}: {found}, {expected}");
    }
}

fn where_true(keep: bool, logit: f64) -> f64 {
    if keep { logit } else { f64::NEG_INFINITY }
}

/// A mask of no particular shape.
fn some_mask() -> Vec<bool> {
    (0..ROWS * KEYS).map(|i| i * 7 % 5 != 0).collect()
}

#[test]
fn torch_is_causal_is_top_left() {
    let expected = softmax_of(|s, _, _, i, j| where_true(j <= i, s), None);
    assert_same(&Call::new().causal(Causal::TopLeft), &expected);
}

#[test]
fn torch_boolean_mask_is_the_mask_and_float_mask_the_bias() {
    let mask = some_mask();
    let expected = softmax_of(|s, _, _, i, j| where_true(mask[i * KEYS + j], s), None);
    assert_same(&Call::new().mask(Tensor::new(&mask[..], [ROWS, KEYS])), &expected);
    let bias: Vec<f32> = (0..ROWS * KEYS).map(|i| i as f32 / 16.0 - 1.0).collect();
    let expected = softmax_of(|s, _, _, i, j| s + f64::from(bias[i * KEYS + j]), None);
    assert_same(&Call::new().bias(TensorRef::new(&bias[..], [ROWS, KEYS])), &expected);
}

#[test]
fn flash_attention_and_mlx_causal_is_bottom_right() {
    let expected = softmax_of(|s, _, _, i, j| where_true(j <= i + KEYS - ROWS, s), None);
    assert_same(&Call::new().causal(Causal::BottomRight), &expected);
}

#[test]
fn flash_attention_window_counts_from_the_bottom_right() {
    for (left, right) in [(2, 1), (0, 0), (3, -1), (-1, 2)] {
        let inside = |i: usize, j: usize| {
            let distance = j as isize - (i + KEYS - ROWS) as isize;
            (left < 0 || distance >= -left) && (right < 0 || distance <= right)
        };
        let expected = softmax_of(|s, _, _, i, j| where_true(inside(i, j), s), None);
        let side = |count: isize| usize::try_from(count).ok();
        assert_same(&Call::new().window(side(left), side(right)), &expected);
    }
}

#[test]
fn flash_attention_softcap_is_the_softcap() {
    let expected = softmax_of(|s, _, _, _, _| 0.5 * (s / 0.5).tanh(), None);
    assert_same(&Call::new().softcap(0.5), &expected);
}

/// Flash attention adds −slope · |distance|; under a causal mask that is ALiBi, else a bias.
#[test]
fn flash_attention_alibi_is_alibi_under_a_causal_mask_and_else_a_bias() {
    let slopes = alibi_slopes(HEADS);
    let term = |head: usize, i: usize, j: usize| {
        -f64::from(slopes[head]) * (i as f64 + (KEYS - ROWS) as f64 - j as f64).abs()
    };
    let causal =
        softmax_of(|s, _, h, i, j| where_true(j <= i + KEYS - ROWS, s + term(h, i, j)), None);
    let attention = Call::new().causal(Causal::BottomRight).alibi_slopes(&slopes);
    assert_same(&attention, &causal);

    let all = softmax_of(|s, _, h, i, j| s + term(h, i, j), None);
    let elements =
        (0..HEADS).flat_map(|h| (0..ROWS * KEYS).map(move |at| (h, at / KEYS, at % KEYS)));
    let bias: Vec<f32> = elements.map(|(h, i, j)| term(h, i, j) as f32).collect();
    assert_same(&Call::new().bias(TensorRef::new(&bias[..], [HEADS, ROWS, KEYS])), &all);
}

#[test]
fn mlx_and_gpt_oss_sinks_are_the_sinks() {
    let expected = softmax_of(|s, _, _, _, _| s, Some(0.75));
    assert_same(&Call::new().sinks(&[0.75; HEADS]), &expected);
}

/// The rows stand behind the keys of the past.
#[test]
fn onnx_is_causal_with_a_past_is_an_offset() {
    let past = 3;
    let expected = softmax_of(|s, _, _, i, j| where_true(j <= i + past, s), None);
    assert_same(&Call::new().causal(Causal::Offset(past as isize)), &expected);
}

#[test]
fn onnx_lengths_are_key_lengths() {
    let lengths = [4, 9];
    let expected = softmax_of(|s, entry, _, _, j| where_true(j < lengths[entry], s), None);
    assert_same(&Call::new().key_lengths(&lengths), &expected);
}

/// qk_matmul_output_mode 0 the product, 1 after the softcap, 2 with the mask added, too, 3 the weights.
#[test]
fn onnx_output_modes_are_stages() {
    let bias: Vec<f32> = (0..ROWS * KEYS).map(|i| i as f32 / 16.0 - 1.0).collect();
    let attention = Call::new().softcap(0.5).bias(TensorRef::new(&bias[..], [ROWS, KEYS]));
    let of_stage = |stage| problem().compute(&attention.clone().stage(stage));
    let scores = of_stage(Stage::Scores);
    let capped = of_stage(Stage::Capped);
    let biased = of_stage(Stage::Biased);
    let weights = of_stage(Stage::Weights);
    for (row, scores) in scores.chunks(KEYS).enumerate() {
        let bias = &bias[row % ROWS * KEYS..][..KEYS];
        let sum: f32 = biased[row * KEYS..][..KEYS].iter().map(|logit| logit.exp()).sum();
        for (j, (score, bias)) in scores.iter().zip(bias).enumerate() {
            let at = row * KEYS + j;
            approx::assert_abs_diff_eq!(capped[at], 0.5 * (score / 0.5).tanh(), epsilon = 1e-6);
            approx::assert_abs_diff_eq!(biased[at], capped[at] + bias, epsilon = 1e-6);
            approx::assert_abs_diff_eq!(weights[at], biased[at].exp() / sum, epsilon = 1e-6);
        }
    }
}

/// ONNX Runtime's window of w keys has the row's own one among them.
#[test]
fn onnx_runtime_window_counts_the_own_key() {
    let window = 3;
    let inside = |i: usize, j: usize| {
        let position = i + KEYS - ROWS;
        j <= position && position < j + window
    };
    let expected = softmax_of(|s, _, _, i, j| where_true(inside(i, j), s), None);
    let attention = Call::new().causal(Causal::BottomRight).window(window - 1, 0);
    assert_same(&attention, &expected);
}

/// Its smooth softmax adds 1 to the sum of the exponentials.
#[test]
fn onnx_runtime_smooth_softmax_is_a_sink_of_zero() {
    let expected = softmax_of(|s, _, _, _, _| s, Some(0.0));
    assert_same(&Call::new().sinks(&[0.0; HEADS]), &expected);
}

/// llama.cpp adds slope · mask, where the mask holds −|distance|, or −∞.
#[test]
fn llama_cpp_mask_times_slope_is_alibi_with_a_causal_mask() {
    let slopes = alibi_slopes(HEADS);
    let mask = |i: usize, j: usize| {
        let position = i + KEYS - ROWS;
        where_true(j <= position, -(position.abs_diff(j) as f64))
    };
    let expected = softmax_of(|s, _, h, i, j| s + f64::from(slopes[h]) * mask(i, j), None);
    let attention = Call::new().causal(Causal::BottomRight).alibi_slopes(&slopes);
    assert_same(&attention, &expected);
}

/// In candle's models and in burn, true says what is left out.
#[test]
fn candle_and_burn_masks_are_the_opposite() {
    let masked = some_mask();
    let expected = softmax_of(|s, _, _, i, j| where_true(!masked[i * KEYS + j], s), None);
    let attend: Vec<bool> = masked.iter().map(|masked| !masked).collect();
    assert_same(&Call::new().mask(Tensor::new(&attend[..], [ROWS, KEYS])), &expected);
}
