//! Tensors from files.

mod array;
mod contents;
mod file;
mod npy;
mod safetensors;

use anyhow::{Context, Result, ensure};
pub use array::{Array, byte_count, four_axes};
use contents::Contents;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

/// A tensor's place, as the command line names it.
#[derive(Clone, Debug)]
pub enum Source {
    /// `FILE.npy`
    Npy(PathBuf),
    /// `FILE.safetensors:TENSOR[INDEX]`; without a tensor, the error lists those that there are.
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: Option<String>,
        /// Indices of its leading axes.
        indices: Vec<usize>,
    },
}

impl Source {
    /// Reads the tensor, of so many `axes`; `option` is what errors name.
    ///
    /// # Errors
    /// What is wrong with the file, after the option and the file's name.
    pub fn read<C: Contents>(&self, option: &str, axes: RangeInclusive<usize>) -> Result<Array<C>> {
        let array: Result<Array<C>> = match self {
            Source::Npy(path) => npy::read(path),
            Source::Safetensors { path, tensor, indices } => {
                safetensors::read(path, tensor.as_deref(), indices)
            }
        };
        let array = array.with_context(|| format!("{option} {self}"))?;
        ensure!(
            axes.contains(&array.shape().len()),
            "{option} {self}: expected {}, found shape {:?}",
            count_axes(&axes),
            array.shape()
        );
        Ok(array)
    }
}

fn count_axes(axes: &RangeInclusive<usize>) -> String {
    match (axes.start(), axes.end()) {
        (1, 1) => "1 axis".into(),
        (least, most) => format!("{least} to {most} axes"),
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        const SAFETENSORS: &str = ".safetensors";
        if let Some((stem, tensor)) = name.split_once(".safetensors:") {
            let (tensor, indices) = split_indices(tensor)?;
            let tensor = Some(tensor.to_owned()).filter(|tensor| !tensor.is_empty());
            let path = PathBuf::from(format!("{stem}{SAFETENSORS}"));
            Ok(Source::Safetensors { path, tensor, indices })
        } else if name.ends_with(SAFETENSORS) {
            Ok(Source::Safetensors { path: name.into(), tensor: None, indices: Vec::new() })
        } else if name.ends_with(".npy") {
            Ok(Source::Npy(name.into()))
        } else {
            Err("expected FILE.npy or FILE.safetensors:TENSOR".into())
        }
    }
}

/// Splits `name[3][0]` or `name[3,0]` into the name and the indices.
fn split_indices(text: &str) -> Result<(&str, Vec<usize>), String> {
    let Some((name, brackets)) = text.strip_suffix(']').and_then(|text| text.split_once('['))
    else {
        return Ok((text, Vec::new()));
    };
    let indices = brackets.split("][").flat_map(|group| group.split(','));
    let indices = indices.map(|index| index.trim().parse()).collect::<Result<_, _>>();
    match indices {
        Ok(indices) => Ok((name, indices)),
        Err(_) => Err(format!("expected indices such as [3] or [3,0], found [{brackets}]")),
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Npy(path) => write!(f, "{}", path.display()),
            Source::Safetensors { path, tensor, indices } => {
                write!(f, "{}", path.display())?;
                tensor.iter().try_for_each(|tensor| write!(f, ":{tensor}"))?;
                indices.iter().try_for_each(|index| write!(f, "[{index}]"))
            }
        }
    }
}
