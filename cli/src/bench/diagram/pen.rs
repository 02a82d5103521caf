//! What draws diagrams.

use super::frame::{Entry, Frame, LABEL_SIZE, MARGIN, SAMPLE, Surroundings, TEXT_SIZE, TITLE_SIZE};
use crate::plot::{Canvas, Words, line_height, text_width};
use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// What draws.
pub struct Pen<'a, Backend: DrawingBackend> {
    area: &'a DrawingArea<Backend, Shift>,
    frame: &'a Frame,
}

impl<'a, Backend: Canvas> Pen<'a, Backend> {
    /// Draws all but the contents, which are to follow.
    pub fn start(area: &'a DrawingArea<Backend, Shift>, frame: &'a Frame) -> Result<Self> {
        area.fill(&WHITE)?;
        let pen = Self { area, frame };
        pen.titles()?;
        pen.grid()?;
        pen.legend()?;
        Ok(pen)
    }

    /// A line through points.
    ///
    /// # Errors
    /// The backend's, as in all that draws.
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
