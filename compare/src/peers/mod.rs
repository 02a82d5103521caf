//! The contenders: softdot, and what its users would call otherwise.

mod candle;
mod gemm;
mod heads;
mod matrixmultiply;
mod peer;
mod rten;
mod softdot;
mod softmax;
mod transposed;

use crate::problem::Problem;
use anyhow::Result;
pub use peer::Peer;

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
