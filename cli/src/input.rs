//! Tensors from files, and the views of them that softdot reads.

mod contents;
mod npy;
mod safetensors;

use anyhow::{Context, Result, ensure};
pub use contents::Numbers;
use contents::{ByteOrder, Contents, ElementType, Stored};
use softdot::{Elements, Tensor, TensorRef, View};
use std::fmt;
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
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

/// Which axis is contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AxisOrder {
    /// The last.
    C,
    /// The first.
    Fortran,
}

/// A tensor in memory as its file holds it; Fortran order is read through strides, not moved.
#[derive(Debug)]
pub struct Array<Contents = Numbers> {
    contents: Contents,
    shape: Vec<usize>,
    order: AxisOrder,
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
            axes.contains(&array.shape.len()),
            "{option} {self}: expected {}, found shape {:?}",
            count_axes(&axes),
            array.shape
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

impl<C> Array<C> {
    /// As in the file.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Data with the array's layout: leading axes that the file lacks have one entry.
    fn lay_out<Data>(&self, data: Data) -> Tensor<Data> {
        let missing = 4 - self.shape.len();
        let strides = std::array::from_fn(|axis| match axis.checked_sub(missing) {
            None => 0,
            Some(axis) => self.stride(axis),
        });
        Tensor::with_strides(data, four_axes(&self.shape), strides)
    }

    /// Elements from one entry of an axis to the next. Saturates where the tensor is empty.
    fn stride(&self, axis: usize) -> isize {
        let inner = match self.order {
            AxisOrder::C => &self.shape[axis + 1..],
            AxisOrder::Fortran => &self.shape[..axis],
        };
        let elements = inner.iter().fold(1usize, |product, &extent| product.saturating_mul(extent));
        isize::try_from(elements).unwrap_or(isize::MAX)
    }
}

impl Array<Numbers> {
    /// The tensor as softdot reads it.
    pub fn view(&self) -> View<'_> {
        self.lay_out::<Elements<'_>>(self.contents.elements())
    }

    /// The elements of an array of one axis.
    pub fn into_f32(self) -> Vec<f32> {
        self.contents.into_f32()
    }
}

/// Type and shape, as a summary has them.
impl fmt::Display for Array<Numbers> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.contents.type_name(), self.shape)
    }
}

impl Array<Vec<bool>> {
    /// The mask as softdot reads it.
    pub fn view(&self) -> TensorRef<'_, bool> {
        self.lay_out(&self.contents[..])
    }
}

/// A shape of at most 4 extents with leading ones.
pub fn four_axes(shape: &[usize]) -> [usize; 4] {
    let mut extents = [1; 4];
    extents[4 - shape.len()..].copy_from_slice(shape);
    extents
}

/// A file and its length. Only regular files have one to check headers against.
fn open(path: &Path) -> Result<(File, u64)> {
    let metadata = std::fs::metadata(path)?;
    ensure!(metadata.is_file(), "expected a regular file");
    Ok((File::open(path)?, metadata.len()))
}

/// Bytes of a tensor of this shape and element size, if that many fit in memory.
fn byte_count(shape: &[usize], size: usize) -> Result<usize> {
    let elements = match shape.contains(&0) {
        true => Some(0),
        false => shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent)),
    };
    let bytes = elements.and_then(|elements| elements.checked_mul(size));
    bytes
        .filter(|&bytes| bytes <= isize::MAX as usize)
        .with_context(|| format!("expected a shape that fits in memory, found {shape:?}"))
}
