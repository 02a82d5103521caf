//! The numerics contract in plain Rust, one operation after another: what every instruction set
//! has to give, bit for bit. It shares no code with the kernels; it follows docs/numerics.md.

use super::call::Stage;
use super::options::Options;
use super::{Extents, Problem, default_scale};
use core::f64::consts::LOG2_E;
use softdot::Causal;

const SEGMENT: usize = 1024;
const VIRTUAL_LANES: usize = 16;

/// `exp2` on x ≤ 0, without the tricks on the bits: the
/// exponent is added by a multiplication with a power of two, exact while the result is normal.
pub fn exp2(x: f32) -> f32 {
    const COEFFICIENTS: [u32; 6] =
        [0x3f31_7218, 0x3e75_fdec, 0x3d63_57bc, 0x3c1d_9858, 0x3aaf_8533, 0x391f_c836];
    if x.is_nan() {
        return f32::NAN;
    }
    if x < -126.0 {
        return 0.0;
    }
    let n = x.round_ties_even();
    let f = x - n;
    let mut p = f32::from_bits(COEFFICIENTS[5]);
    for coefficient in COEFFICIENTS[..5].iter().rev() {
        p = p.mul_add(f, f32::from_bits(*coefficient));
    }
    p.mul_add(f, 1.0) * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// `tanh`: a polynomial near 0, exponentials elsewhere.
pub fn tanh(u: f32) -> f32 {
    const COEFFICIENTS: [u32; 5] =
        [0xbeaa_aa99, 0x3e08_837b, 0xbd5c_1ad2, 0x3ca8_fc67, 0xbbba_8671];
    if u.abs() < 0.625 {
        let v = u * u;
        let mut p = f32::from_bits(COEFFICIENTS[4]);
        for coefficient in COEFFICIENTS[..4].iter().rev() {
            p = p.mul_add(v, f32::from_bits(*coefficient));
        }
        return (u * v).mul_add(p, u);
    }
    let z = exp2(u.abs() * f32::from_bits(0xc038_aa3b));
    let magnitude = (1.0 - z) / (1.0 + z);
    if u < 0.0 { -magnitude } else { magnitude }
}

/// The dot product's documented order: 64 lanes, then halves.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 64];
    for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
        lanes[i % 64] = a.mul_add(b, lanes[i % 64]);
    }
    add_halves(&mut lanes)
}

