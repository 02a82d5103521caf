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
    /// Sums, which the library adds to.
    F64(Vec<f64>),
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

    /// One f64 for each key of a tensor of this shape, without the axis of the rows.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn of_keys(option: &str, shape: &[usize]) -> Result<Self> {
        let (heads, keys) = (&shape[..shape.len() - 2], &shape[shape.len() - 1..]);
        let shape = [heads, keys].concat();
        let elements = Elements::F64(zeros(option, &shape, 0.0)?);
        Ok(Self { elements, axes: four_axes(&[heads, &[1], keys].concat()), shape })
    }

    /// As the file has it.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// What the library writes to.
    ///
    /// # Panics
    /// If it holds sums.
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        match &mut self.elements {
            Elements::F32(data) => TensorMut::new(&mut data[..], self.axes).into(),
            Elements::F16(data) => TensorMut::new(&mut data[..], self.axes).into(),
            Elements::F64(_) => panic!("sums are added to"),
        }
    }

    /// What the library adds to.
    ///
    /// # Panics
    /// If it does not hold sums.
    pub fn sums_mut(&mut self) -> TensorMut<'_, f64> {
        match &mut self.elements {
            Elements::F64(data) => TensorMut::new(&mut data[..], self.axes),
            Elements::F32(_) | Elements::F16(_) => panic!("only sums are added to"),
        }
    }

    /// As Rust calls the elements' type.
    pub fn type_name(&self) -> &'static str {
        match self.elements {
            Elements::F32(_) => "f32",
            Elements::F16(_) => "f16",
            Elements::F64(_) => "f64",
        }
    }

    /// The first elements as f32.
    pub fn first(&self, count: usize) -> Vec<f32> {
        match &self.elements {
            Elements::F32(data) => data[..count].to_vec(),
            Elements::F16(data) => data[..count].iter().map(|&element| element.into()).collect(),
            Elements::F64(data) => data[..count].iter().map(|&element| element as f32).collect(),
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
            Elements::F64(data) => {
                write_npy(path, "<f8", shape, data.iter().map(|element| element.to_le_bytes()))
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
