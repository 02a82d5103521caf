//! `softdot demo`, and what all commands share.

mod common;

use common::files::{CAT, tensor};
use common::{names, refused, run_in, softdot, succeed};
use std::process::Stdio;

const CAT_TOKENS: [&str; 6] = ["[CLS]", "the", "cat", "sat", ".", "[SEP]"];

fn printed_difference(report: &str) -> f32 {
    let line = report.lines().last().expect("a last line");
    assert!(line.starts_with("largest difference"), "{line}");
    let (_, number) = line.rsplit_once(' ').expect("words");
    number.parse().expect("a number")
}

#[test]
fn agrees_with_the_model_on_both_texts() {
    let directory = tempfile::tempdir().unwrap();
    let report = succeed(&run_in(directory.path(), ""));
    assert_eq!(report, succeed(&run_in(directory.path(), "demo --text cat")));
    assert!(printed_difference(&report) < 1e-6, "{report}");
    assert!(report.contains("The cat sat.") && report.contains("all-MiniLM-L6-v2"), "{report}");

    // Scores of up to 41 carry rounding errors of 4e-6, in the model's weights as in these; they
    // meet weights' slope of at most 1/4.
    let report = succeed(&run_in(directory.path(), "demo --text story"));
    assert!(printed_difference(&report) < 2e-6, "{report}");
    assert!(report.lines().any(|line| line.starts_with("windows  ")), "{report}");
    assert!(!report.contains('\x1b'), "colours are for terminals");
}

/// The words of the table, checked against the weights in the file.
#[test]
fn lists_the_strongest_words() {
    let directory = tempfile::tempdir().unwrap();
    let (shape, weights) = tensor(CAT, "weights");
    assert_eq!(shape, [6, 12, 6, 6]);
    let cases = [
        ("demo", 0..6, 0..12),
        ("demo --layer 5", 5..6, 0..12),
        ("demo --head 3", 0..6, 3..4),
        ("demo --layer 0 --head 11", 0..1, 11..12),
    ];
    for (words, layers, chosen_heads) in cases {
        let report = succeed(&run_in(directory.path(), words));
        let heads: Vec<&[f32]> = (weights.chunks(36).enumerate())
            .filter(|(index, _)| layers.contains(&(index / 12)))
            .filter(|(index, _)| chosen_heads.contains(&(index % 12)))
            .map(|(_, head)| head)
            .collect();
        for (row, token) in CAT_TOKENS.iter().enumerate() {
            let average = |key: usize| {
                let sum: f64 = heads.iter().map(|head| f64::from(head[row * 6 + key])).sum();
                100.0 * sum / heads.len() as f64
            };
            let (key, percent) = (1..5)
                .map(|key| (key, average(key)))
                .max_by(|(_, left), (_, right)| left.total_cmp(right))
                .unwrap();
            let line = report.lines().find(|line| line.starts_with(&format!("{token:<5}  ")));
            let fields: Vec<&str> = line.expect("a row of the table").split_whitespace().collect();
            assert_eq!(fields[1], CAT_TOKENS[key], "{words}: {fields:?}");
            let printed: f64 = fields[2].parse().unwrap();
            assert!((printed - percent).abs() < 0.051, "{words}: {fields:?}, not {percent}");
        }
    }
}

#[test]
fn refuses_layers_and_heads_that_are_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let line = refused(&run_in(directory.path(), "demo --layer 6 --plot p.svg"));
    assert_eq!(line, "error: --layer: expected 0 to 5, found 6\n");
    let line = refused(&run_in(directory.path(), "demo --text story --layer 3 --plot p.svg"));
    assert_eq!(line, "error: --layer: expected 0 to 2, found 3\n");
    let line = refused(&run_in(directory.path(), "demo --head 12 --plot p.svg"));
    assert_eq!(line, "error: --head: expected 0 to 11, found 12\n");
    assert!(names(directory.path()).is_empty());
}

