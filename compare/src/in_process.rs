//! The measuring itself, in the process that the program starts for each number of threads.

use crate::args::Arguments;
use crate::peers;
use crate::problem::Problem;
use crate::record::Record;
use crate::rounds::{self, Effort};
use crate::workload::Workload;
use anyhow::{Context, Result};
use rayon::ThreadPoolBuilder;
use std::io::{Write, stdout};

/// Measures with this many threads, and writes a record a line to stdout as it goes.
///
/// # Errors
/// Those of the peers, answers that are wrong, threads that the machine refuses.
pub fn run(arguments: &Arguments, threads: usize) -> Result<()> {
    // Also what starts threads of its own accord finds this pool, not a global one.
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.context("--threads: the threads could not be started")?;
    pool.install(|| {
        let workloads = Workload::select(&arguments.filter)?;
        workloads.iter().try_for_each(|workload| measure(workload, arguments.quick, threads))
    })
}

fn measure(workload: &Workload, quick: bool, threads: usize) -> Result<()> {
    let problem = Problem::new(*workload);
    let run = || rounds::run(&problem, peers::all(&problem, threads)?, Effort::new(quick));
    let contenders = run().with_context(|| format!("{}, threads {threads}", workload.name()))?;
    let softdot = &contenders[0];
    let mut stdout = stdout().lock();
    for contender in &contenders {
        let record = Record::new(workload, contender, softdot, threads);
        writeln!(stdout, "{}", serde_json::to_string(&record)?)?;
    }
    Ok(stdout.flush()?)
}
