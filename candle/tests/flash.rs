//! candle-flash-attn's functions: their arguments and their meaning.

mod common;

use candle_core::{DType, Device, Result, Tensor, Var};
use common::{Options, assert_near, assert_same_bits, message, random, reference, window_bias};
use softdot_candle::{
    flash_attn, flash_attn_alibi, flash_attn_varlen, flash_attn_varlen_windowed,
    flash_attn_windowed,
};

const SCALE: f32 = 0.4;
const DTYPES: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

/// `[batch, rows, heads, columns]`
fn inputs(rows: usize, keys: usize, dtype: DType) -> [Tensor; 3] {
    [
        random(&[2, rows, 6, 16], dtype, 1),
        random(&[2, keys, 2, 16], dtype, 2),
        random(&[2, keys, 2, 16], dtype, 3),
    ]
}

/// The definition, of tensors with the rows first.
fn expected([q, k, v]: &[Tensor; 3], bias: Option<Tensor>) -> Result<Tensor> {
    let swap = |tensor: &Tensor| tensor.transpose(1, 2);
    let options = Options { scale: Some(SCALE.into()), bias, ..Options::default() };
    let [output, ..] = reference(&swap(q)?, &swap(k)?, &swap(v)?, &options)?;
    swap(&output)
}

#[test]
fn windows_and_causality_are_bottom_right() -> Result<()> {
    for dtype in DTYPES {
        for (rows, keys) in [(1, 9), (5, 9), (9, 9)] {
            let inputs = inputs(rows, keys, dtype);
            let [q, k, v] = &inputs;
            let offset = keys as isize - rows as isize;
            let causal = window_bias(rows, keys, offset, None, Some(0));
            let output = flash_attn(q, k, v, SCALE, false)?;
            assert_eq!((output.dims(), output.dtype()), (&[2, rows, 6, 16][..], dtype));
            assert_near(&output, &expected(&inputs, None)?);
            let output = flash_attn(q, k, v, SCALE, true)?;
            assert_near(&output, &expected(&inputs, Some(causal))?);
            for (left, right) in [(None, Some(1)), (Some(2), None), (Some(2), Some(0))] {
                let window = window_bias(rows, keys, offset, left, right);
                let output = flash_attn_windowed(q, k, v, SCALE, left, right)?;
                assert_near(&output, &expected(&inputs, Some(window))?);
            }
        }
    }
    Ok(())
}

#[test]
fn alibi_counts_the_distance_both_ways() -> Result<()> {
    for (rows, keys) in [(1, 9), (5, 9), (9, 5)] {
        let inputs = inputs(rows, keys, DType::F32);
        let [q, k, v] = &inputs;
        let slopes = [0.5f32, 0.25, 0.125, 1.0, 0.0, -0.5];
        let offset = keys as isize - rows as isize;
        let mut bias = Vec::new();
        for slope in slopes {
            for row in 0..rows as isize {
                let distance = |key| (row + offset - key) as f64;
                bias.extend((0..keys as isize).map(|key| -f64::from(slope) * distance(key).abs()));
            }
        }
        let bias = Tensor::from_vec(bias, (6, rows, keys), &Device::Cpu)?;
        let slopes = Tensor::new(&slopes, &Device::Cpu)?;
        let output = flash_attn_alibi(q, k, v, &slopes, SCALE, false)?;
        assert_near(&output, &expected(&inputs, Some(bias.clone()))?);
        if rows <= keys {
            let causal = window_bias(rows, keys, offset, None, Some(0));
            let output = flash_attn_alibi(q, k, v, &slopes, SCALE, true)?;
            assert_near(&output, &expected(&inputs, Some(bias.broadcast_add(&causal)?))?);
        }
    }
    Ok(())
}

#[test]
fn slopes_that_do_not_fit_are_refused() -> Result<()> {
    let [q, k, v] = inputs(5, 9, DType::F32);
    let refused = |q: &Tensor, slopes: &Tensor, expected: &str| {
        let found = message(flash_attn_alibi(q, &k, &v, slopes, SCALE, true));
        assert_eq!(found, expected);
    };
    let of = |shape, dtype| Tensor::ones(shape, dtype, &Device::Cpu);
    let expected = "alibi_slopes: expected shape [6] of f32, one for each query head, found";
    refused(&q, &of(4, DType::F32)?, &format!("{expected} [4] of f32"));
    refused(&q, &of(6, DType::F16)?, &format!("{expected} [6] of f16"));
    let axes = "4 axes [batch, rows, heads, columns], found shape [5, 6, 16]";
    refused(&q.get(0)?, &of(6, DType::F32)?, &format!("query: expected {axes}"));
    let variable = Var::from_tensor(&of(6, DType::F32)?)?;
    let found = message(flash_attn_alibi(&q, &k, &v, &variable, SCALE, true));
    assert!(found.starts_with("alibi_slopes: expected a tensor that tracks no operations"));
    Ok(())
}

