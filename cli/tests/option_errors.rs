//! What the options between scores and weights refuse, with which words, and that nothing is
//! written then.

mod common;

use common::files::{bool_npy, c_order, npy, npy_header, safetensors_file};
use common::{names, numbers, refused, run_in, succeed};
use safetensors::Dtype;
use std::fs::write;
use std::path::Path;

const FILES: &str = "weights --query q.npy --key k.npy --output w.npy";

/// A directory with a query and key that fit each other: 2 batch entries, 4 heads on 2, 3 rows,
/// 5 keys.
fn good_files() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    write(path("q.npy"), c_order(&[2, 4, 3, 8], &numbers(192, 1))).unwrap();
    write(path("k.npy"), c_order(&[2, 2, 5, 8], &numbers(160, 2))).unwrap();
    directory
}

/// Runs with these options, expects a refusal in these words, and that the directory is as before.
#[track_caller]
fn refuses(directory: &Path, options: &str, expected: &str) {
    let before = names(directory);
    let line = refused(&run_in(directory, &format!("{FILES} {options}")));
    assert!(line.starts_with(&format!("error: {expected}")), "expected {expected:?} in {line:?}");
    assert_eq!(names(directory), before);
}

#[test]
fn values() {
    let directory = good_files();
    let cases = [
        ("--softcap 0", "--softcap: expected a finite number above 0, found 0"),
        ("--softcap -2.5", "--softcap: expected a finite number above 0, found -2.5"),
        ("--softcap NaN", "--softcap: expected a finite number above 0, found NaN"),
        ("--softcap inf", "--softcap: expected a finite number above 0, found inf"),
        ("--scale inf", "--scale: expected a finite number, found inf"),
        (
            "--key-lengths 5",
            "--key-lengths: expected one for each batch entry, here 2, found length 1",
        ),
        ("--key-lengths 5,6", "--key-lengths: expected at most 5 (as the key), found 6 for batch"),
    ];
    for (options, expected) in cases {
        refuses(directory.path(), options, expected);
    }
}

#[test]
fn masks() {
    let directory = good_files();
    let file =
        |name: &str, contents: Vec<u8>| write(directory.path().join(name), contents).unwrap();
    let mask = |shape: &[usize]| bool_npy(shape, &vec![true; shape.iter().product()]);
    let cases = [
        (c_order(&[3, 5], &[1.0; 15]), " m.npy: expected bool ('|b1') or u8 ('|u1'), found '<f4'"),
        (
            npy(&npy_header("|u1", "False", &[5]), &[1, 0, 7, 1, 2]),
            " m.npy: expected 1 (attend) and",
        ),
        (npy(&npy_header("|b1", "False", &[5]), &[1, 0, 1]), " m.npy: expected 5 bytes of data"),
        (
            npy(&npy_header("|b1", "False", &[]), &[1]),
            " m.npy: expected 1 to 4 axes, found shape []",
        ),
        (mask(&[1, 1, 1, 3, 5]), " m.npy: expected 1 to 4 axes"),
        (mask(&[3, 4]), ": expected 5 columns (keys) (as the result, or 1), found 4"),
        (mask(&[2, 5]), ": expected 3 rows (as the result, or 1), found 2"),
        (mask(&[2, 3, 5]), ": expected 4 heads (as the result, or 1), found 2"),
        (mask(&[3, 4, 3, 5]), ": expected 2 batch entries (as the result, or 1), found 3"),
        (mask(&[0, 5]), ": expected 3 rows (as the result, or 1), found 0"),
    ];
    for (contents, expected) in cases {
        file("m.npy", contents);
        refuses(directory.path(), "--mask m.npy", &format!("--mask{expected}"));
    }
    file("m.safetensors", safetensors_file(Dtype::I8, &[5], &[1; 5]));
    let expected = "--mask m.safetensors:x: expected dtype BOOL or U8, found I8";
    refuses(directory.path(), "--mask m.safetensors:x", expected);
    refuses(directory.path(), "--mask none.npy", "--mask none.npy: ");
}

