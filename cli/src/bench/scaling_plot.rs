//! The time per pair of the widest instruction set measured, as rows get longer: a line for each
//! number of threads. Where a line is level, cost grows as the work does.

use super::catalogue::MOST_SCALING_PAIRS;
use super::diagram::{self, Axis, Diagram, Entry, Frame, Labels, Pen, Surroundings};
use super::roofs::in_words;
use super::session::Session;
use super::workload::Workload;
use crate::plot::Canvas;
use anyhow::{Context, Result, ensure};
use plotters::prelude::*;

/// Room above and below the times, as a factor: more than labels need, so that small differences
/// look small.
const ROOM: f64 = 2.0;

const NO_POINTS: &str = "--scaling-plot: expected scaling workloads, found none";

/// The diagram, laid out.
pub struct ScalingPlot {
    frame: Frame,
    /// The numbers of threads that have a line, from the fewest.
    threads: Vec<usize>,
    points: Vec<Point>,
}

struct Point {
    threads: usize,
    keys: f64,
    ns_per_pair: f64,
}

impl ScalingPlot {
    /// Whether measuring these workloads would give it points.
    ///
    /// # Errors
    /// If not.
    pub fn check(workloads: &[Workload]) -> Result<()> {
        let any = workloads.iter().any(|workload| workload.scaling.is_some());
        ensure!(any, "{NO_POINTS} (--quick measures none, and --filter has to leave some)");
        Ok(())
    }

    /// Lays it out with so many pixels per unit.
    ///
    /// # Errors
    /// If there are no points.
    pub fn new(session: &Session, scale: i32) -> Result<Self> {
        let found = session.measurements.iter().filter_map(|found| Some((found, found.scaling?)));
        let widest = found.clone().max_by_key(|(found, _)| found.isa());
        let (isa, head_dim) =
            widest.map(|(found, scaling)| (found.isa(), scaling.head_dim)).context(NO_POINTS)?;
        let found = found.filter(|(found, _)| found.isa() == isa);
        let points = found.map(|(found, scaling)| Point {
            threads: found.threads(),
            keys: scaling.keys as f64,
            ns_per_pair: found.ns_per_pair(),
        });
        let points: Vec<Point> = points.collect();
        let mut threads: Vec<usize> = points.iter().map(|point| point.threads).collect();
        threads.sort_unstable();
        threads.dedup();

        let entry = |(index, &threads)| Entry {
            text: in_words(threads),
            colour: Some(diagram::colour(index)),
        };
        let keys = points.iter().map(|point| point.keys);
        let most = MOST_SCALING_PAIRS.ilog2();
        let times = points.iter().map(|point| point.ns_per_pair);
        let times = times.flat_map(|time| [time / ROOM, time * ROOM]);
        let surroundings = Surroundings {
            title: format!("softdot on {isa}: time per pair, head_dim {head_dim}"),
            subtitle: session.machine.cpu.clone(),
            across: Axis::marking(&format!("keys n (query rows: n, at most 2^{most} / n)"), keys),
            up: Axis::over("ns per pair of a query row and a key", times),
            legend: threads.iter().enumerate().map(entry).collect(),
        };
        Ok(Self { frame: Frame::new(surroundings, scale)?, threads, points })
    }

    fn colour(&self, threads: usize) -> RGBColor {
        diagram::colour(self.threads.iter().position(|&of| of == threads).unwrap_or(0))
    }

    fn place(&self, point: &Point) -> (i32, i32) {
        self.frame.at(point.keys, point.ns_per_pair)
    }

    fn lines<Backend: Canvas>(&self, pen: &Pen<'_, Backend>) -> Result<()> {
        for &threads in &self.threads {
            let colour = self.colour(threads);
            let points = self.points.iter().filter(|point| point.threads == threads);
            let places: Vec<(i32, i32)> = points.map(|point| self.place(point)).collect();
            for &at in &places {
                pen.point(at, colour)?;
            }
            pen.stroke(places, colour, 2)?;
        }
        Ok(())
    }

    /// The times, above their points.
    fn labels<Backend: Canvas>(&self, pen: &Pen<'_, Backend>) -> Result<()> {
        let radius = self.frame.point_radius();
        let mut labels = Labels::default();
        for point in &self.points {
            labels.take_around(self.place(point), radius);
        }
        // From the bottom: where labels have to be moved up, they keep the order of their points.
        let mut points: Vec<&Point> = self.points.iter().collect();
        points.sort_by(|a, b| a.ns_per_pair.total_cmp(&b.ns_per_pair));
        for point in points {
            let text = three_digits(point.ns_per_pair);
            let extent = pen.label_extent(&text)?;
            let (x, y) = self.place(point);
            let above = (x, y - radius - extent.1 / 2);
            let at = labels.place(extent, diagram::upwards(above, extent.1 / 2));
            pen.label(&text, at, self.colour(point.threads))?;
        }
        Ok(())
    }
}

impl Diagram for ScalingPlot {
    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw_contents<Backend: Canvas>(&self, pen: Pen<'_, Backend>) -> Result<()> {
        self.lines(&pen)?;
        self.labels(&pen)
    }
}

/// A time as precise as it is worth.
fn three_digits(value: f64) -> String {
    let decimals = (2.0 - value.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}
