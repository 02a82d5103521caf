//! Packing queries: from the caller's strides to what the tile reads.
//!
//! Queries are multiplied once by the factor that turns the tile's sums into scores, and laid out
//! tile by tile, `query[chunk][row][dimension in chunk]`, so that one pointer with constant offsets
//! reaches all rows of a tile.

use super::block_rows::BlockRows;
use crate::call::Call;
use crate::convert::Storage;
use crate::element::Elements;
use crate::layout::{MAX_TILE_ROWS, QUERY_CHUNK};
use crate::rows::Row;
use crate::simd::{Kernel, SimdExt};

/// Packs the queries of a block.
#[inline(always)]
pub(crate) fn pack_queries<S: SimdExt>(
    simd: S,
    call: Call<'_>,
    rows: &BlockRows<'_>,
    query: &mut [f32],
) {
    let row_elements = call.plan.query_row_elements();
    for tile in rows.tiles(S::TILE.rows) {
        let query = &mut query[tile.start * row_elements..][..tile.len() * row_elements];
        simd.run_outlined(PackQueries { call, rows: &rows.rows()[tile], query });
    }
}

/// Packs the queries of a tile.
#[derive(Debug)]
pub(crate) struct PackQueries<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) rows: &'a [Row],
    pub(crate) query: &'a mut [f32],
}

impl Kernel for PackQueries<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, _: S) {
        let PackQueries { call: Call { problem, plan, .. }, rows, query } = self;
        if plan.head_dim == 0 {
            return;
        }
        let (data, strides) = problem.query();
        let mut starts = [0; MAX_TILE_ROWS];
        for (start, row) in starts.iter_mut().zip(rows) {
            *start = row.index.start(&strides);
        }
        let from = TileRows {
            starts: &starts[..rows.len()],
            dim_stride: strides.column,
            head_dim: plan.head_dim,
            factor: problem.query_factor,
        };
        let (packed, _) = query.as_chunks_mut();
        match data {
            Elements::F32(data) => from.pack::<S, _>(data, packed),
            #[cfg(feature = "half")]
            Elements::F16(data) => from.pack::<S, _>(data, packed),
            #[cfg(feature = "half")]
            Elements::Bf16(data) => from.pack::<S, _>(data, packed),
        }
    }
}

/// The query rows of a tile in the caller's memory, and what they are multiplied by.
struct TileRows<'a> {
    starts: &'a [usize],
    dim_stride: usize,
    head_dim: usize,
    factor: f32,
}

impl TileRows<'_> {
    #[inline(always)]
    fn pack<S: SimdExt, T: Storage>(&self, data: &[T], packed: &mut [[f32; QUERY_CHUNK]]) {
        let TileRows { starts, dim_stride, head_dim, factor } = *self;
        if dim_stride != 1 {
            for (chunk, packed) in packed.chunks_exact_mut(starts.len()).enumerate() {
                let first = chunk * QUERY_CHUNK;
                for (packed, start) in packed.iter_mut().zip(starts) {
                    for (i, packed) in packed.iter_mut().enumerate().take(head_dim - first) {
                        *packed = data[start + (first + i) * dim_stride].widen() * factor;
                    }
                }
            }
            return;
        }
        // Whole tiles with a constant number of rows, which is unrolled; the last rows of a head without.
        if const { S::TILE.rows == 8 } && starts.len() == 8 {
            self.pack_contiguous::<T, 8>(data, packed);
        } else if const { S::TILE.rows == 6 } && starts.len() == 6 {
            self.pack_contiguous::<T, 6>(data, packed);
        } else {
            for i in 0..starts.len() {
                let row = TileRows { starts: &starts[i..i + 1], ..*self };
                let packed = packed[i..].iter_mut().step_by(starts.len());
                row.pack_row(data, packed);
            }
        }
    }

    /// All rows, which are `ROWS`, chunk by chunk.
    #[inline(always)]
    fn pack_contiguous<T: Storage, const ROWS: usize>(
        &self,
        data: &[T],
        packed: &mut [[f32; QUERY_CHUNK]],
    ) {
        let TileRows { starts, head_dim, factor, .. } = *self;
        let chunks = head_dim / QUERY_CHUNK;
        let mut rows: [&[[T; QUERY_CHUNK]]; ROWS] = [&[]; ROWS];
        for (row, &start) in rows.iter_mut().zip(starts) {
            *row = &data[start..][..head_dim].as_chunks().0[..chunks];
        }
        let (whole, rest) = packed.as_chunks_mut::<ROWS>().0.split_at_mut(chunks);
        for (chunk, packed) in whole.iter_mut().enumerate() {
            for (packed, row) in packed.iter_mut().zip(rows) {
                *packed = row[chunk].map(|element| element.widen() * factor);
            }
        }
        if let [rest] = rest {
            let dims = chunks * QUERY_CHUNK..head_dim;
            for (packed, &start) in rest.iter_mut().zip(starts) {
                for (packed, element) in packed.iter_mut().zip(&data[start..][dims.clone()]) {
                    *packed = element.widen() * factor;
                }
            }
        }
    }

    /// The first row, into its chunks.
    #[inline(always)]
    fn pack_row<'p, T: Storage>(
        &self,
        data: &[T],
        mut packed: impl Iterator<Item = &'p mut [f32; QUERY_CHUNK]>,
    ) {
        let row = &data[self.starts[0]..][..self.head_dim];
        let (chunks, rest) = row.as_chunks::<QUERY_CHUNK>();
        for (chunk, packed) in chunks.iter().zip(packed.by_ref()) {
            *packed = chunk.map(|element| element.widen() * self.factor);
        }
        if let Some(packed) = packed.next() {
            for (packed, element) in packed.iter_mut().zip(rest) {
                *packed = element.widen() * self.factor;
            }
        }
    }
}
