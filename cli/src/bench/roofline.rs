//! The roofline of the widest instruction set measured (Williams, Waterman and Patterson 2009):
//! GFLOP/s against FLOP per byte, under what the multiply-adds and the memory allow.

mod axis;
mod labels;

use super::measurement::Measurement;
use super::memory::Level;
use super::roofs::Roofs;
use super::session::Session;
use super::workload::Access;
use crate::plot::{Drawing, Words, line_height, text_width};
use anyhow::{Context, Result};
use axis::Axis;
use labels::Labels;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use softdot::Isa;
use std::error::Error;

/// The diagram in units: its sides and what is around it.
const DIAGRAM: (i32, i32) = (760, 520);
const LEFT: i32 = 84;
const MARGIN: i32 = 18;
const TITLE_SIZE: i32 = 22;
const TEXT_SIZE: i32 = 15;
const LABEL_SIZE: i32 = 12;
/// Room for labels above the highest roof, as a factor of it.
const HEADROOM: f64 = 2.5;
const POINT: i32 = 4;

/// One colour per number of threads (Okabe and Ito: told apart by the colour-blind, too).
const COLOURS: [RGBColor; 2] = [RGBColor(0x00, 0x72, 0xb2), RGBColor(0xd5, 0x5e, 0x00)];
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// The levels of memory that have a roof.
const LEVELS: [Level; 3] = [Level::L2, Level::L3, Level::Dram];

/// The diagram, laid out.
pub struct Roofline<'a> {
    scale: i32,
    cpu: &'a str,
    isa: Isa,
    roofs: Vec<&'a Roofs>,
    measurements: Vec<&'a Measurement>,
    /// What the numbers beside the points mean.
    workloads: Vec<&'a str>,
    intensity: Axis,
    gflops: Axis,
    size: (u32, u32),
}

impl<'a> Roofline<'a> {
    /// Lays it out with so many pixels per unit.
    ///
    /// # Errors
    /// If no measurement counts floating-point operations.
    pub fn new(session: &'a Session, scale: i32) -> Result<Self> {
        let counted = session.measurements.iter().filter(|found| found.work.flops.is_some());
        let isa = counted.clone().map(Measurement::isa).max();
        let isa = isa.context("--plot: expected a workload of attention, found none")?;
        let measurements: Vec<&Measurement> = counted.filter(|found| found.isa() == isa).collect();
        let roofs: Vec<&Roofs> = session.roofs.iter().filter(|roofs| roofs.isa == isa).collect();
        let mut workloads: Vec<&str> =
            measurements.iter().map(|found| found.workload.as_str()).collect();
        workloads.dedup();

        let top = MARGIN + line_height(TITLE_SIZE) + line_height(TEXT_SIZE) + MARGIN / 2;
        let bottom = top + DIAGRAM.1;
        let [across, up] =
            [(LEFT, LEFT + DIAGRAM.0), (bottom, top)].map(|(from, to)| (from * scale, to * scale));
        let intensities = measurements.iter().filter_map(|found| found.intensity());
        let speeds = measurements.iter().filter_map(|found| found.gflops());
        let tops = roofs.iter().map(|roofs| HEADROOM * roofs.peak_gflops);
        let mut laid_out = Self {
            scale,
            cpu: &session.machine.cpu,
            isa,
            intensity: Axis::over(intensities, across),
            gflops: Axis::over(speeds.chain(tops), up),
            roofs,
            measurements,
            workloads,
            size: (0, 0),
        };
        let entries = laid_out.workloads.len() as i32 * line_height(LABEL_SIZE);
        let height = (bottom + 3 * line_height(TEXT_SIZE)).max(top + entries + MARGIN) * scale;
        laid_out.size = ((across.1 + laid_out.legend_width()?) as u32, height as u32);
        Ok(laid_out)
    }

    fn legend_width(&self) -> Result<i32> {
        let entries = (0..self.workloads.len()).map(|index| self.entry(index));
        let widest = entries.map(|entry| text_width(&entry, LABEL_SIZE * self.scale));
        let widest = widest.collect::<Result<Vec<_>>>()?.into_iter().max().unwrap_or(0);
        Ok(widest + 2 * MARGIN * self.scale)
    }

    fn entry(&self, index: usize) -> String {
        format!("{}  {}", index + 1, self.workloads[index])
    }

    fn colour(&self, threads: usize) -> RGBColor {
        let index = self.roofs.iter().position(|roofs| roofs.threads == threads);
        COLOURS[index.unwrap_or(0).min(COLOURS.len() - 1)]
    }