fn bounds(bounds: &[u32]) -> Tensor {
    Tensor::new(bounds, &Device::Cpu).unwrap()
}

/// Each sequence has the bits that it has alone, long ones too; rows of no sequence are 0.
#[test]
fn sequences_are_computed_each_by_itself() -> Result<()> {
    let (seqlens_q, seqlens_k) = ([2u32, 5, 5, 6, 206], [0u32, 4, 6, 15, 315]);
    for dtype in DTYPES {
        let q = random(&[208, 6, 64], dtype, 1);
        let (k, v) = (random(&[320, 2, 64], dtype, 2), random(&[320, 2, 48], dtype, 3));
        // As a part of something larger, with the heads first.
        let q = q.transpose(0, 1)?.contiguous()?.transpose(0, 1)?;
        for (left, right) in [(None, None), (None, Some(0)), (Some(3), Some(1))] {
            let (starts_q, starts_k) = (bounds(&seqlens_q), bounds(&seqlens_k));
            let output = match (left, right) {
                (None, right) => flash_attn_varlen(
                    &q,
                    &k,
                    &v,
                    &starts_q,
                    &starts_k,
                    200,
                    300,
                    SCALE,
                    right.is_some(),
                )?,
                _ => flash_attn_varlen_windowed(
                    &q, &k, &v, &starts_q, &starts_k, 200, 300, SCALE, left, right,
                )?,
            };
            assert_eq!((output.dims(), output.dtype()), (&[208, 6, 48][..], dtype));
            for (rows, keys) in seqlens_q.windows(2).zip(seqlens_k.windows(2)) {
                let part = |tensor: &Tensor, bounds: &[u32]| {
                    let (start, end) = (bounds[0] as usize, bounds[1] as usize);
                    tensor.narrow(0, start, end - start)?.unsqueeze(0)
                };
                let (q, k, v) = (part(&q, rows)?, part(&k, keys)?, part(&v, keys)?);
                let alone = flash_attn_windowed(&q, &k, &v, SCALE, left, right)?;
                assert_same_bits(&part(&output, rows)?, &alone);
            }
            for (start, count) in [(0, 2), (206, 2)] {
                let rest = output.narrow(0, start, count)?;
                assert_same_bits(&rest, &rest.zeros_like()?);
            }
        }
    }
    Ok(())
}

#[test]
fn sequences_that_do_not_fit_are_refused() -> Result<()> {
    let (q, k) = (random(&[8, 6, 16], DType::F32, 1), random(&[9, 2, 16], DType::F32, 2));
    let run = |q: &Tensor, k: &Tensor, seqlens_q: &Tensor, seqlens_k: &Tensor, most: usize| {
        message(flash_attn_varlen(q, k, &k.clone(), seqlens_q, seqlens_k, most, 9, SCALE, true))
    };
    let (of_q, of_k) = (bounds(&[0, 3, 8]), bounds(&[0, 4, 9]));
    assert_eq!(
        run(&q, &k, &of_q, &bounds(&[0, 9]), 8),
        "seqlens_k: expected 3 elements, as seqlens_q, found 2"
    );
    assert_eq!(
        run(&q, &k, &bounds(&[0, 3, 9]), &of_k, 8),
        "seqlens_q: expected bounds that ascend, up to 8 rows, found 3 before 9"
    );
    assert_eq!(
        run(&q, &k, &of_q, &bounds(&[4, 3, 9]), 8),
        "seqlens_k: expected bounds that ascend, up to 9 rows, found 4 before 3"
    );
    assert_eq!(
        run(&q, &k, &of_q, &of_k, 4),
        "seqlens_q: expected sequences of at most 4 rows, found 5 for sequence 1"
    );
    for wrong in [of_q.to_dtype(DType::I64)?, of_q.unsqueeze(0)?, bounds(&[])] {
        let found = run(&q, &k, &wrong, &of_k, 8);
        assert!(found.starts_with("seqlens_q: expected shape [sequences + 1] of u32, found shape"));
    }
    assert_eq!(
        run(&q.unsqueeze(0)?, &k, &of_q, &of_k, 8),
        "query: expected 3 axes [rows, heads, columns], found shape [1, 8, 6, 16]"
    );
    assert!(run(&q.to_dtype(DType::F64)?, &k, &of_q, &of_k, 8).starts_with("query: expected elem"));
    let short = k.narrow(0, 0, 8)?;
    assert_eq!(
        message(flash_attn_varlen(&q, &k, &short, &of_q, &of_k, 8, 9, SCALE, true)),
        "value: expected 9 rows, as the key, found 8"
    );
    Ok(())
}
