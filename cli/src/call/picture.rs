//! The picture of a call.

use super::buffer::Buffer;
use super::inputs::Inputs;
use crate::args::Call;
use crate::matrix::{Matrix, Unit};
use crate::picture::{self, Labels, Picture};
use anyhow::{Result, ensure};

/// Whether there is a head to draw, of a size that can be drawn.
///
/// # Errors
/// In the words of the command line.
pub fn check_picture(inputs: &Inputs) -> Result<()> {
    let shape = &inputs.weights_shape;
    picture::check_size(inputs.query_rows(), inputs.keys())?;
    ensure!(
        !shape.contains(&0),
        "--plot: expected heads and batch entries, found a result {shape:?}"
    );
    Ok(())
}

/// The first head of the first batch entry; `noun` says what its numbers are.
pub fn first_head(
    call: &Call,
    inputs: &Inputs,
    numbers: &Buffer,
    noun: &str,
    unit: Unit,
) -> Picture {
    let head = match inputs.weights_shape.len() {
        2 => "",
        3 => ", head 0",
        _ => ", batch 0, head 0",
    };
    let elements = inputs.query_rows() * inputs.keys();
    Picture {
        title: format!("Attention {noun}{head}"),
        subtitle: format!("query {}, key {}", call.query, call.key),
        matrix: Matrix::new(numbers.first(elements), inputs.keys(), unit),
        labels: Labels::Numbers,
        charts: Vec::new(),
    }
}
