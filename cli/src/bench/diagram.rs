//! What the diagrams of measurements have in common: titles, axes, a grid, a legend, and the pen.

mod axis;
mod labels;

use crate::plot::{Words, line_height, text_width};
use anyhow::Result;
pub use axis::Axis;
pub use labels::{Labels, around, sideways, upwards};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use std::error::Error;

/// What the axes span, in units, and what is around it.
const SIDES: (i32, i32) = (760, 520);
const LEFT: i32 = 84;
const MARGIN: i32 = 18;
const TITLE_SIZE: i32 = 22;
const TEXT_SIZE: i32 = 15;
const LABEL_SIZE: i32 = 12;
const POINT: i32 = 4;
/// Length of the line before a coloured entry of the legend.
const SAMPLE: i32 = 28;

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
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// The colour of what is drawn for the numbers of threads at an index, from the fewest.
pub fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

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
    scale: i32,
    surroundings: Surroundings,
    /// The pixels that the axes cover, from their least value to their largest.
    across: (i32, i32),
    up: (i32, i32),
    size: (u32, u32),
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

    /// Width and height.
    pub fn size(&self) -> (u32, u32) {
        self.size
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

/// What draws.
pub struct Pen<'a, Backend: DrawingBackend> {
    area: &'a DrawingArea<Backend, Shift>,
    frame: &'a Frame,
}

impl<'a, Backend> Pen<'a, Backend>
where
    Backend: DrawingBackend<ErrorType: Error + Send + Sync + 'static>,
{
    /// Draws all but the contents, which are to follow.
    ///
    /// # Errors
    /// The backend's, as in all that draws.
    pub fn start(area: &'a DrawingArea<Backend, Shift>, frame: &'a Frame) -> Result<Self> {
        area.fill(&WHITE)?;
        let pen = Self { area, frame };
        pen.titles()?;
        pen.grid()?;
        pen.legend()?;
        Ok(pen)
    }

    /// A line through points.
    pub fn stroke(&self, points: Vec<(i32, i32)>, colour: RGBColor, width: i32) -> Result<()> {
        let style = colour.stroke_width((width * self.frame.scale) as u32);
        self.area.draw(&PathElement::new(points, style))?;
        Ok(())
    }

    /// A point.
    pub fn point(&self, at: (i32, i32), colour: RGBColor) -> Result<()> {
        self.area.draw(&Circle::new(at, self.frame.point_radius(), colour.filled()))?;
        Ok(())
    }

    /// A label with its middle there.
    pub fn label(&self, text: &str, at: (i32, i32), colour: RGBColor) -> Result<()> {
        self.label_words(text).ink(colour).write(self.area, at)
    }

    /// The same, running upwards.
    pub fn upward_label(&self, text: &str, at: (i32, i32), colour: RGBColor) -> Result<()> {
        self.label_words(text).upward().ink(colour).write(self.area, at)
    }

    fn label_words<'text>(&self, text: &'text str) -> Words<'text> {
        Words::new(text, LABEL_SIZE * self.frame.scale, HPos::Center)
    }

    /// Width and height of a label.
    pub fn label_extent(&self, text: &str) -> Result<(i32, i32)> {
        let size = LABEL_SIZE * self.frame.scale;
        Ok((text_width(text, size)?, line_height(size)))
    }

    fn write(&self, text: &str, size: i32, anchor: HPos, at: (i32, i32)) -> Result<()> {
        Words::new(text, size * self.frame.scale, anchor).write(self.area, at)
    }

    fn titles(&self) -> Result<()> {
        let Frame { scale, surroundings: Surroundings { title, subtitle, .. }, .. } = self.frame;
        let x = MARGIN * scale;
        let mut y = x + line_height(TITLE_SIZE) * scale / 2;
        self.write(title, TITLE_SIZE, HPos::Left, (x, y))?;
        y += (line_height(TITLE_SIZE) + line_height(TEXT_SIZE)) * scale / 2;
        self.write(subtitle, TEXT_SIZE, HPos::Left, (x, y))
    }

    fn grid(&self) -> Result<()> {
        let Frame { scale, across: (left, right), up: (bottom, top), .. } = *self.frame;
        let (across, up) = (self.frame.across(), self.frame.up());
        let line = line_height(LABEL_SIZE) * scale;
        for &value in across.ticks() {
            let (x, _) = self.frame.at(value, up.least());
            self.stroke(vec![(x, bottom), (x, top)], GRID, 1)?;
            self.write(&value.to_string(), LABEL_SIZE, HPos::Center, (x, bottom + line))?;
        }
        for &value in up.ticks() {
            let (_, y) = self.frame.at(across.least(), value);
            self.stroke(vec![(left, y), (right, y)], GRID, 1)?;
            self.write(&value.to_string(), LABEL_SIZE, HPos::Right, (left - line / 2, y))?;
        }
        let below = ((left + right) / 2, bottom + 2 * line + line / 2);
        self.write(across.name(), TEXT_SIZE, HPos::Center, below)?;
        let beside = (MARGIN * scale + line / 2, (bottom + top) / 2);
        let words = Words::new(up.name(), TEXT_SIZE * scale, HPos::Center);
        words.upward().write(self.area, beside)
    }

    fn legend(&self) -> Result<()> {
        let Frame { scale, surroundings, across: (_, right), up: (_, top), .. } = self.frame;
        let line = line_height(LABEL_SIZE) * scale;
        for (index, Entry { text, colour }) in surroundings.legend.iter().enumerate() {
            let (mut x, y) = (right + MARGIN * scale, top + line * index as i32 + line / 2);
            if let Some(colour) = *colour {
                let end = x + SAMPLE * scale;
                self.stroke(vec![(x, y), (end, y)], colour, 2)?;
                self.point(((x + end) / 2, y), colour)?;
                x = end + MARGIN * scale / 2;
            }
            self.write(text, LABEL_SIZE, HPos::Left, (x, y))?;
        }
        Ok(())
    }
}
