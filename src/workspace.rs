//! Memory that is kept from call to call.

use crate::error::Error;
use crate::layout::LINE;
use crate::rows::Row;
use alloc::{collections::TryReserveError, vec::Vec};

/// Scratch memory for [`Attention::run`](crate::Attention::run).
///
/// It grows to the largest call that it has seen and is reused by all others: once it has grown, a
/// call allocates nothing; rayon does, a few bytes for each thread that helps. One workspace serves
/// one call at a time; its content never matters. After a large call, [`Workspace::shrink_to`] gives
/// memory back.
///
/// How much a call needs is [`Plan::workspace_bytes`](crate::Plan::workspace_bytes), derived in
/// docs/embedding.md. Never is it query rows times keys: for each thread, it is the scores of a few
/// rows at a time, with all keys for weights, logits, `top_k` and `key_mass`, with 1,024 keys for the
/// output and what has one element per row. Besides, keys and values of the heads in flight, packed.
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

    /// Makes sure that at most so many bytes are held: frees all if it is more. (The content is of no
    /// use, so nothing is kept of it.) 0 frees all.
    ///
    /// ```
    /// # use softdot::{Attention, Outputs, TensorMut, TensorRef, Workspace};
    /// # let (data, mut weights) = ([0.5f32; 4 * 8], [0.0; 4 * 4]);
    /// # let data = TensorRef::new(&data[..], [4, 8]);
    /// # let outputs = Outputs::new().weights(TensorMut::new(&mut weights[..], [4, 4]));
    /// let mut workspace = Workspace::new();
    /// Attention::new().softcap(30.0).run(data, data, outputs, &mut workspace)?;
    /// workspace.shrink_to(64 << 20); // 64 MiB are more than this call needed.
    /// assert!(workspace.bytes() > 0);
    /// workspace.shrink_to(0);
    /// assert_eq!(workspace.bytes(), 0);
    /// # Ok::<(), softdot::Error>(())
    /// ```
    pub fn shrink_to(&mut self, bytes: usize) {
        if self.bytes() > bytes {
            *self = Self::new();
        }
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
