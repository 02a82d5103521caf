//! Packing queries: from the caller's strides to what the tile reads.
//!
//! Queries are multiplied once by the factor that turns the tile's sums into scores, and laid out
//! tile by tile, `query[run][row][dimension in run]`, so that one pointer with constant offsets
//! reaches all rows of a tile.

use super::Call;
use super::block::{BlockRows, Row};
use super::tile_work::{TileWork, call_for_rows};
use super::widen::Widen;
use crate::element::Elements;
use crate::lanes::Lanes;

/// Dimensions of a query row that stand together.
pub(crate) const QUERY_RUN: usize = 8;

/// Packs the queries of a block.
#[inline(always)]
pub(crate) fn pack_queries<S: Lanes>(simd: S, call: Call<'_>, rows: &BlockRows, query: &mut [f32]) {
    let row_elements = call.plan.query_row_elements();
    if row_elements == 0 {
        return;
    }
    for tile in rows.tiles(S::TILE.rows) {
        let query = &mut query[tile.start * row_elements..][..tile.len() * row_elements];
        let rows = &rows.rows()[tile];
        call_for_rows(simd, rows.len(), TileQueries { call, rows, query });
    }
}

/// The queries of a tile.
struct TileQueries<'a> {
    call: Call<'a>,
    rows: &'a [Row],
    query: &'a mut [f32],
}

impl TileWork for TileQueries<'_> {
    #[inline(always)]
    fn run<S: Lanes, const ROWS: usize, const REGISTERS: usize>(self, _: S) {
        let TileQueries { call, rows, query } = self;
        let (data, strides) = call.inputs.query;
        let rows = rows.first_chunk::<ROWS>().expect("a row for each of the tile");
        let mut starts = [0; ROWS];
        for (start, row) in starts.iter_mut().zip(rows) {
            *start = row.index.start(&strides);
        }
        let packed = query.as_chunks_mut::<QUERY_RUN>().0.as_chunks_mut::<ROWS>().0;
        let (head_dim, factor) = (call.plan.head_dim, call.inputs.query_factor);
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
fn pack<T: Widen, const ROWS: usize>(
    data: &[T],
    starts: [usize; ROWS],
    dim_stride: usize,
    head_dim: usize,
    factor: f32,
    packed: &mut [[[f32; QUERY_RUN]; ROWS]],
) {
    if dim_stride != 1 {
        for dim in 0..head_dim {
            for (start, packed) in starts.iter().zip(&mut packed[dim / QUERY_RUN]) {
                packed[dim % QUERY_RUN] = data[start + dim * dim_stride].widen() * factor;
            }
        }
        return;
    }
    let runs = head_dim / QUERY_RUN;
    let mut rows: [&[[T; QUERY_RUN]]; ROWS] = [&[]; ROWS];
    for (row, start) in rows.iter_mut().zip(starts) {
        *row = &data[start..][..head_dim].as_chunks().0[..runs];
    }
    let (whole, rest) = packed.split_at_mut(runs);
    for (run, packed) in whole.iter_mut().enumerate() {
        for (packed, row) in packed.iter_mut().zip(rows) {
            *packed = row[run].map(|element| element.widen() * factor);
        }
    }
    let dims = runs * QUERY_RUN..head_dim;
    if let [rest] = rest {
        for (packed, start) in rest.iter_mut().zip(starts) {
            for (packed, element) in packed.iter_mut().zip(&data[start..][dims.clone()]) {
                *packed = element.widen() * factor;
            }
        }
    }
}
