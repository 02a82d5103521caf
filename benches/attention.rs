//! The main workloads for `cargo bench`: to compare a change with the state before it on one
//! machine. `softdot bench` measures more, next to what the machine can do at all.

use criterion::{Criterion, Throughput};
use softdot::{
    Attention, Isa, Keys, Logits, Outputs, PackedKeys, Primitives, TensorMut, TensorRef, Threads,
    Workspace, reference,
};
use std::hint::black_box;

/// The largest error of a right answer, relative to its row's largest magnitude.
const TOLERANCE: f64 = 1e-5;

/// Attention of one batch entry.
#[derive(Clone, Copy)]
struct Task {
    name: &'static str,
    q_heads: usize,
    kv_heads: usize,
    query_rows: usize,
    keys: usize,
    head_dim: usize,
    /// The logits that are computed, or else the weights.
    logits: Option<Logits>,
    packed: bool,
}

const PREFILL: Task = Task {
    name: "prefill/8x2048x2048/d128",
    q_heads: 8,
    kv_heads: 8,
    query_rows: 2048,
    keys: 2048,
    head_dim: 128,
    logits: None,
    packed: false,
};

const DECODE: Task = Task {
    name: "decode/rows/32x1x4096/d128",
    q_heads: 32,
    kv_heads: 32,
    query_rows: 1,
    keys: 4096,
    ..PREFILL
};

const TASKS: [Task; 8] = [
    Task {
        name: "prefill/12x128x128/d64",
        q_heads: 12,
        kv_heads: 12,
        query_rows: 128,
        keys: 128,
        head_dim: 64,
        ..PREFILL
    },
    Task {
        name: "prefill/12x512x512/d64",
        q_heads: 12,
        kv_heads: 12,
        query_rows: 512,
        keys: 512,
        head_dim: 64,
        ..PREFILL
    },
    PREFILL,
    Task { name: "scores/8x2048x2048/d128", logits: Some(Logits::Scores), ..PREFILL },
    DECODE,
    Task { name: "decode/packed/32x1x4096/d128", packed: true, ..DECODE },
    Task { name: "decode/grouped-packed/32on8x1x4096/d128", kv_heads: 8, packed: true, ..DECODE },
    Task {
        name: "tiny/12x6x6/d32",
        q_heads: 12,
        kv_heads: 12,
        query_rows: 6,
        keys: 6,
        head_dim: 32,
        ..PREFILL
    },
];

/// Numbers between `-limit` and `limit` without a pattern.
fn numbers(count: usize, limit: f32, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * limit
    };
    (0..count).map(|_| next()).collect()
}

/// A task with its data.
struct Trial {
    task: Task,
    query: Vec<f32>,
    key: Vec<f32>,
    packed: Option<PackedKeys>,
    output: Vec<f32>,
    workspace: Workspace<'static>,
}

impl Trial {
    fn new(task: Task) -> Self {
        let Task { q_heads, kv_heads, query_rows, keys, head_dim, .. } = task;
        let key = numbers(kv_heads * keys * head_dim, 1.0, 2);
        let view = TensorRef::new(&key[..], [kv_heads, keys, head_dim]);
        Self {
            task,
            query: numbers(q_heads * query_rows * head_dim, 3.0, 1),
            packed: task.packed.then(|| PackedKeys::from_view(view).expect("dense keys")),
            key,
            output: vec![f32::NAN; q_heads * query_rows * keys],
            workspace: Workspace::new(),
        }
    }

    fn call(&mut self, attention: &Attention) {
        let Task { q_heads, kv_heads, query_rows, keys, head_dim, .. } = self.task;
        let query = TensorRef::new(&self.query[..], [q_heads, query_rows, head_dim]);
        let view = TensorRef::new(&self.key[..], [kv_heads, keys, head_dim]);
        let key = self.packed.as_ref().map_or(Keys::View(view.into()), Keys::Packed);
        let output = TensorMut::new(&mut self.output[..], [q_heads, query_rows, keys]);
        let outputs = match self.task.logits {
            Some(stage) => Outputs::new().logits(stage, output),
            None => Outputs::new().weights(output),
        };
        attention.run(query, key, outputs, &mut self.workspace).expect("the views fit each other");
    }

    /// Compares the first and the last row of the output with the definition.
    fn check(&self) {
        let Task { q_heads, kv_heads, query_rows, keys, head_dim, logits, name, .. } = self.task;
        for (query_row, kv_head) in [(0, 0), (q_heads * query_rows - 1, kv_heads - 1)] {
            let query = &self.query[query_row * head_dim..][..head_dim];
            let key = &self.key[kv_head * keys * head_dim..][..keys * head_dim];
            let scale = (head_dim as f64).sqrt().recip();
            let expected = match logits {
                Some(_) => reference::scores(query, key, head_dim, scale),
                None => reference::weights(query, key, head_dim, scale),
            };
            check_row(name, &self.output[query_row * keys..][..keys], &expected);
        }
    }
}

fn check_row(name: &str, row: &[f32], expected: &[f64]) {
    let magnitude = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    for (&found, &value) in row.iter().zip(expected) {
        let error = (f64::from(found) - value).abs() / magnitude;
        assert!(error <= TOLERANCE, "{name}: expected {value}, found {found}");
    }
}

/// The instruction sets worth measuring: all but scalar, or scalar alone.
fn isas() -> Vec<Isa> {
    let fast: Vec<Isa> = Isa::available().filter(|&isa| isa != Isa::Scalar).collect();
    if fast.is_empty() { vec![Isa::Scalar] } else { fast }
}

/// Every task on every instruction set, on one thread and on the pool. Throughput is in
/// multiply-adds.
fn attention(criterion: &mut Criterion) {
    for task in TASKS {
        let mut group = criterion.benchmark_group(task.name);
        let pairs = task.q_heads * task.query_rows * task.keys;
        group.throughput(Throughput::Elements((pairs * task.head_dim) as u64));
        let mut trial = Trial::new(task);
        for isa in isas() {
            for (name, threads) in [("serial", Threads::Serial), ("pool", Threads::Pool)] {
                let attention = Attention::new().isa(isa).threads(threads);
                trial.output.fill(f32::NAN);
                trial.call(&attention);
                trial.check();
                group.bench_function(format!("{isa}/{name}"), |bencher| {
                    bencher.iter(|| trial.call(black_box(&attention)));
                });
            }
        }
        group.finish();
    }
}

/// One row, again and again. Throughput is in elements.
fn softmax(criterion: &mut Criterion) {
    const SCALE: f32 = 0.25;
    let mut group = criterion.benchmark_group("softmax");
    for elements in [128, 1024, 4096] {
        let row = numbers(elements, 16.0, 1);
        let scores: Vec<f64> = row.iter().map(|&s| f64::from(s) * f64::from(SCALE)).collect();
        let mut output = vec![f32::NAN; elements];
        group.throughput(Throughput::Elements(elements as u64));
        for isa in isas() {
            let primitives = Primitives::on(isa).expect("available");
            let call = |row: &[f32], output: &mut [f32]| {
                primitives.scaled_softmax(row, SCALE, output).expect("equal lengths");
            };
            output.fill(f32::NAN);
            call(&row, &mut output);
            check_row("softmax", &output, &reference::softmax(&scores));
            group.bench_function(format!("{isa}/{elements}"), |bencher| {
                bencher.iter(|| call(black_box(&row), &mut output));
            });
        }
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    attention(&mut criterion);
    softmax(&mut criterion);
    criterion.final_summary();
}
