//! The builder against candle's own operations.

mod common;

use candle_core::{DType, Device, IndexOp, Result, Tensor, Var};
use common::{Options, assert_near, assert_same_bits, message, random, reference, window_bias};
use softdot::{Causal, Isa, Threads, Workspace};
use softdot_candle::{Attention, Outputs};

const DTYPES: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

/// `[batch, q_heads, kv_heads, rows, keys, head_dim, v_dim]`
const SHAPES: [[usize; 7]; 6] = [
    [1, 1, 1, 1, 1, 1, 1],
    [2, 6, 2, 5, 7, 8, 8],
    [1, 9, 3, 1, 33, 64, 64],
    [3, 4, 4, 17, 17, 32, 16],
    [1, 8, 1, 40, 130, 20, 24],
    [2, 2, 2, 3, 1030, 16, 8],
];

fn inputs(shape: [usize; 7], dtype: DType, seed: u64) -> [Tensor; 3] {
    let [batch, q_heads, kv_heads, rows, keys, head_dim, v_dim] = shape;
    [
        random(&[batch, q_heads, rows, head_dim], dtype, 3 * seed + 1),
        random(&[batch, kv_heads, keys, head_dim], dtype, 3 * seed + 2),
        random(&[batch, kv_heads, keys, v_dim], dtype, 3 * seed + 3),
    ]
}

#[test]
fn output_is_that_of_candles_operations() -> Result<()> {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        for dtype in DTYPES {
            let [q, k, v] = inputs(shape, dtype, seed as u64);
            let [expected, ..] = reference(&q, &k, &v, &Options::default())?;
            let output = Attention::new().run(&q, (&k, &v))?;
            assert_eq!(output.dtype(), dtype);
            assert!(output.is_contiguous() && !output.track_op());
            assert_near(&output, &expected);
        }
    }
    Ok(())
}

#[test]
fn types_may_be_mixed() -> Result<()> {
    let [q, k, v] = inputs(SHAPES[1], DType::F32, 1);
    let (k, v) = (k.to_dtype(DType::F16)?, v.to_dtype(DType::BF16)?);
    let [expected, ..] = reference(&q, &k, &v, &Options::default())?;
    assert_near(&Attention::new().run(&q, (&k, &v))?, &expected);
    Ok(())
}

#[test]
fn each_option_is_that_of_its_definition() -> Result<()> {
    let [q, k, v] = inputs([2, 6, 2, 5, 7, 8, 8], DType::F32, 7);
    let (rows, keys) = (5, 7);
    let bias = random(&[6, 1, keys], DType::F32, 20);
    let mask = random(&[2, 1, rows, keys], DType::F32, 21).ge(-1f32)?;
    let excluded = Tensor::full(f64::NEG_INFINITY, mask.shape(), &Device::Cpu)?;
    let of_mask = mask.where_cond(&Tensor::zeros_like(&excluded)?, &excluded)?;
    let sinks = [0.5f32, -1.0, 2.0, 0.0, f32::NEG_INFINITY, 1.0];
    let slopes = softdot::alibi_slopes(6);
    let distance: Vec<f64> = (0..6 * rows * keys)
        .map(|index| {
            let (head, row, key) = (index / keys / rows, index / keys % rows, index % keys);
            f64::from(slopes[head]) * (key as f64 - (row + keys - rows) as f64)
        })
        .collect();
    let distance = Tensor::from_vec(distance, (6, rows, keys), &Device::Cpu)?;
    let lengths = [3, 7];
    let of_lengths = Tensor::cat(
        &lengths.map(|length| window_bias(1, keys, length as isize - 1, None, Some(0))),
        0,
    )?
    .reshape((2, 1, 1, keys))?;
    let of_bias = |bias| Options { bias: Some(bias), ..Options::default() };
    let plain = Attention::new();
    let cases = [
        (plain.clone().scale(0.3), Options { scale: Some(0.3f32.into()), ..Options::default() }),
        (plain.clone().softcap(1.5), Options { softcap: Some(1.5), ..Options::default() }),
        (plain.clone().bias(&bias), of_bias(bias.clone())),
        (plain.clone().mask(&mask), of_bias(of_mask)),
        (
            plain.clone().sinks(&sinks),
            Options { sinks: Some(sinks.to_vec()), ..Options::default() },
        ),
        (plain.clone().alibi_slopes(&slopes), of_bias(distance)),
        (plain.clone().causal(Causal::TopLeft), of_bias(window_bias(rows, keys, 0, None, Some(0)))),
        (
            plain.clone().causal(Causal::BottomRight),
            of_bias(window_bias(rows, keys, 2, None, Some(0))),
        ),
        (
            plain.clone().causal(Causal::Offset(1)),
            of_bias(window_bias(rows, keys, 1, None, Some(0))),
        ),
        (plain.clone().window(1, 2), of_bias(window_bias(rows, keys, 2, Some(1), Some(2)))),
        (plain.clone().key_lengths(&lengths), of_bias(of_lengths)),
        (plain.clone().isa(Isa::Scalar).threads(Threads::Serial), Options::default()),
    ];
    let outputs = Outputs::new().weights().lse();
    for (case, (attention, options)) in cases.into_iter().enumerate() {
        println!("case {case}");
        let [output, weights, lse] = reference(&q, &k, &v, &options)?;
        let found = attention.run_with(&q, (&k, &v), &outputs, &mut Workspace::new())?;
        assert_near(&found.output, &output);
        assert_near(&found.weights.unwrap(), &weights);
        assert_near(&found.lse.unwrap(), &lse);
        assert!(found.weights_of_heads.is_none() && found.key_mass.is_none());
    }
    Ok(())
}

