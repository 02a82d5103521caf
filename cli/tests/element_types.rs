//! `softdot weights` on files of f16 and bf16, and into f16.

mod common;

use common::definition::{Problem, Repeated, Stage, assert_close};
use common::files::{
    c_order, in_fortran_order, npy, npy_header, read_f16_output, read_output, safetensors_file,
};
use common::{numbers, run_in, succeed};
use half::{bf16, f16};
use safetensors::Dtype;
use std::fs::{read, write};
use tempfile::tempdir;

const TYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::BF16];

/// Half a unit in the last place of f16.
const F16_ROUNDING: f64 = 1.0 / 2048.0;

/// The bytes of numbers in a type, and what they are then.
fn narrow(numbers: &[f32], dtype: Dtype) -> (Vec<u8>, Vec<f32>) {
    let narrow = |&number: &f32| match dtype {
        Dtype::F16 => {
            let number = f16::from_f32(number);
            (number.to_le_bytes().to_vec(), number.to_f32())
        }
        Dtype::BF16 => {
            let number = bf16::from_f32(number);
            (number.to_le_bytes().to_vec(), number.to_f32())
        }
        _ => (number.to_le_bytes().to_vec(), number),
    };
    let (bytes, numbers): (Vec<_>, Vec<_>) = numbers.iter().map(narrow).unzip();
    (bytes.concat(), numbers)
}

/// What is widened exactly gives the bits that widening before would have given.
#[test]
fn all_mixes() {
    let directory = tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let plain = Problem::new([1, 4, 5, 16], [1, 2, 7, 16]);
    let (bias, sinks) = (numbers(35, 3), numbers(4, 4));
    for (index, query_type) in TYPES.into_iter().enumerate() {
        for (next, key_type) in TYPES.into_iter().enumerate() {
            let other_type = TYPES[(index + next) % 3];
            let tensor = |name: &str, shape: &[usize], data: &[f32], dtype: Dtype| {
                let (bytes, widened) = narrow(data, dtype);
                let file = format!("{name}.safetensors");
                write(path(&file), safetensors_file(dtype, shape, &bytes)).unwrap();
                write(path(&format!("{name}.npy")), c_order(shape, &widened)).unwrap();
                widened
            };
            let query = tensor("q", &plain.query_shape, &plain.query, query_type);
            let key = tensor("k", &plain.key_shape, &plain.key, key_type);
            let bias = tensor("b", &[5, 7], &bias, other_type);
            let sinks = tensor("s", &[4], &sinks, other_type);
            let problem = Problem {
                query,
                key,
                bias: Some(Repeated::new(&[5, 7], bias)),
                sinks: Some(sinks),
                ..plain.clone()
            };
            succeed(&run_in(
                directory.path(),
                "weights --query q.safetensors:x --key k.safetensors:x --bias b.safetensors:x \
                 --sinks s.safetensors:x --output narrow.npy",
            ));
            succeed(&run_in(
                directory.path(),
                "weights --query q.npy --key k.npy --bias b.npy --sinks s.npy --output wide.npy",
            ));
            assert_eq!(read(path("narrow.npy")).unwrap(), read(path("wide.npy")).unwrap());
            let result = read_output(&path("narrow.npy"), &plain.shape());
            assert_close(&result, &problem.compute(Stage::Weights), 0.0);
        }
    }
}

#[test]
fn f16_npy_in_both_orders() {
    let directory = tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (query_shape, key_shape) = ([4, 5, 16], [2, 7, 16]);
    let plain = Problem::new([1, 4, 5, 16], [1, 2, 7, 16]);
    let (query_bytes, query) = narrow(&plain.query, Dtype::F16);
    let (key_bytes, key) = narrow(&plain.key, Dtype::F16);
    let (query_elements, _) = query_bytes.as_chunks::<2>();
    let big_endian: Vec<u8> = in_fortran_order(&query_shape, query_elements)
        .into_iter()
        .flat_map(|[low, high]| [high, low])
        .collect();
    write(path("q.npy"), npy(&npy_header(">f2", "True", &query_shape), &big_endian)).unwrap();
    write(path("k.npy"), npy(&npy_header("<f2", "False", &key_shape), &key_bytes)).unwrap();
    let output = run_in(directory.path(), "weights --query q.npy --key k.npy --output w.npy");
    succeed(&output);
    let summary = String::from_utf8(output.stderr).unwrap();
    let part = "weights [4, 5, 7] f32 of query f16 [4, 5, 16] and key f16 [2, 7, 16]: ";
    assert!(summary.contains(part), "{summary}");
    let problem = Problem { query, key, ..plain };
    let result = read_output(&path("w.npy"), &[4, 5, 7]);
    assert_close(&result, &problem.compute(Stage::Weights), 0.0);
}

#[test]
fn f16_out() {
    let directory = tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let problem = Problem::new([1, 4, 5, 16], [1, 2, 7, 16]);
    write(path("q.npy"), c_order(&problem.query_shape, &problem.query)).unwrap();
    write(path("k.npy"), c_order(&problem.key_shape, &problem.key)).unwrap();
    for (name, stage) in [("weights", Stage::Weights), ("scores", Stage::Scores)] {
        let words = "weights --query q.npy --key k.npy --output w.npy --dtype f16 --plot w.svg";
        let output = run_in(directory.path(), &format!("{words} --stage {name}"));
        succeed(&output);
        let summary = String::from_utf8(output.stderr).unwrap();
        assert!(
            summary.starts_with(&format!("{name} [1, 4, 5, 7] f16 of query f32 ")),
            "{summary}"
        );
        let result = read_f16_output(&path("w.npy"), &problem.shape());
        assert_close(&result, &problem.compute(stage), F16_ROUNDING);
    }
}

/// Bits from the formats' definitions: 1 · -2 + 0.5 · 4 = 0, and 1 · 0.25 + 0.5 · 1 = 0.75.
#[test]
fn known_bits() {
    let directory = tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let little =
        |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let query = npy(&npy_header("<f2", "False", &[1, 2]), &little(&[0x3c00, 0x3800]));
    write(path("q.npy"), query).unwrap();
    let key = little(&[0xc000, 0x4080, 0x3e80, 0x3f80]);
    write(path("k.safetensors"), safetensors_file(Dtype::BF16, &[2, 2], &key)).unwrap();
    let words =
        "weights --query q.npy --key k.safetensors:x --output w.npy --stage scores --scale 1";
    succeed(&run_in(directory.path(), words));
    assert_eq!(read_output(&path("w.npy"), &[1, 2]), [0.0, 0.75]);
    succeed(&run_in(directory.path(), &format!("{words} --dtype f16")));
    let expected = npy(&npy_header("<f2", "False", &[1, 2]), &little(&[0, 0x3a00]));
    assert_eq!(read(path("w.npy")).unwrap(), expected);
}
