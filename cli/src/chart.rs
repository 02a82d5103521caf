//! Bars with a name and a number each, for the terminal and for pictures.

/// A few bars.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What the numbers are.
    pub title: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What it stands for.
    pub name: String,
    /// Its length: 0 to 1.
    pub length: f64,
    /// Its number in words.
    pub number: String,
}

/// Cells of the longest bar.
const CELLS: usize = 16;
/// Between two charts.
const GAP: usize = 4;

/// Two charts side by side.
pub fn side_by_side(left: &Chart, right: &Chart) -> String {
    let (left, right) = (lines(left), lines(right));
    let width = left.iter().map(|line| line.chars().count()).max().unwrap_or(0) + GAP;
    let mut text = String::new();
    for row in 0..left.len().max(right.len()) {
        let line = |lines: &[String]| lines.get(row).cloned().unwrap_or_default();
        let line = format!("{:<width$}{}", line(&left), line(&right));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The title and the bars.
fn lines(chart: &Chart) -> Vec<String> {
    let width = |text: &str| text.chars().count();
    let names = chart.bars.iter().map(|bar| width(&bar.name)).max().unwrap_or(0);
    let numbers = chart.bars.iter().map(|bar| width(&bar.number)).max().unwrap_or(0);
    let bars = chart.bars.iter().map(|Bar { name, length, number }| {
        format!("{name:<names$} {number:>numbers$} {}", blocks(*length))
    });
    [chart.title.clone()].into_iter().chain(bars).collect()
}

/// A bar in eighths of cells.
fn blocks(length: f64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (length.clamp(0.0, 1.0) * (CELLS * PARTS.len()) as f64).round() as usize;
    "█".repeat(eighths / PARTS.len()) + PARTS[eighths % PARTS.len()]
}
