//! How much a call computes and moves.

/// How much work one call is.
#[derive(Clone, Debug)]
pub struct Work {
    /// Pairs of a query row and a key, less those that position excludes; of a softmax, elements.
    pub pairs: usize,
    /// Two for each multiply-add of the dot products and of the values; exponentials are not counted.
    pub flops: Option<usize>,
    /// What GB/s counts: the keys and values, once; of a softmax, what is read and what is written.
    pub counted_bytes: usize,
    /// Everything that is read or written, once.
    pub touched_bytes: usize,
    /// Which of the machine's rates GB/s is compared with.
    pub access: Access,
}

/// How memory is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading alone.
    Read,
    /// Reading, and writing as much.
    Copy,
}
