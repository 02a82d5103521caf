//! Pictures as PNG and SVG by one drawing path.

mod canvas;
mod words;

use crate::output::{Destination, Staged};
use anyhow::Result;
pub use canvas::Canvas;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::PathBuf;
use std::str::FromStr;
pub use words::{Words, line_height, text_width};

/// Pixels of a PNG per unit, so that it stays sharp when enlarged.
const PNG_SCALE: i32 = 2;

/// A picture's file, its format told by its extension.
#[derive(Clone, Debug)]
pub struct PictureFile {
    path: PathBuf,
    format: Format,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Png,
    Svg,
}

impl FromStr for PictureFile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let path = PathBuf::from(name);
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("png") => Format::Png,
            Some("svg") => Format::Svg,
            _ => return Err("expected a name that ends in .png or .svg".into()),
        };
        Ok(Self { path, format })
    }
}

impl PictureFile {
    /// Checks that the file can be made; `option` is what errors name.
    ///
    /// # Errors
    /// Those of [`Destination::new`].
    pub fn destination(&self, option: &'static str) -> Result<PictureDestination> {
        let destination = Destination::new(option, &self.path)?;
        Ok(PictureDestination { destination, format: self.format })
    }
}

/// Where a picture is to appear.
#[derive(Debug)]
pub struct PictureDestination {
    destination: Destination,
    format: Format,
}

/// Something laid out in pixels.
pub trait Drawing {
    /// Width and height.
    fn size(&self) -> (u32, u32);

    /// Draws it on an area of that size.
    fn draw<Backend: Canvas>(&self, area: &DrawingArea<Backend, Shift>) -> Result<()>;
}

/// Draws what `lay_out` makes of a number of pixels per unit beside its destination.
///
/// # Errors
/// Those of the drawing and of the operating system.
pub fn stage<Laid: Drawing>(
    to: PictureDestination,
    lay_out: impl FnOnce(i32) -> Result<Laid>,
) -> Result<Staged> {
    let PictureDestination { destination, format } = to;
    words::register()?;
    destination.stage(|path| match format {
        Format::Png => {
            let drawing = lay_out(PNG_SCALE)?;
            drawing.draw(&BitMapBackend::new(path, drawing.size()).into_drawing_area())
        }
        Format::Svg => {
            let drawing = lay_out(1)?;
            drawing.draw(&SVGBackend::new(path, drawing.size()).into_drawing_area())
        }
    })
}
