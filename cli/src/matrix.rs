//! One head's numbers: what tables and pictures show.

/// What the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Attention weights, shown as percentages.
    Weight,
    /// Scores, shown as they are.
    Score,
}

/// Query rows × keys, row-major.
#[derive(Clone, Debug)]
pub struct Matrix {
    values: Vec<f32>,
    keys: usize,
    unit: Unit,
    low: f32,
    high: f32,
}

impl Matrix {
    /// Takes rows of `keys` numbers each.
    pub fn new(values: Vec<f32>, keys: usize, unit: Unit) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let low = match unit {
            Unit::Weight => 0.0,
            Unit::Score => finite().reduce(f32::min).unwrap_or(0.0),
        };
        let high = finite().reduce(f32::max).unwrap_or(1.0);
        Self { values, keys, unit, low, high }
    }

    /// Query rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.keys).unwrap_or(0)
    }

    /// Keys of a row.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// The numbers of a query row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.keys..][..self.keys]
    }

    /// Where a value lies between the ends of the colour scale: 0 to 1. NaN counts as the low end.
    ///
    /// Weights are on a square-root scale: models park most of the attention on one token, and
    /// on an even scale all the others would look alike.
    pub fn share(&self, value: f32) -> f32 {
        let share = (value - self.low) / (self.high - self.low);
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        match self.unit {
            Unit::Weight => share.sqrt(),
            Unit::Score => share,
        }
    }

    /// The value at a share of the colour scale.
    pub fn value_at(&self, share: f32) -> f32 {
        let share = match self.unit {
            Unit::Weight => share * share,
            Unit::Score => share,
        };
        self.low + share * (self.high - self.low)
    }

    /// A value in words.
    pub fn format(&self, value: f32) -> String {
        match self.unit {
            Unit::Weight => format!("{:.0} %", value * 100.0),
            Unit::Score => format!("{value:.2}"),
        }
    }
}
