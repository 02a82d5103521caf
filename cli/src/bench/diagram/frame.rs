//! What is around the contents of a diagram, laid out.

use super::axis::Axis;
use crate::plot::{line_height, text_width};
use anyhow::Result;
use plotters::style::RGBColor;

/// What the axes span, in units, and what is around it.
const SIDES: (i32, i32) = (760, 520);
const LEFT: i32 = 84;
pub const MARGIN: i32 = 18;
pub const TITLE_SIZE: i32 = 22;
pub const TEXT_SIZE: i32 = 15;
pub const LABEL_SIZE: i32 = 12;
const POINT: i32 = 4;
/// Length of the line before a coloured entry of the legend.
pub const SAMPLE: i32 = 28;

/// What is around the contents of a diagram.
pub struct Surroundings {
    /// The first line.
    pub title: String,
    /// The second line.
    pub subtitle: String,
    /// From left to right.
    pub across: Axis,
    /// From bottom to top.
    pub up: Axis,
    /// Lines on the right.
    pub legend: Vec<Entry>,
}

/// A line of the legend.
pub struct Entry {
    /// The words.
    pub text: String,
    /// The colour of the line whose sample is before the words, if there is one.
    pub colour: Option<RGBColor>,
}

/// A diagram, laid out but for its contents.
pub struct Frame {
    pub(super) scale: i32,
    pub(super) surroundings: Surroundings,
    /// The pixels that the axes cover, from their least value to their largest.
    pub(super) across: (i32, i32),
    pub(super) up: (i32, i32),
    pub(super) size: (u32, u32),
}

impl Frame {
    /// Lays it out with so many pixels per unit.
    ///
    /// # Errors
    /// The font's.
    pub fn new(surroundings: Surroundings, scale: i32) -> Result<Self> {
        let top = MARGIN + line_height(TITLE_SIZE) + line_height(TEXT_SIZE) + MARGIN / 2;
        let (right, bottom) = (LEFT + SIDES.0, top + SIDES.1);
        let entries = surroundings.legend.len() as i32 * line_height(LABEL_SIZE);
        let height = (bottom + 3 * line_height(TEXT_SIZE)).max(top + entries + MARGIN) * scale;
        let mut frame = Self {
            scale,
            surroundings,
            across: (LEFT * scale, right * scale),
            up: (bottom * scale, top * scale),
            size: (0, height as u32),
        };
        frame.size.0 = (right * scale + frame.legend_width()?) as u32;
        Ok(frame)
    }

    fn legend_width(&self) -> Result<i32> {
        let entries = self.surroundings.legend.iter();
        let widest = entries.map(|entry| {
            let sample = if entry.colour.is_some() { SAMPLE + MARGIN / 2 } else { 0 };
            Ok(sample * self.scale + text_width(&entry.text, LABEL_SIZE * self.scale)?)
        });
        let widest = widest.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0);
        Ok(widest + 2 * MARGIN * self.scale)
    }

    /// The axis from left to right.
    pub fn across(&self) -> &Axis {
        &self.surroundings.across
    }

    /// The axis from bottom to top.
    pub fn up(&self) -> &Axis {
        &self.surroundings.up
    }

    /// Where a point is; what lies outside is moved to the edge.
    pub fn at(&self, across: f64, up: f64) -> (i32, i32) {
        let pixel = |(start, end): (i32, i32), share: f64| {
            start + (share * f64::from(end - start)).round() as i32
        };
        (pixel(self.across, self.across().share(across)), pixel(self.up, self.up().share(up)))
    }

    /// The pixel where the axis from left to right ends.
    pub fn right(&self) -> i32 {
        self.across.1
    }

    /// The radius of a point in pixels.
    pub fn point_radius(&self) -> i32 {
        POINT * self.scale
    }
}
