//! What a contender does.

use anyhow::Result;
use std::borrow::Cow;

/// One way to compute a problem's weights. Making it is preparation, which is not timed.
pub trait Peer {
    /// What is called, and what follows it.
    fn name(&self) -> &'static str;

    /// Computes the weights: all that is timed.
    ///
    /// # Errors
    /// The peer's own.
    fn compute(&mut self) -> Result<()>;

    /// What the last call computed, `[heads, query_rows, keys]`.
    ///
    /// # Errors
    /// The peer's own.
    fn weights(&self) -> Result<Cow<'_, [f32]>>;
}
