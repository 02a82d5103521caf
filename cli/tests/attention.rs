//! `softdot attention`: its results against the definition, what it refuses, and that files appear
//! together or not at all.

mod common;

use common::definition::{Problem, Repeated, assert_close};
use common::files::{
    bool_npy, c_order, fortran_order, npy, npy_header, read_f16_output, read_f64_output,
    read_output, safetensors_file,
};
use common::{names, numbers, refused, run_in, succeed};
use half::{bf16, f16};
use safetensors::Dtype;
use softdot::{Causal, Isa};
use std::fs::{read, write};
use std::path::Path;
use tempfile::{TempDir, tempdir};

const FILES: &str = "attention --query q.npy --key k.npy --value v.npy --output o.npy";
const ALL: &str = "--weights w.npy --lse l.npy --max-logit m.npy --max-weight x.npy \
                   --entropy e.npy --key-mass s.npy";

/// A problem with values, and the axes that its files have.
struct Case {
    problem: Problem,
    value: Vec<f32>,
    v_dim: usize,
    axes: usize,
}

impl Case {
    fn new(problem: Problem, v_dim: usize, axes: usize) -> Self {
        let [batch, kv_heads, keys, _] = problem.key_shape;
        let value = numbers(batch * kv_heads * keys * v_dim, 6);
        Self { problem, value, v_dim, axes }
    }

    /// Grouped heads, more keys than rows, values of another width than keys.
    fn grouped() -> Self {
        Self::new(Problem::new([2, 4, 5, 9], [2, 2, 7, 9]), 6, 4)
    }

    fn value_shape(&self) -> [usize; 4] {
        let [batch, kv_heads, keys, _] = self.problem.key_shape;
        [batch, kv_heads, keys, self.v_dim]
    }

    /// The shape that a file has: without the leading axes.
    fn file_shape<'a>(&self, shape: &'a [usize; 4]) -> &'a [usize] {
        &shape[4 - self.axes..]
    }

    fn write(&self, directory: &Path, file: impl Fn(&[usize], &[f32]) -> Vec<u8>) {
        let Problem { query_shape, key_shape, query, key, .. } = &self.problem;
        let value_shape = self.value_shape();
        for (name, shape, data) in [
            ("q.npy", query_shape, query),
            ("k.npy", key_shape, key),
            ("v.npy", &value_shape, &self.value),
        ] {
            write(directory.join(name), file(self.file_shape(shape), data)).unwrap();
        }
    }

    fn directory(&self) -> TempDir {
        let directory = tempdir().unwrap();
        self.write(directory.path(), c_order);
        directory
    }

    fn output_shape(&self) -> [usize; 4] {
        let [batch, q_heads, query_rows, _] = self.problem.query_shape;
        [batch, q_heads, query_rows, self.v_dim]
    }

    /// Runs with these options and all results, compares them, and returns the summary.
    #[track_caller]
    fn check(&self, directory: &Path, options: &str) -> String {
        let output = run_in(directory, &format!("{FILES} {ALL} {options}"));
        succeed(&output);
        let (problem, output_shape) = (&self.problem, self.output_shape());
        let found = |name: &str, shape: &[usize]| read_output(&directory.join(name), shape);
        let expected = problem.output(&self.value, self.v_dim);
        assert_close(&found("o.npy", self.file_shape(&output_shape)), &expected, 0.0);
        let expected = problem.compute(common::definition::Stage::Weights);
        assert_close(&found("w.npy", self.file_shape(&problem.shape())), &expected, 0.0);
        let rows = || expected.chunks(problem.shape()[3].max(1));
        let largest = |row: &[f64]| row.iter().copied().fold(0.0, f64::max);
        let term = |&w: &f64| if w > 0.0 { -w * w.ln() } else { 0.0 };
        let entropy = |row: &[f64]| row.iter().map(term).sum();
        let (largest, entropy): (Vec<f64>, Vec<f64>) =
            (rows().map(largest).collect(), rows().map(entropy).collect());
        let rows = &output_shape[4 - self.axes..3];
        assert_close(&found("l.npy", rows), &problem.lse(), 0.0);
        assert_close(&found("m.npy", rows), &problem.max_logit(), 0.0);
        assert_close(&found("x.npy", rows), &largest, 0.0);
        assert_close(&found("e.npy", rows), &entropy, 0.0);
        self.check_mass(directory, &expected, output_shape[2]);
        String::from_utf8(output.stderr).unwrap()
    }

    /// Compares the mass of the last rows with that of these weights, as means of a row's share.
    #[track_caller]
    fn check_mass(&self, directory: &Path, weights: &[f64], last_rows: usize) {
        let [batch, q_heads, query_rows, keys] = self.problem.shape();
        let expected = weights.chunks(query_rows * keys).flat_map(|head| {
            let mean = move |key| {
                let column = head.iter().skip(key).step_by(keys);
                column.skip(query_rows - last_rows).sum::<f64>() / last_rows as f64
            };
            (0..keys).map(mean)
        });
        let shape = [batch, q_heads, keys];
        let found = read_f64_output(&directory.join("s.npy"), &shape[4 - self.axes..]);
        let found: Vec<f32> =
            found.into_iter().map(|mass| (mass / last_rows as f64) as f32).collect();
        assert_close(&found, &expected.collect::<Vec<_>>(), 0.0);
    }
}