/// Adds lanes l and l + half, for halves down to 1.
fn add_halves(lanes: &mut [f32]) -> f32 {
    let mut half = lanes.len() / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The largest, by compare-and-select. A NaN is skipped: its row becomes NaN through the sum.
fn max(values: impl IntoIterator<Item = f32>) -> f32 {
    values.into_iter().fold(f32::NEG_INFINITY, |max, value| if value > max { value } else { max })
}

/// A key of a row of which the softmax is taken: its score in log2 units, if it is attended.
type Logit = Option<f32>;

/// An exponent in a moment.
fn bounded(exponent: f32) -> f32 {
    if exponent > -150.0 { exponent } else { -150.0 }
}

/// The maximum, the sum and the moment of a segment whose exponentials are added to `exponentials`.
fn segment(logits: &[Logit], exponentials: &mut Vec<f32>) -> (f32, f32, f32) {
    let attended = || logits.iter().flatten().copied();
    let max = match max(attended()) {
        f32::NEG_INFINITY if attended().next().is_some() => f32::MIN,
        max => max,
    };
    let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
    let mut lanes = [0.0f32; VIRTUAL_LANES];
    let mut moments = [0.0f32; VIRTUAL_LANES];
    for (key, logit) in logits.iter().enumerate() {
        let exponential = logit.map_or(0.0, |logit| exp2(logit - shift));
        lanes[key % VIRTUAL_LANES] += exponential;
        let exponent = bounded(logit.map_or(f32::NEG_INFINITY, |logit| logit - shift));
        let moment = &mut moments[key % VIRTUAL_LANES];
        *moment = exponential.mul_add(exponent, *moment);
        exponentials.push(exponential);
    }
    (max, add_halves(&mut lanes), add_halves(&mut moments))
}

/// A segment, or several together: maximum, sum, moment, and the sums of exponentials times values.
#[derive(Clone)]
struct Node {
    max: f32,
    sum: f32,
    moment: f32,
    output: Vec<f32>,
}

/// The tree of some nodes: the left one has the largest power of two of them below their number.
fn tree(nodes: &[Node]) -> Node {
    if let [node] = nodes {
        return node.clone();
    }
    let left = 1 << (nodes.len() - 1).ilog2();
    let (a, b) = (tree(&nodes[..left]), tree(&nodes[left..]));
    let max = if b.max > a.max { b.max } else { a.max };
    let z = if max == f32::NEG_INFINITY { 0.0 } else { max };
    let (of_a, of_b) = (exp2(a.max - z), exp2(b.max - z));
    let output = a.output.iter().zip(&b.output).map(|(a, b)| b.mul_add(of_b, a * of_a)).collect();
    let shifted = |node: &Node| node.sum.mul_add(bounded(node.max - max), node.moment);
    let moment = shifted(&b).mul_add(of_b, shifted(&a) * of_a);
    Node { max, sum: b.sum.mul_add(of_b, a.sum * of_a), moment, output }
}

/// What follows from a row of logits.
#[derive(Clone, Debug)]
pub struct RowResults {
    pub weights: Vec<f32>,
    pub output: Vec<f32>,
    pub lse: f32,
    pub max_weight: f32,
    pub max_weight_key: i64,
    pub entropy: f32,
}

/// The softmax of a row of logits and a sink, all in log2 units, and its product with values.
fn softmax_log2<'v>(
    logits: &[Logit],
    sink: f32,
    v_dim: usize,
    value: &dyn Fn(usize) -> &'v [f32],
) -> RowResults {
    let mut weights = Vec::with_capacity(logits.len());
    let nodes: Vec<Node> = (logits.chunks(SEGMENT).enumerate())
        .map(|(i, logits)| {
            let first = weights.len();
            let (max, sum, moment) = segment(logits, &mut weights);
            let mut output = vec![0.0f32; v_dim];
            for (j, e) in weights[first..].iter().enumerate() {
                if v_dim > 0 && logits[j].is_some() {
                    for (sum, v) in output.iter_mut().zip(value(i * SEGMENT + j)) {
                        *sum = e.mul_add(*v, *sum);
                    }
                }
            }
            Node { max, sum, moment, output }
        })
        .collect();
    let nothing =
        || Node { max: f32::NEG_INFINITY, sum: 0.0, moment: 0.0, output: vec![0.0; v_dim] };
    let all = if nodes.is_empty() { nothing() } else { tree(&nodes) };
    let max = if sink.is_nan() || sink > all.max { sink } else { all.max };
    let z = if max == f32::NEG_INFINITY { 0.0 } else { max };
    let correction = exp2(all.max - z);
    let sum = all.sum * correction + exp2(sink - z);
    let inverse = if max == f32::NEG_INFINITY { 0.0 } else { 1.0 / sum };
    for (weights, node) in weights.chunks_mut(SEGMENT).zip(&nodes) {
        let factor = exp2(node.max - z) * inverse;
        weights.iter_mut().for_each(|weight| *weight *= factor);
    }
    let factor = correction * inverse;
    let mean = all.sum.mul_add(bounded(all.max - z), all.moment) * factor;
    let entropy = match (all.sum * factor).mul_add(ln(sum), -core::f32::consts::LN_2 * mean) {
        _ if all.max == f32::NEG_INFINITY => 0.0 * factor,
        entropy if entropy < 0.0 => 0.0,
        entropy => entropy,
    };
    let max_weight = weights.iter().fold(0.0, |max: f32, &weight| {
        if max.is_nan() || weight.is_nan() { f32::NAN } else { max.max(weight) }
    });
    let largest = weights.iter().position(|&weight| weight == max_weight && weight > 0.0);
    RowResults {
        max_weight,
        max_weight_key: largest.map_or(-1, |key| key as i64),
        entropy,
        weights,
        output: all.output.iter().map(|sum| sum.mul_add(factor, 0.0)).collect(),
        lse: z.mul_add(core::f32::consts::LN_2, ln(sum)),
    }
}

