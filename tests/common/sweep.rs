//! Functions of one f32 over their domain: every bit pattern of a range, or a sample of them.

use super::{assert_same_bits, bits, emulated, fast_isas};
use core::ops::Range;
use softdot::Isa;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const CHUNK: usize = 1 << 12;

/// Which arguments of a range are looked at: every one, or runs of 16 with gaps.
#[derive(Clone, Copy)]
pub struct Sampling {
    /// From one run of [`CHUNK`] consecutive arguments to the next.
    stride: usize,
}

impl Sampling {
    /// Every argument; in a short run one in about a thousand.
    pub fn full() -> Self {
        Sampling { stride: if emulated() { 1021 * CHUNK + 16 } else { CHUNK } }
    }

    /// For instruction sets that take tens of nanoseconds for one argument.
    pub fn sparse() -> Self {
        Sampling { stride: if emulated() { 4091 * CHUNK + 16 } else { 251 * CHUNK + 16 } }
    }
}

/// Calls `check` on runs of consecutive bit patterns of the range, on two threads.
pub fn for_each_run(range: Range<u64>, sampling: Sampling, check: impl Fn(&[u32]) + Sync) {
    let runs = (range.end - range.start).div_ceil(sampling.stride as u64);
    thread::scope(|scope| {
        for half in 0..2 {
            let (range, check) = (range.clone(), &check);
            scope.spawn(move || {
                let mut arguments = Vec::with_capacity(CHUNK);
                for run in (half..runs).step_by(2) {
                    let start = range.start + run * sampling.stride as u64;
                    let end = range.end.min(start + CHUNK as u64);
                    arguments.clear();
                    arguments.extend((start..end).map(|bits| bits as u32));
                    check(&arguments);
                }
            });
        }
    });
}

/// The bits of the numbers around one, which is positive and not among the smallest.
pub fn neighbours(x: f32) -> Vec<u32> {
    (x.to_bits() - 64..x.to_bits() + 64).collect()
}

/// The widest instruction set of the machine.
pub fn widest() -> Isa {
    fast_isas()[0]
}

/// A function of the kernels, and what it has to be.
pub struct Function {
    /// In place, on a multiple of 16 arguments.
    pub kernel: fn(Isa, &mut [f32]),
    /// Off by a few ULP of its own at most, each 2⁻²⁹ of an ULP of f32.
    pub definition: fn(f64) -> f64,
    pub transcription: fn(f32) -> f32,
}

/// What is recorded of a function over a range.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// The argument with the largest error of all.
    pub worst: u32,
    /// That error in ULPs of the unrounded value.
    pub ulps: f64,
    /// The sum over the range of `result bits · (argument bits | 1)`, modulo 2⁶⁴: one wrong bit
    /// anywhere shows, here and on every other architecture.
    pub checksum: u64,
}

impl Function {
    /// The results for the arguments with these bits. Zeros fill up what the kernel takes.
    pub fn on(&self, isa: Isa, arguments: &[u32]) -> Vec<f32> {
        let mut values: Vec<f32> = arguments.iter().map(|&bits| f32::from_bits(bits)).collect();
        values.resize(arguments.len().next_multiple_of(16), 0.0);
        (self.kernel)(isa, &mut values);
        values.truncate(arguments.len());
        values
    }

    /// How far `found` is from the unrounded value, in ULPs of it; infinitely far if it is NaN.
    pub fn error_in_ulps(&self, x: f32, found: f32) -> f64 {
        let exact = (self.definition)(f64::from(x));
        let error = (f64::from(found) - exact).abs() / ulp(exact);
        if error.is_nan() { f64::INFINITY } else { error }
    }

    /// The errors and the bits of the widest instruction set over a range: those recorded.
    pub fn assert_as_recorded(&self, range: Range<u64>, record: Record) {
        let worst = Mutex::new((range.start as u32, 0.0));
        let checksum = AtomicU64::new(0);
        for_each_run(range, Sampling::full(), |arguments| {
            let mut worst_here = (0, 0.0);
            let mut sum = 0u64;
            for (&argument, result) in arguments.iter().zip(self.on(widest(), arguments)) {
                let term = u64::from(result.to_bits()).wrapping_mul(u64::from(argument | 1));
                sum = sum.wrapping_add(term);
                let error = self.error_in_ulps(f32::from_bits(argument), result);
                if error > worst_here.1 {
                    worst_here = (argument, error);
                }
            }
            checksum.fetch_add(sum, Ordering::Relaxed);
            let mut worst = worst.lock().expect("no panic under the lock");
            // Of equal errors the smallest argument, whatever order the threads come in.
            if worst_here.1 > worst.1 || (worst_here.1 == worst.1 && worst_here.0 < worst.0) {
                *worst = worst_here;
            }
        });
        let (argument, ulps) = *worst.lock().expect("no panic under the lock");
        let checksum = checksum.into_inner();
        let x = f32::from_bits(argument);
        println!(
            "{}: worst argument {x:e} ({argument:#010x}), {ulps:.9} ULP, checksum {checksum:#018x}",
            widest()
        );
        if !emulated() {
            assert_eq!(argument, record.worst);
            assert_eq!(checksum, record.checksum);
        }
        assert!(ulps <= record.ulps + 1e-6);
    }

    /// The largest error on each of some instruction sets: the one recorded.
    pub fn assert_worst_as_recorded(&self, isas: Vec<Isa>, record: Record) {
        for isa in isas {
            let found = self.on(isa, &[record.worst])[0];
            let ulps = self.error_in_ulps(f32::from_bits(record.worst), found);
            assert!((ulps - record.ulps).abs() < 1e-6, "{isa}: {ulps} ULP");
        }
    }

    /// Exactly `expected` on the widest instruction set, all over a range.
    pub fn assert_exact(&self, range: Range<u64>, expected: impl Fn(f32) -> f32 + Sync) {
        for_each_run(range, Sampling::full(), |arguments| {
            let expected: Vec<f32> =
                arguments.iter().map(|&argument| expected(f32::from_bits(argument))).collect();
            assert_same(&expected, &self.on(widest(), arguments), arguments, widest());
        });
    }

    pub fn assert_same_as_widest(&self, isa: Isa, arguments: &[u32]) {
        assert_same(&self.on(widest(), arguments), &self.on(isa, arguments), arguments, isa);
    }

    /// The oracle of other tests follows the kernels' document.
    pub fn assert_same_as_transcription(&self, range: Range<u64>) {
        for_each_run(range, Sampling::sparse(), |arguments| {
            let expected: Vec<f32> = (arguments.iter())
                .map(|&argument| (self.transcription)(f32::from_bits(argument)))
                .collect();
            assert_same(&expected, &self.on(widest(), arguments), arguments, widest());
        });
    }
}

/// The whole comparison is slow with a message per element: first a plain one.
#[track_caller]
fn assert_same(expected: &[f32], found: &[f32], arguments: &[u32], isa: Isa) {
    if !expected.iter().zip(found).all(|(&expected, &found)| bits(expected) == bits(found)) {
        assert_same_bits(expected, found, format_args!("{isa} from {:#x}", arguments[0]));
    }
}

/// How far apart f32 of the size of `value` are.
fn ulp(value: f64) -> f64 {
    let exponent = (value.to_bits() >> 52 & 0x7ff).max(1023 - 126);
    f64::from_bits((exponent - 23) << 52)
}
