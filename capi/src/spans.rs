//! Where arguments are in memory, and that none of what is written overlaps another.

use crate::failure::Failure;
use std::ffi::c_void;

/// The bytes of an argument, from its first element to its last.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    argument: &'static str,
    start: usize,
    end: usize,
}

impl Span {
    /// So many bytes from an address on, none of which are over the end of the address space.
    pub fn new(argument: &'static str, data: *const c_void, bytes: usize) -> Self {
        Span { argument, start: data.addr(), end: data.addr() + bytes }
    }

    /// The bytes of a list.
    pub fn of_list<T>(argument: &'static str, list: &[T]) -> Self {
        Span::new(argument, list.as_ptr().cast(), size_of_val(list))
    }

    fn overlaps(&self, other: &Span) -> bool {
        let is_empty = self.start == self.end || other.start == other.end;
        !is_empty && self.start < other.end && other.start < self.end
    }
}

/// Refuses what is written over what is read, or over what else is written.
pub fn check(read: &[Option<Span>], written: &[Option<Span>]) -> Result<(), Failure> {
    for (index, target) in written.iter().enumerate() {
        let Some(target) = target else { continue };
        for other in read.iter().chain(&written[..index]).flatten() {
            if target.overlaps(other) {
                let Span { argument, .. } = *target;
                return Err(Failure::Overlap { argument, other: other.argument });
            }
        }
    }
    Ok(())
}
