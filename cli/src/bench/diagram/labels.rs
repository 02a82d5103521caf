//! Places for text that keep off each other.

use std::f64::consts::TAU;

type Point = (i32, i32);

/// The places that are taken: a corner and an extent each.
#[derive(Default)]
pub struct Labels {
    taken: Vec<(Point, Point)>,
}

impl Labels {
    /// Keeps text off a point and what is so near.
    pub fn take_around(&mut self, point: Point, distance: i32) {
        let corner = (point.0 - distance, point.1 - distance);
        self.take(corner, (2 * distance, 2 * distance));
    }

    /// Takes the first free of the candidates, which are middles, for a rectangle; the first of
    /// all if none is free.
    pub fn place(
        &mut self,
        extent: Point,
        mut candidates: impl Iterator<Item = Point> + Clone,
    ) -> Point {
        let corner = |middle: Point| (middle.0 - extent.0 / 2, middle.1 - extent.1 / 2);
        let free = candidates.clone().find(|&middle| self.is_free(corner(middle), extent));
        let middle = free.or_else(|| candidates.next()).unwrap_or_default();
        self.take(corner(middle), extent);
        middle
    }

    fn take(&mut self, corner: Point, extent: Point) {
        self.taken.push((corner, extent));
    }

    fn is_free(&self, corner: Point, extent: Point) -> bool {
        let apart = |from: i32, length: i32, other: i32, other_length: i32| {
            from + length <= other || other + other_length <= from
        };
        self.taken.iter().all(|(other, other_extent)| {
            apart(corner.0, extent.0, other.0, other_extent.0)
                || apart(corner.1, extent.1, other.1, other_extent.1)
        })
    }
}

/// Places around a point in rings, nearest first.
pub fn around(point: Point, distance: i32) -> impl Iterator<Item = Point> + Clone {
    const RINGS: i32 = 14;
    const DIRECTIONS: i32 = 16;
    (1..=RINGS).flat_map(move |ring| {
        let radius = f64::from(distance) * (0.5 + 0.5 * f64::from(ring));
        (0..DIRECTIONS).map(move |direction| {
            let (sine, cosine) = (f64::from(direction) / f64::from(DIRECTIONS) * TAU).sin_cos();
            (point.0 + (radius * cosine) as i32, point.1 - (radius * sine) as i32)
        })
    })
}

/// Places above each other, `step` apart.
pub fn upwards(from: Point, step: i32) -> impl Iterator<Item = Point> + Clone {
    (0..8).map(move |index| (from.0, from.1 - index * step))
}

/// Places beside each other, `step` apart, to both sides.
pub fn sideways(from: Point, step: i32) -> impl Iterator<Item = Point> + Clone {
    let offsets = [0, 1, -1, 2, -2, 3, -3, 4, -4];
    offsets.into_iter().map(move |offset| (from.0 + offset * step, from.1))
}
