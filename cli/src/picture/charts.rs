//! The charts below a heat map.

use super::layout::{GAP, LABEL_SIZES, MARGIN, TEXT_SIZE, bar_pitch};
use super::pen::{Pen, shorten};
use crate::chart::{Bar, Chart};
use crate::plot::{Canvas, Words, line_height, text_width};
use crate::ramp;
use anyhow::Result;
use plotters::style::text_anchor::HPos;

/// Where the bars' colour is on the ramp.
const COLOUR: f32 = 0.45;

impl<Backend: Canvas> Pen<'_, Backend> {
    /// Side by side, each as wide as the others.
    pub fn charts(&self, charts: &[Chart]) -> Result<()> {
        let (margin, count) = (MARGIN * self.layout.scale, charts.len() as i32);
        for (index, chart) in charts.iter().enumerate() {
            let width = (self.layout.size.0 as i32 - margin * (count + 1)) / count;
            self.chart(chart, margin + (width + margin) * index as i32, width)?;
        }
        Ok(())
    }

    fn chart(&self, chart: &Chart, left: i32, width: i32) -> Result<()> {
        let scale = self.layout.scale;
        let (size, gap, pitch) = (LABEL_SIZES.0 * scale, GAP * scale, bar_pitch(scale));
        let title = shorten(&chart.title, TEXT_SIZE * scale, width)?;
        let line = line_height(TEXT_SIZE * scale);
        let mut y = self.layout.charts_top + line / 2;
        self.write(&Words::new(&title, TEXT_SIZE * scale, HPos::Left), (left, y))?;

        let widest = |text: fn(&Bar) -> &str| {
            let mut widths = chart.bars.iter().map(|bar| text_width(text(bar), size));
            widths.try_fold(0, |widest, width| Ok::<_, anyhow::Error>(width?.max(widest)))
        };
        let names = widest(|bar| &bar.name)?;
        let from = left + names + gap;
        let longest = (width - names - widest(|bar| &bar.number)? - 2 * gap).max(0);
        y += (line + pitch) / 2;
        for Bar { name, length, number } in &chart.bars {
            let to = from + (length.clamp(0.0, 1.0) * f64::from(longest)).round() as i32;
            self.write(&Words::new(name, size, HPos::Right), (from - gap, y))?;
            self.rectangle((from, y - pitch / 3), (to, y + pitch / 3), ramp::colour(COLOUR))?;
            self.write(&Words::new(number, size, HPos::Left), (to + gap, y))?;
            y += pitch;
        }
        Ok(())
    }
}
