//! The roofline of the widest instruction set measured (Williams, Waterman and Patterson 2009):
//! GFLOP/s against FLOP per byte, under what the multiply-adds and the memory allow.

use super::diagram::{self, Axis, Diagram, Entry, Frame, Labels, Pen, Surroundings};
use super::measurement::Measurement;
use super::memory::Level;
use super::roofs::{Roofs, in_words};
use super::session::Session;
use super::work::Access;
use crate::plot::Canvas;
use anyhow::{Context, Result};
use plotters::prelude::*;
use softdot::Isa;

/// Room for labels above the highest roof, as a factor of it.
const HEADROOM: f64 = 2.5;

/// The levels of memory that have a roof.
const LEVELS: [Level; 3] = [Level::L2, Level::L3, Level::Dram];

/// The diagram, laid out.
pub struct Roofline<'a> {
    frame: Frame,
    roofs: Vec<&'a Roofs>,
    measurements: Vec<&'a Measurement>,
    /// What the numbers beside the points mean.
    workloads: Vec<&'a str>,
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
        // One thread and all: roofs of numbers between would leave the points no room.
        let threads = session.roofs.iter().map(|roofs| roofs.threads);
        let ends = [threads.clone().min(), threads.max()];
        let shown = |of: Isa, threads: usize| of == isa && ends.contains(&Some(threads));
        let measurements: Vec<&Measurement> =
            counted.filter(|found| shown(found.isa(), found.threads())).collect();
        let roofs: Vec<&Roofs> =
            session.roofs.iter().filter(|roofs| shown(roofs.isa, roofs.threads)).collect();
        let mut workloads: Vec<&str> =
            measurements.iter().map(|found| found.workload.as_str()).collect();
        workloads.dedup();

        let intensities = measurements.iter().filter_map(|found| found.intensity());
        let speeds = measurements.iter().filter_map(|found| found.gflops());
        let tops = roofs.iter().map(|roofs| HEADROOM * roofs.peak_gflops);
        let entry =
            |(index, workload)| Entry { text: format!("{}  {workload}", index + 1), colour: None };
        let surroundings = Surroundings {
            title: format!("softdot on {isa}"),
            subtitle: session.machine.cpu.clone(),
            across: Axis::over("FLOP per byte of queries, keys and output", intensities),
            up: Axis::over("GFLOP/s", speeds.chain(tops)),
            legend: workloads.iter().enumerate().map(entry).collect(),
        };
        Ok(Self { frame: Frame::new(surroundings, scale)?, roofs, measurements, workloads })
    }

    fn colour(&self, threads: usize) -> RGBColor {
        let index = self.roofs.iter().position(|roofs| roofs.threads == threads);
        diagram::colour(index.unwrap_or(0))
    }

    /// Where a measurement is.
    fn place(&self, found: &Measurement) -> (i32, i32) {
        self.frame.at(found.intensity().unwrap_or_default(), found.gflops().unwrap_or_default())
    }
}

impl Diagram for Roofline<'_> {
    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw_contents<Backend: Canvas>(&self, pen: Pen<'_, Backend>) -> Result<()> {
        let mut contents = Contents { pen, line: self, labels: Labels::default() };
        contents.roofs()?;
        contents.points()?;
        contents.numbers()?;
        contents.roof_labels()
    }
}

/// What draws the contents, and which places have text already.
struct Contents<'a, Backend: DrawingBackend> {
    pen: Pen<'a, Backend>,
    line: &'a Roofline<'a>,
    labels: Labels,
}

impl<Backend: Canvas> Contents<'_, Backend> {
    /// The flat roof of the multiply-adds, and a slope for each level of memory.
    fn roofs(&self) -> Result<()> {
        let frame = &self.line.frame;
        for roofs in &self.line.roofs {
            let (peak, colour) = (roofs.peak_gflops, self.line.colour(roofs.threads));
            let fastest = frame.at(ridge(roofs, LEVELS[0]), peak);
            self.pen.stroke(vec![fastest, (frame.right(), fastest.1)], colour, 2)?;
            for level in LEVELS {
                let rate = roofs.rate(Access::Read, level);
                let start = frame.across().least().max(frame.up().least() / rate);
                if start < ridge(roofs, level) {
                    let slope =
                        vec![frame.at(start, start * rate), frame.at(ridge(roofs, level), peak)];
                    self.pen.stroke(slope, colour, if level == Level::Dram { 2 } else { 1 })?;
                }
            }
        }
        Ok(())
    }

    fn points(&mut self) -> Result<()> {
        for found in &self.line.measurements {
            let at = self.line.place(found);
            self.pen.point(at, self.line.colour(found.threads()))?;
            self.labels.take_around(at, self.line.frame.point_radius());
        }
        Ok(())
    }

    fn numbers(&mut self) -> Result<()> {
        let line = self.line;
        for found in &line.measurements {
            let index = line.workloads.iter().position(|&name| name == found.workload);
            let number = (index.unwrap_or(0) + 1).to_string();
            let (point, extent) = (line.place(found), self.pen.label_extent(&number)?);
            let distance = 3 * line.frame.point_radius();
            let at = self.labels.place(extent, diagram::around(point, distance));
            let colour = line.colour(found.threads());
            self.leader(point, at, extent, colour)?;
            self.pen.label(&number, at, colour)?;
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
        self.pen.stroke(vec![point, end.into()], colour, 1)
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
        let frame = &self.line.frame;
        let text = format!("{:.0} GFLOP/s, {}", roofs.peak_gflops, in_words(roofs.threads));
        let extent = self.pen.label_extent(&text)?;
        let (right, peak) = frame.at(frame.across().most(), roofs.peak_gflops);
        let above = (right - extent.0 / 2, peak - extent.1);
        let at = self.labels.place(extent, diagram::upwards(above, extent.1));
        self.pen.label(&text, at, self.line.colour(roofs.threads))
    }

    /// Above the point where a slope meets the flat roof, if that is in the diagram.
    fn ridge_label(&mut self, roofs: &Roofs, level: Level) -> Result<()> {
        let frame = &self.line.frame;
        if ridge(roofs, level) <= frame.across().least() {
            return Ok(());
        }
        let text = format!("{} {:.0} GB/s", level.name(), roofs.rate(Access::Read, level));
        let (length, height) = self.pen.label_extent(&text)?;
        let (x, y) = frame.at(ridge(roofs, level), roofs.peak_gflops);
        let candidates = diagram::sideways((x, y - height / 2 - length / 2), height);
        let at = self.labels.place((height, length), candidates);
        self.pen.upward_label(&text, at, self.line.colour(roofs.threads))
    }
}

/// The intensity from which on the multiply-adds are the limit, not a level of memory.
fn ridge(roofs: &Roofs, level: Level) -> f64 {
    roofs.peak_gflops / roofs.rate(Access::Read, level)
}
