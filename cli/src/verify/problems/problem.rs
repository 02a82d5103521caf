//! What a problem is.

use softdot::{Attention, Error, Isa, Threads};

/// How a problem is to be computed: what must not change a bit.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub isa: Isa,
    pub threads: Threads<'static>,
}

impl Setting {
    /// No options but these.
    pub fn attention<'a>(self) -> Attention<'a> {
        Attention::new().isa(self.isa).threads(self.threads)
    }
}

/// The hashes of a problem's results, in their order.
pub type Hashes = Result<Vec<u64>, Error>;

/// One or several calls of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Problem {
    /// The kind.
    pub name: &'static str,
    /// Computes the results.
    pub hashes: fn(Setting) -> Hashes,
    /// What has to come out.
    pub expected: &'static [u64],
}
