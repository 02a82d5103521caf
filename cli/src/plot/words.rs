//! Text in pictures, in a font of the program's own.

use super::canvas::Canvas;
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, FontTransform, register_font};

/// The family that the embedded font is registered as, and that an SVG asks its viewer for.
const FONT: &str = "sans-serif";

/// Height of a line of text in terms of its size.
const LINE: f64 = 1.35;
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);

/// Makes the font known, which all else here needs.
///
/// # Errors
/// The font's.
pub fn register() -> Result<()> {
    register_font(FONT, FontStyle::Normal, include_bytes!("../../assets/DejaVuSans-subset.ttf"))
        .map_err(|_| anyhow!("the embedded font cannot be read"))
}

/// Height of a line of text.
pub fn line_height(size: i32) -> i32 {
    (f64::from(size) * LINE).ceil() as i32
}

/// Width of a line of text.
///
/// # Errors
/// The font's.
pub fn text_width(text: &str, size: i32) -> Result<i32> {
    Ok((FONT, size).into_font().box_size(&printable(text))?.0 as i32)
}

/// Text without what would break its line, and what an SVG, which is XML, cannot hold.
fn printable(text: &str) -> String {
    let printable = |character: char| match character {
        '\u{fffe}' | '\u{ffff}' => char::REPLACEMENT_CHARACTER,
        control if control.is_control() => char::REPLACEMENT_CHARACTER,
        character => character,
    };
    text.chars().map(printable).collect()
}

/// Words and how they stand.
pub struct Words<'a> {
    text: &'a str,
    size: i32,
    anchor: (HPos, VPos),
    upward: bool,
    ink: RGBColor,
}

impl<'a> Words<'a> {
    /// Dark, from left to right, their vertical middle where they are written.
    pub fn new(text: &'a str, size: i32, horizontal: HPos) -> Self {
        let anchor = (horizontal, VPos::Center);
        Self { text, size, anchor, upward: false, ink: INK }
    }

    /// The same in a colour.
    pub fn ink(self, ink: RGBColor) -> Self {
        Self { ink, ..self }
    }

    /// The same, running upwards.
    pub fn upward(self) -> Self {
        Self { upward: true, ..self }
    }

    /// Writes them.
    ///
    /// # Errors
    /// The backend's.
    pub fn write<Backend: Canvas>(
        &self,
        area: &DrawingArea<Backend, Shift>,
        at: (i32, i32),
    ) -> Result<()> {
        let font = (FONT, self.size).into_font();
        let font = match self.upward {
            true => font.transform(FontTransform::Rotate270),
            false => font,
        };
        let (horizontal, vertical) = self.anchor;
        let style = font.color(&self.ink).pos(Pos::new(horizontal, vertical));
        area.draw_text(&printable(self.text), &style, at)?;
        Ok(())
    }
}
