//! Memory that is kept from call to call.

use crate::error::Error;
use alloc::vec::Vec;

/// Elements of a cache line, the alignment of every buffer.
pub(crate) const LINE: usize = 16;

/// Scratch memory for [`Attention::compute_into`](crate::Attention::compute_into).
///
/// It grows to the largest call that it has seen and is reused by all others: once warm, a call
/// allocates nothing. One workspace serves one call at a time; its content never matters.
#[derive(Debug, Default)]
pub struct Workspace {
    buffer: Vec<f32>,
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::default()
    }

    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        self.buffer.capacity() * size_of::<f32>()
    }

    /// `elements` of memory that starts on a cache line.
    pub(crate) fn aligned(&mut self, elements: usize) -> Result<&mut [f32], Error> {
        let error = Error::Allocation { argument: "workspace", elements };
        let length = elements.checked_add(LINE).ok_or_else(|| error.clone())?;
        if self.buffer.len() < length {
            // The old content is of no use: freed first, it is neither copied nor held twice.
            self.buffer = Vec::new();
            self.buffer.try_reserve_exact(length).map_err(|_| error)?;
            self.buffer.resize(length, 0.0);
        }
        let start = self.buffer.as_ptr().align_offset(LINE * size_of::<f32>());
        Ok(&mut self.buffer[start..start + elements])
    }
}
