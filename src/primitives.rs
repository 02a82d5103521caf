//! The two pieces that are useful by themselves: a dot product, and the softmax of a row.

use crate::caches::Caches;
use crate::dispatch;
use crate::error::Error;
use crate::isa::Isa;
use crate::kernel::{DotProduct, RowSoftmax};
use crate::layout::SEGMENT;
use alloc::vec::Vec;

/// The dot product and the softmax of a row by themselves, on one instruction set.
///
/// ```
/// use softdot::Primitives;
///
/// let primitives = Primitives::new()?;
/// assert_eq!(primitives.dot(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0])?, 32.0);
///
/// let mut weights = [0.0; 3];
/// primitives.scaled_softmax(&[2.0, 4.0, 6.0], 0.5, &mut weights)?;
/// assert!((weights[2] - 0.6652).abs() < 1e-4);
/// # Ok::<(), softdot::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Primitives {
    isa: Isa,
}

impl Primitives {
    /// On the instruction set that [`Isa::detect`] chooses.
    ///
    /// # Errors
    /// As [`Isa::detect`].
    pub fn new() -> Result<Self, Error> {
        Ok(Primitives { isa: dispatch::choose(None)? })
    }

    /// On a chosen instruction set. Results have the same bits on each.
    ///
    /// # Errors
    /// [`Error::IsaUnavailable`].
    pub fn on(isa: Isa) -> Result<Self, Error> {
        Ok(Primitives { isa: dispatch::choose(Some(isa))? })
    }

    /// The instruction set.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// The dot product `Σ a_i · b_i`.
    ///
    /// Order of operations: 64 lanes, lane `l` an FMA chain over `i mod 64 = l` in order from +0; then
    /// lanes `l` and `l + 32` are added, `l` and `l + 16`, `l + 8`, `l + 4`, `l + 2`, `l + 1`.
    ///
    /// # Errors
    /// [`Error::Length`] if the lengths differ.
    pub fn dot(self, a: &[f32], b: &[f32]) -> Result<f32, Error> {
        expect_length("b", a.len(), b.len())?;
        Ok(self.isa.run(DotProduct { a, b }))
    }

    /// `output = softmax(scale · row)`: what attention does to one row of scores.
    ///
    /// The bits are those of the weights of a row whose scores, before scaling, are `row`: scores
    /// `t_j = row_j · (scale · log2 e)`, then the segments, sums and normalisation of
    /// docs/numerics.md. An empty row is valid. Rows of more than 16,384 elements allocate 8 bytes
    /// for each 1,024.
    ///
    /// # Errors
    /// [`Error::Length`] if `output` has another length than `row`, [`Error::NotFinite`] if `scale`
    /// is not finite, [`Error::Allocation`]; then `output` is as before.
    pub fn scaled_softmax(self, row: &[f32], scale: f32, output: &mut [f32]) -> Result<(), Error> {
        expect_length("output", row.len(), output.len())?;
        self.softmax(Some(row), scale, output)
    }

    /// [`Primitives::scaled_softmax`] in place.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if `scale` is not finite, [`Error::Allocation`]; then `row` is as before.
    pub fn scaled_softmax_in_place(self, row: &mut [f32], scale: f32) -> Result<(), Error> {
        self.softmax(None, scale, row)
    }

    fn softmax(self, row: Option<&[f32]>, scale: f32, output: &mut [f32]) -> Result<(), Error> {
        if !scale.is_finite() {
            return Err(Error::NotFinite { argument: "scale", found: scale });
        }
        let segments = output.len().div_ceil(SEGMENT);
        let mut on_stack = [[0.0; 2]; SEGMENTS_ON_STACK];
        let mut on_heap = Vec::new();
        let states = if segments <= SEGMENTS_ON_STACK {
            &mut on_stack[..segments]
        } else {
            let argument = "states of the row's segments";
            let error = Error::Allocation { argument, elements: 2 * segments };
            on_heap.try_reserve_exact(segments).map_err(|_| error)?;
            on_heap.resize(segments, [0.0; 2]);
            &mut on_heap[..]
        };
        // In place, a line is in cache when it is written.
        let nontemporal = row.is_some() && 2 * size_of_val(output) > Caches::detect().l3;
        self.isa.run(RowSoftmax { row, scale, output, nontemporal, states });
        Ok(())
    }
}

/// Segments whose states are kept without allocating.
const SEGMENTS_ON_STACK: usize = 16;

fn expect_length(argument: &'static str, expected: usize, found: usize) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Length {
        argument,
        expected: "the length of the other slice,",
        value: expected,
        found,
    })
}
