//! What every task of a call shares.

use crate::locks::Locks;
use crate::plan::Plan;
use crate::problem::Problem;

/// What every task of a call shares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) problem: &'a Problem<'a>,
    pub(crate) plan: &'a Plan,
    /// Of results that several tasks add to.
    pub(crate) locks: &'a Locks,
}
