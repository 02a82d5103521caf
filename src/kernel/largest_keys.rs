//! Where a segment's largest exponential stands in each row: the first that is 1.

use super::block_rows::BlockRows;
use super::row_state::{Field, RowStates};
use super::score_buffer::ScoreBuffer;
use crate::layout::LINE;
use crate::simd::{Kernel, SimdExt};
use core::ops::Range;

/// Keeps, beside the state of each row in a segment, its first key whose exponential is 1; the
/// segment's first one where there is none.
pub(crate) struct LargestKeys<'a, 's> {
    pub(crate) scores: &'a mut ScoreBuffer<'s>,
    pub(crate) states: &'a mut RowStates<'s>,
    pub(crate) segment: usize,
    pub(crate) keys: Range<usize>,
    pub(crate) rows: &'a BlockRows<'a>,
}

impl Kernel for LargestKeys<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, _: S) {
        let LargestKeys { scores, states, segment, keys, rows } = self;
        for tile in rows.tiles(S::TILE.rows) {
            // The tile has written these alone.
            let panels = rows.panels_of(tile.clone(), &keys);
            let within = panels.start - keys.start..panels.end - keys.start;
            for row in tile {
                let [exponentials] = scores.rows::<1>(segment, row, within.clone());
                let place = first_one(exponentials).map_or(0, |place| within.start + place);
                states.set_field(segment, Field::Largest, row, [place as f32]);
            }
        }
    }
}

/// The first element that is 1, a line at a time.
#[inline(always)]
fn first_one(exponentials: &[f32]) -> Option<usize> {
    let lines = exponentials.as_chunks::<LINE>().0;
    let line = lines.iter().position(|line| line.iter().fold(false, |any, &e| any | (e == 1.0)))?;
    Some(line * LINE + lines[line].iter().position(|&e| e == 1.0)?)
}
