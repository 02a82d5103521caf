//! The median of some numbers, and how far they spread.

/// The quartiles, interpolated between neighbours.
#[derive(Clone, Copy, Debug)]
pub struct Quartiles {
    /// A quarter is below it.
    pub low: f64,
    /// Half is below it.
    pub median: f64,
    /// Three quarters are below it.
    pub high: f64,
}

impl Quartiles {
    /// Those of one number at least.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let place = (sorted.len() - 1) as f64 * share;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Self { low: quantile(0.25), median: quantile(0.5), high: quantile(0.75) }
    }

    /// From the lower to the upper, as a share of the median.
    pub fn spread(&self) -> f64 {
        (self.high - self.low) / self.median
    }
}

#[cfg(test)]
mod tests {
    use super::Quartiles;

    #[test]
    fn between_numbers_and_on_them() {
        for (numbers, expected) in [
            (&[3.0][..], [3.0, 3.0, 3.0]),
            (&[4.0, 2.0], [2.5, 3.0, 3.5]),
            (&[5.0, 1.0, 4.0, 2.0, 3.0], [2.0, 3.0, 4.0]),
        ] {
            let Quartiles { low, median, high } = Quartiles::of(numbers.iter().copied());
            assert_eq!([low, median, high], expected);
        }
    }
}
