//! Memory that is kept from call to call.

use crate::error::Error;
use crate::layout::LINE;
use crate::rows::Row;
use alloc::{collections::TryReserveError, vec::Vec};

/// Scratch memory for [`Attention::run`](crate::Attention::run).
///
/// It grows to the largest call that it has seen and is reused by all others: once it has grown, a
/// call allocates nothing; rayon does, a few bytes for each thread that helps. One workspace serves
/// one call at a time; its content never matters.
#[derive(Debug, Default)]
pub struct Workspace {
    buffer: Vec<f32>,
    rows: Vec<Row>,
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::default()
    }

    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        self.buffer.capacity() * size_of::<f32>() + self.rows.capacity() * size_of::<Row>()
    }

    /// Grows to so many elements and rows.
    pub(crate) fn grow(&mut self, elements: usize, rows: usize) -> Result<(), Error> {
        let error = Error::Allocation { argument: "workspace", elements };
        let length = elements.checked_add(LINE).ok_or_else(|| error.clone())?;
        grow(&mut self.buffer, length, 0.0).map_err(|_| error.clone())?;
        grow(&mut self.rows, rows, Row::default()).map_err(|_| error)
    }

    /// So many elements, which start on a cache line, and so many rows, after [`Workspace::grow`].
    pub(crate) fn parts(&mut self, elements: usize, rows: usize) -> (&mut [f32], &mut [Row]) {
        let start = self.buffer.as_ptr().align_offset(LINE * size_of::<f32>());
        (&mut self.buffer[start..start + elements], &mut self.rows[..rows])
    }
}

/// Makes a buffer at least so long.
fn grow<T: Clone>(buffer: &mut Vec<T>, length: usize, value: T) -> Result<(), TryReserveError> {
    if buffer.len() < length {
        // The old content is of no use: freed first, it is neither copied nor held twice.
        *buffer = Vec::new();
        buffer.try_reserve_exact(length)?;
        buffer.resize(length, value);
    }
    Ok(())
}