#[test]
fn two_three_and_four_axes_in_both_orders() {
    let directory = tempdir().unwrap();
    for case in [
        Case::new(Problem::new([1, 1, 3, 5], [1, 1, 7, 5]), 4, 2),
        Case::new(Problem::new([1, 4, 3, 5], [1, 2, 7, 5]), 1, 3),
        Case::new(Problem::new([2, 3, 4, 9], [2, 3, 6, 9]), 17, 4),
    ] {
        case.write(directory.path(), c_order);
        case.check(directory.path(), "");
        case.write(directory.path(), fortran_order);
        case.check(directory.path(), "");
    }
    assert_eq!(names(directory.path()).len(), 10, "no temporary file stays");
}

#[test]
fn every_option() {
    let mut case = Case::grouped();
    let mut bias = numbers(4 * 5 * 7, 3);
    bias.iter_mut().step_by(5).for_each(|bias| *bias = f32::NEG_INFINITY);
    let mask: Vec<bool> = numbers(2 * 5 * 7, 4).iter().map(|&number| number > -0.4).collect();
    case.problem = Problem {
        scale: Some(0.75),
        softcap: Some(2.0),
        bias: Some(Repeated::new(&[4, 5, 7], bias)),
        slopes: Some((1..=4).map(|head| 0.25f64.powi(head)).collect()),
        mask: Some(Repeated::new(&[2, 1, 5, 7], mask)),
        causal: Some(Causal::Offset(1)),
        window: (Some(4), None),
        key_lengths: Some(vec![7, 4]),
        sinks: Some(numbers(4, 5)),
        ..case.problem
    };
    let directory = case.directory();
    let path = |name: &str| directory.path().join(name);
    let Problem { bias, mask, sinks, .. } = &case.problem;
    let (bias, mask) = (bias.as_ref().unwrap(), mask.as_ref().unwrap());
    write(path("bias.npy"), c_order(&bias.shape, &bias.data)).unwrap();
    write(path("mask.npy"), bool_npy(&mask.shape, &mask.data)).unwrap();
    write(path("sinks.npy"), c_order(&[4], sinks.as_ref().unwrap())).unwrap();
    let options = "--scale 0.75 --softcap 2 --bias bias.npy --alibi --mask mask.npy --causal 1 \
                   --window 4, --key-lengths 7,4 --sinks sinks.npy";
    let summary = case.check(directory.path(), options);
    let parts = "scale 0.75, key lengths [7, 4], softcap 2, bias f32 [4, 5, 7], ALiBi, \
                 mask [2, 1, 5, 7], causal from key 1, window 4 before, ∞ after, sinks: ";
    assert!(summary.contains(parts), "{summary}");
}

