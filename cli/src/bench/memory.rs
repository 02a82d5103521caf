//! The rates of memory: reading by vector loads, and copying.

use super::on_isa;
use pulp::{Simd, WithSimd};
use softdot::{Caches, Isa};
use std::hint::black_box;

/// Bytes that a thread reads or moves in a round at least: a millisecond or more.
const ROUND_BYTES: usize = 128 << 20;

/// A DRAM measurement goes through at most this much, whatever the caches.
const MOST_BYTES: usize = 512 << 20;

/// A level of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// First-level cache.
    L1,
    /// Second-level cache.
    L2,
    /// Last-level cache.
    L3,
    /// What no cache holds.
    Dram,
}

impl Level {
    /// All, fastest first.
    pub const ALL: [Level; 4] = [Level::L1, Level::L2, Level::L3, Level::Dram];

    /// As tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Level::L1 => "L1",
            Level::L2 => "L2",
            Level::L3 => "L3",
            Level::Dram => "DRAM",
        }
    }

    /// The fastest that holds so many bytes, shared out over threads.
    pub fn holding(bytes: usize, threads: usize, caches: &Caches) -> Level {
        match bytes {
            _ if bytes <= caches.l1 * threads => Level::L1,
            _ if bytes <= caches.l2 * threads => Level::L2,
            _ if bytes <= caches.l3 => Level::L3,
            _ => Level::Dram,
        }
    }

    /// Elements that each thread goes through to measure it: half of a cache, several times the
    /// last one for DRAM.
    pub fn elements(self, threads: usize, caches: &Caches) -> usize {
        const LEAST: usize = 1024;
        let bytes = match self {
            Level::L1 => caches.l1 / 2,
            Level::L2 => caches.l2 / 2,
            Level::L3 => caches.l3 / 2 / threads,
            Level::Dram => (4 * caches.l3).min(MOST_BYTES) / threads,
        };
        (bytes / size_of::<f32>()).max(LEAST)
    }
}

/// Memory of one thread's own, which it has written to: untouched pages would all be one.
pub struct Part {
    memory: Vec<f32>,
    elements: usize,
    /// Where the first cache line starts: vectors across lines would take twice as long.
    start: usize,
}

impl Part {
    /// So many elements.
    pub fn new(elements: usize) -> Self {
        const LINE: usize = 64;
        let memory = vec![1.0; elements + GAP + LINE / size_of::<f32>()];
        let start = memory.as_ptr().align_offset(LINE);
        Self { memory, elements, start }
    }

    /// Reads it over and over; returns the bytes read.
    pub fn read(&mut self, isa: Isa) -> usize {
        let data = &self.memory[self.start..][..self.elements];
        let passes = ROUND_BYTES.div_ceil(size_of_val(data));
        on_isa::run(isa, Read { data, passes });
        passes * size_of_val(data)
    }

    /// Copies one half to the other over and over; returns the bytes read and written.
    pub fn copy(&mut self, isa: Isa) -> usize {
        let half = self.elements / 2;
        let (source, target) = self.memory[self.start..].split_at_mut(half);
        let target = &mut target[GAP..][..half];
        let moved = 2 * size_of_val(source);
        let passes = ROUND_BYTES.div_ceil(moved);
        on_isa::run(isa, Copy { source, target, passes });
        passes * moved
    }
}

/// Elements between the halves of a copy, half a page: writes a whole number of pages behind the
/// reads would be taken for writes to what is read.
const GAP: usize = 512;

struct Read<'a> {
    data: &'a [f32],
    passes: usize,
}

impl WithSimd for Read<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut maxima = [simd.splat_f32s(0.0); 8];
        for _ in 0..self.passes {
            let (vectors, _) = S::as_simd_f32s(black_box(self.data));
            let (groups, _) = pulp::as_arrays::<8, _>(vectors);
            for group in groups {
                for (maximum, &vector) in maxima.iter_mut().zip(group) {
                    *maximum = simd.max_f32s(*maximum, vector);
                }
            }
        }
        for maximum in maxima {
            black_box(simd.reduce_max_f32s(maximum));
        }
    }
}

struct Copy<'a> {
    source: &'a [f32],
    target: &'a mut [f32],
    passes: usize,
}

impl WithSimd for Copy<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let zero = simd.splat_f32s(0.0);
        for _ in 0..self.passes {
            let (source, _) = S::as_simd_f32s(black_box(self.source));
            let (target, _) = S::as_mut_simd_f32s(black_box(&mut *self.target));
            for (target, &vector) in target.iter_mut().zip(source) {
                // The maximum keeps the compiler from calling memcpy, which has its own ideas.
                *target = simd.max_f32s(vector, zero);
            }
        }
    }
}