/// The natural logarithm, by the bits of x and a series of the inverse hyperbolic tangent.
pub fn ln(x: f32) -> f32 {
    if x == 0.0 || !x.is_finite() {
        return if x == 0.0 { f32::NEG_INFINITY } else { x };
    }
    let (mut f, mut n) = (x, 0.0f32);
    let sqrt_half = f32::from_bits(0x3f35_04f3);
    while f >= 2.0 * sqrt_half {
        (f, n) = (f / 2.0, n + 1.0);
    }
    while f < sqrt_half {
        (f, n) = (f * 2.0, n - 1.0);
    }
    let s = (f - 1.0) / (f + 1.0);
    let v = s * s;
    let p = (1.0f32 / 11.0).mul_add(v, 1.0 / 9.0).mul_add(v, 1.0 / 7.0);
    let p = p.mul_add(v, 1.0 / 5.0).mul_add(v, 1.0 / 3.0);
    n.mul_add(core::f32::consts::LN_2, (2.0 * s * v).mul_add(p, 2.0 * s))
}

/// A logit or factor in log2 units, rounded once; finite if it is.
fn log2_units(x: f32) -> f32 {
    let rounded = (f64::from(x) * LOG2_E) as f32;
    if x.is_finite() { rounded.clamp(f32::MIN, f32::MAX) } else { rounded }
}

/// A logit in log2 units, which stays finite if it is so in natural units.
fn kept_finite(t: f32, natural: impl FnOnce() -> f32) -> f32 {
    if t.is_infinite() && natural().is_finite() { f32::MAX.copysign(t) } else { t }
}

/// A logit in the units of a stage.
fn in_units(stage: Stage, logit: f32) -> f32 {
    if stage == Stage::Weights { log2_units(logit) } else { logit }
}

/// `softmax(scale · row)`.
pub fn scaled_softmax(row: &[f32], scale: f32) -> Vec<f32> {
    let factor = log2_units(scale);
    let logits: Vec<Logit> =
        row.iter().map(|element| Some(kept_finite(element * factor, || element * scale))).collect();
    softmax_log2(&logits, f32::NEG_INFINITY, 0, &|_| &[]).weights
}

/// The score of one query row and key: one FMA chain, ascending, from +0.
fn score(query: &[f32], key: &[f32], factor: f32) -> f32 {
    query.iter().zip(key).fold(0.0f32, |sum, (&q, &k)| (q * factor).mul_add(k, sum))
}

/// Any stage of a problem without options but the scale.
pub fn attention(problem: &Problem, stage: Stage, scale: Option<f32>) -> Vec<f32> {
    with_options(problem, &Options { scale, ..Options::default() }, stage)
}

/// Any stage of a problem.
pub fn with_options(problem: &Problem, options: &Options, stage: Stage) -> Vec<f32> {
    let mut output = Vec::new();
    for_each_row(problem, options, stage, |row, logits, _| match stage {
        Stage::Weights => output.extend(row.softmax(&logits, 0, &|_| &[]).weights),
        _ => output.extend(logits.into_iter().map(|logit| logit.unwrap_or(f32::NEG_INFINITY))),
    });
    output
}

/// Everything that follows from the softmax, with dense values `[batch, kv_heads, keys, v_dim]`: the
/// results of each row, in order.
pub fn results(
    problem: &Problem,
    options: &Options,
    value: &[f32],
    v_dim: usize,
) -> Vec<RowResults> {
    let keys = problem.extents.keys;
    let mut results = Vec::new();
    for_each_row(problem, options, Stage::Weights, |row, logits, kv_head| {
        let value = |j: usize| &value[(kv_head * keys + j) * v_dim..][..v_dim];
        results.push(row.softmax(&logits, v_dim, &value));
    });
    results
}

