//! candle's errors, in softdot's words: the argument, what was expected, what came.

use candle_core::Error;
use std::fmt::Display;

/// An error of softdot's.
pub(crate) fn of_softdot(error: softdot::Error) -> Error {
    Error::wrap(error)
}

/// An argument that is not as expected.
pub(crate) fn unexpected(argument: &str, expected: impl Display, found: impl Display) -> Error {
    Error::msg(format!("{argument}: expected {expected}, found {found}"))
}
