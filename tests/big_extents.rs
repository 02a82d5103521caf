//! Extents that nothing of rows times keys would fit: the output and the log-sum-exp against the
//! definition in f64, computed key by key, and the workspace that they take.

mod common;

use common::bounds::gamma;
use common::{assert_same_bits, default_scale, fast_isas, pool, random, scaled_down};
use core::ops::Range;
use softdot::{Attention, Causal, Outputs, TensorMut, TensorRef, Threads, Workspace};

/// Elements of a query, a key and a value.
const DIM: usize = 8;

/// The definition for one row, and how far from it the kernels may be.
struct Exact {
    output: [f64; DIM],
    lse: f64,
    /// Σ w·|v| of each column.
    magnitudes: [f64; DIM],
    /// The largest error of a score, in natural units.
    score_error: f64,
}

impl Exact {
    /// One pass over keys and values, rescaled where the maximum grows.
    fn new<'a>(query: &[f32], keys_values: impl Iterator<Item = (&'a [f32], &'a [f32])>) -> Self {
        let scale = f64::from(default_scale(DIM));
        let (mut max, mut sum, mut score_error) = (f64::NEG_INFINITY, 0.0, 0.0f64);
        let (mut output, mut magnitudes) = ([0.0; DIM], [0.0; DIM]);
        for (key, value) in keys_values {
            let (mut score, mut magnitude) = (0.0, 0.0);
            for (&q, &k) in query.iter().zip(key) {
                let product = scale * f64::from(q) * f64::from(k);
                score += product;
                magnitude += product.abs();
            }
            score_error = score_error.max(gamma(DIM + 3) * magnitude);
            if score > max {
                let rescale = (max - score).exp();
                sum *= rescale;
                output.iter_mut().chain(&mut magnitudes).for_each(|element| *element *= rescale);
                max = score;
            }
            let weight = (score - max).exp();
            sum += weight;
            for (column, &v) in value.iter().enumerate() {
                output[column] += weight * f64::from(v);
                magnitudes[column] += weight * f64::from(v).abs();
            }
        }
        Exact {
            output: output.map(|element| element / sum),
            lse: max + sum.ln(),
            magnitudes: magnitudes.map(|element| element / sum),
            score_error,
        }
    }

    /// The weights' relative error is that of the scores, twice, and a few roundings; that of a sum a
    /// chain of at most 1,024 fused operations, the tree of the segments and the last step. Scores here
    /// are at most 32 from their maximum, which costs 32 roundings in the exponential.
    fn assert_close(&self, output: &[f32], lse: f32, what: &str) {
        let relative = 2.0 * self.score_error + 2.0 * gamma(1024 + 16 + 32);
        for ((&found, exact), magnitude) in output.iter().zip(self.output).zip(self.magnitudes) {
            let (found, bound) = (f64::from(found), relative * magnitude);
            assert!((found - exact).abs() <= bound, "{what}: {found} for {exact} ± {bound}");
        }
        let bound = self.score_error + gamma(1024 + 16 + 32) + gamma(4) * self.lse.abs();
        let (found, exact) = (f64::from(lse), self.lse);
        assert!((found - exact).abs() <= bound, "{what}: lse {found} for {exact} ± {bound}");
    }
}

/// Output and lse of some rows.
struct Found {
    output: Vec<f32>,
    lse: Vec<f32>,
    workspace_bytes: usize,
}

fn run(attention: &Attention, query: TensorRef, key: TensorRef, value: TensorRef) -> Found {
    let [.., rows, _] = query.shape();
    let (mut output, mut lse) = (vec![f32::NAN; rows * DIM], vec![f32::NAN; rows]);
    let outputs = Outputs::new()
        .output(TensorMut::new(&mut output[..], [rows, DIM]))
        .lse(TensorMut::new(&mut lse[..], [rows, 1]));
    let mut workspace = Workspace::new();
    attention.run(query, (key, value), outputs, &mut workspace).expect("valid");
    Found { output, lse, workspace_bytes: workspace.bytes() }
}

