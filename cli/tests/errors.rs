//! What is refused, with which words, and that nothing is written then.

mod common;

use common::files::{c_order, npy, npy_header};
use common::{names, numbers, refused, run_in};
use safetensors::{Dtype, tensor::TensorView};
use std::fs::{create_dir, read, write};
use std::path::Path;

const FILES: &str = "weights --query q.npy --key k.npy --output w.npy";

/// A directory with a query and key that fit each other.
fn good_files() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path().join("q.npy"), c_order(&[3, 4], &numbers(12, 1))).unwrap();
    write(directory.path().join("k.npy"), c_order(&[5, 4], &numbers(20, 2))).unwrap();
    directory
}

/// Runs, expects a refusal with these words, and that the directory is as before.
#[track_caller]
fn refuses(directory: &Path, words: &str, parts: &[&str]) {
    let before = names(directory);
    let line = refused(&run_in(directory, words));
    for part in parts {
        assert!(line.contains(part), "expected {part:?} in {line:?}");
    }
    assert_eq!(names(directory), before);
}

/// Arrays that are no query, and what the error has to say.
fn bad_npy() -> Vec<(Vec<u8>, &'static str)> {
    let good = c_order(&[3, 4], &numbers(12, 1));
    let with = |header: &str| npy(header, &[0; 48]);
    let shaped = |shape: &str| {
        with(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"))
    };
    let long_header = [b"\x93NUMPY\x02\x00", &u32::MAX.to_le_bytes()[..], b"{"].concat();
    let (deep, unended) = ("[".repeat(9000), "{'descr': '<f4".to_owned());
    vec![
        (Vec::new(), "expected a .npy file"),
        (good[..5].to_vec(), "expected a .npy file"),
        (good[..9].to_vec(), "ends inside its header"),
        (good[..60].to_vec(), "header"),
        (good[..good.len() - 1].to_vec(), "expected 48 bytes of data for shape [3, 4], found 47"),
        ([&good[..], &[0]].concat(), "found 49"),
        (b"\x93NUMPY\x09\x00".to_vec(), "version"),
        (b"PK\x03\x04 zipped".to_vec(), "another magic"),
        (long_header, "found one of 4294967295"),
        (with(&deep), "expected {"),
        (with(&unended), "closing quote"),
        (
            with(&npy_header("<f8", "False", &[3, 2])),
            "expected f32 ('<f4') or f16 ('<f2'), found '<f8'",
        ),
        (
            with(&npy_header("<V2", "False", &[3, 8])),
            "found '<V2' (bf16? .npy has no name for it: save f32, or .safetensors)",
        ),
        (with(&npy_header("<f4", "Maybe", &[3, 4])), "expected False"),
        (
            with("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (12,)}"),
            "expected one element type",
        ),
        (with("{'descr': '<f4', 'shape': (3, 4)}"), "expected fortran_order"),
        (with("{'descr': '<f4', 'x': 1}"), "found \"x\""),
        (shaped("(-3, 4)"), "expected an extent"),
        (shaped("(3.5, 4)"), "expected )"),
        (shaped("(12,)"), "expected 2 to 4 axes, found shape [12]"),
        (shaped("(1, 1, 1, 3, 4)"), "expected 2 to 4 axes"),
        (shaped("(1099511627776, 1099511627776)"), "fits in memory"),
        (shaped("(99999999999999999999999, 4)"), "expected an extent"),
        (shaped("(1073741824, 1024)"), "expected 4398046511104 bytes of data"),
        (shaped("(3, 4)} + {"), "expected"),
        (shaped("(6, 2)"), "--key: expected 2"),
        (
            shaped("(1, 3, 4)"),
            "--key: expected as many axes as query [1, 3, 4], found [5, 4]; --key would fit as [1, 5, 4]",
        ),
    ]
}

#[test]
fn arrays() {
    let directory = good_files();
    for (file, words) in bad_npy() {
        write(directory.path().join("q.npy"), file).unwrap();
        let named: &[&str] =
            if words.starts_with("--key: ") { &[words] } else { &[words, "--query q.npy"] };
        refuses(directory.path(), FILES, named);
    }
}

/// Safetensors with this header's text and these bytes of data.
fn safetensors_file(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn safetensors_files() {
    let directory = good_files();
    let path = directory.path().join("x.safetensors");
    let whole =
        safetensors_file(r#"{"q":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]}}"#, 48);
    let huge = r#"{"q":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,48]}}"#;
    let outside = r#"{"q":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]}}"#;
    let cases = [
        (Vec::new(), "expected a safetensors file"),
        (whole[..30].to_vec(), "expected a header of at most 22 bytes"),
        (whole[..whole.len() - 4].to_vec(), "expected 48 bytes of data, found 44"),
        (u64::MAX.to_le_bytes().to_vec(), "found one of 18446744073709551615"),
        (safetensors_file("{", 0), "safetensors header"),
        (safetensors_file(&"[".repeat(5000), 0), "safetensors header"),
        (safetensors_file(huge, 48), "safetensors header"),
        (safetensors_file(outside, 48), "expected 64 bytes of data, found 48"),
    ];
    for (file, words) in cases {
        write(&path, file).unwrap();
        let query = "weights --query x.safetensors:q --key k.npy --output w.npy";
        refuses(directory.path(), query, &[words, "--query x.safetensors:q"]);
    }
}

#[test]
fn tensors() {
    let directory = good_files();
    let data = [0; 48];
    let view = |dtype, shape: &[usize]| TensorView::new(dtype, shape.to_vec(), &data).unwrap();
    let tensors = [("beta", view(Dtype::F32, &[1, 3, 4])), ("alpha", view(Dtype::F64, &[3, 2]))];
    let file = safetensors::serialize(tensors, None).unwrap();
    write(directory.path().join("x.safetensors"), file).unwrap();
    let cases = [
        ("", "expected one of the tensors alpha, beta, as FILE.safetensors:TENSOR"),
        (":gamma", "expected one of the tensors alpha, beta; found no \"gamma\""),
        (":alpha", "expected dtype F32 or F16 or BF16, found F64"),
        (":beta[1]", "expected an index below 1 on axis 0 of shape [1, 3, 4], found 1"),
        (":beta[0][0]", "expected 2 to 4 axes, found shape [4]"),
        (":beta[0,0,0,0]", "expected at most 3 indices"),
    ];
    for (tensor, words) in cases {
        let query = format!("weights --query x.safetensors{tensor} --key k.npy --output w.npy");
        refuses(directory.path(), &query, &[words, "--query x.safetensors"]);
    }
}

#[test]
fn places() {
    let directory = good_files();
    create_dir(directory.path().join("directory.npy")).unwrap();
    let cases = [
        ("--query none.npy --key k.npy --output w.npy", "--query none.npy: "),
        ("--query directory.npy --key k.npy --output w.npy", "expected a regular file"),
        ("--query q.npy --key none.npy --output w.npy", "--key none.npy: "),
        ("--query q.npy --key k.npy --output none/w.npy", "--output none/w.npy: "),
        ("--query q.npy --key k.npy --output directory.npy", "expected a file's name"),
        ("--query q.npy --key k.npy --output w.npy --plot none/w.png", "--plot none/w.png: "),
        // The output is checked before the input is read.
        ("--query none.npy --key none.npy --output none/w.npy", "--output none/w.npy: "),
    ];
    for (words, part) in cases {
        refuses(directory.path(), &format!("weights {words}"), &[part]);
    }
}

#[test]
fn values() {
    let directory = good_files();
    refuses(
        directory.path(),
        &format!("{FILES} --scale NaN"),
        &["--scale: expected a finite number"],
    );
    let wide = numbers(600 * 4, 3);
    write(directory.path().join("q.npy"), c_order(&[600, 4], &wide)).unwrap();
    let words = ["--plot: expected 1 to 512 query rows and keys, found 600 and 5"];
    refuses(directory.path(), &format!("{FILES} --plot w.png"), &words);
}

#[test]
fn an_output_from_before_stays() {
    let directory = good_files();
    let output = directory.path().join("w.npy");
    write(&output, "old").unwrap();
    write(directory.path().join("k.npy"), c_order(&[5, 3], &numbers(15, 2))).unwrap();
    refuses(directory.path(), FILES, &["key: expected 4"]);
    assert_eq!(read(&output).unwrap(), b"old");
}

/// What the query lacks is the query's to get.
#[test]
fn a_key_of_more_axes() {
    let directory = good_files();
    write(directory.path().join("k.npy"), c_order(&[1, 1, 5, 4], &numbers(20, 2))).unwrap();
    let words = "--key: expected as many axes as query [3, 4], found [1, 1, 5, 4]; --query would fit \
                 as [1, 1, 3, 4]";
    refuses(directory.path(), FILES, &[words]);
}

#[test]
fn command_lines() {
    let directory = good_files();
    let before = names(directory.path());
    let cases = [
        ("weights --query q.npy --key k.npy", "--output"),
        ("weights --query q.txt --key k.npy --output w.npy", "FILE.safetensors:TENSOR"),
        ("weights --query x.safetensors:q[a] --key k.npy --output w.npy", "indices"),
        ("weights --query q.npy --key k.npy --output w.txt", "ends in .npy"),
        ("weights --query q.npy --key k.npy --output w.npy --threads 0", "from 1 to"),
        ("weights --query q.npy --key k.npy --output w.npy --stage both", "--stage"),
        ("weights --query q.npy --key k.npy --output w.npy --isa sse9", "sse9"),
        ("weights --query q.npy --key k.npy --output w.npy --plot w.gif", ".png or .svg"),
        ("demo --plot w.gif", ".png or .svg"),
        ("demo --text dog", "cat, story"),
        ("demo --layer one", "--layer"),
        ("paint", "paint"),
    ];
    for (words, part) in cases {
        let output = run_in(directory.path(), words);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {stderr}");
        assert!(output.stdout.is_empty() && stderr.starts_with("error: "), "{words}: {stderr}");
        assert!(stderr.contains(part), "{words}: {stderr}");
    }
    assert_eq!(names(directory.path()), before);
}
