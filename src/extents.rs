//! The extents of a call.

/// The extents of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extents {
    pub(crate) batch: usize,
    pub(crate) q_heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) query_rows: usize,
    pub(crate) keys: usize,
    pub(crate) head_dim: usize,
    /// Columns of the values; 0 without values.
    pub(crate) v_dim: usize,
}

impl Extents {
    /// The shape of weights and logits, `[batch, q_heads, query_rows, keys]`.
    pub(crate) fn weights_shape(&self) -> [usize; 4] {
        [self.batch, self.q_heads, self.query_rows, self.keys]
    }

    /// The shape of what each query row has one of, `[batch, q_heads, query_rows, 1]`.
    pub(crate) fn rows_shape(&self) -> [usize; 4] {
        [self.batch, self.q_heads, self.query_rows, 1]
    }

    /// The shape of the output, `[batch, q_heads, query_rows, v_dim]`.
    pub(crate) fn output_shape(&self) -> [usize; 4] {
        [self.batch, self.q_heads, self.query_rows, self.v_dim]
    }

    /// Query heads that read the same key head.
    pub(crate) fn group(&self) -> usize {
        self.q_heads.checked_div(self.kv_heads).unwrap_or(0)
    }

    /// Key heads over the whole batch: each is a small problem of its own.
    pub(crate) fn heads(&self) -> usize {
        self.batch * self.kv_heads
    }

    /// Query rows that read one key head, over all query heads of its group.
    pub(crate) fn rows_per_head(&self) -> usize {
        self.group() * self.query_rows
    }

    /// Multiply-adds of `q·k`, and of the weights with the values, over all pairs.
    pub(crate) fn multiply_adds(&self) -> usize {
        (self.weights_shape().iter())
            .fold(self.head_dim.saturating_add(self.v_dim), |product, &extent| {
                product.saturating_mul(extent)
            })
    }
}
