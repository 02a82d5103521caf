//! Why a call was refused.

use softdot_core::Error;
use std::fmt;

/// What a function returns: SOFTDOT_OK, or why it did nothing.
pub type Status = i32;

/// Done.
pub const SOFTDOT_OK: Status = 0;
/// An argument is wrong: the message says which.
pub const SOFTDOT_INVALID_ARGUMENT: Status = 1;
/// Memory cannot be had.
pub const SOFTDOT_OUT_OF_MEMORY: Status = 2;
/// This CPU lacks the instruction set, or SOFTDOT_MAX_ISA names none.
pub const SOFTDOT_UNSUPPORTED: Status = 3;
/// A workspace or packed keys are in use by another thread.
pub const SOFTDOT_BUSY: Status = 4;
/// Threads cannot be started.
pub const SOFTDOT_NO_THREADS: Status = 5;
/// A mistake of softdot's. What was to be written may be half-written.
pub const SOFTDOT_INTERNAL: Status = 6;

/// An error of the library's, or of the C interface's own.
#[derive(Debug)]
pub enum Failure {
    Softdot(Error),
    Null { argument: &'static str },
    Misaligned { argument: &'static str, alignment: usize, address: usize },
    StructSize { argument: &'static str, expected: usize, found: usize },
    Reserved { argument: &'static str },
    Negative { argument: &'static str, found: i64 },
    TooLarge { argument: &'static str, found: usize },
    NegativeExtent { argument: &'static str, axis: usize, found: i64 },
    Unknown { argument: &'static str, expected: &'static str, found: i64 },
    Dtype { argument: &'static str, expected: &'static str, found: i32 },
    Unset { argument: &'static str, expected: &'static str },
    Overlap { argument: &'static str, other: &'static str },
    Busy { argument: &'static str },
    Forked,
    NoThreads { error: String },
    Panic { message: String },
}

impl Failure {
    pub fn status(&self) -> Status {
        match self {
            Failure::Softdot(Error::Allocation { .. }) => SOFTDOT_OUT_OF_MEMORY,
            Failure::Softdot(Error::IsaUnavailable { .. } | Error::UnknownIsa { .. }) => {
                SOFTDOT_UNSUPPORTED
            }
            Failure::Busy { .. } => SOFTDOT_BUSY,
            Failure::NoThreads { .. } => SOFTDOT_NO_THREADS,
            Failure::Panic { .. } => SOFTDOT_INTERNAL,
            _ => SOFTDOT_INVALID_ARGUMENT,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Softdot(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Softdot(error) => error.fmt(f),
            Failure::Null { argument } => write!(f, "{argument}: expected a pointer, found null"),
            Failure::Misaligned { argument, alignment, address } => write!(
                f,
                "{argument}: expected an address that is a multiple of {alignment}, found {address:#x}"
            ),
            Failure::StructSize { argument, expected, found } => write!(
                f,
                "{argument}: expected a struct_size of {expected} (what sizeof says), found {found}"
            ),
            Failure::Reserved { argument } => write!(
                f,
                "{argument}: expected 0 in what is reserved, found another value (a newer header than \
                 this library, or a struct that was not set to 0)"
            ),
            Failure::Negative { argument, found } => {
                write!(f, "{argument}: expected at least 0, found {found}")
            }
            Failure::TooLarge { argument, found } => {
                write!(f, "{argument}: expected a size that fits in memory, found {found}")
            }
            Failure::NegativeExtent { argument, axis, found } => write!(
                f,
                "{argument}: expected extents of at least 0, found {found} on axis {axis}"
            ),
            Failure::Unknown { argument, expected, found } => {
                write!(f, "{argument}: expected {expected}, found {found}")
            }
            Failure::Dtype { argument, expected, found } => {
                write!(f, "{argument}: expected the dtype {expected}, found {found}")
            }
            Failure::Unset { argument, expected } => {
                write!(f, "{argument}: expected {expected}")
            }
            Failure::Overlap { argument, other } => write!(
                f,
                "{argument}: expected memory of its own, found some that overlaps {other}"
            ),
            Failure::Busy { argument } => {
                write!(f, "{argument}: expected one that no other call is using")
            }
            Failure::Forked => {
                write!(f, "pool: expected one that this process made, found its parent's")
            }
            Failure::NoThreads { error } => {
                write!(f, "threads: expected as many that can be started, found fewer: {error}")
            }
            Failure::Panic { message } => write!(f, "internal error: {message}"),
        }
    }
}
