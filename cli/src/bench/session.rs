//! One run: the machine's limits first, then the workloads.

use super::measurement::{Measurement, Plain};
use super::memory::Level;
use super::prepare::prepare;
use super::roofs::{Roofs, in_words};
use super::timing::{Effort, Timing};
use super::trial::Trial;
use super::workload::Workload;
use crate::args::Bench;
use crate::machine::Machine;
use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::{ThreadPool, ThreadPoolBuilder};
use softdot::{Caches, Error, Isa};
use std::iter::successors;

/// The largest error of a right answer, relative to its row's largest magnitude: some times what
/// rounding makes of these inputs, and far less than a wrong element or a stale one.
const TOLERANCE: f64 = 1e-5;

/// What a run found.
#[derive(Debug)]
pub struct Session {
    /// Where.
    pub machine: Machine,
    /// What the machine can do, for each instruction set and number of threads.
    pub roofs: Vec<Roofs>,
    /// What softdot does.
    pub measurements: Vec<Measurement>,
}

impl Session {
    /// Measures the machine and the workloads.
    ///
    /// # Errors
    /// An instruction set that the CPU lacks, threads that it refuses, an answer that is wrong.
    pub fn run(arguments: &Bench, workloads: &[Workload]) -> Result<Session> {
        // Before this run is a load itself.
        let machine = Machine::detect();
        let isas = isas(arguments.isa)?;
        let scalar = workloads.iter().any(|workload| workload.with_scalar);
        let scalar = scalar && arguments.isa.is_none();
        let measured = with_scalar(&isas, scalar);
        let scaling = workloads.iter().any(|workload| workload.scaling.is_some());
        let pools = pools(arguments.threads, scaling)?;
        let effort = Effort::new(arguments.quick);
        let progress = Progress::start((measured.len() * pools.len() + workloads.len()) as u64);

        let mut roofs = Vec::new();
        for &isa in &measured {
            for pool in &pools {
                progress.say(format!("what {isa} can do on {}", threads(pool)));
                roofs.push(Roofs::measure(isa, pool, effort.roof_rounds));
            }
        }
        let mut run = Run { pools: &pools, effort, roofs: &roofs, measurements: Vec::new() };
        for workload in workloads {
            progress.say(workload.name.clone());
            let scalar = scalar && workload.with_scalar;
            run.measure(workload, &with_scalar(&isas, scalar))?;
        }
        let measurements = run.measurements;
        Ok(Session { machine, roofs, measurements })
    }
}

/// The one asked for; otherwise all that this CPU has and `SOFTDOT_MAX_ISA` allows, without the
/// scalar kernel unless there is no other.
fn isas(asked: Option<Isa>) -> Result<Vec<Isa>> {
    if let Some(isa) = asked {
        ensure!(isa.is_available(), Error::IsaUnavailable { isa });
        return Ok(vec![isa]);
    }
    let widest = Isa::detect()?.isa;
    let mut isas: Vec<Isa> = Isa::available().filter(|&isa| isa <= widest).collect();
    isas.retain(|&isa| isa != Isa::Scalar || widest == Isa::Scalar);
    Ok(isas)
}

/// The scalar kernel, too, where it is `wanted`: not beside one asked for by name.
fn with_scalar(isas: &[Isa], wanted: bool) -> Vec<Isa> {
    let scalar = (wanted && !isas.contains(&Isa::Scalar)).then_some(Isa::Scalar);
    scalar.into_iter().chain(isas.iter().copied()).collect()
}

/// One thread, and as many as were asked for or the machine has; with those `between`, the powers
/// of two. From the fewest to all.
fn pools(asked: Option<usize>, between: bool) -> Result<Vec<ThreadPool>> {
    let pool = |count| {
        let built = ThreadPoolBuilder::new().num_threads(count).build();
        built.context("--threads: the threads could not be started")
    };
    let all = pool(asked.unwrap_or(0))?;
    let powers_of_two = successors(Some(1), |count| Some(2 * count));
    let fewer = powers_of_two.take_while(|&count| count < all.current_num_threads());
    let fewer = fewer.take(if between { usize::MAX } else { 1 });
    let mut pools = fewer.map(pool).collect::<Result<Vec<_>>>()?;
    pools.push(all);
    Ok(pools)
}