/// Ten million keys for one row. Key j is elements j.. of one piece of memory, and so is its value. A
/// few keys outweigh thousands of others, at the ends and where indices have more bits.
#[test]
fn ten_million_keys() {
    let keys = scaled_down(10_000_000, 2_000_000);
    let mut query = random(DIM, 1);
    query.iter_mut().for_each(|element| *element *= 4.0);
    let mut data = random(keys + DIM, 2);
    let squares: f32 = query.iter().map(|q| q * q).sum();
    let score_15 = 15.0 / (default_scale(DIM) * squares);
    for place in [0, 1 << 20, keys / 2 + 5, keys - 1] {
        for (element, q) in data[place..place + DIM].iter_mut().zip(&query) {
            *element = q * score_15;
        }
    }
    let value = &random(keys + DIM, 3);
    let rows = data.windows(DIM).zip(value.windows(DIM)).take(keys);
    let exact = Exact::new(&query, rows);
    let query = TensorRef::new(&query[..], [1, DIM]);
    let of_keys = |data| TensorRef::with_strides(data, [1, 1, keys, DIM], [0, 0, 1, 1]);
    let (key, value) = (of_keys(&data[..]), of_keys(&value[..]));
    let expected =
        run(&Attention::new().isa(fast_isas()[0]).threads(Threads::Serial), query, key, value);
    exact.assert_close(&expected.output, expected.lse[0], "serial");
    // The scores of one segment, a stack of partial outputs, a panel, the values of a pass; and for each
    // segment, two numbers of 16 rows. Scores of all keys would be 4 bytes for each.
    let (fixed, segments) = (1 << 20, keys.div_ceil(1024));
    let bytes = fixed + segments * 2 * 16 * 4 * 2;
    assert!(expected.workspace_bytes < bytes, "{} of {bytes}", expected.workspace_bytes);
    for isa in fast_isas() {
        let attention = Attention::new().isa(isa);
        let found = pool(2).install(|| run(&attention, query, key, value));
        assert_same_bits(&expected.output, &found.output, isa);
        assert_same_bits(&expected.lse, &found.lse, isa);
        // Threads share the row: besides, a partial output for each segment, with two numbers more.
        let bytes = bytes + fixed + segments * (16 + 2 * 16) * 4 * 2;
        assert!(found.workspace_bytes < bytes, "{isa}: {} of {bytes}", found.workspace_bytes);
    }
}

/// Tokens of the self-attention below: a score for each pair would take 64 GiB.
const TOKENS: usize = 1 << 17;

/// Rows of a causal call for some rows alone, against the definition.
fn check_rows(data: &[f32], rows: Range<usize>) {
    let query = TensorRef::new(&data[rows.start * DIM..rows.end * DIM], [rows.len(), DIM]);
    let key = TensorRef::new(data, [TOKENS, DIM]);
    let attention = Attention::new().causal(Causal::Offset(rows.start as isize));
    let found = run(&attention, query, key, key);
    for row in [0, rows.len() / 2 + 1, rows.len() - 1] {
        let token = rows.start + row;
        let attended = data.chunks_exact(DIM).take(token + 1);
        let exact = Exact::new(&data[token * DIM..][..DIM], attended.clone().zip(attended));
        let output = &found.output[row * DIM..][..DIM];
        exact.assert_close(output, found.lse[row], &format!("token {token}"));
    }
}

/// Rows of 131,072 × 131,072 causal self-attention: the first, some between, the last.
#[test]
fn causal_rows_of_131_072_tokens() {
    const CHUNK: usize = 64;
    let data = random(TOKENS * DIM, 4);
    let step = scaled_down(TOKENS / 32, TOKENS / 4);
    for start in (0..TOKENS - CHUNK).step_by(step).chain([TOKENS / 2 - 33, TOKENS - CHUNK]) {
        check_rows(&data, start..start + CHUNK);
    }
}

/// All 131,072 rows in one call, each with the tokens of a window: within memory for the packed keys and
/// values of one head and what threads have for a block of rows with a segment of keys. A row of scores
/// for each row of a block would be more.
#[test]
fn all_rows_of_131_072_tokens() {
    const WINDOW: usize = 50;
    let data = random(TOKENS * DIM, 5);
    let tokens = TensorRef::new(&data[..], [TOKENS, DIM]);
    let attention = Attention::new().causal(Causal::BottomRight).window(WINDOW, None);
    let found = pool(2).install(|| run(&attention, tokens, tokens, tokens));
    let (key_pitch, value_pitch, scores) = (DIM, 16, 48 * 1040);
    let bytes = 4 * (TOKENS * (key_pitch + value_pitch) + 2 * 4 * scores);
    assert!(found.workspace_bytes < bytes, "{} of {bytes}", found.workspace_bytes);
    for token in (0..TOKENS).step_by(997).chain([TOKENS - 1]) {
        let attended = data.chunks_exact(DIM).take(token + 1).skip(token.saturating_sub(WINDOW));
        let exact = Exact::new(&data[token * DIM..][..DIM], attended.clone().zip(attended));
        let output = &found.output[token * DIM..][..DIM];
        exact.assert_close(output, found.lse[token], &format!("token {token}"));
    }
}
