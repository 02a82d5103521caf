//! The workloads.

use super::task::{Adjustment, AttentionResult, AttentionTask, NumberType, SoftmaxTask, Task};
use super::workload::{ScalingPoint, Workload};
use anyhow::{Result, ensure};
use softdot::{Caches, Logits};

/// Weights of the scaling workloads at most, so that the longest rows stay under half a
/// second.
pub const MOST_SCALING_PAIRS: usize = 1 << 24;

/// Rows and output of the softmax workload that reads DRAM.
const DRAM_BYTES: usize = 256 << 20;

/// The workloads whose names contain `filter`.
///
/// # Errors
/// If there are none.
pub fn select(quick: bool, filter: &str) -> Result<Vec<Workload>> {
    let mut workloads = all();
    workloads.retain(|workload| workload.name.contains(filter) && (workload.quick || !quick));
    ensure!(
        !workloads.is_empty(),
        "--filter: expected part of the name of a workload{}, found {filter:?}",
        if quick { " that --quick measures" } else { "" }
    );
    Ok(workloads)
}

fn all() -> Vec<Workload> {
    let mut workloads = output();
    workloads.extend(prefill());
    workloads.extend(decode());
    workloads.extend(options());
    workloads.extend(windows());
    workloads.extend(tiny());
    workloads.extend(awkward());
    workloads.extend(softmax(&Caches::detect()));
    workloads.extend(scaling());
    workloads
}

/// The weights multiplied with the values in the same pass: prompts, one of them after cached keys,
/// and one query row.
fn output() -> Vec<Workload> {
    let output = |task| AttentionTask { result: AttentionResult::Output, ..task };
    let causal = |task| AttentionTask { causal: true, ..output(task) };
    let large = output(dense(8, 2048, 2048, 128));
    let rows = dense(32, 1, 4096, 128);
    let grouped = AttentionTask { kv_heads: 8, ..rows.clone() };
    vec![
        attention("output", output(dense(12, 128, 128, 64))),
        attention("output", output(dense(12, 512, 512, 64))).quick(),
        attention("output", large.clone()).quick(),
        attention("output/causal", causal(large.clone())).beside("output", &large).quick(),
        attention("output/causal", causal(dense(8, 512, 4096, 128))),
        attention("output", output(dense(1, 4096, 4096, 64))),
        attention("output/decode", output(rows)).quick(),
        attention("output/decode", output(grouped)).quick(),
    ]
}

/// Weights or scores alone.
fn prefill() -> Vec<Workload> {
    let large = dense(8, 2048, 2048, 128);
    vec![
        attention("prefill", dense(12, 128, 128, 64)),
        attention("prefill", dense(12, 512, 512, 64)).quick(),
        attention("prefill", dense(1, 4096, 4096, 64)),
        attention("prefill", large.clone()).quick(),
        attention("prefill/f16", narrow(NumberType::F16, &large)).beside("prefill", &large),
        attention("prefill/bf16", narrow(NumberType::Bf16, &large)).beside("prefill", &large),
        attention(
            "scores",
            AttentionTask { result: AttentionResult::Logits(Logits::Scores), ..large },
        ),
    ]
}

/// One option each, next to the same without it. ALiBi is for causal attention: after a row's own
/// key its bias grows, to where f32 has no digits left for the score.
fn options() -> Vec<Workload> {
    let plain = dense(8, 2048, 2048, 128);
    let causal = AttentionTask { causal: true, ..plain.clone() };
    let with = |kind: &str, adjustment, task: &AttentionTask| {
        attention(kind, AttentionTask { adjustment: Some(adjustment), ..task.clone() })
    };
    vec![
        attention("causal", causal.clone()).beside("prefill", &plain).quick(),
        with("alibi", Adjustment::Alibi, &causal).beside("causal", &causal),
        with("softcap", Adjustment::Softcap, &plain).beside("prefill", &plain),
        with("bias", Adjustment::Bias, &plain).beside("prefill", &plain),
        with("mask", Adjustment::Mask, &plain).beside("prefill", &plain),
        with("sinks", Adjustment::Sinks, &plain).beside("prefill", &plain),
    ]
}

/// The time of long rows as windows get longer, up to all keys before the row's own.
fn windows() -> Vec<Workload> {
    let causal = AttentionTask { causal: true, ..dense(1, 8192, 8192, 64) };
    let window = |keys: usize| {
        let task = AttentionTask { window: Some(keys), ..causal.clone() };
        attention(&format!("window/{keys}"), task).beside("causal", &causal)
    };
    vec![window(256), window(512), attention("causal", causal.clone())]
}

