//! Makes and reads files without the program's own code.

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::path::Path;

/// A `.npy` file of version 1.0 with this header, padded as NumPy pads it.
pub fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(u16::try_from(length).expect("a short header").to_le_bytes());
    file.extend(format!("{header:<width$}\n", width = length - 1).bytes());
    file.extend(data);
    file
}

/// The header that NumPy writes.
pub fn npy_header(descr: &str, fortran: &str, shape: &[usize]) -> String {
    let extents: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let shape = extents.join(", ");
    format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': ({shape}), }}")
}

/// Row-major numbers as a little-endian file in C order.
pub fn c_order(shape: &[usize], data: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = data.iter().flat_map(|number| number.to_le_bytes()).collect();
    npy(&npy_header("<f4", "False", shape), &bytes)
}

/// Row-major elements in Fortran order.
pub fn in_fortran_order<T: Copy>(shape: &[usize], data: &[T]) -> Vec<T> {
    let index_of = |position: usize| {
        let (mut left, mut index, mut inner) = (position, 0, data.len());
        for &extent in shape {
            inner /= extent;
            index += left % extent * inner;
            left /= extent;
        }
        index
    };
    (0..data.len()).map(|position| data[index_of(position)]).collect()
}

/// Row-major numbers as a big-endian file in Fortran order.
pub fn fortran_order(shape: &[usize], data: &[f32]) -> Vec<u8> {
    let moved = in_fortran_order(shape, data);
    let bytes: Vec<u8> = moved.iter().flat_map(|number| number.to_be_bytes()).collect();
    npy(&npy_header(">f4", "True", shape), &bytes)
}

/// Row-major truth values as NumPy's bool in C order.
pub fn bool_npy(shape: &[usize], data: &[bool]) -> Vec<u8> {
    let bytes: Vec<u8> = data.iter().map(|&value| value.into()).collect();
    npy(&npy_header("|b1", "False", shape), &bytes)
}

/// A safetensors file of one tensor, `x`.
pub fn safetensors_file(dtype: Dtype, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let view = TensorView::new(dtype, shape.to_vec(), data).expect("data of this shape");
    safetensors::serialize([("x", view)], None).expect("safetensors")
}

/// The numbers of an output file, which has to be what NumPy would have written for this shape.
#[track_caller]
pub fn read_output(path: &Path, shape: &[usize]) -> Vec<f32> {
    elements(path, "<f4", shape).into_iter().map(f32::from_le_bytes).collect()
}

/// As [`read_output`], of f16.
#[track_caller]
pub fn read_f16_output(path: &Path, shape: &[usize]) -> Vec<f32> {
    let elements = elements(path, "<f2", shape).into_iter();
    elements.map(|element| f16::from_le_bytes(element).to_f32()).collect()
}

/// As [`read_output`], of f64.
#[track_caller]
pub fn read_f64_output(path: &Path, shape: &[usize]) -> Vec<f64> {
    elements(path, "<f8", shape).into_iter().map(f64::from_le_bytes).collect()
}

#[track_caller]
fn elements<const SIZE: usize>(path: &Path, descr: &str, shape: &[usize]) -> Vec<[u8; SIZE]> {
    let file = std::fs::read(path).expect("the output exists");
    let start = npy(&npy_header(descr, "False", shape), &[]);
    assert_eq!(String::from_utf8_lossy(&file[..start.len()]), String::from_utf8_lossy(&start));
    let (data, rest) = file[start.len()..].as_chunks();
    assert_eq!((data.len(), rest.len()), (shape.iter().product(), 0));
    data.to_vec()
}

/// The files of the model's activations.
pub const CAT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/minilm-cat.safetensors");

/// A tensor of a safetensors file: its shape and numbers.
pub fn tensor(path: &str, name: &str) -> (Vec<usize>, Vec<f32>) {
    let file = std::fs::read(path).expect("the file exists");
    let tensors = safetensors::SafeTensors::deserialize(&file).expect("safetensors");
    let tensor = tensors.tensor(name).expect("the tensor exists");
    let (numbers, _) = tensor.data().as_chunks();
    let numbers = numbers.iter().map(|&number| f32::from_le_bytes(number)).collect();
    (tensor.shape().to_vec(), numbers)
}
