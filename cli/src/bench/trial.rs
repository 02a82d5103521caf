//! What can be measured.

use anyhow::Result;
use softdot::Isa;

/// A task with its data, ready to be called.
pub trait Trial: Send + Sync {
    /// Threads of the current pool that a call would use.
    fn threads(&self, isa: Isa) -> Result<usize>;

    /// One call.
    fn call(&mut self, isa: Isa) -> Result<()>;

    /// Overwrites the output with what no right answer has.
    fn spoil(&mut self);

    /// The largest error of a sample of the output's rows, each relative to its row's largest
    /// magnitude; NaN where the output has one.
    fn largest_error(&self) -> f64;
}
