//! What the integration tests share: problems, instruction sets under test, comparisons.
#![allow(dead_code, reason = "each test file uses a part of this")]

// Its reference wants the standard library.
#[cfg(feature = "std")]
pub mod bounds;
pub mod call;
pub mod elements;
pub mod options;
pub mod refusals;
pub mod strided;
pub mod sweep;
pub mod transcription;

use call::{Call, Stage};
use core::fmt::Display;
use proptest::prelude::ProptestConfig;
use softdot::{Isa, TensorRef, Threads};

/// All points at which a call can stop.
pub const STAGES: [Stage; 4] = [Stage::Scores, Stage::Capped, Stage::Biased, Stage::Weights];

/// Whether this run is to be short, as under an emulator: the same tests on fewer cases.
pub fn emulated() -> bool {
    std::env::var_os("SOFTDOT_TEST_QUICK").is_some_and(|value| value == "1")
}

/// One of two sizes: of a full run, and of a short one.
pub fn scaled_down(full: usize, short: usize) -> usize {
    if emulated() { short } else { full }
}

/// So many random cases, or so many. No file of past failures: a failure prints its problem, which is
/// its seed and extents.
pub fn proptests(full: usize, short: usize) -> ProptestConfig {
    let cases = scaled_down(full, short) as u32;
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Every case of a full run, every `stride`th of a short one. A stride without a common factor
/// with the periods inside the list keeps the variety.
pub fn thinned<T>(cases: Vec<T>, stride: usize) -> Vec<T> {
    cases.into_iter().step_by(scaled_down(1, stride)).collect()
}

/// The instruction sets under test: those of the machine, then the emulated widths. Where a CPU is
/// emulated and slow, `SOFTDOT_TEST_ONLY_ISA` names the one that the run is for.
pub fn isas() -> Vec<Isa> {
    match only() {
        Some(isa) => vec![isa],
        None => Isa::available().chain(Isa::EMULATED).collect(),
    }
}

fn only() -> Option<Isa> {
    let name = std::env::var("SOFTDOT_TEST_ONLY_ISA").ok()?;
    let isa: Isa = name.parse().expect("the name of an instruction set");
    assert!(isa.is_available(), "this CPU lacks {isa}");
    Some(isa)
}

/// The instruction sets with vector instructions, widest first; the scalar one if there are none.
pub fn fast_isas() -> Vec<Isa> {
    let mut isas: Vec<Isa> = match only() {
        Some(isa) => vec![isa],
        None => Isa::available().filter(|&isa| isa != Isa::Scalar).collect(),
    };
    if isas.is_empty() {
        isas.push(Isa::Scalar);
    }
    isas.reverse();
    isas
}

/// SplitMix64: small, and the same on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform over the multiples of 2⁻²³ in [−1, 1).
    pub fn unit(&mut self) -> f32 {
        ((self.next() >> 40) as i32 - (1 << 23)) as f32 / (1 << 23) as f32
    }

    /// Below `bound`, which is above 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn one_of<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[self.below(N)]
    }
}

/// `length` numbers in [−1, 1).
pub fn random(length: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..length).map(|_| random.unit()).collect()
}

/// The bits of a number; those of one NaN for all NaN, as the numerics contract has it.
pub fn bits(x: f32) -> u32 {
    if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() }
}

/// Fails at the first element whose bits differ.
#[track_caller]
pub fn assert_same_bits(expected: &[f32], found: &[f32], what: impl Display) {
    assert_eq!(expected.len(), found.len(), "{what}: lengths");
    for (i, (&expected, &found)) in expected.iter().zip(found).enumerate() {
        assert!(
            bits(expected) == bits(found),
            "{what}: element {i}: expected {expected:e} ({:#010x}), found {found:e} ({:#010x})",
            expected.to_bits(),
            found.to_bits(),
        );
    }
}

/// The extents of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    pub batch: usize,
    pub q_heads: usize,
    pub kv_heads: usize,
    pub rows: usize,
    pub keys: usize,
    pub head_dim: usize,
}

impl Extents {
    /// One head.
    pub fn single(rows: usize, keys: usize, head_dim: usize) -> Self {
        Extents { batch: 1, q_heads: 1, kv_heads: 1, rows, keys, head_dim }
    }

    /// The same rows, keys and dimensions under `[batch, q_heads, kv_heads]`.
    pub fn with_heads(self, [batch, q_heads, kv_heads]: [usize; 3]) -> Self {
        Extents { batch, q_heads, kv_heads, ..self }
    }

    pub fn query_shape(&self) -> [usize; 4] {
        [self.batch, self.q_heads, self.rows, self.head_dim]
    }

    pub fn key_shape(&self) -> [usize; 4] {
        [self.batch, self.kv_heads, self.keys, self.head_dim]
    }

    pub fn output_shape(&self) -> [usize; 4] {
        [self.batch, self.q_heads, self.rows, self.keys]
    }

    /// Multiply-adds.
    pub fn work(&self) -> usize {
        self.output_shape().iter().product::<usize>() * self.head_dim
    }
}

/// Dense inputs.
#[derive(Clone, Debug)]
pub struct Problem {
    pub extents: Extents,
    pub query: Vec<f32>,
    pub key: Vec<f32>,
}

/// One query head with the keys that it reads.
pub struct Head<'a> {
    pub query: &'a [f32],
    pub key: &'a [f32],
}

impl Problem {
    /// Elements in [−1, 1).
    pub fn random(extents: Extents, seed: u64) -> Self {
        let query = random(extents.query_shape().iter().product(), seed);
        let key = random(extents.key_shape().iter().product(), !seed);
        Problem { extents, query, key }
    }

    /// One head of one dimension whose only query is 1: with scale 1 the scores are `scores`.
    pub fn of_scores(scores: &[f32]) -> Self {
        let extents = Extents::single(1, scores.len(), 1);
        Problem { extents, query: vec![1.0], key: scores.to_vec() }
    }

    pub fn query_view(&self) -> TensorRef<'_> {
        TensorRef::new(&self.query, self.extents.query_shape())
    }

    pub fn key_view(&self) -> TensorRef<'_> {
        TensorRef::new(&self.key, self.extents.key_shape())
    }

    #[track_caller]
    pub fn compute(&self, attention: &Call) -> Vec<f32> {
        attention.compute(self.query_view(), self.key_view()).expect("a valid problem")
    }

    /// The heads in the order of the output.
    pub fn heads(&self) -> Vec<Head<'_>> {
        let Extents { batch, q_heads, kv_heads, rows, keys, head_dim } = self.extents;
        let heads = (0..batch).flat_map(|entry| (0..q_heads).map(move |head| (entry, head)));
        heads
            .map(|(entry, q_head)| {
                let q_index = entry * q_heads + q_head;
                let kv_index = entry * kv_heads + q_head / (q_heads / kv_heads);
                Head {
                    query: &self.query[q_index * rows * head_dim..][..rows * head_dim],
                    key: &self.key[kv_index * keys * head_dim..][..keys * head_dim],
                }
            })
            .collect()
    }
}

/// The options that every comparison starts from: no pool.
pub fn serial(isa: Isa) -> Call<'static> {
    Call::new().isa(isa).threads(Threads::Serial)
}

/// A pool of its own, so that a call inside it sees that many threads.
pub fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")
}

/// The default scale as it is documented: 1/√head_dim, rounded to f32.
pub fn default_scale(head_dim: usize) -> f32 {
    (1.0 / (head_dim.max(1) as f64).sqrt()) as f32
}
