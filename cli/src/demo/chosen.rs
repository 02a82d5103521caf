//! The layers and heads that are shown.

use crate::args::Demo;
use crate::sample::Sample;
use anyhow::{Result, ensure};
use std::ops::Range;

/// The layers and heads to average over.
pub struct Chosen {
    layers: Range<usize>,
    heads: Range<usize>,
    /// Those that there are.
    all_heads: usize,
}

impl Chosen {
    /// What the options say.
    ///
    /// # Errors
    /// A layer or head that is not there.
    pub fn new(arguments: &Demo, sample: &Sample) -> Result<Self> {
        let [layers, heads, ..] = sample.shape;
        Ok(Self {
            layers: range("--layer", arguments.layer, layers)?,
            heads: range("--head", arguments.head, heads)?,
            all_heads: heads,
        })
    }

    /// In words.
    pub fn describe(&self) -> String {
        let (layer, head) = (self.layers.start, self.heads.start);
        match (self.layers.len(), self.heads.len()) {
            (1, 1) => format!("layer {layer}, head {head}"),
            (1, heads) => format!("layer {layer}, average of {heads} heads"),
            (layers, 1) => format!("head {head}, average of {layers} layers"),
            (layers, heads) => format!("average of {layers} layers and {heads} heads"),
        }
    }

    /// Their parts of a result that has so many elements for each head, with layer and head.
    pub fn heads_of<'a, T>(
        &self,
        result: &'a [T],
        elements: usize,
    ) -> impl Iterator<Item = ([usize; 2], &'a [T])> {
        let (heads, all_heads) = (self.heads.clone(), self.all_heads);
        let places =
            self.layers.clone().flat_map(move |layer| heads.clone().map(move |head| [layer, head]));
        places.map(move |[layer, head]| {
            ([layer, head], &result[(layer * all_heads + head) * elements..][..elements])
        })
    }
}

/// One index, or all of them.
fn range(option: &str, index: Option<usize>, extent: usize) -> Result<Range<usize>> {
    let Some(index) = index else { return Ok(0..extent) };
    ensure!(index < extent, "{option}: expected 0 to {}, found {index}", extent - 1);
    Ok(index..index + 1)
}
