//! The contenders: softdot, and what its users would call otherwise.

mod candle;
mod candle_flash;
mod flash_attention_cpu;
mod gemm;
mod matrixmultiply;
mod peer;
mod rten;
mod softdot;
mod softmax;
mod transposed;
mod unfused;

use crate::problem::Problem;
use crate::workload::Answer;
use anyhow::Result;
pub use peer::Peer;
use softmax::Softmax;
use unfused::Unfused;

/// All that can compute the answer on so many threads, softdot first.
///
/// # Errors
/// The peers' own.
pub fn all(problem: &Problem, threads: usize) -> Result<Vec<Box<dyn Peer + '_>>> {
    let mut peers: Vec<Box<dyn Peer>> = vec![
        Box::new(softdot::Softdot::new(problem)),
        Box::new(softdot::PackedSoftdot::new(problem)?),
    ];
    if problem.workload.answer == Answer::Output {
        peers.extend(fused(problem)?);
    }
    peers.extend(unfused(problem, threads));
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

/// Those that multiply matrices, with a softmax beside them.
fn unfused(problem: &Problem, threads: usize) -> Vec<Box<dyn Peer + '_>> {
    let mut peers: Vec<Box<dyn Peer>> = vec![
        Box::new(Unfused::new(
            "gemm + plain softmax",
            problem,
            Softmax::Plain,
            gemm::Gemm::new(problem, threads),
        )),
        Box::new(Unfused::new(
            "gemm + rten-vecmath",
            problem,
            Softmax::Vectorised,
            gemm::Gemm::new(problem, threads),
        )),
    ];
    if matrixmultiply::can_use(threads) {
        peers.push(Box::new(Unfused::new(
            "matrixmultiply + rten-vecmath, Kᵀ",
            problem,
            Softmax::Vectorised,
            matrixmultiply::MatrixMultiply::new(problem),
        )));
    }
    peers.push(Box::new(Unfused::new(
        "rten-gemm + rten-vecmath, Kᵀ",
        problem,
        Softmax::Vectorised,
        rten::Rten::new(problem),
    )));
    peers
}