#[test]
fn each_output_is_that_of_the_weights() -> Result<()> {
    let [q, k, v] = inputs([2, 6, 2, 5, 7, 8, 8], DType::BF16, 8);
    let [_, weights, _] = reference(&q, &k, &v, &Options::default())?;
    let outputs = Outputs::new().weights_of_heads(&[4, 0]).key_mass();
    let found = Attention::new().run_with(&q, (&k, &v), &outputs, &mut Workspace::new())?;
    assert!(found.weights.is_none() && found.lse.is_none());
    let heads = Tensor::new(&[4u32, 0], &Device::Cpu)?;
    let of_heads = found.weights_of_heads.unwrap();
    assert_eq!(of_heads.dtype(), DType::F32);
    assert_near(&of_heads, &weights.index_select(&heads, 1)?);
    let mass = found.key_mass.unwrap();
    assert_eq!(mass.dtype(), DType::F64);
    assert_near(&mass, &weights.sum(2)?);
    assert_same_bits(&found.output, &Attention::new().run(&q, (&k, &v))?);
    Ok(())
}

/// Views of every kind have the bits of dense tensors.
#[test]
fn strides_and_offsets_change_no_bit() -> Result<()> {
    for dtype in DTYPES {
        let [q, k, v] = inputs([2, 6, 2, 5, 7, 8, 8], dtype, 9);
        let expected = Attention::new().run(&q, (&k, &v))?;
        // Axes in another order.
        let transposed = |tensor: &Tensor| tensor.transpose(1, 2)?.contiguous()?.transpose(1, 2);
        let dims_last = k.transpose(2, 3)?.contiguous()?.transpose(2, 3)?;
        let (q_view, v_view) = (transposed(&q)?, transposed(&v)?);
        assert!(!q_view.is_contiguous() && !dims_last.is_contiguous());
        assert_same_bits(&Attention::new().run(&q_view, (&dims_last, &v_view))?, &expected);
        // A part of larger tensors, and all three of one.
        let padded = |tensor: &Tensor| {
            let padded = tensor.pad_with_zeros(2, 3, 1)?.pad_with_zeros(3, 2, 5)?;
            padded.narrow(2, 3, tensor.dim(2)?)?.narrow(3, 2, tensor.dim(3)?)
        };
        let (q_view, k_view, v_view) = (padded(&q)?, padded(&k)?, padded(&v)?);
        assert_same_bits(&Attention::new().run(&q_view, (&k_view, &v_view))?, &expected);
        let both = Tensor::cat(&[&k, &v], 3)?;
        let chunks = both.chunk(2, 3)?;
        assert_same_bits(&Attention::new().run(&q, (&chunks[0], &chunks[1]))?, &expected);
        // One head of keys for all, by a stride of 0.
        let (k, v) = (k.i((.., 1..2))?, v.i((.., 1..2))?);
        let repeated = |tensor: &Tensor| tensor.broadcast_as((2, 6, 7, 8));
        assert_same_bits(
            &Attention::new().run(&q, (&repeated(&k)?, &repeated(&v)?))?,
            &Attention::new().run(&q, (&k, &v))?,
        );
    }
    Ok(())
}

#[test]
fn rows_first_is_a_matter_of_axes() -> Result<()> {
    let [q, k, v] = inputs([2, 6, 2, 5, 7, 8, 4], DType::F32, 10);
    let expected = Attention::new().run(&q, (&k, &v))?;
    let swap = |tensor: &Tensor| tensor.transpose(1, 2);
    let attention = Attention::new().rows_first();
    let output = attention.run(&swap(&q)?, (&swap(&k)?, &swap(&v)?))?;
    assert!(output.is_contiguous());
    assert_same_bits(&swap(&output)?.contiguous()?, &expected);
    Ok(())
}

/// A text alone, and with others in a batch, padded or not.
#[test]
fn a_batch_changes_no_bit() -> Result<()> {
    let lengths = [7usize, 3, 40, 1];
    let [q, k, v] = inputs([4, 6, 2, 40, 40, 32, 32], DType::F32, 11);
    let together = Attention::new().key_lengths(&lengths).run(&q, (&k, &v))?;
    for (text, &length) in lengths.iter().enumerate() {
        let of_text = |tensor: &Tensor| tensor.i((text..text + 1, .., ..length));
        let alone = Attention::new().run(&of_text(&q)?, (&of_text(&k)?, &of_text(&v)?))?;
        assert_same_bits(&alone, &of_text(&together)?);
    }
    Ok(())
}

