//! Which words the text as a whole attends to, and which heads are the most focused.

use super::chosen::Chosen;
use crate::chart::{Bar, Chart};
use crate::sample::{Sample, is_special};

/// Bars of a chart.
const LISTED: usize = 5;

/// The words with the largest key mass, `[layer, head, key]`, as shares of the attention that all rows
/// pay. Special tokens, where models park what has nowhere to go, are no words.
pub fn words(mass: &[f64], sample: &Sample, chosen: &Chosen) -> Chart {
    let tokens = sample.tokens.len();
    let heads = || chosen.heads_of(mass, tokens);
    let attention = (heads().count() * tokens) as f64;
    let share = |key: usize| heads().map(|(_, head)| head[key]).sum::<f64>() / attention;
    let words = (0..tokens).filter(|&key| !is_special(&sample.tokens[key]));
    let mut words: Vec<(usize, f64)> = words.map(|key| (key, share(key))).collect();
    words.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    words.truncate(LISTED);
    let largest = words.first().map_or(1.0, |&(_, share)| share);
    let bar = |(key, share): (usize, f64)| Bar {
        name: sample.tokens[key].clone(),
        length: share / largest,
        number: format!("{:.1} %", share * 100.0),
    };
    let title = "words that all attend to (key mass)".into();
    Chart { title, bars: words.into_iter().map(bar).collect() }
}

/// The heads whose rows have the lowest mean entropy, of `[layer, head, row]`.
pub fn heads(entropy: &[f32], sample: &Sample, chosen: &Chosen) -> Chart {
    let tokens = sample.tokens.len();
    let most = (tokens as f64).ln();
    let mean = |rows: &[f32]| rows.iter().map(|&row| f64::from(row)).sum::<f64>() / tokens as f64;
    let heads = chosen.heads_of(entropy, tokens);
    let mut heads: Vec<_> = heads.map(|(place, rows)| (place, mean(rows))).collect();
    heads.sort_by(|(_, left), (_, right)| left.total_cmp(right));
    heads.truncate(LISTED);
    let bar = |([layer, head], entropy): ([usize; 2], f64)| Bar {
        name: format!("layer {layer}, head {head}"),
        length: entropy / most,
        number: format!("{entropy:.2}"),
    };
    let title = format!("most focused heads (entropy, of {most:.2})");
    Chart { title, bars: heads.into_iter().map(bar).collect() }
}
