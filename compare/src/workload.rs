//! The workloads: those of `softdot bench`, under the same names, that row-major keys fit.

use anyhow::{Result, ensure};

/// Attention of one batch entry.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    kind: &'static str,
    /// Heads, as many of queries as of keys.
    pub heads: usize,
    /// Query rows of a head.
    pub query_rows: usize,
    /// Keys of a head.
    pub keys: usize,
    /// Elements of a query row and of a key.
    pub head_dim: usize,
}

const ALL: [Workload; 6] = [
    workload("prefill", 12, 128, 128, 64),
    workload("prefill", 12, 512, 512, 64),
    workload("prefill", 1, 4096, 4096, 64),
    workload("prefill", 8, 2048, 2048, 128),
    workload("decode/rows", 32, 1, 4096, 128),
    workload("tiny", 12, 6, 6, 32),
];

const fn workload(
    kind: &'static str,
    heads: usize,
    query_rows: usize,
    keys: usize,
    head_dim: usize,
) -> Workload {
    Workload { kind, heads, query_rows, keys, head_dim }
}

impl Workload {
    /// Those whose names contain `filter`.
    ///
    /// # Errors
    /// If there are none.
    pub fn select(filter: &str) -> Result<Vec<Workload>> {
        let selected: Vec<_> =
            ALL.into_iter().filter(|workload| workload.name().contains(filter)).collect();
        ensure!(
            !selected.is_empty(),
            "--filter: expected part of the name of a workload ({}), found {filter:?}",
            ALL.map(|workload| workload.name()).join(", ")
        );
        Ok(selected)
    }

    /// The kind, the heads × query rows × keys, the head_dim.
    pub fn name(&self) -> String {
        let Workload { kind, heads, query_rows, keys, head_dim } = self;
        format!("{kind}/{heads}x{query_rows}x{keys}/d{head_dim}")
    }

    /// Elements of a head's weights: one for each pair of a query row and a key.
    pub fn head_pairs(&self) -> usize {
        self.query_rows * self.keys
    }

    /// Elements of all weights.
    pub fn pairs(&self) -> usize {
        self.heads * self.head_pairs()
    }

    /// Two for each multiply-add of the dot products; exponentials are not counted.
    pub fn flops(&self) -> usize {
        2 * self.pairs() * self.head_dim
    }
}
