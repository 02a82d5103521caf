//! A measurement as JSON.

use crate::quartiles::Quartiles;
use crate::rounds::Contender;
use crate::workload::Workload;
use serde::{Deserialize, Serialize};

/// A contender's time for a workload on a number of threads, beside softdot's.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Record {
    /// The workload's name.
    pub workload: String,
    /// The contender's name.
    pub contender: String,
    /// Threads that it could use.
    pub threads: usize,
    /// Rounds.
    pub rounds: usize,
    /// The median time of a call.
    pub median_s: f64,
    /// From the lower to the upper quartile of the time, as a share of the median.
    pub spread: f64,
    /// 10⁹ floating-point operations of the products a second.
    pub gflops: f64,
    /// The median over the rounds of softdot's time to the contender's.
    pub ratio: f64,
    /// The lower quartile of that.
    pub ratio_low: f64,
    /// The upper quartile of that.
    pub ratio_high: f64,
    /// The largest error of sampled rows, relative to the row's largest magnitude.
    pub max_error: f64,
}

impl Record {
    /// What the rounds tell of a contender.
    pub fn new(
        workload: &Workload,
        contender: &Contender<'_>,
        softdot: &Contender<'_>,
        threads: usize,
    ) -> Self {
        let time = Quartiles::of(contender.seconds.iter().copied());
        let rounds = softdot.seconds.iter().zip(&contender.seconds);
        let ratio = Quartiles::of(rounds.map(|(softdot, contender)| softdot / contender));
        Self {
            workload: workload.name(),
            contender: contender.name().to_owned(),
            threads,
            rounds: contender.seconds.len(),
            median_s: time.median,
            spread: time.spread(),
            gflops: workload.flops() as f64 / time.median * 1e-9,
            ratio: ratio.median,
            ratio_low: ratio.low,
            ratio_high: ratio.high,
            max_error: contender.max_error,
        }
    }
}
