//! Fixed problems and the hashes of their results: the same bits on every machine, architecture and
//! version. The library's tests check them, too, on vector widths that the machine lacks.
//!
//! The hashes were recorded on x86-64 and change only if the numerics contract does.

pub mod hash;
pub mod inputs;
mod options;
mod plain;
pub mod problem;

/// Those in f32.
pub fn problems() -> impl Iterator<Item = problem::Problem> {
    plain::PROBLEMS.into_iter().chain(options::PROBLEMS)
}
