//! The softmax of rows by themselves as a trial.

use super::inputs::{largest, numbers, relative_error, sample};
use super::task::SoftmaxTask;
use super::trial::Trial;
use anyhow::Result;
use softdot::{Isa, Primitives, reference};

/// Scores before scaling are up to 16 in magnitude, scaled up to 4.
const LIMIT: f32 = 16.0;
const SCALE: f32 = 0.25;

/// A task with its data.
pub struct SoftmaxTrial {
    row_elements: usize,
    rows: Vec<f32>,
    output: Vec<f32>,
}

impl SoftmaxTrial {
    /// Makes the data.
    pub fn new(task: &SoftmaxTask) -> Self {
        let elements = task.rows * task.row_elements;
        Self {
            row_elements: task.row_elements,
            rows: numbers(elements, LIMIT, 1),
            output: vec![f32::NAN; elements],
        }
    }

    fn row_error(&self, row: usize) -> f64 {
        let place = row * self.row_elements..(row + 1) * self.row_elements;
        let scores: Vec<f64> =
            self.rows[place.clone()].iter().map(|&s| f64::from(s) * f64::from(SCALE)).collect();
        relative_error(&self.output[place], &reference::softmax(&scores))
    }
}

impl Trial for SoftmaxTrial {
    fn threads(&self, _: Isa) -> Result<usize> {
        Ok(1)
    }

    fn call(&mut self, isa: Isa) -> Result<()> {
        let primitives = Primitives::on(isa)?;
        let rows = self.rows.chunks_exact(self.row_elements);
        for (row, output) in rows.zip(self.output.chunks_exact_mut(self.row_elements)) {
            primitives.scaled_softmax(row, SCALE, output)?;
        }
        Ok(())
    }

    fn spoil(&mut self) {
        self.output.fill(f32::NAN);
    }

    fn largest_error(&self) -> f64 {
        let rows = sample(self.rows.len() / self.row_elements);
        largest(rows.into_iter().map(|row| self.row_error(row)))
    }
}
