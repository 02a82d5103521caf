//! What draws the parts of a heat map.

use super::contents::Picture;
use super::layout::{
    BAR_WIDTH, GAP, LABEL_SIZES, LEAST_BAR, Layout, MARGIN, TEXT_SIZE, TITLE_SIZE, ticks,
};
use crate::matrix::Matrix;
use crate::plot::{Canvas, Words, line_height, text_width};
use crate::ramp;
use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

/// Cells of at least this many units show their number.
const NUMBERED_CELL: i32 = 40;
/// Colours of the colour bar.
const BANDS: i32 = 64;

/// What draws, and where.
pub struct Pen<'a, Backend: DrawingBackend> {
    pub area: &'a DrawingArea<Backend, Shift>,
    pub layout: &'a Layout,
}

impl<Backend: Canvas> Pen<'_, Backend> {
    pub fn write(&self, words: &Words<'_>, at: (i32, i32)) -> Result<()> {
        words.write(self.area, at)
    }

    pub fn rectangle(&self, from: (i32, i32), to: (i32, i32), colour: [u8; 3]) -> Result<()> {
        let [red, green, blue] = colour;
        self.area.draw(&Rectangle::new([from, to], RGBColor(red, green, blue).filled()))?;
        Ok(())
    }

    pub fn titles(&self, picture: &Picture) -> Result<()> {
        let scale = self.layout.scale;
        let (title_size, text_size) = (TITLE_SIZE * scale, TEXT_SIZE * scale);
        let margin = MARGIN * scale;
        let width = self.layout.size.0 as i32 - 2 * margin;
        let mut y = margin + line_height(title_size) / 2;
        let title = shorten(&picture.title, title_size, width)?;
        self.write(&Words::new(&title, title_size, HPos::Left), (margin, y))?;
        y += (line_height(title_size) + line_height(text_size)) / 2;
        let subtitle = shorten(&picture.subtitle, text_size, width)?;
        self.write(&Words::new(&subtitle, text_size, HPos::Left), (margin, y))
    }

    pub fn cells(&self, matrix: &Matrix) -> Result<()> {
        for row in 0..matrix.rows() {
            for (key, &value) in matrix.row(row).iter().enumerate() {
                let share = matrix.share(value);
                let (from, to) =
                    (self.layout.corner(row, key), self.layout.corner(row + 1, key + 1));
                self.rectangle(from, to, ramp::colour(share))?;
                self.number(&matrix.format(value), share, self.layout.middle(row, key))?;
            }
        }
        Ok(())
    }

    /// A cell's number, where cells have room for it.
    fn number(&self, number: &str, share: f32, at: (i32, i32)) -> Result<()> {
        let (width, height) = self.layout.cell;
        let size = self.layout.label_size;
        if width.min(height) < NUMBERED_CELL * self.layout.scale
            || text_width(number, size)? > width
        {
            return Ok(());
        }
        let ink = if ramp::wants_black_text(share) { BLACK } else { WHITE };
        self.write(&Words::new(number, size, HPos::Center).ink(ink), at)
    }

    pub fn labels(&self, picture: &Picture) -> Result<()> {
        let Layout { origin, grid, label_size, label_steps, upward_keys, .. } = *self.layout;
        let gap = GAP * self.layout.scale;
        for row in (0..picture.matrix.rows()).step_by(label_steps.0) {
            let (_, y) = self.layout.middle(row, 0);
            let label = picture.labels.get(row);
            self.write(&Words::new(&label, label_size, HPos::Right), (origin.0 - gap, y))?;
        }
        let bottom = origin.1 + grid.1 + gap;
        for key in (0..picture.matrix.keys()).step_by(label_steps.1) {
            let (x, _) = self.layout.middle(0, key);
            let label = picture.labels.get(key);
            let (words, y) = match upward_keys {
                true => (Words::new(&label, label_size, HPos::Right).upward(), bottom),
                false => (
                    Words::new(&label, label_size, HPos::Center),
                    bottom + self.layout.key_label_height / 2,
                ),
            };
            self.write(&words, (x, y))?;
        }
        Ok(())
    }

    pub fn axes(&self) -> Result<()> {
        let Layout { scale, origin, grid, key_label_height, .. } = *self.layout;
        let size = TEXT_SIZE * scale;
        let half_line = line_height(size) / 2;
        let x = MARGIN * scale + half_line;
        let query = Words::new("query", size, HPos::Center).upward();
        self.write(&query, (x, origin.1 + grid.1 / 2))?;
        let y = origin.1 + grid.1 + 2 * GAP * scale + key_label_height + half_line;
        self.write(&Words::new("key", size, HPos::Center), (origin.0 + grid.0 / 2, y))
    }

    pub fn colour_bar(&self, matrix: &Matrix) -> Result<()> {
        let Layout { scale, origin, grid, .. } = *self.layout;
        let left = origin.0 + grid.0 + 2 * GAP * scale;
        let right = left + BAR_WIDTH * scale;
        let height = grid.1.max(LEAST_BAR * scale);
        let at = |share: f32| origin.1 + ((1.0 - share) * height as f32).round() as i32;
        for band in 0..BANDS {
            let [low, high] = [band, band + 1].map(|edge| edge as f32 / BANDS as f32);
            let colour = ramp::colour((low + high) / 2.0);
            self.rectangle((left, at(high)), (right, at(low)), colour)?;
        }
        for share in ticks() {
            let label = matrix.format(matrix.value_at(share));
            let words = Words::new(&label, LABEL_SIZES.1 * scale, HPos::Left);
            self.write(&words, (right + GAP * scale, at(share)))?;
        }
        Ok(())
    }
}

/// The text, cut off at the width.
pub fn shorten(text: &str, size: i32, width: i32) -> Result<String> {
    if text_width(text, size)? <= width {
        return Ok(text.to_owned());
    }
    let mut shortened = text.to_owned();
    while !shortened.is_empty() && text_width(&format!("{shortened}…"), size)? > width {
        shortened.pop();
    }
    Ok(format!("{}…", shortened.trim_end()))
}
