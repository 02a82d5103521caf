//! Repeats a call until its time is known.

use anyhow::Result;
use std::time::{Duration, Instant};

/// A round takes at least about this long: shorter calls are repeated within it, so that reading
/// the clock does not count.
const ROUND: Duration = Duration::from_millis(1);

/// When to stop even if a few rounds are all there is.
const PATIENCE: Duration = Duration::from_secs(3);

/// How much is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds at least.
    pub rounds: usize,
    /// Time at least.
    pub time: Duration,
    /// Rounds of which the best is a roof.
    pub roof_rounds: usize,
}

impl Effort {
    /// That of a full or a quick run.
    pub fn new(quick: bool) -> Self {
        match quick {
            true => Self { rounds: 3, time: Duration::from_millis(50), roof_rounds: 8 },
            false => Self { rounds: 7, time: Duration::from_millis(300), roof_rounds: 20 },
        }
    }

    fn enough(&self, rounds: usize, time: Duration) -> bool {
        rounds >= self.rounds && time >= self.time || time >= PATIENCE
    }
}

/// Seconds a call.
#[derive(Clone, Debug)]
pub struct Timing {
    sorted: Vec<f64>,
}

impl Timing {
    /// Repeats some calls in turn: what else the machine does falls on all of them alike.
    pub fn measure(effort: Effort, calls: &mut [impl FnMut() -> Result<()>]) -> Result<Vec<Self>> {
        let repeats = calls.iter_mut().map(calls_in_a_round).collect::<Result<Vec<_>>>()?;
        let mut times = vec![Vec::new(); calls.len()];
        let start = Instant::now();
        while !effort.enough(times[0].len(), start.elapsed()) {
            for ((call, &repeats), times) in calls.iter_mut().zip(&repeats).zip(&mut times) {
                let round = Instant::now();
                for _ in 0..repeats {
                    call()?;
                }
                times.push(round.elapsed().as_secs_f64() / repeats as f64);
            }
        }
        let timing = |mut sorted: Vec<f64>| {
            sorted.sort_by(f64::total_cmp);
            Self { sorted }
        };
        Ok(times.into_iter().map(timing).collect())
    }

    /// Rounds that were measured.
    pub fn rounds(&self) -> usize {
        self.sorted.len()
    }

    /// The median round.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The fastest round.
    pub fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    /// The slowest round.
    pub fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    /// From the lower to the upper quartile, as a share of the median.
    pub fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / self.median()
    }

    fn quantile(&self, share: f64) -> f64 {
        self.sorted[((self.sorted.len() - 1) as f64 * share).round() as usize]
    }
}

/// By the time that one call takes.
fn calls_in_a_round(call: &mut impl FnMut() -> Result<()>) -> Result<usize> {
    let start = Instant::now();
    call()?;
    Ok((ROUND.as_secs_f64() / start.elapsed().as_secs_f64().max(1e-9)).ceil() as usize)
}
