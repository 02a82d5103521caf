//! Tensors to test with, and attention as candle's own operations compute it, in f64.

// Each test program uses a part of it.
#![allow(dead_code)]

use candle_core::{D, DType, Device, Result, Tensor};

/// What the definition takes beside queries, keys and values.
#[derive(Clone, Default)]
pub struct Options {
    pub scale: Option<f64>,
    pub softcap: Option<f64>,
    /// Added to the scores.
    pub bias: Option<Tensor>,
    /// One logit per query head, without weight.
    pub sinks: Option<Vec<f32>>,
}

/// Normally distributed elements; `seed` keeps tests alike from run to run.
pub fn random(shape: &[usize], dtype: DType, seed: u64) -> Tensor {
    let elements: usize = shape.iter().product();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = || {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u64 << 24) as f32
    };
    // The sum of four uniform numbers, of variance 1.
    let mut normal = || ((0..4).map(|_| uniform()).sum::<f32>() - 2.0) * 3f32.sqrt();
    let data: Vec<f32> = (0..elements).map(|_| normal()).collect();
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// Output, weights and log-sum-exp by matmul and softmax in f64, of tensors `[batch, heads, rows, columns]`.
pub fn reference(q: &Tensor, k: &Tensor, v: &Tensor, options: &Options) -> Result<[Tensor; 3]> {
    let (batch, heads, rows, head_dim) = q.dims4()?;
    let (_, kv_heads, keys, _) = k.dims4()?;
    let group = heads / kv_heads;
    let wide = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.contiguous();
    let repeated = |tensor: &Tensor| {
        let (_, _, keys, columns) = tensor.dims4()?;
        wide(tensor)?
            .unsqueeze(2)?
            .broadcast_as((batch, kv_heads, group, keys, columns))?
            .reshape((batch, heads, keys, columns))
    };
    let scale = options.scale.unwrap_or((head_dim as f64).sqrt().recip());
    let mut logits = (wide(q)?.matmul(&repeated(k)?.t()?.contiguous()?)? * scale)?;
    if let Some(softcap) = options.softcap {
        logits = ((logits / softcap)?.tanh()? * softcap)?;
    }
    if let Some(bias) = &options.bias {
        logits = logits.broadcast_add(&bias.to_dtype(DType::F64)?)?;
    }
    let sinks = options.sinks.clone().unwrap_or(vec![f32::NEG_INFINITY; heads]);
    let sinks =
        Tensor::new(sinks, &Device::Cpu)?.to_dtype(DType::F64)?.reshape((1, heads, 1, 1))?;
    let with_sink = Tensor::cat(&[&logits, &sinks.broadcast_as((batch, heads, rows, 1))?], 3)?;
    let max = with_sink.max_keepdim(D::Minus1)?;
    let exponentials = with_sink.broadcast_sub(&max)?.exp()?;
    let sum = exponentials.sum_keepdim(D::Minus1)?;
    let weights = exponentials.broadcast_div(&sum)?.narrow(3, 0, keys)?.contiguous()?;
    let lse = (sum.log()? + max)?.squeeze(3)?;
    Ok([weights.matmul(&repeated(v)?)?, weights, lse])
}

/// `−∞` where a row at `row + offset` may not attend by position: `[rows, keys]`.
pub fn window_bias(
    rows: usize,
    keys: usize,
    offset: isize,
    left: Option<usize>,
    right: Option<usize>,
) -> Tensor {
    let mut bias = Vec::with_capacity(rows * keys);
    for row in 0..rows as isize {
        for key in 0..keys as isize {
            let distance = key - (row + offset);
            let before = left.is_some_and(|left| -distance > left as isize);
            let after = right.is_some_and(|right| distance > right as isize);
            bias.push(if before || after { f64::NEG_INFINITY } else { 0.0 });
        }
    }
    Tensor::from_vec(bias, (rows, keys), &Device::Cpu).unwrap()
}

/// How far results of a type may be from the definition, for values of about 1.
pub fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2e-3,
        DType::BF16 => 2e-2,
        _ => 5e-6,
    }
}

/// Fails unless the shapes are equal and no element is further off than the type's tolerance.
#[track_caller]
pub fn assert_near(found: &Tensor, expected: &Tensor) {
    assert_eq!(found.dims(), expected.dims());
    let tolerance = tolerance(found.dtype());
    for (index, (found, expected)) in doubles(found).iter().zip(doubles(expected)).enumerate() {
        let difference = (found - expected).abs();
        assert!(difference <= tolerance, "element {index}: expected {expected}, found {found}");
    }
}

/// Fails unless the elements are equal, bit by bit but for the sign of 0.
#[track_caller]
pub fn assert_same_bits(one: &Tensor, other: &Tensor) {
    assert_eq!((one.dims(), one.dtype()), (other.dims(), other.dtype()));
    assert_eq!(doubles(one), doubles(other));
}

fn doubles(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The message of an error that had to come.
#[track_caller]
pub fn message<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("expected an error"),
        // Without the backtrace that candle appends if there is one.
        Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}