    /// Where a point of the diagram is; what lies outside is moved to its edge.
    fn at(&self, intensity: f64, gflops: f64) -> (i32, i32) {
        (self.intensity.at(intensity), self.gflops.at(gflops))
    }

    /// Where a measurement is.
    fn place(&self, found: &Measurement) -> (i32, i32) {
        self.at(found.intensity().unwrap_or_default(), found.gflops().unwrap_or_default())
    }
}

impl Drawing for Roofline<'_> {
    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn draw<Backend>(&self, area: &DrawingArea<Backend, Shift>) -> Result<()>
    where
        Backend: DrawingBackend<ErrorType: Error + Send + Sync + 'static>,
    {
        area.fill(&WHITE)?;
        let mut pen = Pen { area, line: self, labels: Labels::default() };
        pen.titles()?;
        pen.grid()?;
        pen.legend()?;
        pen.roofs()?;
        pen.points()?;
        pen.numbers()?;
        pen.roof_labels()?;
        area.present()?;
        Ok(())
    }
}

/// What draws, and which places have text already.
struct Pen<'a, Backend: DrawingBackend> {
    area: &'a DrawingArea<Backend, Shift>,
    line: &'a Roofline<'a>,
    labels: Labels,
}

impl<Backend> Pen<'_, Backend>
where
    Backend: DrawingBackend<ErrorType: Error + Send + Sync + 'static>,
{
    fn write(&self, text: &str, size: i32, anchor: HPos, at: (i32, i32)) -> Result<()> {
        Words::new(text, size * self.line.scale, anchor).write(self.area, at)
    }

    fn stroke(&self, points: Vec<(i32, i32)>, colour: RGBColor, width: i32) -> Result<()> {
        let style = colour.stroke_width((width * self.line.scale) as u32);
        self.area.draw(&PathElement::new(points, style))?;
        Ok(())
    }

    fn titles(&self) -> Result<()> {
        let (scale, isa, cpu) = (self.line.scale, self.line.isa, self.line.cpu);
        let x = MARGIN * scale;
        let mut y = x + line_height(TITLE_SIZE) * scale / 2;
        self.write(&format!("softdot on {isa}"), TITLE_SIZE, HPos::Left, (x, y))?;
        y += (line_height(TITLE_SIZE) + line_height(TEXT_SIZE)) * scale / 2;
        self.write(cpu, TEXT_SIZE, HPos::Left, (x, y))
    }

    fn grid(&self) -> Result<()> {
        let Roofline { scale, intensity, gflops, .. } = self.line;
        let line = line_height(LABEL_SIZE) * scale;
        for value in intensity.ticks() {
            let x = intensity.at(value);
            self.stroke(vec![(x, gflops.start()), (x, gflops.end())], GRID, 1)?;
            self.write(&value.to_string(), LABEL_SIZE, HPos::Center, (x, gflops.start() + line))?;
        }
        for value in gflops.ticks() {
            let y = gflops.at(value);
            self.stroke(vec![(intensity.start(), y), (intensity.end(), y)], GRID, 1)?;
            let x = intensity.start() - line / 2;
            self.write(&value.to_string(), LABEL_SIZE, HPos::Right, (x, y))?;
        }
        let middle = (intensity.start() + intensity.end()) / 2;
        let below = gflops.start() + 2 * line + line / 2;
        let words = "FLOP per byte of queries, keys and output";
        self.write(words, TEXT_SIZE, HPos::Center, (middle, below))?;
        let at = (MARGIN * scale + line / 2, (gflops.start() + gflops.end()) / 2);
        Words::new("GFLOP/s", TEXT_SIZE * scale, HPos::Center).upward().write(self.area, at)
    }

    fn legend(&self) -> Result<()> {
        let line = line_height(LABEL_SIZE) * self.line.scale;
        let x = self.line.intensity.end() + MARGIN * self.line.scale;
        for index in 0..self.line.workloads.len() {
            let y = self.line.gflops.end() + line * index as i32 + line / 2;
            self.write(&self.line.entry(index), LABEL_SIZE, HPos::Left, (x, y))?;
        }
        Ok(())
    }

    /// The flat roof of the multiply-adds, and a slope for each level of memory.
    fn roofs(&self) -> Result<()> {
        let Roofline { intensity, .. } = self.line;
        for roofs in &self.line.roofs {
            let (peak, colour) = (roofs.peak_gflops, self.line.colour(roofs.threads));
            let fastest = self.line.at(ridge(roofs, LEVELS[0]), peak);
            self.stroke(vec![fastest, (intensity.end(), fastest.1)], colour, 2)?;
            for level in LEVELS {
                let rate = roofs.rate(Access::Read, level);
                let start = intensity.least().max(self.line.gflops.least() / rate);
                if start < ridge(roofs, level) {
                    let slope = vec![
                        self.line.at(start, start * rate),
                        self.line.at(ridge(roofs, level), peak),
                    ];
                    self.stroke(slope, colour, if level == Level::Dram { 2 } else { 1 })?;
                }
            }
        }
        Ok(())
    }

    fn points(&mut self) -> Result<()> {
        let radius = POINT * self.line.scale;
        for found in &self.line.measurements {
            let at = self.line.place(found);
            let colour = self.line.colour(found.threads());
            self.area.draw(&Circle::new(at, radius, colour.filled()))?;
            self.labels.take((at.0 - radius, at.1 - radius), (2 * radius, 2 * radius));
        }
        Ok(())
    }

    fn numbers(&mut self) -> Result<()> {
        let line = self.line;
        for found in &line.measurements {
            let index = line.workloads.iter().position(|&name| name == found.workload);
            let number = (index.unwrap_or(0) + 1).to_string();
            let (point, extent) = (line.place(found), self.extent(&number)?);
            let at = self.labels.place(extent, labels::around(point, 3 * POINT * line.scale));
            let colour = line.colour(found.threads());
            self.leader(point, at, extent, colour)?;
            let words = Words::new(&number, LABEL_SIZE * line.scale, HPos::Center);
            words.ink(colour).write(self.area, at)?;
        }
        Ok(())
    }

    /// A line from a point to its number, where others keep that away.
    fn leader(
        &self,
        point: (i32, i32),
        number: (i32, i32),
        extent: (i32, i32),
        colour: RGBColor,
    ) -> Result<()> {
        let (across, up) = (number.0 - point.0, number.1 - point.1);
        if across.abs() <= extent.0 && up.abs() <= extent.1 {
            return Ok(());
        }
        let length = f64::from(across).hypot(f64::from(up));
        let share = 1.0 - f64::from(extent.0.max(extent.1)) / 2.0 / length;
        let end = [(point.0, across), (point.1, up)]
            .map(|(from, distance)| from + (f64::from(distance) * share) as i32);
        self.stroke(vec![point, end.into()], colour, 1)
    }

    fn roof_labels(&mut self) -> Result<()> {
        for roofs in &self.line.roofs {
            self.peak_label(roofs)?;
            for level in LEVELS {
                self.ridge_label(roofs, level)?;
            }
        }
        Ok(())
    }

    /// Above the right end of the flat roof.
    fn peak_label(&mut self, roofs: &Roofs) -> Result<()> {
        let line = self.line;
        let plural = if roofs.threads == 1 { "" } else { "s" };
        let text = format!("{:.0} GFLOP/s, {} thread{plural}", roofs.peak_gflops, roofs.threads);
        let extent = self.extent(&text)?;
        let middle = line.intensity.end() - extent.0 / 2;
        let above = line.gflops.at(roofs.peak_gflops) - extent.1;
        let at = self.labels.place(extent, labels::upwards((middle, above), extent.1));
        let words = Words::new(&text, LABEL_SIZE * line.scale, HPos::Center);
        words.ink(line.colour(roofs.threads)).write(self.area, at)
    }

    /// Above the point where a slope meets the flat roof, if that is in the diagram.
    fn ridge_label(&mut self, roofs: &Roofs, level: Level) -> Result<()> {
        let line = self.line;
        if ridge(roofs, level) <= line.intensity.least() {
            return Ok(());
        }
        let text = format!("{} {:.0} GB/s", level.name(), roofs.rate(Access::Read, level));
        let (length, height) = self.extent(&text)?;
        let (x, y) = line.at(ridge(roofs, level), roofs.peak_gflops);
        let candidates = labels::sideways((x, y - height / 2 - length / 2), height);
        let at = self.labels.place((height, length), candidates);
        let words = Words::new(&text, LABEL_SIZE * line.scale, HPos::Center).upward();
        words.ink(line.colour(roofs.threads)).write(self.area, at)
    }

    fn extent(&self, text: &str) -> Result<(i32, i32)> {
        let size = LABEL_SIZE * self.line.scale;
        Ok((text_width(text, size)?, line_height(size)))
    }
}

/// The intensity from which on the multiply-adds are the limit, not a level of memory.
fn ridge(roofs: &Roofs, level: Level) -> f64 {
    roofs.peak_gflops / roofs.rate(Access::Read, level)
}