#[test]
fn any_pool_gives_the_same_bits() -> Result<()> {
    let [q, k, v] = inputs([1, 8, 8, 130, 300, 64, 64], DType::F32, 12);
    let run = || Attention::new().run(&q, (&k, &v));
    let expected = run()?;
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_same_bits(&pool.install(run)?, &expected);
    }
    Ok(())
}

#[test]
fn empty_tensors_are_tensors() -> Result<()> {
    let cpu = &Device::Cpu;
    let zeros = |shape: [usize; 4]| Tensor::zeros(&shape, DType::F32, cpu);
    let output = Attention::new()
        .run(&zeros([1, 2, 0, 4])?, (&zeros([1, 1, 3, 4])?, &zeros([1, 1, 3, 5])?))?;
    assert_eq!(output.dims(), [1, 2, 0, 5]);
    let no_keys = Attention::new()
        .run(&zeros([1, 2, 3, 4])?, (&zeros([1, 1, 0, 4])?, &zeros([1, 1, 0, 5])?))?;
    assert_same_bits(&no_keys, &zeros([1, 2, 3, 5])?);
    Ok(())
}

#[test]
fn errors_name_argument_expectation_and_finding() -> Result<()> {
    let cpu = &Device::Cpu;
    let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, cpu).unwrap();
    let (q, k) = (ones(&[1, 6, 4, 8]), ones(&[1, 2, 5, 8]));
    let run = |q: &Tensor, k: &Tensor, v: &Tensor| message(Attention::new().run(q, (k, v)));
    assert_eq!(
        run(&ones(&[6, 4, 8]), &k, &k),
        "query: expected 4 axes [batch, heads, rows, columns], found shape [6, 4, 8]"
    );
    assert_eq!(
        message(Attention::new().rows_first().run(&q, (&k, &ones(&[8])))),
        "value: expected 4 axes [batch, rows, heads, columns], found shape [8]"
    );
    for (argument, [q, k, v]) in [
        ("query", [&q.to_dtype(DType::F64)?, &k, &k]),
        ("key", [&q, &k.to_dtype(DType::F64)?, &k]),
        ("value", [&q, &k, &k.to_dtype(DType::F64)?]),
    ] {
        let expected = format!("{argument}: expected elements of f32, f16 or bf16, found f64");
        assert_eq!(run(q, k, v), expected);
    }
    assert_eq!(
        run(&q, &ones(&[1, 4, 5, 8]), &ones(&[1, 4, 5, 8])),
        "query: expected heads to be a multiple of the key's 4, found 6"
    );
    assert!(run(&q, &ones(&[1, 2, 5, 9]), &k).starts_with("key: expected 8 columns (head_dim)"));
    assert!(run(&q, &k, &ones(&[1, 2, 4, 8])).starts_with("value: expected 5 rows"));
    let with = |attention: Attention<'_>| message(attention.run(&q, (&k, &k)));
    assert_eq!(
        with(Attention::new().scale(f32::NAN)),
        "scale: expected a finite number, found NaN"
    );
    assert_eq!(
        with(Attention::new().mask(&ones(&[4, 5]))),
        "mask: expected elements of u8, found f32"
    );
    assert_eq!(
        with(Attention::new().bias(&ones(&[1, 1, 1, 4, 5]))),
        "bias: expected up to 4 axes [batch, heads, rows, keys], found shape [1, 1, 1, 4, 5]"
    );
    assert!(with(Attention::new().bias(&ones(&[3, 5]))).starts_with("bias: expected 4 rows"));
    assert!(with(Attention::new().sinks(&[0.0])).starts_with("sinks: expected"));
    let heads = Outputs::new().weights_of_heads(&[6]);
    let found = Attention::new().run_with(&q, (&k, &k), &heads, &mut Workspace::new());
    assert!(message(found).contains("found 6"));
    // More elements than there is memory, by strides of 0.
    let huge = ones(&[1, 1, 1, 8]).broadcast_as((1 << 20, 1 << 20, 1 << 20, 8))?;
    let one = ones(&[1, 1, 1, 8]);
    assert!(run(&huge, &one, &one).starts_with("output: expected memory for"));
    Ok(())
}

#[test]
fn gradients_are_refused() -> Result<()> {
    let plain = Tensor::ones((1, 2, 4, 8), DType::F32, &Device::Cpu)?;
    let variable = Var::from_tensor(&plain)?;
    let tracked = variable.affine(2.0, 0.0)?;
    let expected = "expected a tensor that tracks no operations, as softdot computes no gradients, \
                    found one that does (detach it)";
    let attention = Attention::new();
    let runs = [
        ("query", attention.run(&tracked, (&plain, &plain))),
        ("key", attention.run(&plain, (variable.as_tensor(), &plain))),
        ("value", attention.run(&plain, (&plain, &tracked))),
        ("bias", attention.clone().bias(&tracked.narrow(3, 0, 4)?).run(&plain, (&plain, &plain))),
    ];
    for (argument, result) in runs {
        assert_eq!(message(result), format!("{argument}: {expected}"));
    }
    attention.run(&tracked.detach(), (&plain, &plain))?;
    Ok(())
}
