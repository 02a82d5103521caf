//! Reading tensors of safetensors files: the header and the part that is asked for, no more.

use super::array::{Array, AxisOrder, byte_count};
use super::contents::{ByteOrder, Contents, ElementType, Stored};
use super::file::open;
use anyhow::{Context, Result, bail, ensure};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The format's own limit.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// Bytes of the header's length, which the file begins with.
const LENGTH_BYTES: u64 = 8;

/// Reads the part of a tensor that the indices of its leading axes choose.
pub(super) fn read<C: Contents>(
    path: &Path,
    tensor: Option<&str>,
    indices: &[usize],
) -> Result<Array<C>> {
    let (mut file, length) = open(path)?;
    let (metadata, data_start) = read_metadata(&mut file, length)?;
    let info = find(&metadata, tensor)?;
    let element = element_type::<C>(info.dtype)?;
    let (skipped, shape) = select(&info.shape, indices)?;
    let bytes = byte_count(&shape, element.size)?;
    // The metadata's check has placed the whole tensor inside the file, so this cannot overflow.
    let start = data_start + info.data_offsets.0 as u64 + skipped as u64 * bytes as u64;
    file.seek(SeekFrom::Start(start))?;
    let contents =
        (element.read)(Stored { file: &mut file, bytes, byte_order: ByteOrder::Little })?;
    Ok(Array::new(contents, shape, AxisOrder::C))
}

fn element_type<C: Contents>(dtype: Dtype) -> Result<&'static ElementType<C>> {
    C::TYPES.iter().find(|element| element.safetensors == dtype).with_context(|| {
        let names: Vec<String> =
            C::TYPES.iter().map(|element| element.safetensors.to_string()).collect();
        format!("expected dtype {}, found {dtype}", names.join(" or "))
    })
}

/// The header, and where the data start. Reading it checks that tensors follow each other and
/// have the bytes that their shapes need; the file's length is checked here.
fn read_metadata(file: &mut File, length: u64) -> Result<(Metadata, u64)> {
    let mut size = [0; LENGTH_BYTES as usize];
    file.read_exact(&mut size).context("expected a safetensors file, found less than 8 bytes")?;
    let size = u64::from_le_bytes(size);
    let most = MOST_HEADER_BYTES.min(length - LENGTH_BYTES);
    ensure!(size <= most, "expected a header of at most {most} bytes, found one of {size}");
    let header = Stored { file, bytes: size as usize, byte_order: ByteOrder::Little }.bytes()?;
    let metadata: Metadata = serde_json::from_slice(&header).context("safetensors header")?;
    let data_start = LENGTH_BYTES + size;
    let (expected, found) = (metadata.data_len() as u64, length - data_start);
    ensure!(found == expected, "expected {expected} bytes of data, found {found}");
    Ok((metadata, data_start))
}

fn find<'a>(metadata: &'a Metadata, tensor: Option<&str>) -> Result<&'a TensorInfo> {
    let info = tensor.and_then(|name| metadata.info(name));
    info.with_context(|| {
        let mut names = metadata.offset_keys();
        names.sort();
        let expected = format!("expected one of the tensors {}", names.join(", "));
        match tensor {
            Some(tensor) => format!("{expected}; found no {tensor:?}"),
            None => format!("{expected}, as FILE.safetensors:TENSOR"),
        }
    })
}

/// How many parts of the remaining shape to step over, and that shape.
fn select(shape: &[usize], indices: &[usize]) -> Result<(usize, Vec<usize>)> {
    let Some((leading, rest)) = shape.split_at_checked(indices.len()) else {
        bail!(
            "expected at most {} indices for shape {shape:?}, found {}",
            shape.len(),
            indices.len()
        );
    };
    let mut skipped = 0;
    for (axis, (&extent, &index)) in leading.iter().zip(indices).enumerate() {
        ensure!(
            index < extent,
            "expected an index below {extent} on axis {axis} of shape {shape:?}, found {index}"
        );
        skipped = skipped * extent + index;
    }
    Ok((skipped, rest.to_vec()))
}
