//! How the workspace of a call is laid out.

/// Sizes of the workspace's parts in elements, each a multiple of a cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// One head's packed keys.
    pub(crate) packed_keys: usize,
    /// One head's packed values.
    pub(crate) packed_values: usize,
    pub(crate) packed_count: usize,
    /// The scores of one block buffer: those of a thread, or of a block that tasks share. Other sizes
    /// of a buffer likewise.
    pub(crate) scores: usize,
    /// The row states of one block buffer.
    pub(crate) states: usize,
    /// The nodes of one block's output.
    pub(crate) nodes: usize,
    pub(crate) buffer_count: usize,
    /// One block's packed queries.
    pub(crate) query: usize,
    /// The running maxima of one block's rows, a line each.
    pub(crate) maxima: usize,
    /// One panel of a head, where keys are not packed before: its last or only one.
    pub(crate) panel: usize,
    /// The packed values of one pass, where they are packed pass by pass.
    pub(crate) value_pass: usize,
    /// Lines that are assembled before they are written.
    pub(crate) staging: usize,
    pub(crate) threads: usize,
}

impl Memory {
    pub(crate) fn all_packed_keys(&self) -> usize {
        self.packed_keys.saturating_mul(self.packed_count)
    }

    pub(crate) fn all_packed_values(&self) -> usize {
        self.packed_values.saturating_mul(self.packed_count)
    }

    /// A block buffer: scores, row states, nodes.
    pub(crate) fn buffer(&self) -> usize {
        self.scores.saturating_add(self.states).saturating_add(self.nodes)
    }

    pub(crate) fn all_buffers(&self) -> usize {
        self.buffer().saturating_mul(self.buffer_count)
    }

    /// What each thread has for itself.
    pub(crate) fn scratch(&self) -> usize {
        [self.query, self.maxima, self.panel, self.value_pass, self.staging]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    pub(crate) fn total(&self) -> usize {
        self.all_packed_keys()
            .saturating_add(self.all_packed_values())
            .saturating_add(self.all_buffers())
            .saturating_add(self.scratch().saturating_mul(self.threads))
    }
}
