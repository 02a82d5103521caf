//! `softdot weights` with the options between scores and weights, against the definition.

mod common;

use common::definition::{Problem, Repeated, Stage, assert_close};
use common::files::{bool_npy, c_order, npy, npy_header, read_output, safetensors_file};
use common::{numbers, run_in, succeed};
use safetensors::Dtype;
use softdot::Causal;
use std::fs::write;
use std::path::Path;
use tempfile::{TempDir, tempdir};

const FILES: &str = "weights --query q.npy --key k.npy --output w.npy";

const STAGES: [(&str, Stage); 4] = [
    ("scores", Stage::Scores),
    ("capped", Stage::Capped),
    ("biased", Stage::Biased),
    ("weights", Stage::Weights),
];

/// Grouped heads, more keys than rows.
fn problem() -> Problem {
    Problem::new([2, 4, 5, 9], [2, 2, 7, 9])
}

/// A directory with a problem's query and key.
fn directory_of(problem: &Problem) -> TempDir {
    let directory = tempdir().unwrap();
    let file = |name: &str, shape: &[usize], data: &[f32]| {
        write(directory.path().join(name), c_order(shape, data)).unwrap();
    };
    file("q.npy", &problem.query_shape, &problem.query);
    file("k.npy", &problem.key_shape, &problem.key);
    directory
}

/// Runs with these options, compares, and returns the summary.
#[track_caller]
fn check(directory: &Path, options: &str, problem: &Problem, stage: Stage) -> String {
    let output = run_in(directory, &format!("{FILES} {options}"));
    succeed(&output);
    let result = read_output(&directory.join("w.npy"), &problem.shape());
    assert_close(&result, &problem.compute(stage), 0.0);
    String::from_utf8(output.stderr).unwrap()
}

/// Biases of which some exclude.
fn bias(shape: &[usize]) -> Repeated<f32> {
    let mut data = numbers(shape.iter().product(), 3);
    data.iter_mut().step_by(5).for_each(|bias| *bias = f32::NEG_INFINITY);
    Repeated::new(shape, data)
}

fn mask(shape: &[usize]) -> Repeated<bool> {
    let data = numbers(shape.iter().product(), 4).iter().map(|&number| number > -0.4).collect();
    Repeated::new(shape, data)
}

/// ALiBi's for 4 heads.
fn slopes() -> Vec<f64> {
    (1..=4).map(|head| 0.25f64.powi(head)).collect()
}

#[test]
fn positions() {
    let plain = problem();
    let directory = directory_of(&plain);
    let lengths = Some(vec![6, 3]);
    let with = |causal, window| Problem { causal, window, ..plain.clone() };
    let cases = [
        ("--causal top-left", with(Some(Causal::TopLeft), (None, None))),
        ("--causal bottom-right", with(Some(Causal::BottomRight), (None, None))),
        ("--causal 1", with(Some(Causal::Offset(1)), (None, None))),
        ("--causal -2", with(Some(Causal::Offset(-2)), (None, None))),
        ("--causal=-2", with(Some(Causal::Offset(-2)), (None, None))),
        ("--window 2,1", with(None, (Some(2), Some(1)))),
        ("--window 1,", with(None, (Some(1), None))),
        ("--window ,0", with(None, (None, Some(0)))),
        ("--window ,", with(None, (None, None))),
        ("--window 1,1 --causal top-left", with(Some(Causal::TopLeft), (Some(1), Some(1)))),
        ("--key-lengths 6,3", Problem { key_lengths: lengths.clone(), ..plain.clone() }),
        ("--key-lengths 7,0", Problem { key_lengths: Some(vec![7, 0]), ..plain.clone() }),
        (
            "--key-lengths 6,3 --causal bottom-right --window 2,0",
            Problem { key_lengths: lengths, ..with(Some(Causal::BottomRight), (Some(2), Some(0))) },
        ),
    ];
    for (options, problem) in cases {
        check(directory.path(), options, &problem, Stage::Weights);
    }
}

#[test]
fn numbers_of_the_command_line() {
    let plain = problem();
    let directory = directory_of(&plain);
    let slopes = Some(slopes());
    let cases = [
        ("--softcap 0.5", Problem { softcap: Some(0.5), ..plain.clone() }),
        (
            "--softcap 1.5 --scale -3",
            Problem { softcap: Some(1.5), scale: Some(-3.0), ..plain.clone() },
        ),
        ("--alibi", Problem { slopes: slopes.clone(), ..plain.clone() }),
        (
            "--alibi --causal top-left",
            Problem { slopes, causal: Some(Causal::TopLeft), ..plain.clone() },
        ),
    ];
    for (options, problem) in cases {
        check(directory.path(), options, &problem, Stage::Weights);
    }
}

#[test]
fn biases_and_masks_repeat_along_their_axes() {
    let plain = problem();
    let directory = directory_of(&plain);
    let file =
        |name: &str, contents: Vec<u8>| write(directory.path().join(name), contents).unwrap();
    let shapes: [&[usize]; 6] = [&[2, 4, 5, 7], &[4, 1, 7], &[5, 7], &[7], &[1], &[2, 1, 5, 1]];
    for shape in shapes {
        let (bias, mask) = (bias(shape), mask(shape));
        file("bias.npy", c_order(shape, &bias.data));
        file("mask.npy", bool_npy(shape, &mask.data));
        let biased = Problem { bias: Some(bias), ..plain.clone() };
        check(directory.path(), "--bias bias.npy", &biased, Stage::Weights);
        let masked = Problem { mask: Some(mask), ..plain.clone() };
        check(directory.path(), "--mask mask.npy", &masked, Stage::Weights);
    }
}

