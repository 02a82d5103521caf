//! What a heat map shows.

use crate::chart::Chart;
use crate::matrix::Matrix;

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
    /// Below the cells, side by side.
    pub charts: Vec<Chart>,
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
    /// What the row or column at an index is called.
    pub fn get(&self, index: usize) -> String {
        match self {
            Labels::Tokens(tokens) => tokens[index].clone(),
            Labels::Numbers => index.to_string(),
        }
    }
}