/// One query row: from DRAM or the last cache, then from keys that nearly fit in L2.
fn decode() -> Vec<Workload> {
    let rows = dense(32, 1, 4096, 128);
    let grouped = AttentionTask { kv_heads: 8, ..rows.clone() };
    let small = dense(2, 1, 1024, 128);
    let packed = |task: &AttentionTask| AttentionTask { packed: true, ..task.clone() };
    vec![
        attention("decode/packed", packed(&rows)).quick(),
        attention("decode/f16", narrow(NumberType::F16, &rows))
            .beside("decode/rows", &rows)
            .quick(),
        attention("decode/bf16", narrow(NumberType::Bf16, &rows)).beside("decode/rows", &rows),
        attention("decode/rows", rows).quick(),
        attention("decode/grouped-packed", packed(&grouped)),
        attention("decode/grouped-rows", grouped),
        attention("decode/packed", packed(&small)).quick(),
        attention("decode/rows", small),
    ]
}

/// What a call costs before it computes.
fn tiny() -> Vec<Workload> {
    let workload = attention("tiny", dense(12, 6, 6, 32)).quick();
    vec![Workload { with_scalar: true, ..workload }]
}

/// Sizes that are no multiple of a register or tile, each followed by round neighbours.
fn awkward() -> Vec<Workload> {
    let squares = [1000, 1023, 1024, 77, 80].map(|keys| dense(8, keys, keys, 64));
    let head_dims = [33, 32, 40, 48, 80, 96, 128, 256].map(|head_dim| dense(8, 512, 512, head_dim));
    let query_rows = [7, 8].map(|query_rows| dense(8, query_rows, 1024, 64));
    let tasks = squares.into_iter().chain(head_dims).chain(query_rows);
    tasks.map(|task| attention("awkward", task)).collect()
}

/// One row in L1, rows of which half of L2 is full, rows that no cache holds.
fn softmax(caches: &Caches) -> Vec<Workload> {
    let row_elements = 4096;
    let rows_in = |bytes: usize| (bytes / (2 * row_elements * size_of::<f32>())).max(1);
    let rows = |kind: &str, task: SoftmaxTask| Workload {
        name: format!("softmax/{kind}/{}x{}", task.rows, task.row_elements),
        task: Task::Softmax(task),
        plain: None,
        quick: false,
        with_scalar: false,
        scaling: None,
    };
    vec![
        rows("l1", SoftmaxTask { rows: 1, row_elements: 1024 }).quick(),
        rows("l2", SoftmaxTask { rows: rows_in(caches.l2 / 2), row_elements }),
        rows("dram", SoftmaxTask { rows: rows_in(DRAM_BYTES), row_elements }),
    ]
}

/// The time per pair as rows get longer.
fn scaling() -> Vec<Workload> {
    let sizes = (6..=14).map(|exponent| 1 << exponent);
    let head_dim = 64;
    let task = |keys: usize| dense(1, keys.min(MOST_SCALING_PAIRS / keys), keys, head_dim);
    let workload = |keys: usize| Workload {
        scaling: Some(ScalingPoint { keys, head_dim }),
        ..attention("scaling", task(keys))
    };
    sizes.map(workload).collect()
}

/// Weights of row-major keys, as many heads of them as of queries.
fn dense(heads: usize, query_rows: usize, keys: usize, head_dim: usize) -> AttentionTask {
    AttentionTask {
        q_heads: heads,
        kv_heads: heads,
        query_rows,
        keys,
        head_dim,
        result: AttentionResult::Weights,
        packed: false,
        number_type: NumberType::F32,
        causal: false,
        window: None,
        adjustment: None,
    }
}

/// The same with queries and keys of another type.
fn narrow(number_type: NumberType, task: &AttentionTask) -> AttentionTask {
    AttentionTask { number_type, ..task.clone() }
}

fn attention(kind: &str, task: AttentionTask) -> Workload {
    let AttentionTask { q_heads, kv_heads, query_rows, keys, head_dim, .. } = task;
    let heads =
        if q_heads == kv_heads { q_heads.to_string() } else { format!("{q_heads}on{kv_heads}") };
    Workload {
        name: format!("{kind}/{heads}x{query_rows}x{keys}/d{head_dim}"),
        task: Task::Attention(task),
        plain: None,
        quick: false,
        with_scalar: false,
        scaling: None,
    }
}

impl Workload {
    fn quick(self) -> Self {
        Self { quick: true, ..self }
    }

    fn beside(self, kind: &str, plain: &AttentionTask) -> Self {
        Self { plain: Some(Box::new(attention(kind, plain.clone()))), ..self }
    }
}
