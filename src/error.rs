//! What can be wrong with a call, in the caller's words.

use crate::isa::Isa;
use alloc::string::String;
use core::fmt;

/// Why a call was refused.
///
/// Every variant names the argument, what was expected and what came. A call that returns an
/// error has computed and written nothing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// An extent of a view does not fit the other arguments.
    Extent {
        /// The argument whose extent is off.
        argument: &'static str,
        /// The axis, by its name in `[batch, heads, rows, columns]`.
        axis: &'static str,
        /// The extent that fits.
        expected: usize,
        /// Where the expected extent comes from.
        expected_from: &'static str,
        /// The extent that came.
        found: usize,
    },
    /// The query heads cannot be shared out evenly over the key heads.
    HeadGroups {
        /// Heads of the query.
        q_heads: usize,
        /// Heads of the key.
        kv_heads: usize,
    },
    /// The product of the extents does not fit in memory.
    Overflow {
        /// The argument whose extents overflow.
        argument: &'static str,
        /// Its shape, `[batch, heads, rows, columns]`.
        shape: [usize; 4],
    },
    /// The stride of an axis of more than one entry is negative: reversed views are not supported.
    NegativeStride {
        /// The argument.
        argument: &'static str,
        /// The axis, counted from 0.
        axis: usize,
        /// The stride that came, in elements.
        stride: isize,
    },
    /// A view reaches past the end of its data.
    OutOfBounds {
        /// The argument.
        argument: &'static str,
        /// Elements that its shape and strides span.
        expected: usize,
        /// Elements that the data holds.
        found: usize,
    },
    /// Two elements of an output may share memory.
    Overlap {
        /// The argument.
        argument: &'static str,
        /// Its shape.
        shape: [usize; 4],
        /// Its strides in elements.
        strides: [isize; 4],
    },
    /// An array of another library has too few or too many axes.
    Axes {
        /// How many it has.
        found: usize,
    },
    /// An array of another library has gaps between its elements.
    Gaps {
        /// Its shape, with leading ones.
        shape: [usize; 4],
        /// Its strides.
        strides: [isize; 4],
    },
    /// What is said to be a part of an array of another library lies elsewhere.
    NotAPart {
        /// The part's shape, with leading ones.
        shape: [usize; 4],
        /// Its strides.
        strides: [isize; 4],
    },
    /// A slice has a length that does not fit.
    Length {
        /// The argument.
        argument: &'static str,
        /// What the length has to be, in words.
        expected: &'static str,
        /// The number that goes with `expected`.
        value: usize,
        /// The length that came.
        found: usize,
    },
    /// A number is beyond what there is.
    OutOfRange {
        /// The argument.
        argument: &'static str,
        /// What it has to be, in words.
        expected: &'static str,
        /// The number that goes with `expected`.
        limit: usize,
        /// The number that came.
        found: usize,
    },
    /// A factor is NaN or infinite.
    NotFinite {
        /// The argument.
        argument: &'static str,
        /// The value that came.
        found: f32,
    },
    /// A value is not a positive, finite number.
    NotPositive {
        /// The argument.
        argument: &'static str,
        /// The value that came.
        found: f32,
    },
    /// A batch entry is said to have more keys than there are.
    KeyLength {
        /// The batch entry.
        batch: usize,
        /// Keys that there are.
        keys: usize,
        /// The length that came.
        found: usize,
    },
    /// The output was asked for, but the call has keys alone.
    NoValues,
    /// The CPU lacks the instruction set that was asked for.
    IsaUnavailable {
        /// The instruction set that was asked for.
        isa: Isa,
    },
    /// A name is not that of an instruction set.
    UnknownIsa {
        /// The argument or environment variable.
        argument: &'static str,
        /// The name that came.
        found: String,
    },
    /// Memory could not be had.
    Allocation {
        /// What it was for.
        argument: &'static str,
        /// How many `f32` elements were asked for.
        elements: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Extent { argument, axis, expected, expected_from, found } => {
                write!(f, "{argument}: expected {expected} {axis} ({expected_from}), found {found}")
            }
            Error::HeadGroups { q_heads, kv_heads } => write!(
                f,
                "query: expected heads to be a multiple of the key's {kv_heads}, found {q_heads}"
            ),
            Error::Overflow { argument, shape } => write!(
                f,
                "{argument}: expected extents whose product fits in memory, found {shape:?}"
            ),
            Error::NegativeStride { argument, axis, stride } => write!(
                f,
                "{argument}: expected strides of at least 0, found {stride} on axis {axis}"
            ),
            Error::OutOfBounds { argument, expected, found } => write!(
                f,
                "{argument}: expected data of at least {expected} elements for its shape and \
                 strides, found {found}"
            ),
            Error::Overlap { argument, shape, strides } => write!(
                f,
                "{argument}: expected strides that keep elements apart, found {strides:?} for \
                 shape {shape:?}"
            ),
            Error::Axes { found } => write!(f, "array: expected 2, 3 or 4 axes, found {found}"),
            Error::Gaps { shape, strides } => write!(
                f,
                "array: expected elements without gaps, found shape {shape:?} with strides \
                 {strides:?} (TensorRef::part_of takes the whole array and a part with gaps)"
            ),
            Error::NotAPart { shape, strides } => write!(
                f,
                "part: expected a view into the array, found shape {shape:?} with strides \
                 {strides:?} elsewhere"
            ),
            Error::Length { argument, expected, value, found } => {
                write!(f, "{argument}: expected {expected} {value}, found length {found}")
            }
            Error::OutOfRange { argument, expected, limit, found } => {
                write!(f, "{argument}: expected {expected} {limit}, found {found}")
            }
            Error::NotFinite { argument, found } => {
                write!(f, "{argument}: expected a finite number, found {found}")
            }
            Error::NotPositive { argument, found } => {
                write!(f, "{argument}: expected a finite number above 0, found {found}")
            }
            Error::KeyLength { batch, keys, found } => write!(
                f,
                "key_lengths: expected at most {keys} (as the key), found {found} for batch entry \
                 {batch}"
            ),
            Error::NoValues => {
                write!(
                    f,
                    "value: expected values for the output, as (key, value), found keys alone"
                )
            }
            Error::IsaUnavailable { isa } => {
                write!(f, "isa: expected one that this CPU has (")?;
                for (i, available) in Isa::available().enumerate() {
                    write!(f, "{}{available}", if i == 0 { "" } else { ", " })?;
                }
                write!(f, "), found {isa}")
            }
            Error::UnknownIsa { argument, found } => {
                write!(f, "{argument}: expected one of scalar, neon, avx2, avx512, found {found:?}")
            }
            Error::Allocation { argument, elements } => {
                write!(f, "{argument}: expected memory for {elements} f32 elements, found none")
            }
        }
    }
}

impl core::error::Error for Error {}
