//! The contenders: softdot, and what its users would call otherwise.

mod candle;
mod candle_flash;
mod flash_attention_cpu;
mod gemm;
mod heads;
mod matrixmultiply;
mod peer;
mod rten;
mod softdot;
mod softmax;
mod transposed;

use crate::problem::Problem;
use crate::workload::Answer;
use anyhow::Result;
pub use peer::Peer;

/// All that can compute the answer on so many threads, softdot first.
///
/// # Errors
/// The peers' own.
pub fn all(problem: &Problem, threads: usize) -> Result<Vec<Box<dyn Peer + '_>>> {
    let mut peers: Vec<Box<dyn Peer>> = vec![
        Box::new(softdot::Softdot::new(problem)),
        Box::new(softdot::PackedSoftdot::new(problem)?),
    ];
    match problem.workload.answer {
        Answer::Output => peers.extend(fused(problem)?),
        Answer::Weights => peers.extend(products(problem, threads)),
    }
    peers.push(Box::new(candle::Candle::new(problem)?));
    Ok(peers)
}

/// Those that compute the output without storing the weights.
fn fused(problem: &Problem) -> Result<Vec<Box<dyn Peer + '_>>> {
    let mut peers: Vec<Box<dyn Peer>> = Vec::new();
    if flash_attention_cpu::can_compute(&problem.workload) {
        peers.push(Box::new(flash_attention_cpu::FlashAttentionCpu::new(problem)));
    }
    peers.push(Box::new(candle_flash::CandleFlash::new(problem)?));
    Ok(peers)
}

/// Those that compute weights by a product for each head and a softmax.
fn products(problem: &Problem, threads: usize) -> Vec<Box<dyn Peer + '_>> {
    let mut peers: Vec<Box<dyn Peer>> = vec![
        Box::new(gemm::Gemm::new(problem, threads, softmax::Softmax::Plain)),
        Box::new(gemm::Gemm::new(problem, threads, softmax::Softmax::Vectorised)),
    ];
    if matrixmultiply::can_use(threads) {
        peers.push(Box::new(matrixmultiply::MatrixMultiply::new(problem)));
    }
    peers.push(Box::new(rten::Rten::new(problem)));
    peers
}
