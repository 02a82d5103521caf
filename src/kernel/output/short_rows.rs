//! Rows of at most two cache lines, written at once.

use crate::rows::Row;
use crate::targets::{Target, TargetData, part};

/// Writes a row of at most 32 values.
#[inline(always)]
pub(crate) fn write_short_row(target: &Target<'_>, row: &Row, values: &[f32]) {
    let start = target.row_start(row.index);
    match target.data {
        TargetData::F32(data) if target.strides.column == 1 => {
            copy_short(part(&data, start..start + values.len()), values);
        }
        _ => write_each(target, start, values),
    }
}

#[cold]
#[inline(never)]
fn write_each(target: &Target<'_>, start: usize, values: &[f32]) {
    for (column, &value) in values.iter().enumerate() {
        target.write(start + column * target.strides.column, value);
    }
}

/// Copies at most 32 elements: the first and the last power of two of them, which may overlap.
#[inline(always)]
fn copy_short(to: &mut [f32], from: &[f32]) {
    #[inline(always)]
    fn copy_ends<const N: usize>(to: &mut [f32], from: &[f32]) {
        if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
            *to.first_chunk_mut().expect("as long as what it is copied from") = *first;
            *to.last_chunk_mut().expect("as long as what it is copied from") = *last;
        }
    }
    match from.len() {
        17.. => copy_ends::<16>(to, from),
        8.. => copy_ends::<8>(to, from),
        4.. => copy_ends::<4>(to, from),
        2.. => copy_ends::<2>(to, from),
        _ => copy_ends::<1>(to, from),
    }
}
