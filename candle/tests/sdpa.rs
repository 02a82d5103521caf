//! candle-nn's `sdpa`: its arguments and their meaning.

mod common;

use candle_core::{DType, Result, Tensor};
use common::{Options, assert_near, assert_same_bits, message, random, reference, window_bias};
use softdot_candle::sdpa;

const SCALE: f32 = 0.4;

fn inputs(rows: usize, dtype: DType) -> [Tensor; 3] {
    [
        random(&[2, 6, rows, 16], dtype, 1),
        random(&[2, 2, 9, 16], dtype, 2),
        random(&[2, 2, 9, 12], dtype, 3),
    ]
}

fn expected(inputs: &[Tensor; 3], bias: Option<Tensor>, softcap: Option<f64>) -> Result<Tensor> {
    let [q, k, v] = inputs;
    let options = Options { scale: Some(SCALE.into()), softcap, bias, ..Options::default() };
    let [output, ..] = reference(q, k, v, &options)?;
    Ok(output)
}

#[test]
fn each_argument_has_its_meaning() -> Result<()> {
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        for rows in [1, 4, 9] {
            let inputs = inputs(rows, dtype);
            let [q, k, v] = &inputs;
            let causal = window_bias(rows, 9, 9 - rows as isize, None, Some(0));
            let mask = random(&[2, 6, rows, 9], dtype, 4);
            let plain = expected(&inputs, None, None)?;
            assert_near(&sdpa(q, k, v, None, false, SCALE, 1.0)?, &plain);
            let of_causal = expected(&inputs, Some(causal), None)?;
            assert_near(&sdpa(q, k, v, None, true, SCALE, 1.0)?, &of_causal);
            let of_mask = expected(&inputs, Some(mask.clone()), None)?;
            let masked = sdpa(q, k, v, Some(&mask), false, SCALE, 1.0)?;
            assert_near(&masked, &of_mask);
            // A mask is the whole mask.
            assert_same_bits(&sdpa(q, k, v, Some(&mask), true, SCALE, 1.0)?, &masked);
            let capped = expected(&inputs, Some(mask.clone()), Some(2.0))?;
            assert_near(&sdpa(q, k, v, Some(&mask), false, SCALE, 2.0)?, &capped);
        }
    }
    Ok(())
}

/// More rows than keys: the first rows stand before all keys.
#[test]
fn rows_without_keys_are_zero() -> Result<()> {
    let [q, k, v] = inputs(11, DType::F32);
    let output = sdpa(&q, &k, &v, None, true, SCALE, 1.0)?;
    let zeros = Tensor::zeros((2, 6, 2, 12), DType::F32, q.device())?;
    assert_same_bits(&output.narrow(2, 0, 2)?, &zeros);
    let rest = [q.narrow(2, 2, 9)?, k, v];
    let causal = window_bias(9, 9, 0, None, Some(0));
    assert_near(&output.narrow(2, 2, 9)?, &expected(&rest, Some(causal), None)?);
    Ok(())
}

#[test]
fn errors_are_softdots() {
    let [q, k, v] = inputs(4, DType::F32);
    let mask = random(&[3, 9], DType::F32, 4);
    assert_eq!(
        message(sdpa(&q, &k, &v, None, true, f32::INFINITY, 1.0)),
        "scale: expected a finite number, found inf"
    );
    assert_eq!(
        message(sdpa(&q, &k, &v, None, true, SCALE, 0.0)),
        "softcap: expected a finite number above 0, found 0"
    );
    let found = message(sdpa(&q, &k, &v, Some(&mask), true, SCALE, 1.0));
    assert_eq!(found, "bias: expected 4 rows (as the result, or 1), found 3");
}
