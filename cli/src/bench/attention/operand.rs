//! Queries, keys or values in the type that a workload asks for.

use super::super::inputs::numbers;
use super::super::task::NumberType;
use half::{bf16, f16};
use softdot::{TensorRef, View};

/// Numbers, as the call reads them and as the check does.
pub struct Operand {
    narrow: Narrow,
    /// The same numbers, widened.
    widened: Vec<f32>,
}

enum Narrow {
    /// The widened ones are what there is.
    None,
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl Operand {
    /// Numbers up to `limit` in magnitude.
    pub fn new(number_type: NumberType, count: usize, limit: f32, seed: u64) -> Self {
        let numbers = numbers(count, limit, seed);
        match number_type {
            NumberType::F32 => Self { narrow: Narrow::None, widened: numbers },
            NumberType::F16 => {
                let narrow: Vec<f16> = numbers.into_iter().map(f16::from_f32).collect();
                let widened = narrow.iter().map(|number| number.to_f32()).collect();
                Self { narrow: Narrow::F16(narrow), widened }
            }
            NumberType::Bf16 => {
                let narrow: Vec<bf16> = numbers.into_iter().map(bf16::from_f32).collect();
                let widened = narrow.iter().map(|number| number.to_f32()).collect();
                Self { narrow: Narrow::Bf16(narrow), widened }
            }
        }
    }

    /// What the call reads.
    pub fn view(&self, shape: [usize; 3]) -> View<'_> {
        match &self.narrow {
            Narrow::None => TensorRef::new(&self.widened[..], shape).into(),
            Narrow::F16(data) => TensorRef::new(&data[..], shape).into(),
            Narrow::Bf16(data) => TensorRef::new(&data[..], shape).into(),
        }
    }

    /// What the check reads.
    pub fn widened(&self) -> &[f32] {
        &self.widened
    }
}
