//! Numbers of threads.

use crate::failure::Failure;
use crate::memory;

/// Threads of a call at most: some times those of the largest machines.
const MOST_THREADS: usize = 1024;

/// So many threads, of which there are at least so many.
pub fn count(argument: &'static str, least: i64, found: i64) -> Result<usize, Failure> {
    let count = memory::count(argument, found)?;
    if found < least || count > MOST_THREADS {
        let expected = if least == 0 { "0 to 1024" } else { "1 to 1024" };
        return Err(Failure::Unknown { argument, expected, found });
    }
    Ok(count)
}