/// Calls `each` with every row, its logits and its key head, counted over the batch.
fn for_each_row(
    problem: &Problem,
    options: &Options,
    stage: Stage,
    mut each: impl FnMut(Row<'_>, Vec<Logit>, usize),
) {
    let Extents { q_heads, kv_heads, rows, head_dim, .. } = problem.extents;
    for (head_index, head) in problem.heads().into_iter().enumerate() {
        for row in 0..rows {
            let (batch, q_head) = (head_index / q_heads, head_index % q_heads);
            let row = Row { options, stage, batch, head: q_head, row };
            let query = &head.query[row.row * head_dim..][..head_dim];
            let key = |j: usize| &head.key[j * head_dim..][..head_dim];
            let logits = row.logits(&problem.extents, |j, factor| score(query, key(j), factor));
            each(row, logits, batch * kv_heads + q_head / (q_heads / kv_heads));
        }
    }
}

/// A query row and what is asked of it.
struct Row<'a> {
    options: &'a Options,
    stage: Stage,
    batch: usize,
    head: usize,
    row: usize,
}

impl Row<'_> {
    /// The logits of the row's keys; `score` is that of a key under a query factor.
    fn logits(&self, extents: &Extents, score: impl Fn(usize, f32) -> f32) -> Vec<Logit> {
        let Row { options, stage, .. } = *self;
        let keys = options.key_lengths.as_ref().map_or(extents.keys, |lengths| lengths[self.batch]);
        let position = self.position(extents, keys);
        let factor = self.factor(extents);
        (0..extents.keys)
            .map(|j| {
                let all_keys = matches!(stage, Stage::Scores | Stage::Capped);
                let kept = j < keys && (all_keys || self.attends(j, position));
                kept.then(|| {
                    let t = self.adjusted(score(j, factor), j, position);
                    if stage != Stage::Weights {
                        return t;
                    }
                    let natural = Row { stage: Stage::Biased, ..*self };
                    let natural_score = || score(j, natural.factor(extents));
                    kept_finite(t, || natural.adjusted(natural_score(), j, position))
                })
            })
            .collect()
    }

    fn softmax<'v>(
        &self,
        logits: &[Logit],
        v_dim: usize,
        value: &dyn Fn(usize) -> &'v [f32],
    ) -> RowResults {
        let sinks = self.options.sinks.as_ref();
        let sink = sinks.map_or(f32::NEG_INFINITY, |sinks| log2_units(sinks[self.head]));
        softmax_log2(logits, sink, v_dim, value)
    }

    fn factor(&self, extents: &Extents) -> f32 {
        let scale = self.options.scale.unwrap_or_else(|| default_scale(extents.head_dim));
        match self.options.softcap {
            Some(cap) if self.stage != Stage::Scores => (f64::from(scale) / f64::from(cap)) as f32,
            _ => in_units(self.stage, scale),
        }
    }

    fn position(&self, extents: &Extents, keys: usize) -> i128 {
        self.row as i128
            + match self.options.causal {
                Some(Causal::TopLeft) => 0,
                Some(Causal::Offset(offset)) => offset as i128,
                Some(Causal::BottomRight) | None => keys as i128 - extents.rows as i128,
            }
    }

    fn attends(&self, key: usize, position: i128) -> bool {
        let index = [self.batch, self.head, self.row, key];
        let distance = key as i128 - position;
        let Options { causal, window: (left, right), mask, bias, .. } = self.options;
        !(causal.is_some() && distance > 0
            || left.is_some_and(|left| -distance > left as i128)
            || right.is_some_and(|right| distance > right as i128)
            || mask.as_ref().is_some_and(|mask| !mask.at(index))
            || bias.as_ref().is_some_and(|bias| bias.at(index) == f32::NEG_INFINITY))
    }

    /// Softcap, bias and ALiBi.
    fn adjusted(&self, mut t: f32, key: usize, position: i128) -> f32 {
        let Options { softcap, bias, alibi_slopes, .. } = self.options;
        let units = |logit| in_units(self.stage, logit);
        if let Some(cap) = softcap.filter(|_| self.stage != Stage::Scores) {
            t = units(cap) * tanh(t);
        }
        if matches!(self.stage, Stage::Scores | Stage::Capped) {
            return t;
        }
        if let Some(bias) = bias {
            t = bias.at([self.batch, self.head, self.row, key]).mul_add(units(1.0), t);
        }
        if let Some(slopes) = alibi_slopes {
            let panel = key / 16 * 16;
            let distance = (panel as i128 - position) as f32 + (key - panel) as f32;
            t = units(slopes[self.head]).mul_add(distance, t);
        }
        t
    }
}
