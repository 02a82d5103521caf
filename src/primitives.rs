//! The two pieces that are useful by themselves: a dot product, and the softmax of a row.

use crate::attention::{choose_isa, log2_units};
use crate::caches::Caches;
use crate::error::Error;
use crate::isa::Isa;
use crate::kernel::dot::DotProduct;
use crate::kernel::row_softmax::RowSoftmax;
use crate::kernel::softmax::SEGMENT;
use alloc::vec::Vec;

/// The dot product `Σ a_i · b_i`.
///
/// Order of operations, the same on every instruction set: 64 lanes, lane `l` an FMA chain over
/// `i mod 64 = l` in order from +0; then lanes `l` and `l + 32` are added, `l` and `l + 16`,
/// `l + 8`, `l + 4`, `l + 2`, `l + 1`.
///
/// ```
/// assert_eq!(softdot::dot(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0])?, 32.0);
/// # Ok::<(), softdot::Error>(())
/// ```
///
/// # Errors
/// [`Error::Length`] if the lengths differ.
pub fn dot(a: &[f32], b: &[f32]) -> Result<f32, Error> {
    dot_on(Isa::detect()?.isa, a, b)
}

/// [`dot`] on a chosen instruction set.
///
/// # Errors
/// As [`dot`], and [`Error::IsaUnavailable`].
pub fn dot_on(isa: Isa, a: &[f32], b: &[f32]) -> Result<f32, Error> {
    let isa = choose_isa(Some(isa))?;
    expect_length("b", a.len(), b.len())?;
    Ok(isa.run(DotProduct { a, b }))
}

/// `output = softmax(scale · row)`: what attention does to one row of scores.
///
/// The bits are those of the weights of a row whose scores, before scaling, are `row`: scores
/// `t_j = row_j · (scale · log2 e)`, then the segments, sums and normalisation of
/// docs/numerics.md. An empty row is valid. Rows of more than 16,384 elements allocate 8 bytes
/// for each 1,024.
///
/// ```
/// let mut weights = [0.0; 3];
/// softdot::scaled_softmax(&[2.0, 4.0, 6.0], 0.5, &mut weights)?;
/// assert!((weights[2] - 0.6652).abs() < 1e-4);
/// # Ok::<(), softdot::Error>(())
/// ```
///
/// # Errors
/// [`Error::Length`] if `output` has another length than `row`, [`Error::NotFinite`] if `scale`
/// is not finite, [`Error::Allocation`]; then `output` is as before.
pub fn scaled_softmax(row: &[f32], scale: f32, output: &mut [f32]) -> Result<(), Error> {
    scaled_softmax_on(Isa::detect()?.isa, row, scale, output)
}

/// [`scaled_softmax`] on a chosen instruction set.
///
/// # Errors
/// As [`scaled_softmax`], and [`Error::IsaUnavailable`].
pub fn scaled_softmax_on(
    isa: Isa,
    row: &[f32],
    scale: f32,
    output: &mut [f32],
) -> Result<(), Error> {
    expect_length("output", row.len(), output.len())?;
    softmax(isa, Some(row), scale, output)
}

/// [`scaled_softmax`] in place.
///
/// # Errors
/// [`Error::NotFinite`] if `scale` is not finite; then `row` is as before.
pub fn scaled_softmax_in_place(row: &mut [f32], scale: f32) -> Result<(), Error> {
    scaled_softmax_in_place_on(Isa::detect()?.isa, row, scale)
}

/// [`scaled_softmax_in_place`] on a chosen instruction set.
///
/// # Errors
/// As [`scaled_softmax_in_place`], and [`Error::IsaUnavailable`].
pub fn scaled_softmax_in_place_on(isa: Isa, row: &mut [f32], scale: f32) -> Result<(), Error> {
    softmax(isa, None, scale, row)
}

fn softmax(isa: Isa, row: Option<&[f32]>, scale: f32, output: &mut [f32]) -> Result<(), Error> {
    let isa = choose_isa(Some(isa))?;
    if !scale.is_finite() {
        return Err(Error::NotFinite { argument: "scale", found: scale });
    }
    let segments = output.len().div_ceil(SEGMENT);
    let elements = 2 * segments;
    let mut on_stack = [0.0; 2 * SEGMENTS_ON_STACK];
    let mut on_heap = Vec::new();
    let statistics = if segments <= SEGMENTS_ON_STACK {
        &mut on_stack[..elements]
    } else {
        on_heap
            .try_reserve_exact(elements)
            .map_err(|_| Error::Allocation { argument: "statistics of the row", elements })?;
        on_heap.resize(elements, 0.0);
        &mut on_heap[..]
    };
    let (maxima, sums) = statistics.split_at_mut(segments);
    // In place, a line is in the caches when it is written.
    let streaming = row.is_some() && 2 * size_of_val(output) > Caches::detect().l3;
    isa.run(RowSoftmax { row, factor: log2_units(scale), output, streaming, maxima, sums });
    Ok(())
}

/// Segments whose maxima and sums are kept without allocating.
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
