//! `softdot weights`: what it reads, computes and writes.

mod common;

use common::files::{CAT, c_order, fortran_order, read_output, tensor};
use common::{bits, largest_difference, names, numbers, refused, run_in, softdot, succeed};
use softdot::{Attention, Isa, Logits, TensorRef};
use std::fs::{read, write};
use std::path::Path;

/// Four axes, the missing ones 1.
fn padded(shape: &[usize]) -> [usize; 4] {
    let mut padded = [1; 4];
    padded[4 - shape.len()..].copy_from_slice(shape);
    padded
}

struct Case {
    query_shape: Vec<usize>,
    key_shape: Vec<usize>,
    query: Vec<f32>,
    key: Vec<f32>,
}

impl Case {
    fn new(query_shape: &[usize], key_shape: &[usize]) -> Self {
        Self {
            query_shape: query_shape.to_vec(),
            key_shape: key_shape.to_vec(),
            query: numbers(query_shape.iter().product(), 1),
            key: numbers(key_shape.iter().product(), 2),
        }
    }

    fn output_shape(&self) -> Vec<usize> {
        let mut shape = self.query_shape.clone();
        *shape.last_mut().unwrap() = self.key_shape[self.key_shape.len() - 2];
        shape
    }

    fn query(&self) -> TensorRef<'_, f32> {
        TensorRef::new(&self.query[..], padded(&self.query_shape))
    }

    fn key(&self) -> TensorRef<'_, f32> {
        TensorRef::new(&self.key[..], padded(&self.key_shape))
    }

    /// What the library makes of it.
    fn expected(&self, attention: &Attention) -> Vec<f32> {
        attention.weights(self.query(), self.key()).unwrap()
    }

    /// As [`Case::expected`], of scores.
    fn expected_scores(&self, attention: &Attention) -> Vec<f32> {
        attention.logits(self.query(), self.key(), Logits::Scores).unwrap()
    }

    fn write_c_order(&self, directory: &Path) {
        write(directory.join("q.npy"), c_order(&self.query_shape, &self.query)).unwrap();
        write(directory.join("k.npy"), c_order(&self.key_shape, &self.key)).unwrap();
    }

    fn write_fortran_order(&self, directory: &Path) {
        write(directory.join("q.npy"), fortran_order(&self.query_shape, &self.query)).unwrap();
        write(directory.join("k.npy"), fortran_order(&self.key_shape, &self.key)).unwrap();
    }
}

const FILES: &str = "weights --query q.npy --key k.npy --output w.npy";

#[test]
fn two_three_and_four_axes_in_both_orders() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("w.npy");
    let cases = [
        Case::new(&[3, 5], &[7, 5]),
        // Grouped heads: two query heads per key head.
        Case::new(&[4, 3, 5], &[2, 7, 5]),
        Case::new(&[2, 3, 4, 9], &[2, 3, 6, 9]),
    ];
    for case in cases {
        let expected = bits(&case.expected(&Attention::new()));
        case.write_c_order(directory.path());
        succeed(&run_in(directory.path(), FILES));
        assert_eq!(bits(&read_output(&output, &case.output_shape())), expected);

        case.write_fortran_order(directory.path());
        succeed(&run_in(directory.path(), FILES));
        assert_eq!(bits(&read_output(&output, &case.output_shape())), expected);
    }
    assert_eq!(names(directory.path()).len(), 3, "no temporary file stays");
}

#[test]
fn empty_axes() {
    let directory = tempfile::tempdir().unwrap();
    let case = Case::new(&[2, 0, 5], &[2, 7, 5]);
    case.write_c_order(directory.path());
    succeed(&run_in(directory.path(), FILES));
    assert!(read_output(&directory.path().join("w.npy"), &[2, 0, 7]).is_empty());
}

#[test]
fn the_models_own_weights() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("w.npy");
    std::fs::copy(CAT, directory.path().join("cat.safetensors")).unwrap();
    let (shape, weights) = tensor(CAT, "weights");
    assert_eq!(shape, [6, 12, 6, 6]);
    // Index, its axes' remaining shape, and where its weights are.
    let cases = [
        ("", vec![6, 12, 6, 6], 0..6 * 432),
        ("[3]", vec![12, 6, 6], 3 * 432..4 * 432),
        ("[5][11]", vec![6, 6], 5 * 432 + 11 * 36..6 * 432),
        ("[5,11]", vec![6, 6], 5 * 432 + 11 * 36..6 * 432),
    ];
    for (index, shape, range) in cases {
        let words = format!(
            "weights --query cat.safetensors:query{index} --key cat.safetensors:key{index} \
             --output w.npy"
        );
        succeed(&run_in(directory.path(), &words));
        let difference = largest_difference(&read_output(&output, &shape), &weights[range]);
        assert!(difference < 1e-6, "{index}: {difference}");
    }
}

#[test]
fn stage_and_scale() {
    let directory = tempfile::tempdir().unwrap();
    let case = Case::new(&[3, 5], &[7, 5]);
    case.write_c_order(directory.path());
    let cases = [
        ("--stage scores", case.expected_scores(&Attention::new())),
        ("--stage scores --scale 1", case.expected_scores(&Attention::new().scale(1.0))),
        ("--scale -0.25", case.expected(&Attention::new().scale(-0.25))),
    ];
    for (options, expected) in cases {
        succeed(&run_in(directory.path(), &format!("{FILES} {options}")));
        let result = read_output(&directory.path().join("w.npy"), &case.output_shape());
        assert_eq!(bits(&result), bits(&expected), "{options}");
    }
}