#[test]
fn masks_of_every_kind() {
    let mask = mask(&[5, 7]);
    let problem = Problem { mask: Some(mask.clone()), ..problem() };
    let directory = directory_of(&problem);
    let bytes: Vec<u8> = mask.data.iter().map(|&value| value.into()).collect();
    let columns: Vec<u8> = (0..35).map(|place| bytes[place % 5 * 7 + place / 5]).collect();
    let with_other = [&[1; 35], &bytes[..]].concat();
    let files = [
        ("mask.npy", npy(&npy_header("|u1", "False", &[5, 7]), &bytes)),
        ("mask.npy", npy(&npy_header("|b1", "True", &[5, 7]), &columns)),
        ("m.safetensors:x", safetensors_file(Dtype::BOOL, &[5, 7], &bytes)),
        ("m.safetensors:x", safetensors_file(Dtype::U8, &[5, 7], &bytes)),
        ("m.safetensors:x[1]", safetensors_file(Dtype::BOOL, &[2, 5, 7], &with_other)),
    ];
    for (name, contents) in files {
        let (file, _) = name.split_once(':').unwrap_or((name, ""));
        write(directory.path().join(file), contents).unwrap();
        check(directory.path(), &format!("--mask {name}"), &problem, Stage::Weights);
    }
}

#[test]
fn sinks() {
    let data = vec![0.5, f32::NEG_INFINITY, -2.0, 4.0];
    let directory = directory_of(&problem());
    write(directory.path().join("sinks.npy"), c_order(&[4], &data)).unwrap();
    let problem = Problem { sinks: Some(data), ..problem() };
    check(directory.path(), "--sinks sinks.npy", &problem, Stage::Weights);
    // The sink alone: nothing is left of any row.
    let none = Problem { key_lengths: Some(vec![0, 0]), ..problem };
    check(directory.path(), "--sinks sinks.npy --key-lengths 0,0", &none, Stage::Weights);
}

#[test]
fn everything_at_every_stage() {
    let problem = Problem {
        scale: Some(0.75),
        softcap: Some(2.0),
        bias: Some(bias(&[4, 5, 7])),
        slopes: Some(slopes()),
        mask: Some(mask(&[2, 1, 5, 7])),
        causal: Some(Causal::Offset(1)),
        window: (Some(4), None),
        key_lengths: Some(vec![7, 4]),
        sinks: Some(numbers(4, 5)),
        ..problem()
    };
    let directory = directory_of(&problem);
    let file =
        |name: &str, contents: Vec<u8>| write(directory.path().join(name), contents).unwrap();
    file("bias.npy", c_order(&[4, 5, 7], &problem.bias.as_ref().unwrap().data));
    file("mask.npy", bool_npy(&[2, 1, 5, 7], &problem.mask.as_ref().unwrap().data));
    file("sinks.npy", c_order(&[4], problem.sinks.as_ref().unwrap()));
    let options = "--scale 0.75 --softcap 2 --bias bias.npy --alibi --mask mask.npy --causal 1 \
                   --window 4, --key-lengths 7,4 --sinks sinks.npy";
    let applied = [
        "scale 0.75, key lengths [7, 4]",
        ", softcap 2",
        ", bias f32 [4, 5, 7], ALiBi, mask [2, 1, 5, 7], causal from key 1, window 4 before, ∞ after",
        ", sinks",
    ];
    for (index, (name, stage)) in STAGES.into_iter().enumerate() {
        let words = format!("{options} --stage {name}");
        let summary = check(directory.path(), &words, &problem, stage);
        assert!(summary.contains(&applied[..=index].concat()), "{summary}");
        let late = applied[index + 1..].concat();
        let late = late.trim_start_matches(", ");
        let expected = format!(" (not at this stage: {late})");
        assert_eq!(summary.contains(&expected), !late.is_empty(), "{summary}");
    }
}

#[test]
fn two_axes() {
    let problem = Problem {
        mask: Some(mask(&[5, 7])),
        key_lengths: Some(vec![5]),
        slopes: Some(vec![1.0 / 256.0]),
        ..Problem::new([1, 1, 5, 9], [1, 1, 7, 9])
    };
    let directory = directory_of(&problem);
    let file =
        |name: &str, contents: Vec<u8>| write(directory.path().join(name), contents).unwrap();
    file("q.npy", c_order(&[5, 9], &problem.query));
    file("k.npy", c_order(&[7, 9], &problem.key));
    file("mask.npy", bool_npy(&[5, 7], &problem.mask.as_ref().unwrap().data));
    let words = format!("{FILES} --mask mask.npy --key-lengths 5 --alibi");
    succeed(&run_in(directory.path(), &words));
    let result = read_output(&directory.path().join("w.npy"), &[5, 7]);
    assert_close(&result, &problem.compute(Stage::Weights), 0.0);
}

#[test]
fn pictures_of_excluded_keys() {
    let directory = directory_of(&problem());
    let words = format!("{FILES} --causal top-left --stage biased --plot w.svg");
    succeed(&run_in(directory.path(), &words));
    let svg = std::fs::read_to_string(directory.path().join("w.svg")).unwrap();
    assert!(svg.lines().any(|line| line == "Attention biased scores, batch 0, head 0"), "{svg}");
    assert_eq!(svg.lines().filter(|&line| line == "-inf").count(), 6 + 5 + 4 + 3 + 2);
}