#[test]
fn draws_an_svg_with_the_tokens() {
    let directory = tempfile::tempdir().unwrap();
    succeed(&run_in(directory.path(), "demo --plot p.svg"));
    let svg = std::fs::read_to_string(directory.path().join("p.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    for token in CAT_TOKENS {
        let labels = svg.lines().filter(|&line| line == token).count();
        let charted = usize::from(!token.starts_with('['));
        assert_eq!(labels, 2 + charted, "{token}: one label per axis, and words have a bar");
    }
    for text in ["query", "key", "Attention weights, average of 6 layers and 12 heads"] {
        assert!(svg.lines().any(|line| line == text), "{text}");
    }
    assert!(svg.matches("<rect").count() > 36 + 9, "a rectangle per cell and bar");
    assert!(svg.lines().any(|line| line == "words that all attend to (key mass)"), "{svg}");
}

/// Key mass and entropy, checked against the weights in the file.
#[test]
fn charts_what_all_attend_to_and_the_focused_heads() {
    let directory = tempfile::tempdir().unwrap();
    let (_, weights) = tensor(CAT, "weights");
    let entropy_of = |head: &[f32]| {
        let term = |&weight: &f32| -f64::from(weight) * f64::from(weight).ln();
        head.iter().filter(|&&weight| weight > 0.0).map(term).sum::<f64>() / 6.0
    };
    for (words, layers) in [("demo", 0..6), ("demo --layer 2", 2..3)] {
        let report = succeed(&run_in(directory.path(), words));
        let heads = || {
            let heads = weights.chunks(36).enumerate();
            heads.filter(|(index, _)| layers.contains(&(index / 12)))
        };
        let mut entropies: Vec<(usize, f64)> =
            heads().map(|(index, head)| (index, entropy_of(head))).collect();
        entropies.sort_by(|(_, left), (_, right)| left.total_cmp(right));
        let share = |key: usize| {
            let column =
                |head: &[f32]| (0..6).map(|row| f64::from(head[row * 6 + key])).sum::<f64>();
            heads().map(|(_, head)| column(head)).sum::<f64>() / (6 * heads().count()) as f64
        };
        let mut shares: Vec<(usize, f64)> = (1..5).map(|key| (key, share(key))).collect();
        shares.sort_by(|(_, left), (_, right)| right.total_cmp(left));

        let (_, charts) = report.split_once("words that all attend to").expect("a chart");
        let lines: Vec<&str> = charts.lines().skip(1).take(5).collect();
        for (line, (key, share)) in lines.iter().zip(&shares) {
            let expected = format!("{} {:>4.1} %", CAT_TOKENS[*key], share * 100.0);
            let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
            assert_eq!(words(line)[..3], words(&expected), "{report}");
        }
        for (line, (index, entropy)) in lines.iter().zip(&entropies) {
            let expected = format!("layer {}, head {} ", index / 12, index % 12);
            let (_, rest) =
                line.split_once(&expected).unwrap_or_else(|| panic!("{expected}: {report}"));
            let number = rest.split_whitespace().next();
            assert_eq!(number, Some(format!("{entropy:.2}").as_str()), "{report}");
        }
    }
}

#[test]
fn draws_a_png() {
    let directory = tempfile::tempdir().unwrap();
    succeed(&run_in(directory.path(), "demo --text cat --plot p.png"));
    assert_eq!(names(directory.path()).len(), 1);
    let png = std::fs::read(directory.path().join("p.png")).unwrap();
    let chunks = png.strip_prefix(b"\x89PNG\r\n\x1a\n").expect("a PNG's signature");
    let mut kinds = Vec::new();
    let mut rest = chunks;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        kinds.push(String::from_utf8_lossy(&after[..4]).into_owned());
        rest = &after[4 + u32::from_be_bytes(*length) as usize + 4..];
    }
    assert_eq!(kinds.first().map(String::as_str), Some("IHDR"));
    assert_eq!(kinds.last().map(String::as_str), Some("IEND"));
    let side = |at: usize| u32::from_be_bytes(chunks[at..at + 4].try_into().unwrap());
    let (width, height) = (side(8), side(12));
    assert!((1000..2000).contains(&width) && (1000..2000).contains(&height), "{width} × {height}");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = softdot().stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = softdot().stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert!(refused(&output).starts_with("error: stdout: "));
}

#[test]
fn help_teaches() {
    let directory = tempfile::tempdir().unwrap();
    for words in ["--help", "demo --help", "info --help", "weights --help"] {
        let help = succeed(&run_in(directory.path(), words));
        assert!(help.contains("Examples:\n  softdot"), "{words}: {help}");
    }
}