#[test]
fn isa_and_threads_do_not_change_a_bit() {
    let directory = tempfile::tempdir().unwrap();
    // Work enough to be shared.
    let case = Case::new(&[2, 96, 64], &[2, 128, 64]);
    case.write_c_order(directory.path());
    let output = run_in(directory.path(), &format!("{FILES} --threads 3"));
    succeed(&output);
    let summary = String::from_utf8(output.stderr).unwrap();
    let isa = Isa::available().last().unwrap();
    assert_eq!(summary.lines().count(), 1, "{summary}");
    for part in ["weights [2, 96, 128]", "[2, 96, 64]", &format!("{isa}, 3 threads, "), "w.npy"] {
        assert!(summary.contains(part), "{part}: {summary}");
    }
    let expected = read(directory.path().join("w.npy")).unwrap();

    let output = run_in(directory.path(), &format!("{FILES} --threads 1 --isa scalar"));
    succeed(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("scalar, 1 thread, "));
    assert!(read(directory.path().join("w.npy")).unwrap() == expected);

    let mut limited = softdot();
    limited.current_dir(directory.path()).args(FILES.split(' ')).env("SOFTDOT_MAX_ISA", "scalar");
    let output = limited.output().unwrap();
    succeed(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("scalar, "));
    assert!(read(directory.path().join("w.npy")).unwrap() == expected);
}

#[test]
fn an_isa_of_another_architecture_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    Case::new(&[3, 5], &[7, 5]).write_c_order(directory.path());
    let foreign = Isa::ALL.into_iter().find(|isa| !isa.is_available());
    let Some(foreign) = foreign else { return };
    let line = refused(&run_in(directory.path(), &format!("{FILES} --isa {foreign}")));
    assert!(line.starts_with("error: --isa: ") && line.contains(foreign.name()), "{line}");
    assert_eq!(names(directory.path()).len(), 2);
}

#[test]
fn replaces_the_output_with_an_ordinary_file() {
    let directory = tempfile::tempdir().unwrap();
    Case::new(&[3, 5], &[7, 5]).write_c_order(directory.path());
    let output = directory.path().join("w.npy");
    write(&output, "old").unwrap();
    succeed(&run_in(directory.path(), FILES));
    read_output(&output, &[3, 7]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let ordinary = directory.path().join("ordinary");
        write(&ordinary, "").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&output), mode(&ordinary));
    }
}

#[test]
#[cfg(unix)]
fn a_link_stays_a_link() {
    let directory = tempfile::tempdir().unwrap();
    Case::new(&[3, 5], &[7, 5]).write_c_order(directory.path());
    write(directory.path().join("target.npy"), "old").unwrap();
    std::os::unix::fs::symlink("target.npy", directory.path().join("w.npy")).unwrap();
    succeed(&run_in(directory.path(), FILES));
    assert!(directory.path().join("w.npy").is_symlink());
    read_output(&directory.path().join("target.npy"), &[3, 7]);
}

#[test]
fn draws_the_first_head() {
    let directory = tempfile::tempdir().unwrap();
    Case::new(&[2, 3, 5], &[2, 4, 5]).write_c_order(directory.path());
    succeed(&run_in(directory.path(), &format!("{FILES} --plot w.svg --stage scores")));
    let svg = std::fs::read_to_string(directory.path().join("w.svg")).unwrap();
    assert!(svg.lines().any(|line| line == "Attention scores, head 0"), "{svg}");
    let labels = |label: &str| svg.lines().filter(|&line| line == label).count();
    assert_eq!(["0", "1", "2", "3", "4"].map(labels), [2, 2, 2, 1, 0]);

    succeed(&run_in(directory.path(), &format!("{FILES} --plot w.png")));
    assert!(read(directory.path().join("w.png")).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
}

/// What files are called is text in pictures, whatever it is: well-formed in SVG, drawn in PNG.
#[test]
fn any_name_is_text_in_a_picture() {
    let directory = tempfile::tempdir().unwrap();
    let long = "x".repeat(200);
    for name in [
        "<b> & \"q\" '",
        "a\nb\tc\u{1b}[31m\u{7f}",
        "שלום \u{202e}abc",
        "🦀 e\u{301}",
        "\u{ffff}",
        &long,
    ] {
        let path = directory.path().join(format!("{name}.npy"));
        write(&path, c_order(&[3, 4], &numbers(12, 1))).unwrap();
        for picture in ["p.svg", "p.png"] {
            let mut command = softdot();
            command.current_dir(directory.path()).args(["weights", "--output", "w.npy"]);
            command.args(["--query", &format!("{name}.npy"), "--key", &format!("{name}.npy")]);
            succeed(&command.args(["--plot", picture]).output().unwrap());
        }
        let svg = std::fs::read_to_string(directory.path().join("p.svg")).unwrap();
        let in_xml = |character: char| matches!(character, '\n' | ' '..='\u{7e}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
        assert!(svg.chars().all(in_xml), "{name:?}: {svg:?}");
        assert_eq!(svg.matches('<').count(), svg.matches('>').count(), "{name:?}: {svg}");
        let entities = svg.split('&').skip(1).filter(|rest| {
            ["amp;", "lt;", "gt;", "quot;", "apos;"].iter().any(|entity| rest.starts_with(entity))
        });
        assert_eq!(entities.count(), svg.matches('&').count(), "{name:?}: {svg}");
        assert!(read(directory.path().join("p.png")).unwrap().starts_with(b"\x89PNG"), "{name:?}");
    }
}
