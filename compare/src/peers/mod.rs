//! The contenders: softdot, and what its users would call otherwise.

mod candle;
mod gemm;
mod heads;
mod matrixmultiply;
mod rten;
mod softdot;
mod softmax;
mod transposed;

use crate::problem::Problem;
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

/// All that can use so many threads, softdot first.
///
/// # Errors
/// The peers' own.
pub fn all(problem: &Problem, threads: usize) -> Result<Vec<Box<dyn Peer + '_>>> {
    let mut peers: Vec<Box<dyn Peer>> = vec![
        Box::new(softdot::Softdot::new(problem)),
        Box::new(softdot::PackedSoftdot::new(problem)?),
        Box::new(gemm::Gemm::new(problem, threads, softmax::Softmax::Plain)),
        Box::new(gemm::Gemm::new(problem, threads, softmax::Softmax::Vectorised)),
    ];
    if matrixmultiply::can_use(threads) {
        peers.push(Box::new(matrixmultiply::MatrixMultiply::new(problem)));
    }
    peers.push(Box::new(rten::Rten::new(problem)));
    peers.push(Box::new(candle::Candle::new(problem)?));
    Ok(peers)
}
