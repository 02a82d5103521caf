//! Memory that is kept from call to call.

use crate::error::Error;
use crate::kernel::block::Row;
use alloc::{collections::TryReserveError, vec::Vec};

/// Elements of a cache line, the alignment of every buffer.
pub(crate) const LINE: usize = 16;

/// Scratch memory for [`Attention::compute_into`](crate::Attention::compute_into).
///
/// It grows to the largest call that it has seen and is reused by all others: once warm, a call
/// allocates nothing; rayon does, a few bytes for each thread that helps. One workspace serves one call at a time; its content never matters.
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

    /// `elements` of memory that starts on a cache line, and room for `rows`.
    pub(crate) fn reserve(
        &mut self,
        elements: usize,
        rows: usize,
    ) -> Result<(&mut [f32], &mut [Row]), Error> {
        let error = Error::Allocation { argument: "workspace", elements };
        let length = elements.checked_add(LINE).ok_or_else(|| error.clone())?;
        grow(&mut self.buffer, length, 0.0).map_err(|_| error.clone())?;
        grow(&mut self.rows, rows, Row::default()).map_err(|_| error)?;
        let start = self.buffer.as_ptr().align_offset(LINE * size_of::<f32>());
        Ok((&mut self.buffer[start..start + elements], &mut self.rows[..rows]))
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
