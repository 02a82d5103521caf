//! Contenders take turns until their times are known.

use crate::peers::Peer;
use crate::problem::Problem;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// The largest error of a right answer, relative to its row's largest magnitude: that of
/// `softdot bench`.
const TOLERANCE: f64 = 1e-5;

/// A turn takes at least about this long: shorter calls are repeated within it, so that reading
/// the clock does not count.
const TURN: Duration = Duration::from_millis(1);

/// How much is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    rounds: usize,
    time: Duration,
}

impl Effort {
    /// Rounds and time at least, of a full or a quick run.
    pub fn new(quick: bool) -> Self {
        match quick {
            true => Self { rounds: 3, time: Duration::from_millis(100) },
            false => Self { rounds: 15, time: Duration::from_secs(2) },
        }
    }
}

/// A peer and its times.
pub struct Contender<'a> {
    peer: Box<dyn Peer + 'a>,
    calls: usize,
    /// Of its answer, which was checked before it was timed.
    pub max_error: f64,
    /// Of one call, in each round.
    pub seconds: Vec<f64>,
}

impl<'a> Contender<'a> {
    /// A peer whose answer is right.
    fn new(mut peer: Box<dyn Peer + 'a>, problem: &Problem) -> Result<Self> {
        peer.compute()?;
        let max_error = problem.largest_error(&peer.answer()?);
        ensure!(
            max_error <= TOLERANCE,
            "expected a relative error of at most {TOLERANCE:.0e}, found {max_error:.1e}"
        );
        let once = time(&mut *peer, 1)?;
        let calls = (TURN.as_secs_f64() / once.max(1e-9)).ceil() as usize;
        Ok(Self { peer, calls, max_error, seconds: Vec::new() })
    }

    /// The peer's name.
    pub fn name(&self) -> &'static str {
        self.peer.name()
    }

    /// One call to find the caches as it would leave them, not as the one before it did, and then
    /// those that count.
    fn take_turn(&mut self) -> Result<()> {
        self.peer.compute()?;
        let seconds = time(&mut *self.peer, self.calls)?;
        self.seconds.push(seconds);
        Ok(())
    }
}

/// Seconds a call.
fn time(peer: &mut dyn Peer, calls: usize) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..calls {
        peer.compute()?;
    }
    Ok(start.elapsed().as_secs_f64() / calls as f64)
}

/// Rounds in which everyone has one turn, each round begun by the next one.
///
/// # Errors
/// Those of the peers, and answers that are wrong.
pub fn run<'a>(
    problem: &Problem,
    peers: Vec<Box<dyn Peer + 'a>>,
    effort: Effort,
) -> Result<Vec<Contender<'a>>> {
    let checked = peers.into_iter().map(|peer| {
        let name = peer.name();
        Contender::new(peer, problem).context(name)
    });
    let mut contenders = checked.collect::<Result<Vec<_>>>()?;
    let (start, count) = (Instant::now(), contenders.len());
    let mut round = 0;
    while round < effort.rounds || start.elapsed() < effort.time {
        for turn in 0..count {
            let contender = &mut contenders[(round + turn) % count];
            contender.take_turn().context(contender.name())?;
        }
        round += 1;
    }
    Ok(contenders)
}

#[cfg(test)]
mod tests {
    use super::{Contender, Effort, run};
    use crate::peers::{self, Peer};
    use crate::problem::Problem;
    use crate::workload::{Answer, Attended, Workload};
    use anyhow::{Context, Result};
    use std::borrow::Cow;

    /// Answers as a peer does but for one element.
    struct Wrong<'a>(Box<dyn Peer + 'a>);

    impl Peer for Wrong<'_> {
        fn name(&self) -> &'static str {
            "wrong"
        }

        fn compute(&mut self) -> Result<()> {
            self.0.compute()
        }

        fn answer(&self) -> Result<Cow<'_, [f32]>> {
            let mut answer = self.0.answer()?.into_owned();
            answer[0] *= 1.01;
            Ok(answer.into())
        }
    }

    /// As the workloads of these options, but quick.
    #[test]
    fn every_contender_is_right_with_each_option() {
        for (attended, kv_heads, query_rows) in [
            (Attended::All, 4, 1),
            (Attended::All, 4, 5),
            (Attended::Causal, 12, 128),
            (Attended::Causal, 12, 5),
            (Attended::Unpadded, 12, 5),
        ] {
            for answer in [Answer::Output, Answer::Weights] {
                let mut workload = Workload::select("output/12x128x128").unwrap()[0];
                (workload.answer, workload.attended) = (answer, attended);
                (workload.kv_heads, workload.query_rows) = (kv_heads, query_rows);
                let problem = Problem::new(workload);
                for peer in peers::all(&problem, 2).unwrap() {
                    let context = format!("{}, {workload:?}", peer.name());
                    Contender::new(peer, &problem).context(context).map(drop).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        for workload in ["tiny/12x6x6", "output/12x128x128"] {
            let problem = Problem::new(Workload::select(workload).unwrap()[0]);
            for index in 0..peers::all(&problem, 1).unwrap().len() {
                let peer = peers::all(&problem, 1).unwrap().remove(index);
                let error = run(&problem, vec![Box::new(Wrong(peer))], Effort::new(true)).err();
                let message = format!("{:#}", error.expect("an error"));
                assert!(message.starts_with("wrong: expected a relative error"), "{message}");
            }
        }
    }
}
