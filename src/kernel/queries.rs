//! Packing queries: from the caller's strides to what the tile reads.
//!
//! Queries are multiplied once by the factor that turns the tile's sums into scores, and laid out
//! tile by tile, `query[chunk][row][dimension in chunk]`, so that one pointer with constant offsets
//! reaches all rows of a tile.

use super::block_rows::BlockRows;
use crate::call::Call;
use crate::convert::Storage;
use crate::element::Elements;
use crate::layout::QUERY_CHUNK;
use crate::simd::{Kernel, SimdExt};

/// Packs the queries of a block.
#[derive(Debug)]
pub(crate) struct PackQueries<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) rows: &'a BlockRows<'a>,
    pub(crate) query: &'a mut [f32],
}

impl Kernel for PackQueries<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, _: S) {
        let PackQueries { call: Call { problem, plan }, rows, query } = self;
        let row_elements = plan.query_row_elements();
        if row_elements == 0 {
            return;
        }
        let (data, strides) = problem.query();
        for tile in rows.tiles(S::TILE.rows) {
            let query = &mut query[tile.start * row_elements..][..tile.len() * row_elements];
            let (chunks, _) = query.as_chunks_mut::<QUERY_CHUNK>();
            let rows = &rows.rows()[tile];
            for (i, row) in rows.iter().enumerate() {
                let packed = chunks[i..].iter_mut().step_by(rows.len());
                let from = QueryRow {
                    start: row.index.start(&strides),
                    dim_stride: strides.column,
                    head_dim: plan.head_dim,
                    factor: problem.query_factor,
                };
                match data {
                    Elements::F32(data) => from.pack(data, packed),
                    #[cfg(feature = "half")]
                    Elements::F16(data) => from.pack(data, packed),
                    #[cfg(feature = "half")]
                    Elements::Bf16(data) => from.pack(data, packed),
                }
            }
        }
    }
}

/// A query row in the caller's memory, and what it is multiplied by.
struct QueryRow {
    start: usize,
    dim_stride: usize,
    head_dim: usize,
    factor: f32,
}

impl QueryRow {
    #[inline(always)]
    fn pack<'p, T: Storage>(
        &self,
        data: &[T],
        mut packed: impl Iterator<Item = &'p mut [f32; QUERY_CHUNK]>,
    ) {
        let QueryRow { start, dim_stride, head_dim, factor } = *self;
        if dim_stride != 1 {
            for (chunk, packed) in packed.enumerate() {
                let first = chunk * QUERY_CHUNK;
                for (i, packed) in packed.iter_mut().enumerate().take(head_dim - first) {
                    *packed = data[start + (first + i) * dim_stride].widen() * factor;
                }
            }
            return;
        }
        let (chunks, rest) = data[start..][..head_dim].as_chunks::<QUERY_CHUNK>();
        for (chunk, packed) in chunks.iter().zip(packed.by_ref()) {
            *packed = chunk.map(|element| element.widen() * factor);
        }
        if let Some(packed) = packed.next() {
            for (packed, element) in packed.iter_mut().zip(rest) {
                *packed = element.widen() * factor;
            }
        }
    }
}
