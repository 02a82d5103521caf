//! A result in memory, of the type that was asked for.

use crate::args::OutputType;
use crate::input::{byte_count, four_axes};
use crate::output::write_npy;
use anyhow::{Context, Result, anyhow};
use half::f16;
use softdot::{TensorMut, ViewMut};
use std::path::Path;

/// A dense result.
pub struct Buffer {
    elements: Elements,
    /// As the library has it.
    axes: [usize; 4],
    /// As the file has it.
    shape: Vec<usize>,
}

enum Elements {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

impl Buffer {
    /// Zeros; `option` is what errors name.
    ///
    /// # Errors
    /// A lack of memory.
    pub fn new(option: &str, dtype: OutputType, shape: &[usize]) -> Result<Self> {
        let elements = match dtype {
            OutputType::F32 => Elements::F32(zeros(option, shape, 0.0)?),
            OutputType::F16 => Elements::F16(zeros(option, shape, f16::ZERO)?),
        };
        Ok(Self { elements, axes: four_axes(shape), shape: shape.to_vec() })
    }

    /// One f32 for each row of a tensor of this shape, without the axis along the row.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn of_rows(option: &str, shape: &[usize]) -> Result<Self> {
        let rows = &shape[..shape.len() - 1];
        let buffer = Self::new(option, OutputType::F32, rows)?;
        Ok(Self { axes: four_axes(&[rows, &[1]].concat()), ..buffer })
    }

    /// As the file has it.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// What the library writes to.
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        match &mut self.elements {
            Elements::F32(data) => TensorMut::new(&mut data[..], self.axes).into(),
            Elements::F16(data) => TensorMut::new(&mut data[..], self.axes).into(),
        }
    }

    /// As Rust calls the elements' type.
    pub fn type_name(&self) -> &'static str {
        match self.elements {
            Elements::F32(_) => "f32",
            Elements::F16(_) => "f16",
        }
    }

    /// The first elements, widened.
    pub fn first(&self, count: usize) -> Vec<f32> {
        match &self.elements {
            Elements::F32(data) => data[..count].to_vec(),
            Elements::F16(data) => data[..count].iter().map(|&element| element.into()).collect(),
        }
    }

    /// Writes it as `.npy`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn write(&self, path: &Path) -> Result<()> {
        let shape = &self.shape;
        match &self.elements {
            Elements::F32(data) => {
                write_npy(path, "<f4", shape, data.iter().map(|element| element.to_le_bytes()))
            }
            Elements::F16(data) => {
                write_npy(path, "<f2", shape, data.iter().map(|element| element.to_le_bytes()))
            }
        }
    }
}

fn zeros<T: Clone>(option: &str, shape: &[usize], zero: T) -> Result<Vec<T>> {
    let bytes = byte_count(shape, size_of::<T>()).with_context(|| option.to_owned())?;
    let elements = bytes / size_of::<T>();
    let mut memory = Vec::new();
    memory
        .try_reserve_exact(elements)
        .map_err(|_| anyhow!("{option}: expected memory for {elements} elements, found none"))?;
    memory.resize(elements, zero);
    Ok(memory)
}
