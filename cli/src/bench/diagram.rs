//! What the diagrams of measurements have in common: titles, axes, a grid, a legend, and the pen.

mod axis;
mod frame;
mod labels;
mod pen;

use crate::plot::{Canvas, Drawing};
use anyhow::Result;
pub use axis::Axis;
pub use frame::{Entry, Frame, Surroundings};
pub use labels::{Labels, around, sideways, upwards};
pub use pen::Pen;
use plotters::coord::Shift;
use plotters::prelude::*;

/// Okabe and Ito's, told apart by the colour-blind, too; without yellow, which is faint on white.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x00, 0x00, 0x00),
];

/// The colour of what is drawn for the numbers of threads at an index, from the fewest.
pub fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// A frame and what is to be in it.
pub trait Diagram {
    /// The frame.
    fn frame(&self) -> &Frame;

    /// Draws the contents; all around them is there.
    ///
    /// # Errors
    /// The backend's.
    fn draw_contents<Backend: Canvas>(&self, pen: Pen<'_, Backend>) -> Result<()>;
}

impl<Laid: Diagram> Drawing for Laid {
    fn size(&self) -> (u32, u32) {
        self.frame().size
    }

    fn draw<Backend: Canvas>(&self, area: &DrawingArea<Backend, Shift>) -> Result<()> {
        self.draw_contents(Pen::start(area, self.frame())?)?;
        area.present()?;
        Ok(())
    }
}
