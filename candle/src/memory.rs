//! Memory of results, and tensors of it.

use crate::error::of_softdot;
use candle_core::{Device, Result, Shape, Tensor, WithDType};
use softdot::Error;

/// Zeros for a dense result.
pub(crate) fn zeros<T: WithDType>(argument: &'static str, shape: [usize; 4]) -> Result<Vec<T>> {
    let overflow = || of_softdot(Error::Overflow { argument, shape });
    let product = |elements: usize, &extent: &usize| elements.checked_mul(extent);
    let elements = match shape.contains(&0) {
        true => 0,
        false => shape.iter().try_fold(1, product).ok_or_else(overflow)?,
    };
    let mut memory = Vec::new();
    memory
        .try_reserve_exact(elements)
        .map_err(|_| of_softdot(Error::Allocation { argument, elements }))?;
    memory.resize(elements, T::zero());
    Ok(memory)
}

/// A tensor of a result that is there.
pub(crate) fn tensor<T: WithDType>(memory: Vec<T>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(memory, shape.into(), &Device::Cpu)
}
