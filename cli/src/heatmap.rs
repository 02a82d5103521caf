//! Heat maps of attention weights in characters, for the terminal.

use crate::matrix::Matrix;
use crate::ramp;
use std::fmt::Write;

/// Columns that fit on every terminal.
const WIDTH: usize = 80;

/// Blocks from low to high, where there are no colours.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How the cells look.
struct Look {
    label_width: usize,
    cell_width: usize,
    colour: bool,
}

/// Rows of cells, one per query row, labelled; the last line is the scale.
///
/// Cells have room for their key's label if that fits on [`WIDTH`] columns; else they are one
/// character each, in the order of the rows' labels.
pub fn render(matrix: &Matrix, labels: &[String], colour: bool) -> String {
    let label_width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let wide = label_width + matrix.keys() * (label_width + 1) < WIDTH;
    let cell_width = if wide { label_width + 1 } else { 1 };
    let look = Look { label_width, cell_width, colour };

    let mut text = header(labels, &look);
    for (row, label) in labels.iter().enumerate().take(matrix.rows()) {
        let _ = write!(text, "{label:>label_width$} ");
        for &value in matrix.row(row) {
            push_cell(&mut text, matrix, value, &look);
        }
        text.push('\n');
    }
    push_scale(&mut text, matrix, &look);
    text
}

/// The keys' labels; their first letters where cells are narrow.
fn header(labels: &[String], look: &Look) -> String {
    let mut text = " ".repeat(look.label_width + 1);
    for label in labels {
        match look.cell_width {
            1 => text.push(initial(label)),
            width => {
                let _ = write!(text, "{label:^width$}");
            }
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// The letter that a token is told by: past the `##` of a continued word and the bracket of a
/// special token.
fn initial(label: &str) -> char {
    let marks = ['#', '['];
    label.trim_start_matches(marks).chars().next().or(label.chars().next()).unwrap_or(' ')
}

fn push_cell(text: &mut String, matrix: &Matrix, value: f32, look: &Look) {
    let share = matrix.share(value);
    let width = look.cell_width;
    if look.colour {
        let words = if width > 1 { matrix.format(value) } else { String::new() };
        push_coloured(text, &format!("{words:^width$}"), share);
    } else {
        text.extend(std::iter::repeat_n(block(share), width));
    }
}

/// The scale of the colours or blocks, from low to high.
fn push_scale(text: &mut String, matrix: &Matrix, look: &Look) {
    let _ = write!(
        text,
        "{:look$} {} ",
        "",
        matrix.format(matrix.value_at(0.0)),
        look = look.label_width
    );
    for step in 0..BLOCKS.len() {
        let share = step as f32 / (BLOCKS.len() - 1) as f32;
        match look.colour {
            true => push_coloured(text, "  ", share),
            false => text.extend([block(share); 2]),
        }
    }
    let _ = writeln!(text, " {} (square-root scale)", matrix.format(matrix.value_at(1.0)));
}

fn block(share: f32) -> char {
    BLOCKS[(share * (BLOCKS.len() - 1) as f32) as usize]
}

/// Text on a 24-bit background.
fn push_coloured(text: &mut String, words: &str, share: f32) {
    let [red, green, blue] = ramp::colour(share);
    let ink = if ramp::wants_black_text(share) { 30 } else { 97 };
    let _ = write!(text, "\x1b[48;2;{red};{green};{blue};{ink}m{words}\x1b[0m");
}
