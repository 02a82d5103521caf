//! Packing queries: from the caller's strides to what the tile reads.
//!
//! Queries are multiplied once by the factor that turns the tile's sums into scores, and laid out
//! tile by tile, `query[chunk][row][dimension in chunk]`, so that one pointer with constant offsets
//! reaches all rows of a tile.

use super::block_rows::BlockRows;
use super::row_kernel::{RowKernel, with_row_count};
use crate::call::Call;
use crate::convert::Storage;
use crate::element::Elements;
use crate::layout::QUERY_CHUNK;
use crate::rows::Row;
use crate::simd::SimdExt;

/// Packs the queries of a block.
#[inline(always)]
pub(crate) fn pack_queries<S: SimdExt>(
    simd: S,
    call: Call<'_>,
    rows: &BlockRows,
    query: &mut [f32],
) {
    let row_elements = call.plan.query_row_elements();
    if row_elements == 0 {
        return;
    }
    for tile in rows.tiles(S::TILE.rows) {
        let query = &mut query[tile.start * row_elements..][..tile.len() * row_elements];
        let rows = &rows.rows()[tile];
        with_row_count(simd, rows.len(), TileQueries { call, rows, query });
    }
}

/// The queries of a tile.
struct TileQueries<'a> {
    call: Call<'a>,
    rows: &'a [Row],
    query: &'a mut [f32],
}

impl RowKernel for TileQueries<'_> {
    #[inline(always)]
    fn run<S: SimdExt, const ROWS: usize, const REGISTERS: usize>(self, _: S) {
        let TileQueries { call, rows, query } = self;
        let (data, strides) = call.problem.query();
        let rows = rows.first_chunk::<ROWS>().expect("a row for each of the tile");
        let mut starts = [0; ROWS];
        for (start, row) in starts.iter_mut().zip(rows) {
            *start = row.index.start(&strides);
        }
        let packed = query.as_chunks_mut::<QUERY_CHUNK>().0.as_chunks_mut::<ROWS>().0;
        let (head_dim, factor) = (call.plan.head_dim, call.problem.query_factor);
        match data {
            Elements::F32(data) => pack(data, starts, strides.column, head_dim, factor, packed),
            #[cfg(feature = "half")]
            Elements::F16(data) => pack(data, starts, strides.column, head_dim, factor, packed),
            #[cfg(feature = "half")]
            Elements::Bf16(data) => pack(data, starts, strides.column, head_dim, factor, packed),
        }
    }
}

/// Packs the rows that start at these elements, their dimensions `dim_stride` elements apart.
#[inline(always)]
fn pack<T: Storage, const ROWS: usize>(
    data: &[T],
    starts: [usize; ROWS],
    dim_stride: usize,
    head_dim: usize,
    factor: f32,
    packed: &mut [[[f32; QUERY_CHUNK]; ROWS]],
) {
    if dim_stride != 1 {
        for dim in 0..head_dim {
            for (start, packed) in starts.iter().zip(&mut packed[dim / QUERY_CHUNK]) {
                packed[dim % QUERY_CHUNK] = data[start + dim * dim_stride].widen() * factor;
            }
        }
        return;
    }
    let chunks = head_dim / QUERY_CHUNK;
    let mut rows: [&[[T; QUERY_CHUNK]]; ROWS] = [&[]; ROWS];
    for (row, start) in rows.iter_mut().zip(starts) {
        *row = &data[start..][..head_dim].as_chunks().0[..chunks];
    }
    let (whole, rest) = packed.split_at_mut(chunks);
    for (chunk, packed) in whole.iter_mut().enumerate() {
        for (packed, row) in packed.iter_mut().zip(rows) {
            *packed = row[chunk].map(|element| element.widen() * factor);
        }
    }
    let dims = chunks * QUERY_CHUNK..head_dim;
    if let [rest] = rest {
        for (packed, start) in rest.iter_mut().zip(starts) {
            for (packed, element) in packed.iter_mut().zip(&data[start..][dims.clone()]) {
                *packed = element.widen() * factor;
            }
        }
    }
}
