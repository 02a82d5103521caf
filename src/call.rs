//! What every task of a call shares.

use crate::plan::Plan;
use crate::problem::Problem;

/// What every task of a call shares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) problem: &'a Problem<'a>,
    pub(crate) plan: &'a Plan,
}
