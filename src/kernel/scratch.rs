//! Memory that only one task uses.

use crate::memory::Memory;
use crate::rows::Row;
use crate::simd::Staging;

/// Memory that only one task uses.
#[derive(Debug)]
pub(crate) struct Scratch<'a> {
    /// The packed queries of a block.
    pub(crate) query: &'a mut [f32],
    /// The running maxima of its rows, a line each.
    pub(crate) maxima: &'a mut [f32],
    /// The last panel of a head, or its only one, whose keys are not packed otherwise.
    pub(crate) panel: &'a mut [f32],
    /// The packed values of one pass, where they are packed pass by pass.
    pub(crate) value_pass: &'a mut [f32],
    /// Lines that are assembled before they are written.
    pub(crate) staging: &'a mut Staging,
    /// The rows of two blocks.
    pub(crate) rows: &'a mut [Row],
}

impl<'a> Scratch<'a> {
    /// Its parts, in memory of `sizes.scratch()` elements.
    pub(crate) fn new(memory: &'a mut [f32], sizes: &Memory, rows: &'a mut [Row]) -> Self {
        let (query, rest) = memory.split_at_mut(sizes.query);
        let (maxima, rest) = rest.split_at_mut(sizes.maxima);
        let (panel, rest) = rest.split_at_mut(sizes.panel);
        let (value_pass, staging) = rest.split_at_mut(sizes.value_pass);
        let (lines, _) = staging.as_chunks_mut();
        let staging = &mut lines.as_chunks_mut().0[0];
        Scratch { query, maxima, panel, value_pass, staging, rows }
    }
}
