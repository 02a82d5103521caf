//! Heat maps of attention weights as pictures.

mod charts;
mod contents;
mod layout;
mod pen;

use crate::output::Staged;
use crate::plot::{self, Canvas, Drawing, PictureDestination};
use anyhow::{Result, ensure};
pub use contents::{Labels, Picture};
use layout::Layout;
use pen::Pen;
use plotters::coord::Shift;
use plotters::prelude::*;

/// Rows and keys of a picture at most: beyond, cells are smaller than pixels and the SVG is huge.
const MOST_CELLS: usize = 512;

/// Whether a picture has cells, and not too many.
///
/// # Errors
/// What was expected and what came.
pub fn check_size(rows: usize, keys: usize) -> Result<()> {
    ensure!(
        [rows, keys].iter().all(|cells| (1..=MOST_CELLS).contains(cells)),
        "--plot: expected 1 to {MOST_CELLS} query rows and keys, found {rows} and {keys}"
    );
    Ok(())
}

/// Draws a picture beside its destination.
///
/// # Errors
/// Those of the drawing and of the operating system.
pub fn stage(picture: &Picture, to: PictureDestination) -> Result<Staged> {
    plot::stage(to, |scale| Ok(HeatMap { picture, layout: Layout::new(picture, scale)? }))
}

struct HeatMap<'a> {
    picture: &'a Picture,
    layout: Layout,
}

impl Drawing for HeatMap<'_> {
    fn size(&self) -> (u32, u32) {
        self.layout.size
    }

    fn draw<Backend: Canvas>(&self, area: &DrawingArea<Backend, Shift>) -> Result<()> {
        area.fill(&WHITE)?;
        let pen = Pen { area, layout: &self.layout };
        pen.titles(self.picture)?;
        pen.cells(&self.picture.matrix)?;
        pen.labels(self.picture)?;
        pen.axes()?;
        pen.colour_bar(&self.picture.matrix)?;
        pen.charts(&self.picture.charts)?;
        area.present()?;
        Ok(())
    }
}
