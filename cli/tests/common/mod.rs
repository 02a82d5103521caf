//! Runs the program, and makes and reads its files without its own code.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

/// The program, outside of what the caller's environment asks for. Under an emulator that cannot
/// start programs of its own architecture, `SOFTDOT_TEST_RUNNER` is what starts them.
pub fn softdot() -> Command {
    let runner = std::env::var("SOFTDOT_TEST_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace().chain([env!("CARGO_BIN_EXE_softdot")]);
    let mut command = Command::new(words.next().expect("the program at least"));
    command.args(words);
    for variable in ["SOFTDOT_MAX_ISA", "RAYON_NUM_THREADS", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command
}

/// Runs the program in a directory; `words` are its arguments, split at spaces.
pub fn run_in(directory: &Path, words: &str) -> Output {
    softdot().current_dir(directory).args(words.split_whitespace()).output().expect("it starts")
}

/// What a run that has to succeed printed on stdout.
#[track_caller]
pub fn succeed(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The one line of a run that has to fail with exit code 1 and nothing on stdout.
#[track_caller]
pub fn refused(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
    assert!(stderr.starts_with("error: "), "{stderr:?}");
    assert_eq!(stderr.matches('\n').count(), 1, "{stderr:?}");
    assert!(stderr.ends_with('\n') && !stderr.contains("panicked"), "{stderr:?}");
    stderr
}

/// What is in a directory, hidden files too.
pub fn names(directory: &Path) -> BTreeSet<String> {
    let entries = directory.read_dir().expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into()).collect()
}

/// Numbers from -1 to 1 without a pattern.
pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    };
    (0..count).map(|_| next()).collect()
}

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

/// Row-major numbers as a big-endian file in Fortran order.
pub fn fortran_order(shape: &[usize], data: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for position in 0..data.len() {
        let (mut left, mut index, mut inner) = (position, 0, data.len());
        for &extent in shape {
            inner /= extent;
            index += left % extent * inner;
            left /= extent;
        }
        bytes.extend(data[index].to_be_bytes());
    }
    npy(&npy_header(">f4", "True", shape), &bytes)
}

/// The numbers of an output file, which has to be what NumPy would have written for this shape.
#[track_caller]
pub fn read_output(path: &Path, shape: &[usize]) -> Vec<f32> {
    let file = std::fs::read(path).expect("the output exists");
    let start = npy(&npy_header("<f4", "False", shape), &[]);
    assert_eq!(String::from_utf8_lossy(&file[..start.len()]), String::from_utf8_lossy(&start));
    let (data, rest) = file[start.len()..].as_chunks();
    assert_eq!((data.len(), rest.len()), (shape.iter().product(), 0));
    data.iter().map(|&number| f32::from_le_bytes(number)).collect()
}

/// The bits of numbers, to compare them exactly.
pub fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// The largest difference of numbers that belong together.
#[track_caller]
pub fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    let differences = left.iter().zip(right).map(|(left, right)| (left - right).abs());
    differences.max_by(f32::total_cmp).expect("numbers")
}

/// The files of the model's activations.
pub const CAT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/minilm-cat.safetensors");

/// A tensor of a safetensors file: its shape and numbers.
pub fn tensor(path: &str, name: &str) -> (Vec<usize>, Vec<f32>) {
    let file = std::fs::read(path).expect("the file exists");
    let tensors = safetensors::SafeTensors::deserialize(&file).expect("safetensors");
    let tensor = tensors.tensor(name).expect("the tensor exists");
    let (numbers, _) = tensor.data().as_chunks();
    let numbers = numbers.iter().map(|&number| f32::from_le_bytes(number)).collect();
    (tensor.shape().to_vec(), numbers)
}
