//! What a contender does.

use anyhow::Result;
use std::borrow::Cow;

/// One way to compute a problem's answer. Making it is preparation, which is not timed.
pub trait Peer {
    /// What is called, and what follows it.
    fn name(&self) -> &'static str;

    /// Computes the answer: all that is timed.
    ///
    /// # Errors
    /// The peer's own.
    fn compute(&mut self) -> Result<()>;

    /// What the last call computed: weights `[heads, query_rows, keys]`, or the output
    /// `[heads, query_rows, head_dim]`.
    ///
    /// # Errors
    /// The peer's own.
    fn answer(&self) -> Result<Cow<'_, [f32]>>;
}
