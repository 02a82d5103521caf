//! `dot` and `scaled_softmax` by themselves: the documented order of operations, bit for bit, on
//! every instruction set, and the same bits as attention.

mod common;

use common::call::{
    Stage, dot, dot_on, scaled_softmax, scaled_softmax_in_place, scaled_softmax_in_place_on,
    scaled_softmax_on,
};
use common::{Problem, assert_same_bits, bits, bounds, isas, random, serial, thinned};
use common::{default_scale, transcription};
use softdot::Error;

/// Every length up to a few virtual lanes, around one and several segments, beyond the statistics
/// that fit on the stack (16 segments).
fn lengths() -> Vec<usize> {
    let long = [1023, 1024, 1025, 2048, 4095, 4096, 4097, 16_384, 16_385, 20_000];
    thinned((0..=200).chain(long).collect(), 7)
}

/// The same numbers at the start of an allocation, and one element further.
fn at_both_alignments(values: &[f32]) -> [Vec<f32>; 2] {
    let mut shifted = vec![f32::NAN];
    shifted.extend(values);
    [values.to_vec(), shifted]
}

#[test]
fn dot_follows_the_documented_order() {
    for length in lengths() {
        let (a, b) = (random(length, 1), random(length, 2));
        let expected = transcription::dot(&a, &b);
        for isa in isas() {
            for (shift, (a, b)) in
                at_both_alignments(&a).iter().zip(at_both_alignments(&b)).enumerate()
            {
                let found = dot_on(isa, &a[shift..], &b[shift..]).expect("equal lengths");
                assert_eq!(bits(expected), bits(found), "{isa}, length {length}, shift {shift}");
            }
        }
        assert_eq!(bits(expected), bits(dot(&a, &b).expect("equal lengths")));
    }
}

/// A lane adds up to ⌈n/64⌉ products, then come six additions: the error is at most
/// γ_{⌈n/64⌉ + 6} · Σ |a·b|.
#[test]
fn dot_is_within_its_bound() {
    for length in lengths() {
        let (a, b) = (random(length, 3), random(length, 4));
        let products = || a.iter().zip(&b).map(|(&a, &b)| f64::from(a) * f64::from(b));
        let magnitude: f64 = products().map(f64::abs).sum();
        let bound = bounds::gamma(length.div_ceil(64) + 6) * magnitude;
        let found = f64::from(dot(&a, &b).expect("equal lengths"));
        assert!((found - products().sum::<f64>()).abs() <= bound, "length {length}");
    }
}

/// Scores in log2 units: with one dimension and the query 1 an attention score is
/// `(1 · factor) · k`, one product, as the softmax of a row has it.
#[test]
fn softmax_is_that_of_attention_and_of_its_document() {
    for length in lengths() {
        let row = random(length, 5);
        let problem = Problem::of_scores(&row);
        for scale in [1.0, -17.0, 90.5, 0.0] {
            let expected = transcription::scaled_softmax(&row, scale);
            for isa in isas() {
                let what = format!("{isa}, length {length}, scale {scale}");
                assert_same_bits(&expected, &problem.compute(&serial(isa).scale(scale)), &what);
                for (shift, row) in at_both_alignments(&row).iter().enumerate() {
                    let mut output = vec![f32::NAN; row.len()];
                    scaled_softmax_on(isa, &row[shift..], scale, &mut output[shift..])
                        .expect("valid");
                    assert_same_bits(&expected, &output[shift..], &what);
                    let mut in_place = row.clone();
                    scaled_softmax_in_place_on(isa, &mut in_place[shift..], scale).expect("valid");
                    assert_same_bits(&expected, &in_place[shift..], &what);
                }
            }
        }
    }
}

#[test]
fn the_default_instruction_set_gives_the_same_bits() {
    let row = random(3000, 6);
    let expected = transcription::scaled_softmax(&row, 3.0);
    let mut output = vec![0.0; 3000];
    scaled_softmax(&row, 3.0, &mut output).expect("valid");
    assert_same_bits(&expected, &output, "scaled_softmax");
    let mut in_place = row;
    scaled_softmax_in_place(&mut in_place, 3.0).expect("valid");
    assert_same_bits(&expected, &in_place, "scaled_softmax_in_place");
}

/// Attention in two steps: the unscaled scores, then their softmax. Not the same bits as in one
/// (the factor enters at another place), but within the bound of both together.
#[test]
fn scores_and_softmax_compose() {
    let extents = common::Extents::single(5, 1500, 24);
    let problem = Problem::random(extents, 7);
    let scale = default_scale(24);
    let scores = problem.compute(&serial(isas()[0]).stage(Stage::Scores).scale(1.0));
    let exact = bounds::Scores::new(&problem.query, &problem.key, 24, scale);
    for (row, scores) in scores.chunks(1500).enumerate() {
        let mut weights = vec![0.0; 1500];
        scaled_softmax(scores, scale, &mut weights).expect("valid");
        let part = row * 1500..(row + 1) * 1500;
        // The product with the factor is one more rounding than the bound counts.
        let error: Vec<f64> = (exact.exact[part.clone()].iter().zip(&exact.error[part.clone()]))
            .map(|(score, error)| error + bounds::gamma(2) * score.abs())
            .collect();
        let bound = bounds::Weights::new(&exact.exact[part], &error);
        bounds::assert_within(&bound.exact, &bound.error, &weights, format_args!("row {row}"));
        bounds::assert_rows_sum_to_one(&weights, 1500, "composed");
    }
}

#[test]
fn empty_rows_are_valid() {
    for isa in isas() {
        assert_eq!(dot_on(isa, &[], &[]).map(f32::to_bits), Ok(0));
        assert_eq!(scaled_softmax_on(isa, &[], 1.0, &mut []), Ok(()));
        assert_eq!(scaled_softmax_in_place_on(isa, &mut [], 1.0), Ok(()));
    }
}

#[test]
fn errors_leave_the_output_untouched() {
    let row = random(100, 8);
    for isa in isas() {
        let mut output = vec![7.0; 99];
        let error = scaled_softmax_on(isa, &row, 1.0, &mut output).unwrap_err();
        assert!(matches!(error, Error::Length { argument: "output", value: 100, found: 99, .. }));
        assert_eq!(output, [7.0; 99]);

        for scale in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut output = vec![7.0; 100];
            let error = scaled_softmax_on(isa, &row, scale, &mut output).unwrap_err();
            assert!(matches!(error, Error::NotFinite { argument: "scale", .. }));
            assert_eq!(output, [7.0; 100]);
            let mut in_place = row.clone();
            let error = scaled_softmax_in_place_on(isa, &mut in_place, scale).unwrap_err();
            assert!(matches!(error, Error::NotFinite { argument: "scale", .. }));
            assert_eq!(in_place, row);
        }
        let error = dot_on(isa, &row, &row[1..]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "b: expected the length of the other slice, 100, found length 99"
        );
    }
}
