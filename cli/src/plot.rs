//! Pictures as PNG and SVG by one drawing path, with a font of the program's own; and heat maps.

use crate::matrix::Matrix;
use crate::output::{Destination, Staged};
use crate::ramp;
use anyhow::{Result, anyhow, ensure};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, FontTransform, register_font};
use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;

/// Rows and keys of a picture at most: beyond, cells are smaller than pixels and the SVG is huge.
const MOST_CELLS: usize = 512;

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

/// What a picture shows: query rows down, keys across.
#[derive(Debug)]
pub struct Picture {
    /// The first line.
    pub title: String,
    /// The second line; cut off where it does not fit.
    pub subtitle: String,
    /// The cells.
    pub matrix: Matrix,
    /// What rows and columns are called.
    pub labels: Labels,
}

/// What rows and columns are called.
#[derive(Debug)]
pub enum Labels {
    /// The same tokens down and across.
    Tokens(Vec<String>),
    /// Their numbers, from 0.
    Numbers,
}

impl Labels {
    fn get(&self, index: usize) -> String {
        match self {
            Labels::Tokens(tokens) => tokens[index].clone(),
            Labels::Numbers => index.to_string(),
        }
    }
}

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
    stage_drawing(to, |scale| Ok(HeatMap { picture, layout: Layout::new(picture, scale)? }))
}

/// Something laid out in pixels.
pub trait Drawing {
    /// Width and height.
    fn size(&self) -> (u32, u32);

    /// Draws it on an area of that size.
    fn draw<Backend>(&self, area: &DrawingArea<Backend, Shift>) -> Result<()>
    where
        Backend: DrawingBackend<ErrorType: Error + Send + Sync + 'static>;
}

/// Draws what `lay_out` makes of a number of pixels per unit beside its destination.
///
/// # Errors
/// Those of the drawing and of the operating system.
pub fn stage_drawing<Laid: Drawing>(
    to: PictureDestination,
    lay_out: impl FnOnce(i32) -> Result<Laid>,
) -> Result<Staged> {
    let PictureDestination { destination, format } = to;
    register_font(FONT, FontStyle::Normal, include_bytes!("../assets/DejaVuSans-subset.ttf"))
        .map_err(|_| anyhow!("the embedded font cannot be read"))?;
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

/// The family that the embedded font is registered as, and that an SVG asks its viewer for.
const FONT: &str = "sans-serif";

/// Pixels of a PNG per unit, so that it stays sharp when enlarged.
const PNG_SCALE: i32 = 2;

/// The longer side of the grid in units, about; cells have whole units.
const GRID: usize = 900;
/// Least and most units of a cell's sides.
const CELL_UNITS: (i32, i32) = (2, 84);
/// Cells of at least this many units show their number.
const NUMBERED_CELL: i32 = 40;
const MARGIN: i32 = 18;
const GAP: i32 = 8;
const LEAST_WIDTH: i32 = 560;

const TITLE_SIZE: i32 = 22;
const TEXT_SIZE: i32 = 17;
/// Least and most size of the labels.
const LABEL_SIZES: (i32, i32) = (12, 17);
/// Height of a line of text in terms of its size.
const LINE: f64 = 1.35;
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);

const BAR_WIDTH: i32 = 18;
/// Height that the colour bar's labels need.
const LEAST_BAR: i32 = 130;
/// Ticks of the colour bar, less one.
const TICKS: i32 = 5;
/// Colours of the colour bar.
const BANDS: i32 = 64;

/// Where things are, in pixels.
struct Layout {
    scale: i32,
    size: (u32, u32),
    /// The upper left corner of the first cell.
    origin: (i32, i32),
    /// Width and height of a cell.
    cell: (i32, i32),
    /// Width and height of all cells.
    grid: (i32, i32),
    label_size: i32,
    /// Every how many rows and keys have a label.
    label_steps: (usize, usize),
    /// Whether the keys' labels run upwards.
    upward_keys: bool,
    /// Height of the keys' labels.
    key_label_height: i32,
}

impl Layout {
    fn new(picture: &Picture, scale: i32) -> Result<Self> {
        let (rows, keys) = (picture.matrix.rows(), picture.matrix.keys());
        let (width, height) = cell_units(rows, keys);
        let cell = (width * scale, height * scale);
        let grid = (cell.0 * keys as i32, cell.1 * rows as i32);
        let label_size = (width.min(height) * 3 / 4).clamp(LABEL_SIZES.0, LABEL_SIZES.1) * scale;
        let line = line_height(label_size);
        let label_steps = (label_step(cell.1, label_size), label_step(cell.0, label_size));

        let widest = |count| widest(&picture.labels, count, label_size);
        let (row_label, key_label) = (widest(rows)?, widest(keys)?);
        let upward_keys = key_label + GAP > cell.0 * label_steps.1 as i32;
        let key_label_height = if upward_keys { key_label } else { line };

        let axis_title = line_height(TEXT_SIZE * scale);
        let left = MARGIN * scale + axis_title + row_label + GAP * scale;
        let top = (MARGIN + GAP) * scale + line_height(TITLE_SIZE * scale) + axis_title;
        let bar = (3 * GAP + BAR_WIDTH) * scale + bar_label_width(&picture.matrix, scale)?;
        let right = left + grid.0 + bar + MARGIN * scale;
        let below =
            (2 * GAP * scale + key_label_height + axis_title).max(LEAST_BAR * scale - grid.1);
        let bottom = top + grid.1 + below;
        Ok(Self {
            scale,
            size: (right.max(LEAST_WIDTH * scale) as u32, (bottom + MARGIN * scale) as u32),
            origin: (left, top),
            cell,
            grid,
            label_size,
            label_steps,
            upward_keys,
            key_label_height,
        })
    }

