//! The data that the program brings along: what a real model computed on two texts.

use crate::args::Text;
use anyhow::{Context, Result};
use safetensors::SafeTensors;
use safetensors::tensor::Metadata;

/// One text's activations in the first layers or all, in all heads.
pub struct Sample {
    /// The text.
    pub text: String,
    /// Its tokens, as the model splits it.
    pub tokens: Vec<String>,
    /// The model's name and licence.
    pub model: String,
    /// `[layer, head, token, head_dim]`, of `query` and of `key`.
    pub shape: [usize; 4],
    /// The queries.
    pub query: Vec<f32>,
    /// The keys.
    pub key: Vec<f32>,
    /// What the model itself computed, `[layer, head, query token, key token]`.
    pub weights: Vec<f32>,
}

impl Sample {
    /// Reads one of the embedded files.
    pub fn load(text: Text) -> Result<Sample> {
        let bytes: &[u8] = match text {
            Text::Cat => include_bytes!("../data/minilm-cat.safetensors"),
            Text::Story => include_bytes!("../data/minilm-story.safetensors"),
        };
        parse(bytes).context("embedded data")
    }
}

fn parse(bytes: &[u8]) -> Result<Sample> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)?;
    let tensors = SafeTensors::deserialize(bytes)?;
    let tensor = |name| -> Result<Vec<f32>> {
        let (numbers, _) = tensors.tensor(name)?.data().as_chunks();
        Ok(numbers.iter().map(|&number| f32::from_le_bytes(number)).collect())
    };
    Ok(Sample {
        text: note(&metadata, "text")?,
        tokens: serde_json::from_str(&note(&metadata, "tokens")?)?,
        model: note(&metadata, "model")?,
        shape: tensors.tensor("query")?.shape().try_into()?,
        query: tensor("query")?,
        key: tensor("key")?,
        weights: tensor("weights")?,
    })
}

fn note(metadata: &Metadata, name: &str) -> Result<String> {
    let notes = metadata.metadata().as_ref();
    notes.and_then(|notes| notes.get(name)).cloned().with_context(|| format!("no {name:?}"))
}

/// Tokens that stand for no word of the text.
pub fn is_special(token: &str) -> bool {
    token.starts_with('[') && token.ends_with(']')
}
