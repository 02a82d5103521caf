//! Logarithmic axes.

/// A range of values and the pixels that it covers, up or down.
pub struct Axis {
    least: f64,
    most: f64,
    pixels: (i32, i32),
}

impl Axis {
    /// From a tick below all values to one above.
    pub fn over(values: impl Iterator<Item = f64> + Clone, pixels: (i32, i32)) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(0.0, f64::max);
        let below = steps().take_while(|&tick| tick < least).last();
        let above = steps().find(|&tick| tick > most);
        Self { least: below.unwrap_or(least), most: above.unwrap_or(most), pixels }
    }

    /// The pixel of a value; that of the nearer end for values outside.
    pub fn at(&self, value: f64) -> i32 {
        let share = (value / self.least).ln() / (self.most / self.least).ln();
        let (start, end) = self.pixels;
        start + (share.clamp(0.0, 1.0) * f64::from(end - start)).round() as i32
    }

    /// The values that are marked.
    pub fn ticks(&self) -> impl Iterator<Item = f64> {
        steps().filter(|tick| (self.least..=self.most).contains(tick))
    }

    /// The least value.
    pub fn least(&self) -> f64 {
        self.least
    }

    /// The pixel of the least value.
    pub fn start(&self) -> i32 {
        self.pixels.0
    }

    /// The pixel of the largest value.
    pub fn end(&self) -> i32 {
        self.pixels.1
    }
}

/// 1, 2 and 5 times every power of ten that a measurement may be near.
fn steps() -> impl Iterator<Item = f64> {
    (-6..=7).flat_map(|exponent: i32| {
        [1.0, 2.0, 5.0].map(|digit| match exponent {
            // Dividing gives the decimal fraction's nearest number, multiplying may not.
            ..0 => digit / 10f64.powi(-exponent),
            _ => digit * 10f64.powi(exponent),
        })
    })
}
