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
/// memory back. Or it is memory of the caller's, [`Workspace::lent`], and nothing is allocated at all.
///
/// How much a call needs is [`Plan::workspace_bytes`](crate::Plan::workspace_bytes), derived in
/// docs/embedding.md. Never is it query rows times keys: for each thread, it is the scores of a few
/// rows at a time, with all keys for weights, logits, `top_k` and `key_mass`, with 1,024 keys for the
/// output and what has one element per row. Besides, keys and values of the heads in flight, packed.
#[derive(Debug, Default)]
pub struct Workspace<'m>(Memory<'m>);

#[derive(Debug)]
enum Memory<'m> {
    Own { buffer: Vec<f32>, rows: Vec<Row> },
    Lent(&'m mut [f32]),
}

impl Default for Memory<'_> {
    fn default() -> Self {
        Memory::Own { buffer: Vec::new(), rows: Vec::new() }
    }
}

impl<'m> Workspace<'m> {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::default()
    }

    /// A workspace in memory of the caller's, aligned as it may be: it neither grows nor allocates.
    /// [`Attention::workspace_elements`](crate::Attention::workspace_elements) says how much a call
    /// needs; less is an error. Calls overwrite it.
    ///
    /// ```
    /// # use softdot::{Attention, Outputs, TensorMut, TensorRef, Workspace};
    /// # let (data, mut weights) = ([0.5f32; 4 * 8], [0.0; 4 * 4]);
    /// # let data = TensorRef::new(&data[..], [4, 8]);
    /// let mut memory = vec![0.0; 100_000];
    /// let attention = Attention::new();
    /// let outputs = Outputs::new().weights(TensorMut::new(&mut weights[..], [4, 4]));
    /// let elements = attention.workspace_elements(data, data, outputs)?;
    /// let mut workspace = Workspace::lent(&mut memory[..elements]);
    /// let outputs = Outputs::new().weights(TensorMut::new(&mut weights[..], [4, 4]));
    /// attention.run(data, data, outputs, &mut workspace)?;
    /// # Ok::<(), softdot::Error>(())
    /// ```
    pub fn lent(memory: &'m mut [f32]) -> Self {
        Workspace(Memory::Lent(memory))
    }

    /// Memory held, in bytes.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Memory::Own { buffer, rows } => {
                buffer.capacity() * size_of::<f32>() + rows.capacity() * size_of::<Row>()
            }
            Memory::Lent(memory) => size_of_val(*memory),
        }
    }

    /// Makes sure that at most so many bytes are held: frees all if it is more. (The content is of no
    /// use, so nothing is kept of it.) 0 frees all. Memory of the caller's is given back likewise.
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

    /// Elements that memory of the caller's has to have for so many elements and rows.
    pub(crate) fn lent_elements(elements: usize, rows: usize) -> Option<usize> {
        let of_rows = rows.checked_mul(size_of::<Row>())?.div_ceil(size_of::<f32>());
        // Up to a line before the first element that is at the beginning of one, and, where elements
        // are no whole number of lines, before the first row.
        elements.checked_add(of_rows)?.checked_add(2 * LINE)
    }

    /// Grows to so many elements and rows.
    pub(crate) fn grow(&mut self, elements: usize, rows: usize) -> Result<(), Error> {
        let error = || Error::Allocation { argument: "workspace", elements };
        match &mut self.0 {
            Memory::Own { buffer, rows: own } => {
                let length = elements.checked_add(LINE).ok_or_else(error)?;
                grow(buffer, length, 0.0).map_err(|_| error())?;
                grow(own, rows, Row::default()).map_err(|_| error())
            }
            Memory::Lent(memory) => {
                let limit = Self::lent_elements(elements, rows).ok_or_else(error)?;
                let (argument, found) = ("workspace", memory.len());
                let expected = "a number of f32 elements of at least";
                let is_enough = found >= limit;
                is_enough.then_some(()).ok_or(Error::OutOfRange {
                    argument,
                    expected,
                    limit,
                    found,
                })
            }
        }
    }

    /// So many elements, which start on a cache line, and so many rows, after [`Workspace::grow`].
    #[allow(unsafe_code, reason = "rows in memory that was lent as floats")]
    pub(crate) fn parts(&mut self, elements: usize, rows: usize) -> (&mut [f32], &mut [Row]) {
        match &mut self.0 {
            Memory::Own { buffer, rows: own } => (on_line(buffer, elements).0, &mut own[..rows]),
            Memory::Lent(memory) => {
                let (elements, rest) = on_line(memory, elements);
                // SAFETY: a row is numbers of type `usize` alone, without padding: any bits are one,
                // and any bits that one leaves are floats.
                let (_, slots, _) = unsafe { rest.align_to_mut::<Row>() };
                (elements, &mut slots[..rows])
            }
        }
    }
}

/// So many elements from the first on that starts a cache line, and what follows them.
fn on_line(memory: &mut [f32], elements: usize) -> (&mut [f32], &mut [f32]) {
    let start = memory.as_ptr().align_offset(LINE * size_of::<f32>());
    memory[start..].split_at_mut(elements)
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
