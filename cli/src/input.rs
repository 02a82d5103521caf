//! Tensors from files, and the views of them that softdot reads.

mod npy;
mod safetensors;

use anyhow::{Context, Result, ensure};
use softdot::TensorRef;
use std::fmt;
use std::fs::File;
use std::io::Read;
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

/// Which byte of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The lowest.
    Little,
    /// The highest.
    Big,
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
pub struct Array {
    data: Vec<f32>,
    shape: Vec<usize>,
    order: AxisOrder,
}

impl Source {
    /// Reads the tensor; `option` is what errors name.
    ///
    /// # Errors
    /// What is wrong with the file, after the option and the file's name.
    pub fn read(&self, option: &str) -> Result<Array> {
        let array = match self {
            Source::Npy(path) => npy::read(path),
            Source::Safetensors { path, tensor, indices } => {
                safetensors::read(path, tensor.as_deref(), indices)
            }
        };
        let array = array.with_context(|| format!("{option} {self}"))?;
        ensure!(
            (2..=4).contains(&array.shape.len()),
            "{option} {self}: expected 2, 3 or 4 axes, found shape {:?}",
            array.shape
        );
        Ok(array)
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

impl Array {
    /// As in the file.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The tensor as softdot reads it: leading axes that the file lacks have one entry.
    pub fn view(&self) -> TensorRef<'_> {
        let missing = 4 - self.shape.len();
        let mut extents = [1; 4];
        extents[missing..].copy_from_slice(&self.shape);
        let strides = std::array::from_fn(|axis| match axis.checked_sub(missing) {
            None => 0,
            Some(axis) => self.stride(axis),
        });
        TensorRef::with_strides(&self.data, extents, strides)
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

/// A file and its length. Only regular files have one to check headers against.
fn open(path: &Path) -> Result<(File, u64)> {
    let metadata = std::fs::metadata(path)?;
    ensure!(metadata.is_file(), "expected a regular file");
    Ok((File::open(path)?, metadata.len()))
}

/// Bytes of a tensor of this shape, if that many fit in memory.
fn byte_count(shape: &[usize]) -> Result<usize> {
    let elements = match shape.contains(&0) {
        true => Some(0),
        false => shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent)),
    };
    let bytes = elements.and_then(|elements| elements.checked_mul(size_of::<f32>()));
    bytes
        .filter(|&bytes| bytes <= isize::MAX as usize)
        .with_context(|| format!("expected a shape that fits in memory, found {shape:?}"))
}

/// Reads `bytes` bytes of numbers; the caller has checked that the file has them.
fn read_floats(file: &mut File, bytes: usize, byte_order: ByteOrder) -> Result<Vec<f32>> {
    const CHUNK: usize = 1 << 18;
    let mut data = Vec::new();
    data.try_reserve_exact(bytes / size_of::<f32>())
        .with_context(|| format!("no memory for {bytes} bytes"))?;
    let mut buffer = vec![0; CHUNK.min(bytes)];
    let mut left = bytes;
    while left > 0 {
        let chunk = &mut buffer[..CHUNK.min(left)];
        file.read_exact(chunk)?;
        data.extend(numbers(chunk, byte_order));
        left -= chunk.len();
    }
    Ok(data)
}

/// The numbers of whole bytes.
pub fn floats(bytes: &[u8], byte_order: ByteOrder) -> Vec<f32> {
    numbers(bytes, byte_order).collect()
}

fn numbers(bytes: &[u8], byte_order: ByteOrder) -> impl Iterator<Item = f32> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(move |&number| match byte_order {
        ByteOrder::Little => f32::from_le_bytes(number),
        ByteOrder::Big => f32::from_be_bytes(number),
    })
}
