//! The output: the sums of exponentials times values, normalised.

use crate::rows::Row;
use crate::simd::SimdExt;
use crate::targets::{Target, part};

/// Normalises the first `v_dim` sums of a row and writes them; the sums are padded to whole panels.
#[inline(always)]
pub(crate) fn write_output_row<S: SimdExt>(
    simd: S,
    target: &Target<'_>,
    row: &Row,
    factor: f32,
    (sums, v_dim): (&mut [f32], usize),
) {
    let factor = simd.splat_f32s(factor);
    for sum in S::as_mut_simd_f32s(sums).0 {
        // Adding +0 makes the sign of a zero the same whether excluded keys were added or not.
        *sum = simd.mul_add_f32s(*sum, factor, simd.splat_f32s(0.0));
    }
    let start = target.row_start(row.index);
    match target.dense() {
        Some(data) => part(&data, start..start + v_dim).copy_from_slice(&sums[..v_dim]),
        None => {
            for (column, &sum) in sums[..v_dim].iter().enumerate() {
                target.write(start + column * target.strides.column, sum);
            }
        }
    }
}
