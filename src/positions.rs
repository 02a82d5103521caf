//! Where query rows stand among the keys, and which keys that lets them attend to.

use crate::error::Error;
use core::ops::Range;

/// Causal attention: a query row attends to no key after its own position. The three kinds differ
/// in where the first query row stands among the keys.
///
/// docs/semantics.md says which of them other libraries mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Causal {
    /// Query row i stands at key i: row 0 attends to key 0 alone.
    TopLeft,
    /// The last query row stands at the last key, of those that the batch entry has: the rows are
    /// the newest tokens of a cache.
    BottomRight,
    /// Query row 0 stands at this key, which may be negative: the rows before key 0 attend to
    /// nothing.
    Offset(isize),
}

/// What each row may attend to by its position alone: an interval of the keys.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Positions<'a> {
    pub(crate) causal: Option<Causal>,
    /// Keys before and after a row's own position that it attends to, if bounded.
    pub(crate) window: (Option<usize>, Option<usize>),
    pub(crate) key_lengths: Option<&'a [usize]>,
}

impl<'a> Positions<'a> {
    /// The lengths alone.
    pub(crate) fn lengths_only(self) -> Self {
        Positions { key_lengths: self.key_lengths, ..Positions::default() }
    }

    pub(crate) fn check(&self, batch: usize, keys: usize) -> Result<(), Error> {
        let Some(lengths) = self.key_lengths else { return Ok(()) };
        if lengths.len() != batch {
            return Err(Error::Length {
                argument: "key_lengths",
                expected: "one for each batch entry, here",
                value: batch,
                found: lengths.len(),
            });
        }
        match lengths.iter().enumerate().find(|&(_, &length)| length > keys) {
            Some((batch, &found)) => Err(Error::KeyLength { batch, keys, found }),
            None => Ok(()),
        }
    }

    /// Keys that a batch entry has.
    pub(crate) fn keys_of(&self, batch: usize, keys: usize) -> usize {
        self.key_lengths.map_or(keys, |lengths| lengths[batch])
    }

    /// The key at which a row stands; `keys` are those of its batch entry.
    pub(crate) fn position(&self, row: usize, query_rows: usize, keys: usize) -> i128 {
        let offset = match self.causal {
            Some(Causal::TopLeft) => 0,
            Some(Causal::Offset(offset)) => offset as i128,
            Some(Causal::BottomRight) | None => keys as i128 - query_rows as i128,
        };
        row as i128 + offset
    }

    /// Whether all rows of a batch entry may attend to all of its keys.
    #[inline]
    pub(crate) fn are_uniform(&self) -> bool {
        self.causal.is_none() && self.window == (None, None)
    }

    /// The keys that a row may attend to; `keys` are those of its batch entry.
    #[inline]
    pub(crate) fn allowed(&self, row: usize, query_rows: usize, keys: usize) -> Range<usize> {
        if self.are_uniform() {
            return 0..keys;
        }
        let (left, right) = self.window;
        let right = if self.causal.is_some() { Some(0) } else { right };
        let position = self.position(row, query_rows, keys);
        let clamp = |key: i128| key.clamp(0, keys as i128) as usize;
        let end = right.map_or(keys, |right| clamp(position + right as i128 + 1));
        let start = left.map_or(0, |left| clamp(position - left as i128)).min(end);
        start..end
    }
}
