//! The call, into elements of the type that was asked for.

use super::inputs::Inputs;
use crate::args::{OutputType, StageName, Weights};
use crate::input::four_axes;
use crate::output::write_npy;
use anyhow::{Error, Result, anyhow};
use half::f16;
use softdot::{Attention, Element, Plan, TensorMut, Workspace};
use std::path::Path;
use std::time::{Duration, Instant};

/// What came out, and how.
pub struct Computed {
    pub result: Elements,
    pub plan: Plan,
    pub time: Duration,
}

/// The result's elements.
pub enum Elements {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

/// Computes what the arguments ask for.
///
/// # Errors
/// The library's, in the options' names.
pub fn compute(arguments: &Weights, inputs: &Inputs) -> Result<Computed> {
    let attention = inputs.attention(arguments);
    let plan = attention.plan(inputs.query.view(), inputs.key.view()).map_err(by_option)?;
    let start = Instant::now();
    let result = match arguments.dtype {
        OutputType::F32 => Elements::F32(fill(&attention, arguments.stage, inputs, 0.0)?),
        OutputType::F16 => Elements::F16(fill(&attention, arguments.stage, inputs, f16::ZERO)?),
    };
    Ok(Computed { result, plan, time: start.elapsed() })
}

/// The plan was made, so the result's extents have a product.
fn fill<T: Element>(
    attention: &Attention<'_>,
    stage: StageName,
    inputs: &Inputs,
    zero: T,
) -> Result<Vec<T>> {
    let shape = four_axes(&inputs.shape);
    let elements = if shape.contains(&0) { 0 } else { shape.iter().product() };
    let mut result = Vec::new();
    result
        .try_reserve_exact(elements)
        .map_err(|_| anyhow!("--output: expected memory for {elements} elements, found none"))?;
    result.resize(elements, zero);
    let outputs = stage.outputs(TensorMut::new(&mut result[..], shape).into());
    attention
        .run(inputs.query.view(), inputs.key.view(), outputs, &mut Workspace::new())
        .map_err(by_option)?;
    Ok(result)
}

/// The library's arguments that are options here, by their names there.
const OPTIONS: [&str; 9] =
    ["query", "key", "scale", "softcap", "bias", "mask", "key_lengths", "sinks", "isa"];

/// An error that begins with the name of an argument begins with the option's instead; the result is
/// the option `--output`.
fn by_option(error: softdot::Error) -> Error {
    let message = error.to_string();
    match message.split_once(": ") {
        Some(("weights" | "logits", rest)) => anyhow!("--output: {rest}"),
        Some((argument, rest)) if OPTIONS.contains(&argument) => {
            anyhow!("--{}: {rest}", argument.replace('_', "-"))
        }
        _ => error.into(),
    }
}

impl Elements {
    /// As Rust calls their type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Elements::F32(_) => "f32",
            Elements::F16(_) => "f16",
        }
    }

    /// The first ones, widened.
    pub fn first(&self, count: usize) -> Vec<f32> {
        match self {
            Elements::F32(data) => data[..count].to_vec(),
            Elements::F16(data) => data[..count].iter().map(|&element| element.into()).collect(),
        }
    }

    /// Writes them as `.npy`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn write(&self, path: &Path, shape: &[usize]) -> Result<()> {
        match self {
            Elements::F32(data) => {
                write_npy(path, "<f4", shape, data.iter().map(|element| element.to_le_bytes()))
            }
            Elements::F16(data) => {
                write_npy(path, "<f2", shape, data.iter().map(|element| element.to_le_bytes()))
            }
        }
    }
}
