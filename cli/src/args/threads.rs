//! Numbers of threads.

/// More threads than any machine has would only exhaust its memory.
const MOST_THREADS: usize = 4096;

/// The number that `--threads` takes.
pub fn thread_count(number: &str) -> Result<usize, String> {
    let count = number.parse().ok().filter(|count| (1..=MOST_THREADS).contains(count));
    count.ok_or_else(|| format!("expected a number from 1 to {MOST_THREADS}"))
}
