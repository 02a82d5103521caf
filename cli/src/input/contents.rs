//! What tensors hold: numbers or truth values, and the element types that files have them in.

use anyhow::{Result, anyhow, ensure};
use half::{bf16, f16};
use safetensors::Dtype;
use softdot::{Element, Elements};
use std::fs::File;
use std::io::Read;

/// What an option wants of a file.
pub trait Contents: Sized + 'static {
    /// The element types that will do.
    const TYPES: &'static [ElementType<Self>];
}

/// An element type: its names, and how its elements are read.
pub struct ElementType<Contents> {
    /// As Rust calls it.
    pub name: &'static str,
    /// As `.npy` calls it, behind the byte order; not all types have a name there.
    pub npy: Option<&'static str>,
    /// As safetensors call it.
    pub safetensors: Dtype,
    /// Bytes of an element.
    pub size: usize,
    /// Reads all elements of a tensor.
    pub read: fn(Stored<'_>) -> Result<Contents>,
}

/// Which byte of an element comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The lowest.
    Little,
    /// The highest.
    Big,
}

/// The bytes that a file has next; the caller has checked that they are there.
pub struct Stored<'a> {
    /// The file.
    pub file: &'a mut File,
    /// How many of its bytes.
    pub bytes: usize,
    /// Their order within an element.
    pub byte_order: ByteOrder,
}

/// Numbers of one type.
#[derive(Debug)]
pub enum Numbers {
    /// Of `f32`.
    F32(Vec<f32>),
    /// Of `half::f16`.
    F16(Vec<f16>),
    /// Of `half::bf16`.
    Bf16(Vec<bf16>),
}

impl Contents for Numbers {
    const TYPES: &'static [ElementType<Self>] = &[
        ElementType {
            name: "f32",
            npy: Some("f4"),
            safetensors: Dtype::F32,
            size: size_of::<f32>(),
            read: |stored| stored.elements(f32::from_le_bytes).map(Numbers::F32),
        },
        ElementType {
            name: "f16",
            npy: Some("f2"),
            safetensors: Dtype::F16,
            size: size_of::<f16>(),
            read: |stored| stored.elements(f16::from_le_bytes).map(Numbers::F16),
        },
        ElementType {
            name: "bf16",
            npy: None,
            safetensors: Dtype::BF16,
            size: size_of::<bf16>(),
            read: |stored| stored.elements(bf16::from_le_bytes).map(Numbers::Bf16),
        },
    ];
}

impl Numbers {
    /// As Rust calls their type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Numbers::F32(_) => "f32",
            Numbers::F16(_) => "f16",
            Numbers::Bf16(_) => "bf16",
        }
    }

    /// As softdot reads them.
    pub fn elements(&self) -> Elements<'_> {
        match self {
            Numbers::F32(data) => f32::elements(data),
            Numbers::F16(data) => f16::elements(data),
            Numbers::Bf16(data) => bf16::elements(data),
        }
    }

    /// Widened, which is exact.
    ///
    /// # Errors
    /// A lack of memory.
    pub fn into_f32(self) -> Result<Vec<f32>> {
        match self {
            Numbers::F32(data) => Ok(data),
            Numbers::F16(data) => widened(&data),
            Numbers::Bf16(data) => widened(&data),
        }
    }
}

fn widened<T: Copy + Into<f32>>(data: &[T]) -> Result<Vec<f32>> {
    let mut elements = reserve(data.len())?;
    elements.extend(data.iter().map(|&element| element.into()));
    Ok(elements)
}

/// Memory for so many elements.
fn reserve<T>(count: usize) -> Result<Vec<T>> {
    let mut elements = Vec::new();
    let reserved = elements.try_reserve_exact(count);
    reserved.map_err(|_| anyhow!("no memory for {count} elements of {} bytes", size_of::<T>()))?;
    Ok(elements)
}

/// A mask: 1 where a row may attend, 0 where not.
impl Contents for Vec<bool> {
    const TYPES: &'static [ElementType<Self>] = &[
        ElementType {
            name: "bool",
            npy: Some("b1"),
            safetensors: Dtype::BOOL,
            size: 1,
            read: truth_values,
        },
        ElementType {
            name: "u8",
            npy: Some("u1"),
            safetensors: Dtype::U8,
            size: 1,
            read: truth_values,
        },
    ];
}

fn truth_values(stored: Stored<'_>) -> Result<Vec<bool>> {
    let mut most = 0;
    let values = stored.elements(|[byte]| {
        most = most.max(byte);
        byte != 0
    })?;
    ensure!(most <= 1, "expected 1 (attend) and 0 (not) alone, found {most}");
    Ok(values)
}

impl Stored<'_> {
    /// Reads the bytes.
    pub fn bytes(self) -> Result<Vec<u8>> {
        self.elements(|[byte]| byte)
    }

    /// Reads the elements, each made of its bytes in little-endian order.
    fn elements<const SIZE: usize, T>(
        self,
        mut from_le_bytes: impl FnMut([u8; SIZE]) -> T,
    ) -> Result<Vec<T>> {
        const CHUNK: usize = 1 << 18;
        let Self { file, bytes, byte_order } = self;
        let mut elements = reserve(bytes / SIZE)?;
        let mut buffer = vec![0; CHUNK.min(bytes)];
        let mut left = bytes;
        while left > 0 {
            let chunk = &mut buffer[..CHUNK.min(left)];
            file.read_exact(chunk)?;
            let (chunks, _) = chunk.as_chunks_mut();
            if byte_order == ByteOrder::Big {
                chunks.iter_mut().for_each(|element: &mut [u8; SIZE]| element.reverse());
            }
            elements.extend(chunks.iter().map(|&element| from_le_bytes(element)));
            left -= chunk.len();
        }
        Ok(elements)
    }
}
