//! Where the parts of a heat map are.

use super::contents::{Labels, Picture};
use crate::chart::Chart;
use crate::matrix::Matrix;
use crate::plot::{line_height, text_width};
use anyhow::Result;

/// The longer side of the grid in units, about; cells have whole units.
const GRID: usize = 900;
/// Least and most units of a cell's sides.
const CELL_UNITS: (i32, i32) = (2, 84);
pub const MARGIN: i32 = 18;
pub const GAP: i32 = 8;
const LEAST_WIDTH: i32 = 560;

pub const TITLE_SIZE: i32 = 22;
pub const TEXT_SIZE: i32 = 17;
/// Least and most size of the labels.
pub const LABEL_SIZES: (i32, i32) = (12, 17);
pub const BAR_WIDTH: i32 = 18;
/// Height that the colour bar's labels need.
pub const LEAST_BAR: i32 = 130;
/// Ticks of the colour bar, less one.
const TICKS: i32 = 5;

/// Where things are, in pixels.
pub struct Layout {
    pub scale: i32,
    pub size: (u32, u32),
    /// The upper left corner of the first cell.
    pub origin: (i32, i32),
    /// Width and height of a cell.
    pub cell: (i32, i32),
    /// Width and height of all cells.
    pub grid: (i32, i32),
    pub label_size: i32,
    /// Every how many rows and keys have a label.
    pub label_steps: (usize, usize),
    /// Whether the keys' labels run upwards.
    pub upward_keys: bool,
    /// Height of the keys' labels.
    pub key_label_height: i32,
    /// Where the charts begin.
    pub charts_top: i32,
}

impl Layout {
    pub fn new(picture: &Picture, scale: i32) -> Result<Self> {
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
        let charts_top = top + grid.1 + below + 2 * GAP * scale;
        let bottom = charts_top + charts_height(picture, scale);
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
            charts_top,
        })
    }

    /// The upper left corner of a cell.
    pub fn corner(&self, row: usize, key: usize) -> (i32, i32) {
        (self.origin.0 + self.cell.0 * key as i32, self.origin.1 + self.cell.1 * row as i32)
    }

    /// The middle of a cell.
    pub fn middle(&self, row: usize, key: usize) -> (i32, i32) {
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

/// Height of the highest chart: a title and the bars.
fn charts_height(picture: &Picture, scale: i32) -> i32 {
    let height =
        |chart: &Chart| line_height(TEXT_SIZE * scale) + chart.bars.len() as i32 * bar_pitch(scale);
    picture.charts.iter().map(height).max().unwrap_or(0)
}

/// From one bar of a chart to the next.
pub fn bar_pitch(scale: i32) -> i32 {
    line_height(LABEL_SIZES.1 * scale)
}

/// Width of the widest of the first `count` labels.
fn widest(labels: &Labels, count: usize, size: i32) -> Result<i32> {
    (0..count).try_fold(0, |widest, index| Ok(text_width(&labels.get(index), size)?.max(widest)))
}

/// The colour bar's ticks: shares of the scale.
pub fn ticks() -> impl Iterator<Item = f32> {
    (0..=TICKS).map(|tick| tick as f32 / TICKS as f32)
}

fn bar_label_width(matrix: &Matrix, scale: i32) -> Result<i32> {
    ticks().try_fold(0, |widest, share| {
        let label = matrix.format(matrix.value_at(share));
        Ok(text_width(&label, LABEL_SIZES.1 * scale)?.max(widest))
    })
}
