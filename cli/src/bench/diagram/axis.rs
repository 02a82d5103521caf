//! Logarithmic axes.

/// A range of values, and which are marked.
pub struct Axis {
    name: String,
    least: f64,
    most: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// From a tick below all values to one above; ticks are round numbers.
    pub fn over(name: &str, values: impl Iterator<Item = f64> + Clone) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(0.0, f64::max);
        let below = steps().take_while(|&tick| tick < least).last();
        let above = steps().find(|&tick| tick > most);
        let (least, most) = (below.unwrap_or(least), above.unwrap_or(most));
        let ticks = steps().filter(|tick| (least..=most).contains(tick)).collect();
        Self { name: name.to_owned(), least, most, ticks }
    }

    /// From half an octave below all values to half an octave above; the values are the ticks.
    pub fn marking(name: &str, values: impl Iterator<Item = f64> + Clone) -> Self {
        const MARGIN: f64 = std::f64::consts::SQRT_2;
        let least = values.clone().fold(f64::INFINITY, f64::min) / MARGIN;
        let most = values.clone().fold(0.0, f64::max) * MARGIN;
        let mut ticks: Vec<f64> = values.collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        Self { name: name.to_owned(), least, most, ticks }
    }

    /// What the values are.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where a value is, from 0 to 1; values outside are at the nearer end.
    pub fn share(&self, value: f64) -> f64 {
        ((value / self.least).ln() / (self.most / self.least).ln()).clamp(0.0, 1.0)
    }

    /// The values that are marked.
    pub fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    /// The least value.
    pub fn least(&self) -> f64 {
        self.least
    }

    /// The largest value.
    pub fn most(&self) -> f64 {
        self.most
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