#[test]
fn rows_without_keys_are_zero() {
    let mut case = Case::grouped();
    case.problem.key_lengths = Some(vec![7, 0]);
    let directory = case.directory();
    case.check(directory.path(), "--key-lengths 7,0");
    let lse = read_output(&directory.path().join("l.npy"), &[2, 4, 5]);
    assert!(lse[..20].iter().all(|lse| lse.is_finite()));
    assert_eq!(lse[20..], [f32::NEG_INFINITY; 20]);
}

#[test]
fn the_output_by_itself() {
    let case = Case::grouped();
    let directory = case.directory();
    let output = run_in(directory.path(), FILES);
    assert!(succeed(&output).is_empty());
    let summary = String::from_utf8(output.stderr).unwrap();
    let isa = Isa::available().last().unwrap();
    assert_eq!(summary.lines().count(), 1, "{summary}");
    let start = "output [2, 4, 5, 6] f32 of query f32 [2, 4, 5, 9], key f32 [2, 2, 7, 9] and value \
                 f32 [2, 2, 7, 6]: ";
    assert!(summary.starts_with(&format!("{start}{isa}, 1 thread, ")), "{summary}");
    assert!(summary.ends_with(" ms, written to o.npy\n"), "{summary}");
    let result = read_output(&directory.path().join("o.npy"), &[2, 4, 5, 6]);
    assert_close(&result, &case.problem.output(&case.value, case.v_dim), 0.0);
    assert_eq!(names(directory.path()).len(), 4);

    // Beside others it has the same bits.
    let summary = case.check(directory.path(), "");
    let end = "written to o.npy, weights to w.npy, lse to l.npy, max logit to m.npy, \
               max weight to x.npy, entropy to e.npy, key mass to s.npy\n";
    assert!(summary.ends_with(end), "{summary}");
    let again = read_output(&directory.path().join("o.npy"), &[2, 4, 5, 6]);
    assert_eq!(common::bits(&again), common::bits(&result));
}

#[test]
fn isa_and_threads_do_not_change_a_bit() {
    // Work enough to be shared.
    let case = Case::new(Problem::new([1, 2, 96, 64], [1, 2, 128, 64]), 64, 3);
    let directory = case.directory();
    let run = |options: &str| {
        let output = run_in(directory.path(), &format!("{FILES} --lse l.npy {options}"));
        succeed(&output);
        let files = ["o.npy", "l.npy"].map(|name| read(directory.path().join(name)).unwrap());
        (String::from_utf8(output.stderr).unwrap(), files)
    };
    let (summary, files) = run("--threads 3");
    assert!(summary.contains(", 3 threads, "), "{summary}");
    let (summary, scalar) = run("--threads 1 --isa scalar");
    assert!(summary.contains("scalar, 1 thread, "), "{summary}");
    assert!(files == scalar);
}

/// f16 is the type of output and weights alone.
#[test]
fn f16_out() {
    const ROUNDING: f64 = 1.0 / 2048.0;
    let case = Case::grouped();
    let directory = case.directory();
    let output = run_in(directory.path(), &format!("{FILES} {ALL} --dtype f16"));
    succeed(&output);
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("output [2, 4, 5, 6] f16 of "));
    let (path, problem) = (|name: &str| directory.path().join(name), &case.problem);
    let result = read_f16_output(&path("o.npy"), &[2, 4, 5, 6]);
    assert_close(&result, &problem.output(&case.value, case.v_dim), ROUNDING);
    let weights = read_f16_output(&path("w.npy"), &[2, 4, 5, 7]);
    assert_close(&weights, &problem.compute(common::definition::Stage::Weights), ROUNDING);
    assert_close(&read_output(&path("l.npy"), &[2, 4, 5]), &problem.lse(), 0.0);
    assert_close(&read_output(&path("m.npy"), &[2, 4, 5]), &problem.max_logit(), 0.0);
}