/// The first and the last; those between only for a workload of the scaling plot.
fn pools_for<'a>(
    workload: &Workload,
    pools: &'a [ThreadPool],
) -> impl Iterator<Item = &'a ThreadPool> + use<'a> {
    let ends = [0, pools.len() - 1];
    let between = workload.scaling.is_some();
    let chosen = pools.iter().enumerate();
    chosen.filter(move |(index, _)| between || ends.contains(index)).map(|(_, pool)| pool)
}

fn threads(pool: &ThreadPool) -> String {
    in_words(pool.current_num_threads())
}

/// The workloads' part of a run.
struct Run<'a> {
    pools: &'a [ThreadPool],
    effort: Effort,
    roofs: &'a [Roofs],
    measurements: Vec<Measurement>,
}

impl Run<'_> {
    fn measure(&mut self, workload: &Workload, isas: &[Isa]) -> Result<()> {
        let workloads = std::iter::once(workload).chain(workload.plain.as_deref());
        let mut trials =
            workloads.map(|workload| prepare(&workload.task)).collect::<Result<Vec<_>>>()?;
        for &isa in isas {
            for pool in pools_for(workload, self.pools) {
                let effort = self.effort;
                // A call too small to share would only repeat the measurement of one thread.
                if pool.install(|| trials[0].threads(isa))? < pool.current_num_threads() {
                    continue;
                }
                let checked = pool.install(|| measure(&mut trials, isa, effort));
                let checked = checked
                    .with_context(|| format!("{} on {isa}, {}", workload.name, threads(pool)))?;
                self.measurements.push(self.evaluate(workload, isa, pool, checked));
            }
        }
        Ok(())
    }

    fn evaluate(
        &self,
        workload: &Workload,
        isa: Isa,
        pool: &ThreadPool,
        checked: Checked,
    ) -> Measurement {
        let Checked { max_error, timing, plain } = checked;
        let (work, threads) = (workload.task.work(), pool.current_num_threads());
        let roofs = self.roofs.iter().find(|roofs| (roofs.isa, roofs.threads) == (isa, threads));
        let roofs = roofs.expect("measured for every instruction set and pool").clone();
        let caches = Caches::detect();
        let level = Level::holding(work.touched_bytes, threads, &caches);
        let plain = workload.plain.as_deref().zip(plain).map(|(workload, timing)| Plain {
            workload: workload.name.clone(),
            ns_per_pair: timing.median() * 1e9 / workload.task.work().pairs as f64,
        });
        Measurement {
            workload: workload.name.clone(),
            scaling: workload.scaling,
            work,
            timing,
            plain,
            max_error,
            level,
            roofs,
        }
    }
}

/// What came of one workload.
struct Checked {
    max_error: f64,
    timing: Timing,
    /// The time of what it is compared with.
    plain: Option<Timing>,
}

/// The largest errors, and if they are small enough the times.
fn measure(trials: &mut [Box<dyn Trial>], isa: Isa, effort: Effort) -> Result<Checked> {
    let errors = trials.iter_mut().map(|trial| check(&mut **trial, isa));
    let errors = errors.collect::<Result<Vec<_>>>()?;
    let mut calls: Vec<_> = trials.iter_mut().map(|trial| || trial.call(isa)).collect();
    let mut timings = Timing::measure(effort, &mut calls)?.into_iter();
    let timing = timings.next().expect("one for each call");
    Ok(Checked { max_error: errors[0], timing, plain: timings.next() })
}

/// The largest error of a call.
fn check(trial: &mut dyn Trial, isa: Isa) -> Result<f64> {
    trial.spoil();
    trial.call(isa)?;
    let max_error = trial.largest_error();
    ensure!(
        max_error <= TOLERANCE,
        "expected a relative error of at most {TOLERANCE:.0e}, found {max_error:.1e}"
    );
    Ok(max_error)
}

/// A line on stderr, if that is a terminal. It is drawn between measurements only: a thread that
/// drew it would take its time from them.
struct Progress(ProgressBar);

impl Progress {
    fn start(steps: u64) -> Self {
        let style = ProgressStyle::with_template("{pos}/{len} {wide_msg}");
        let style = style.expect("a template that this version of indicatif knows");
        Self(ProgressBar::new(steps).with_style(style))
    }

    fn say(&self, message: String) {
        self.0.inc(1);
        self.0.set_message(message);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