#[test]
fn biases() {
    let directory = good_files();
    let file =
        |name: &str, contents: Vec<u8>| write(directory.path().join(name), contents).unwrap();
    let cases = [
        (bool_npy(&[5], &[true; 5]), " b.npy: expected f32 ('<f4') or f16 ('<f2'), found '|b1'"),
        (
            npy(&npy_header("<V2", "False", &[5]), &[0; 10]),
            " b.npy: expected f32 ('<f4') or f16 ('<f2'), found '<V2'",
        ),
        (
            npy(&npy_header("|f2", "False", &[5]), &[0; 10]),
            " b.npy: expected f32 ('<f4') or f16 ('<f2'), found '|f2'",
        ),
        (
            npy(&npy_header("<f2", "False", &[5]), &[0; 20]),
            " b.npy: expected 10 bytes of data for shape [5], found 20",
        ),
        (
            c_order(&[3, 4], &[0.0; 12]),
            ": expected 5 columns (keys) (as the result, or 1), found 4",
        ),
    ];
    for (contents, expected) in cases {
        file("b.npy", contents);
        refuses(directory.path(), "--bias b.npy", &format!("--bias{expected}"));
    }
    file("b.safetensors", safetensors_file(Dtype::F64, &[5], &[0; 40]));
    let expected = "--bias b.safetensors:x: expected dtype F32 or F16 or BF16, found F64";
    refuses(directory.path(), "--bias b.safetensors:x", expected);
    refuses(directory.path(), "--bias b.safetensors:x[0]", "--bias b.safetensors:x[0]: expected");
}

#[test]
fn sinks() {
    let directory = good_files();
    let file = |contents: Vec<u8>| write(directory.path().join("s.npy"), contents).unwrap();
    file(c_order(&[1, 4], &[0.0; 4]));
    let expected = "--sinks s.npy: expected 1 axis, found shape [1, 4]";
    refuses(directory.path(), "--sinks s.npy", expected);
    file(c_order(&[2], &[0.0; 2]));
    let expected = "--sinks: expected one for each query head, here 4, found length 2";
    refuses(directory.path(), "--sinks s.npy", expected);
}

/// Files without elements may claim any number of heads.
#[test]
fn heads_without_elements() {
    let directory = good_files();
    let file = |name: &str, shape: &[usize]| {
        write(directory.path().join(name), c_order(shape, &[])).unwrap();
    };
    file("q.npy", &[1 << 40, 0, 8]);
    file("k.npy", &[1 << 40, 0, 8]);
    let expected = "--alibi: expected at most 1048576 query heads, found 1099511627776";
    refuses(directory.path(), "--alibi", expected);
    file("q.npy", &[0, 3, 8]);
    file("k.npy", &[0, 5, 8]);
    succeed(&run_in(directory.path(), &format!("{FILES} --alibi --causal top-left")));
    let expected = "--plot: expected heads and batch entries, found a result [0, 3, 5]";
    refuses(directory.path(), "--plot w.svg", expected);
}

#[test]
fn usage() {
    let directory = good_files();
    let before = names(directory.path());
    let window = "'--window <L,R>': expected two numbers of keys, either empty";
    let causal = "expected top-left, bottom-right or the key at which row 0 stands";
    let cases = [
        ("--window 5", window),
        ("--window 5,x", window),
        ("--window 1,2,3", window),
        ("--window 1.5,2", window),
        ("--window=-1,2", window),
        ("--window", "--window <L,R>"),
        ("--causal sideways", causal),
        ("--causal 1.5", causal),
        ("--causal 99999999999999999999", causal),
        ("--key-lengths 3,x", "--key-lengths"),
        ("--key-lengths 3,,4", "--key-lengths"),
        ("--key-lengths=-3,4", "--key-lengths"),
        ("--softcap much", "--softcap"),
        ("--mask m.txt", "expected FILE.npy or FILE.safetensors:TENSOR"),
        ("--bias b", "expected FILE.npy or FILE.safetensors:TENSOR"),
        ("--sinks 1,2,3,4", "expected FILE.npy or FILE.safetensors:TENSOR"),
        ("--stage logits", "[possible values: scores, capped, biased, weights]"),
        ("--dtype bf16", "expected f32 or f16: .npy has no bf16"),
        ("--dtype f64", "expected f32 or f16"),
        ("--alibi 8", "unexpected argument '8'"),
    ];
    for (options, part) in cases {
        let output = run_in(directory.path(), &format!("{FILES} {options}"));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options}: {stderr}");
        assert!(output.stdout.is_empty() && stderr.starts_with("error: "), "{options}: {stderr}");
        assert!(stderr.contains(part), "{options}: {stderr}");
    }
    assert_eq!(names(directory.path()), before);
}

#[test]
fn help_names_every_option() {
    let help = succeed(&run_in(&std::env::temp_dir(), "weights --help"));
    for option in [
        "--softcap <C>",
        "--bias <FILE>",
        "--alibi",
        "--mask <FILE>",
        "--causal <top-left|bottom-right|OFFSET>",
        "--window <L,R>",
        "--key-lengths <N,..>",
        "--sinks <FILE>",
        "--dtype <TYPE>",
        ".npy has no bf16",
    ] {
        assert!(help.contains(option), "{option}: {help}");
    }
}
