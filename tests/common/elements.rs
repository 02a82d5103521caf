//! Tensors of any element type, which is known at run time.

use super::strided::{SENTINEL, Strided};
use core::fmt::Display;
#[cfg(feature = "half")]
use half::{bf16, f16};
use softdot::{View, ViewMut};

/// An element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    F32,
    #[cfg(feature = "half")]
    F16,
    #[cfg(feature = "half")]
    Bf16,
}

impl Type {
    /// Those that this build of softdot takes.
    pub const ALL: &'static [Type] = &[
        Type::F32,
        #[cfg(feature = "half")]
        Type::F16,
        #[cfg(feature = "half")]
        Type::Bf16,
    ];

    /// What is left of a number in this type: the nearest one, ties to even.
    pub fn round(self, x: f32) -> f32 {
        match self {
            Type::F32 => x,
            #[cfg(feature = "half")]
            Type::F16 => f16::from_f32(x).to_f32(),
            #[cfg(feature = "half")]
            Type::Bf16 => bf16::from_f32(x).to_f32(),
        }
    }

    /// A tensor in this type, rounded.
    pub fn tensor(self, tensor: &Strided) -> AnyTensor {
        match self {
            Type::F32 => AnyTensor::F32(tensor.clone()),
            #[cfg(feature = "half")]
            Type::F16 => AnyTensor::F16(tensor.converted(f16::from_f32)),
            #[cfg(feature = "half")]
            Type::Bf16 => AnyTensor::Bf16(tensor.converted(bf16::from_f32)),
        }
    }
}

/// A tensor of one of the types.
#[derive(Clone, Debug)]
pub enum AnyTensor {
    F32(Strided),
    #[cfg(feature = "half")]
    F16(Strided<f16>),
    #[cfg(feature = "half")]
    Bf16(Strided<bf16>),
}

impl AnyTensor {
    fn element_type(&self) -> Type {
        match self {
            AnyTensor::F32(_) => Type::F32,
            #[cfg(feature = "half")]
            AnyTensor::F16(_) => Type::F16,
            #[cfg(feature = "half")]
            AnyTensor::Bf16(_) => Type::Bf16,
        }
    }

    pub fn view(&self) -> View<'_> {
        match self {
            AnyTensor::F32(tensor) => tensor.view().into(),
            #[cfg(feature = "half")]
            AnyTensor::F16(tensor) => tensor.view().into(),
            #[cfg(feature = "half")]
            AnyTensor::Bf16(tensor) => tensor.view().into(),
        }
    }

    pub fn view_mut(&mut self) -> ViewMut<'_> {
        match self {
            AnyTensor::F32(tensor) => tensor.view_mut().into(),
            #[cfg(feature = "half")]
            AnyTensor::F16(tensor) => tensor.view_mut().into(),
            #[cfg(feature = "half")]
            AnyTensor::Bf16(tensor) => tensor.view_mut().into(),
        }
    }

    /// The same tensor in f32.
    pub fn widened(&self) -> Strided {
        match self {
            AnyTensor::F32(tensor) => tensor.clone(),
            #[cfg(feature = "half")]
            AnyTensor::F16(tensor) => tensor.converted(f16::to_f32),
            #[cfg(feature = "half")]
            AnyTensor::Bf16(tensor) => tensor.converted(bf16::to_f32),
        }
    }

    /// Fails if anything but elements was written.
    #[track_caller]
    pub fn assert_gaps_untouched(&self, what: impl Display) {
        let sentinel = self.element_type().round(f32::from_bits(SENTINEL));
        self.widened().assert_gaps_hold(sentinel, what);
    }
}
