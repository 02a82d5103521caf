//! The workloads: those of `softdot bench`, under the same names, that row-major keys fit; and one with
//! a padding mask.

use anyhow::{Result, ensure};

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// softmax(scale · Q Kᵀ) · V.
    Output,
    /// softmax(scale · Q Kᵀ).
    Weights,
}

/// Which keys a row attends to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attended {
    /// All.
    All,
    /// None after its own position; the last row stands at the last key.
    Causal,
    /// All but the last quarter, which are padding: a mask says so.
    Unpadded,
}

/// Attention of one batch entry.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    kind: &'static str,
    /// What is asked for.
    pub answer: Answer,
    /// Which keys a row attends to.
    pub attended: Attended,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of the keys and values, each of which as many query heads share.
    pub kv_heads: usize,
    /// Query rows of a head.
    pub query_rows: usize,
    /// Keys of a head.
    pub keys: usize,
    /// Elements of a query row, of a key and of a value.
    pub head_dim: usize,
}

const ALL: [Workload; 14] = [
    output(workload("output", 12, 128, 128, 64)),
    output(workload("output", 12, 512, 512, 64)),
    output(workload("output", 8, 2048, 2048, 128)),
    causal(output(workload("output/causal", 8, 2048, 2048, 128))),
    // 512 new rows after 3,584 cached keys.
    causal(output(workload("output/causal", 8, 512, 4096, 128))),
    Workload {
        attended: Attended::Unpadded,
        ..output(workload("output/padding", 12, 512, 512, 64))
    },
    output(workload("output/decode", 32, 1, 4096, 128)),
    Workload { kv_heads: 8, ..output(workload("output/decode", 32, 1, 4096, 128)) },
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
    let (answer, attended) = (Answer::Weights, Attended::All);
    Workload { kind, answer, attended, heads, kv_heads: heads, query_rows, keys, head_dim }
}

const fn output(workload: Workload) -> Workload {
    Workload { answer: Answer::Output, ..workload }
}

const fn causal(workload: Workload) -> Workload {
    Workload { attended: Attended::Causal, ..workload }
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
        let Workload { kind, heads, kv_heads, query_rows, keys, head_dim, .. } = self;
        let on = if kv_heads == heads { String::new() } else { format!("on{kv_heads}") };
        format!("{kind}/{heads}{on}x{query_rows}x{keys}/d{head_dim}")
    }

    /// Query rows that share a key head.
    pub fn rows_of_key_head(&self) -> usize {
        self.heads / self.kv_heads * self.query_rows
    }

    /// How many keys, the first ones, a row of a head attends to.
    pub fn attended_keys(&self, row: usize) -> usize {
        match self.attended {
            Attended::All => self.keys,
            Attended::Causal => self.keys - self.query_rows + row + 1,
            Attended::Unpadded => self.keys - self.keys / 4,
        }
    }

    /// Elements of a row of the answer.
    pub fn answer_columns(&self) -> usize {
        match self.answer {
            Answer::Output => self.head_dim,
            Answer::Weights => self.keys,
        }
    }

    /// Elements of the answer.
    pub fn answer_elements(&self) -> usize {
        self.heads * self.query_rows * self.answer_columns()
    }

    /// Elements of a key head's weights: one for each pair of a row and a key.
    pub fn key_head_pairs(&self) -> usize {
        self.rows_of_key_head() * self.keys
    }

    /// Two for each multiply-add of the products, for attended pairs; exponentials are not counted.
    pub fn flops(&self) -> usize {
        let head_pairs: usize = (0..self.query_rows).map(|row| self.attended_keys(row)).sum();
        let products = match self.answer {
            Answer::Output => 2,
            Answer::Weights => 1,
        };
        2 * products * self.heads * head_pairs * self.head_dim
    }
}