    /// The upper left corner of a cell.
    fn corner(&self, row: usize, key: usize) -> (i32, i32) {
        (self.origin.0 + self.cell.0 * key as i32, self.origin.1 + self.cell.1 * row as i32)
    }

    /// The middle of a cell.
    fn middle(&self, row: usize, key: usize) -> (i32, i32) {
        let (x, y) = self.corner(row, key);
        (x + self.cell.0 / 2, y + self.cell.1 / 2)
    }
}

/// Width and height of a cell in units: none is more than a few times longer than wide.
fn cell_units(rows: usize, keys: usize) -> (i32, i32) {
    const MOST_STRETCH: i32 = 4;
    let [width, height] =
        [keys, rows].map(|count| ((GRID / count) as i32).clamp(CELL_UNITS.0, CELL_UNITS.1));
    (width.min(height * MOST_STRETCH), height.min(width * MOST_STRETCH))
}

/// The least round number of cells that text of this size fits in.
fn label_step(cell: i32, size: i32) -> usize {
    let steps = [1, 2, 5, 10, 20, 50, 100];
    steps.into_iter().find(|&step| step as i32 * cell * 4 >= size * 5).unwrap_or(200)
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
    Ok((FONT, size).into_font().box_size(text)?.0 as i32)
}

/// Width of the widest of the first `count` labels.
fn widest(labels: &Labels, count: usize, size: i32) -> Result<i32> {
    (0..count).try_fold(0, |widest, index| Ok(text_width(&labels.get(index), size)?.max(widest)))
}

/// The colour bar's ticks: shares of the scale.
fn ticks() -> impl Iterator<Item = f32> {
    (0..=TICKS).map(|tick| tick as f32 / TICKS as f32)
}

fn bar_label_width(matrix: &Matrix, scale: i32) -> Result<i32> {
    ticks().try_fold(0, |widest, share| {
        let label = matrix.format(matrix.value_at(share));
        Ok(text_width(&label, LABEL_SIZES.1 * scale)?.max(widest))
    })
}

struct HeatMap<'a> {
    picture: &'a Picture,
    layout: Layout,
}

impl Drawing for HeatMap<'_> {
    fn size(&self) -> (u32, u32) {
        self.layout.size
    }

    fn draw<Backend>(&self, area: &DrawingArea<Backend, Shift>) -> Result<()>
    where
        Backend: DrawingBackend<ErrorType: Error + Send + Sync + 'static>,
    {
        area.fill(&WHITE)?;
        let pen = Pen { area, layout: &self.layout };
        pen.titles(self.picture)?;
        pen.cells(&self.picture.matrix)?;
        pen.labels(self.picture)?;
        pen.axes()?;
        pen.colour_bar(&self.picture.matrix)?;
        area.present()?;
        Ok(())
    }
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
    pub fn write<Backend>(&self, area: &DrawingArea<Backend, Shift>, at: (i32, i32)) -> Result<()>
    where
        Backend: DrawingBackend<ErrorType: Error + Send + Sync + 'static>,
    {
        let font = (FONT, self.size).into_font();
        let font = match self.upward {
            true => font.transform(FontTransform::Rotate270),
            false => font,
        };
        let (horizontal, vertical) = self.anchor;
        let style = font.color(&self.ink).pos(Pos::new(horizontal, vertical));
        area.draw_text(self.text, &style, at)?;
        Ok(())
    }
}

/// What draws, and where.
struct Pen<'a, Backend: DrawingBackend> {
    area: &'a DrawingArea<Backend, Shift>,
    layout: &'a Layout,
}

impl<Backend> Pen<'_, Backend>
where
    Backend: DrawingBackend<ErrorType: Error + Send + Sync + 'static>,
{
    fn write(&self, words: &Words<'_>, at: (i32, i32)) -> Result<()> {
        words.write(self.area, at)
    }

    fn rectangle(&self, from: (i32, i32), to: (i32, i32), colour: [u8; 3]) -> Result<()> {
        let [red, green, blue] = colour;
        self.area.draw(&Rectangle::new([from, to], RGBColor(red, green, blue).filled()))?;
        Ok(())
    }

    fn titles(&self, picture: &Picture) -> Result<()> {
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

    fn cells(&self, matrix: &Matrix) -> Result<()> {
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

    fn labels(&self, picture: &Picture) -> Result<()> {
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

    fn axes(&self) -> Result<()> {
        let Layout { scale, origin, grid, key_label_height, .. } = *self.layout;
        let size = TEXT_SIZE * scale;
        let half_line = line_height(size) / 2;
        let x = MARGIN * scale + half_line;
        let query = Words::new("query", size, HPos::Center).upward();
        self.write(&query, (x, origin.1 + grid.1 / 2))?;
        let y = origin.1 + grid.1 + 2 * GAP * scale + key_label_height + half_line;
        self.write(&Words::new("key", size, HPos::Center), (origin.0 + grid.0 / 2, y))
    }

    fn colour_bar(&self, matrix: &Matrix) -> Result<()> {
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
fn shorten(text: &str, size: i32, width: i32) -> Result<String> {
    if text_width(text, size)? <= width {
        return Ok(text.to_owned());
    }
    let mut shortened = text.to_owned();
    while !shortened.is_empty() && text_width(&format!("{shortened}…"), size)? > width {
        shortened.pop();
    }
    Ok(format!("{}…", shortened.trim_end()))
}
