//! The types of the caller's elements.

use crate::convert::Storage;

/// A type that queries, keys, biases and results can have: `f32`, and with the feature `half`
/// `half::f16` and `half::bf16`.
///
/// Narrow inputs are widened exactly, so a result has the bits that widening everything to `f32`
/// first would give; narrow results are rounded once, to nearest, ties to even.
pub trait Element: Copy + sealed::Sealed {
    /// A slice whose type is known at run time.
    fn elements(data: &[Self]) -> Elements<'_>;

    /// A writable slice whose type is known at run time.
    fn elements_mut(data: &mut [Self]) -> ElementsMut<'_>;
}

/// A type that masks can have: `bool`, and `u8` of which any but 0 is `true`.
pub trait MaskElement: Copy + sealed::Sealed {
    /// The elements as bytes.
    fn bytes(data: &[Self]) -> &[u8];
}

impl MaskElement for bool {
    fn bytes(data: &[Self]) -> &[u8] {
        pulp::bytemuck::cast_slice(data)
    }
}

impl MaskElement for u8 {
    fn bytes(data: &[Self]) -> &[u8] {
        data
    }
}

impl sealed::Sealed for bool {}

impl sealed::Sealed for u8 {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! element_types {
    ($($(#[$attribute:meta])* $variant:ident($type:ty), $name:literal;)*) => {
        /// A slice of any [`Element`] type.
        #[derive(Clone, Copy, Debug)]
        #[non_exhaustive]
        pub enum Elements<'a> {
            $($(#[$attribute])* #[doc = concat!("Of `", $name, "`.")] $variant(&'a [$type]),)*
        }

        /// A writable slice of any [`Element`] type.
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum ElementsMut<'a> {
            $($(#[$attribute])* #[doc = concat!("Of `", $name, "`.")] $variant(&'a mut [$type]),)*
        }

        impl Elements<'_> {
            /// How many there are.
            pub fn len(&self) -> usize {
                match self {
                    $($(#[$attribute])* Elements::$variant(data) => data.len(),)*
                }
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// One of them in f32, which is exact.
            pub(crate) fn widened(&self, index: usize) -> f32 {
                match self {
                    $($(#[$attribute])* Elements::$variant(data) => data[index].widen(),)*
                }
            }

            /// Where they are.
            pub(crate) fn as_ptr(&self) -> *const f32 {
                match self {
                    $($(#[$attribute])* Elements::$variant(data) => data.as_ptr().cast(),)*
                }
            }

            /// Those from `start` on; none if there are fewer.
            pub(crate) fn from(self, start: usize) -> Self {
                match self {
                    $($(#[$attribute])* Elements::$variant(data) => {
                        Elements::$variant(data.get(start..).unwrap_or_default())
                    })*
                }
            }
        }

        impl ElementsMut<'_> {
            /// How many there are.
            pub fn len(&self) -> usize {
                match self {
                    $($(#[$attribute])* ElementsMut::$variant(data) => data.len(),)*
                }
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }

        $(
            $(#[$attribute])*
            impl sealed::Sealed for $type {}

            $(#[$attribute])*
            impl Element for $type {
                fn elements(data: &[Self]) -> Elements<'_> {
                    Elements::$variant(data)
                }

                fn elements_mut(data: &mut [Self]) -> ElementsMut<'_> {
                    ElementsMut::$variant(data)
                }
            }
        )*
    };
}

element_types! {
    F32(f32), "f32";
    #[cfg(feature = "half")]
    F16(half::f16), "half::f16";
    #[cfg(feature = "half")]
    Bf16(half::bf16), "half::bf16";
}