/// What is widened exactly gives the bits that widening before would have given.
#[test]
fn values_of_other_types() {
    let case = Case::grouped();
    let directory = case.directory();
    let path = |name: &str| directory.path().join(name);
    let file = |dtype, data: Vec<[u8; 2]>| {
        write(path("v.safetensors"), safetensors_file(dtype, &case.value_shape(), &data.concat()))
    };
    let narrow: Vec<f16> = case.value.iter().map(|&number| f16::from_f32(number)).collect();
    let widened: Vec<f32> = narrow.iter().map(|number| number.to_f32()).collect();
    let bf16: Vec<bf16> = case.value.iter().map(|&number| bf16::from_f32(number)).collect();
    let widened_bf16: Vec<f32> = bf16.iter().map(|number| number.to_f32()).collect();
    for (dtype, bytes, widened) in [
        (Dtype::F16, narrow.iter().map(|number| number.to_le_bytes()).collect(), widened),
        (Dtype::BF16, bf16.iter().map(|number| number.to_le_bytes()).collect(), widened_bf16),
    ] {
        file(dtype, bytes).unwrap();
        write(path("v.npy"), c_order(&case.value_shape(), &widened)).unwrap();
        let words = "attention --query q.npy --key k.npy --value v.safetensors:x --output n.npy";
        succeed(&run_in(directory.path(), words));
        succeed(&run_in(directory.path(), FILES));
        assert_eq!(read(path("n.npy")).unwrap(), read(path("o.npy")).unwrap());
    }
}

#[test]
fn empty_axes() {
    let directory = tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    write(path("q.npy"), c_order(&[3, 5], &numbers(15, 1))).unwrap();
    write(path("k.npy"), c_order(&[0, 5], &[])).unwrap();
    write(path("v.npy"), c_order(&[0, 2], &[])).unwrap();
    succeed(&run_in(directory.path(), &format!("{FILES} {ALL}")));
    assert_eq!(read_output(&path("o.npy"), &[3, 2]), [0.0; 6]);
    assert!(read_output(&path("w.npy"), &[3, 0]).is_empty());
    assert_eq!(read_output(&path("l.npy"), &[3]), [f32::NEG_INFINITY; 3]);
    assert!(read_f64_output(&path("s.npy"), &[0]).is_empty());

    // No row has attended to any key.
    write(path("q.npy"), c_order(&[0, 5], &[])).unwrap();
    write(path("k.npy"), c_order(&[4, 5], &numbers(20, 1))).unwrap();
    write(path("v.npy"), c_order(&[4, 2], &numbers(8, 1))).unwrap();
    succeed(&run_in(directory.path(), &format!("{FILES} {ALL} --mass-rows 0")));
    assert_eq!(read_f64_output(&path("s.npy"), &[4]), [0.0; 4]);
}

#[test]
fn the_mass_of_the_last_rows() {
    let mut case = Case::grouped();
    case.problem.causal = Some(Causal::BottomRight);
    let directory = case.directory();
    let options = "--causal bottom-right --key-mass s.npy --mass-rows";
    for rows in [1, 3, 5] {
        let output = run_in(directory.path(), &format!("{FILES} {options} {rows}"));
        succeed(&output);
        let summary = String::from_utf8(output.stderr).unwrap();
        let end = format!(", key mass of the last {rows} query rows to s.npy\n");
        assert!(summary.ends_with(&end), "{summary}");
        let weights = case.problem.compute(common::definition::Stage::Weights);
        case.check_mass(directory.path(), &weights, rows);
    }
}

#[test]
fn draws_the_weights() {
    let directory = Case::grouped().directory();
    succeed(&run_in(directory.path(), &format!("{FILES} --plot w.svg")));
    let svg = std::fs::read_to_string(directory.path().join("w.svg")).unwrap();
    let title = "Attention weights, batch 0, head 0";
    assert!(svg.lines().any(|line| line == title), "{svg}");
    assert_eq!(names(directory.path()).len(), 5, "the weights are in the picture alone");
}

/// Runs, expects a refusal that starts like this, and that the directory is as before.
#[track_caller]
fn refuses(directory: &Path, words: &str, expected: &str) {
    let before = names(directory);
    let line = refused(&run_in(directory, words));
    assert!(line.starts_with(&format!("error: {expected}")), "expected {expected:?} in {line:?}");
    assert_eq!(names(directory), before);
}

