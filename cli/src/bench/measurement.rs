//! A workload's time on one instruction set and number of threads, and what follows from it.

use super::memory::Level;
use super::roofs::Roofs;
use super::timing::Timing;
use super::work::Work;
use super::workload::ScalingPoint;
use softdot::Isa;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// The workload's name.
    pub workload: String,
    /// Its point of the scaling plot.
    pub scaling: Option<ScalingPoint>,
    /// The work of one call.
    pub work: Work,
    /// The time of one call.
    pub timing: Timing,
    /// What it is compared with, measured in turn with it.
    pub plain: Option<Plain>,
    /// The largest error of the answer, which was checked before it was timed.
    pub max_error: f64,
    /// Where the data of a call fit.
    pub level: Level,
    /// What the machine can do, on the same instruction set and threads.
    pub roofs: Roofs,
}

/// What a measurement is compared with.
#[derive(Clone, Debug)]
pub struct Plain {
    /// The workload's name.
    pub workload: String,
    /// Nanoseconds for each of its pairs.
    pub ns_per_pair: f64,
}

impl Measurement {
    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.roofs.isa
    }

    /// The threads.
    pub fn threads(&self) -> usize {
        self.roofs.threads
    }

    /// 10⁹ floating-point operations a second.
    pub fn gflops(&self) -> Option<f64> {
        self.work.flops.map(|flops| flops as f64 / self.timing.median() * 1e-9)
    }

    /// The share of the multiply-add peak.
    pub fn peak_fraction(&self) -> Option<f64> {
        self.gflops().map(|gflops| gflops / self.roofs.peak_gflops)
    }

    /// 10⁹ counted bytes a second.
    pub fn gb_per_s(&self) -> f64 {
        self.work.counted_bytes as f64 / self.timing.median() * 1e-9
    }

    /// The rate of the memory that holds the data.
    pub fn memory_gb_per_s(&self) -> f64 {
        self.roofs.rate(self.work.access, self.level)
    }

    /// The share of that rate.
    pub fn memory_fraction(&self) -> f64 {
        self.gb_per_s() / self.memory_gb_per_s()
    }

    /// Nanoseconds for each pair that position does not exclude.
    pub fn ns_per_pair(&self) -> f64 {
        self.timing.median() * 1e9 / self.work.pairs as f64
    }

    /// Pairs a second, as a share of the plain workload's.
    pub fn plain_fraction(&self) -> Option<f64> {
        self.plain.as_ref().map(|plain| plain.ns_per_pair / self.ns_per_pair())
    }

    /// Floating-point operations for each byte of queries, keys, values and result.
    pub fn intensity(&self) -> Option<f64> {
        self.work.flops.map(|flops| flops as f64 / self.work.touched_bytes as f64)
    }
}