#[test]
fn refuses_values_that_do_not_fit() {
    let directory = Case::grouped().directory();
    let value = |shape: &[usize]| c_order(shape, &numbers(shape.iter().product(), 7));
    for (contents, expected) in [
        (value(&[2, 2, 6, 6]), ": expected 7 rows (keys) (as the key), found 6"),
        (value(&[2, 4, 7, 6]), ": expected 2 heads (as the key), found 4"),
        (value(&[3, 2, 7, 6]), ": expected 2 batch entries (as the query, or 1), found 3"),
        (value(&[2, 7, 6]), ": expected as many axes as query [2, 4, 5, 9], found [2, 7, 6]"),
        (value(&[7]), " v.npy: expected 2 to 4 axes, found shape [7]"),
        (npy(&npy_header("<f8", "False", &[2, 2]), &[0; 32]), " v.npy: expected f32 ('<f4')"),
        (Vec::new(), " v.npy: expected a .npy file"),
    ] {
        write(directory.path().join("v.npy"), contents).unwrap();
        refuses(directory.path(), &format!("{FILES} {ALL}"), &format!("--value{expected}"));
    }
    let words = "attention --query q.npy --key k.npy --value none.npy --output o.npy";
    refuses(directory.path(), words, "--value none.npy: ");
}

#[test]
fn refuses_places_and_numbers() {
    let directory = Case::grouped().directory();
    for (options, expected) in [
        ("--lse none/l.npy", "--lse none/l.npy: "),
        ("--weights none/w.npy", "--weights none/w.npy: "),
        ("--lse l.npy --max-logit none/m.npy", "--max-logit none/m.npy: "),
        ("--plot none/w.png", "--plot none/w.png: "),
        ("--lse o.npy", "--lse o.npy: expected a file of its own, found that of --output"),
        (
            "--lse l.npy --max-logit ./l.npy",
            "--max-logit ./l.npy: expected a file of its own, found that of --lse",
        ),
        ("--scale NaN", "--scale: expected a finite number"),
        (
            "--key-mass s.npy --mass-rows 6",
            "--mass-rows: expected at most 5 (rows of the query), found 6",
        ),
        ("--key-lengths 8,1", "--key-lengths: expected at most 7"),
    ] {
        refuses(directory.path(), &format!("{FILES} {options}"), expected);
    }
}

#[test]
fn files_from_before_stay() {
    let directory = Case::grouped().directory();
    let path = |name: &str| directory.path().join(name);
    write(path("v.npy"), c_order(&[2, 2, 6, 6], &numbers(144, 7))).unwrap();
    for name in ["o.npy", "l.npy"] {
        write(path(name), "old").unwrap();
    }
    refuses(directory.path(), &format!("{FILES} --lse l.npy"), "--value: expected 7 rows");
    for name in ["o.npy", "l.npy"] {
        assert_eq!(read(path(name)).unwrap(), b"old");
    }
}

#[test]
fn command_lines() {
    let directory = Case::grouped().directory();
    let before = names(directory.path());
    for (words, part) in [
        ("attention --query q.npy --key k.npy --output o.npy", "--value <FILE>"),
        ("attention --query q.npy --key k.npy --value v.npy", "--output <FILE.npy>"),
        ("attention --query q.npy --key k.npy --value v.txt --output o.npy", "TENSOR"),
        (&format!("{FILES} --lse l.txt"), "ends in .npy"),
        (&format!("{FILES} --mass-rows 2"), "--key-mass <FILE.npy>"),
        (&format!("{FILES} --stage scores"), "--stage"),
        ("weights --query q.npy --key k.npy --value v.npy --output w.npy", "--value"),
    ] {
        let output = run_in(directory.path(), words);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {stderr}");
        assert!(stderr.contains(part), "{words}: {stderr}");
    }
    assert_eq!(names(directory.path()), before);
}

#[test]
fn help_has_values_and_results_among_the_first_options() {
    let help = succeed(&run_in(&std::env::temp_dir(), "attention --help"));
    let (first, adjustments) = help.split_once("Between scores and weights:").expect("a heading");
    for option in
        ["--value <FILE>", "--weights <", "--lse <", "--key-mass <", "--mass-rows <", "--threads <"]
    {
        assert!(first.contains(option), "{option}: {help}");
    }
    assert!(adjustments.contains("--softcap <C>"), "{help}");
}
