//! all-MiniLM-L6-v2 (Wang et al. 2020, Reimers and Gurevych 2019): embeddings of texts.

use super::files;
use anyhow::{Error, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear, Module, VarBuilder};
use softdot_candle::softdot::Workspace;
use softdot_candle::{Attention, Outputs};
use std::time::{Duration, Instant};
use tokenizers::Tokenizer;

pub const NAME: &str = "all-MiniLM-L6-v2";

/// As in its `config.json`.
pub const LAYERS: usize = 6;
pub const HEADS: usize = 12;
pub const WIDTH: usize = 384;
pub const INNER_WIDTH: usize = 1536;
const WORDS: usize = 30_522;
/// Positions that it knows.
pub const MOST_TOKENS: usize = 512;
const EPSILON: f64 = 1e-12;

/// The model, and how long its attention has taken.
pub struct MiniLm {
    tokenizer: Tokenizer,
    words: Embedding,
    /// `[tokens, width]`, that of the first type of text added.
    positions: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    workspace: Workspace<'static>,
    pub attention_time: Duration,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    output_norm: LayerNorm,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
}

/// The tensors of its file, as candle's models take them.
pub fn tensors() -> Result<VarBuilder<'static>> {
    let contents = files::read(NAME, "model.safetensors")?;
    Ok(VarBuilder::from_buffered_safetensors(contents, DType::F32, &Device::Cpu)?)
}

impl MiniLm {
    pub fn load() -> Result<Self> {
        let mut tokenizer =
            Tokenizer::from_bytes(files::read(NAME, "tokenizer.json")?).map_err(Error::msg)?;
        // Texts are not padded, and cut where the positions end.
        let truncation =
            tokenizers::TruncationParams { max_length: MOST_TOKENS, ..Default::default() };
        tokenizer.with_padding(None).with_truncation(Some(truncation)).map_err(Error::msg)?;
        let file = tensors()?;
        let embeddings = file.pp("embeddings");
        let table = |rows, name| candle_nn::embedding(rows, WIDTH, embeddings.pp(name));
        let types = table(2, "token_type_embeddings")?;
        let positions = table(MOST_TOKENS, "position_embeddings")?;
        Ok(MiniLm {
            tokenizer,
            words: table(WORDS, "word_embeddings")?,
            positions: positions.embeddings().broadcast_add(&types.embeddings().get(0)?)?,
            norm: candle_nn::layer_norm(WIDTH, EPSILON, embeddings.pp("LayerNorm"))?,
            layers: (0..LAYERS)
                .map(|layer| Layer::new(file.pp(format!("encoder.layer.{layer}"))))
                .collect::<Result<_>>()?,
            workspace: Workspace::new(),
            attention_time: Duration::ZERO,
        })
    }

    /// The tokens of a text, the marks of its beginning and its end among them.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.tokenizer.encode(text, true).map_err(Error::msg)?.get_ids().to_vec())
    }

    /// The embeddings of texts `[texts, width]`, each of length 1, computed together.
    pub fn embed(&mut self, texts: &[Vec<u32>]) -> Result<Tensor> {
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        let states = self.forward(&padded(texts)?, &lengths)?;
        pooled(&states, &lengths)
    }

    /// The last states `[texts, tokens, width]` of texts of these lengths, padded to as many tokens.
    pub fn forward(&mut self, tokens: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let mut states = self.first_states(tokens)?;
        for layer in &self.layers {
            let [q, k, v] = layer.heads(&states)?;
            let start = Instant::now();
            let attention = Attention::new().rows_first().key_lengths(lengths);
            let results = attention.run_with(&q, (&k, &v), &Outputs::new(), &mut self.workspace)?;
            self.attention_time += start.elapsed();
            let attended = layer.output.forward(&results.output.flatten_from(2)?)?;
            let between = layer.output_norm.forward(&(attended + states)?)?;
            let inner = layer.up.forward(&between)?.gelu_erf()?;
            states = layer.norm.forward(&(layer.down.forward(&inner)? + between)?)?;
        }
        Ok(states)
    }

    /// Queries, keys and values `[texts, tokens, heads, columns]` of the first layer.
    pub fn first_heads(&self, tokens: &Tensor) -> Result<[Tensor; 3]> {
        self.layers[0].heads(&self.first_states(tokens)?)
    }

    /// The embeddings of words and positions.
    fn first_states(&self, tokens: &Tensor) -> Result<Tensor> {
        let positions = self.positions.narrow(0, 0, tokens.dim(1)?)?;
        let states = self.words.forward(tokens)?.broadcast_add(&positions)?;
        Ok(self.norm.forward(&states)?)
    }
}

impl Layer {
    fn new(file: VarBuilder<'_>) -> Result<Self> {
        let attention = file.pp("attention");
        let square = |name| candle_nn::linear(WIDTH, WIDTH, attention.pp(name));
        let norm = |name| candle_nn::layer_norm(WIDTH, EPSILON, file.pp(name));
        Ok(Layer {
            query: square("self.query")?,
            key: square("self.key")?,
            value: square("self.value")?,
            output: square("output.dense")?,
            output_norm: norm("attention.output.LayerNorm")?,
            up: candle_nn::linear(WIDTH, INNER_WIDTH, file.pp("intermediate.dense"))?,
            down: candle_nn::linear(INNER_WIDTH, WIDTH, file.pp("output.dense"))?,
            norm: norm("output.LayerNorm")?,
        })
    }

    /// Queries, keys and values `[texts, tokens, heads, columns]`.
    fn heads(&self, states: &Tensor) -> Result<[Tensor; 3]> {
        let (texts, tokens, width) = states.dims3()?;
        let heads = |projection: &Linear| {
            projection.forward(states)?.reshape((texts, tokens, HEADS, width / HEADS))
        };
        Ok([heads(&self.query)?, heads(&self.key)?, heads(&self.value)?])
    }
}

/// Texts as one tensor `[texts, tokens]`, with 0 behind the shorter ones.
pub fn padded(texts: &[Vec<u32>]) -> Result<Tensor> {
    let longest = texts.iter().map(Vec::len).max().unwrap_or(0);
    let row = |text: &Vec<u32>| {
        let mut row = text.clone();
        row.resize(longest, 0);
        row
    };
    let rows: Vec<u32> = texts.iter().flat_map(row).collect();
    Ok(Tensor::from_vec(rows, (texts.len(), longest), &Device::Cpu)?)
}

/// The mean of each text's states, scaled to length 1.
pub fn pooled(states: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let of_text = |(text, &length): (usize, &usize)| {
        let mean = states.get(text)?.narrow(0, 0, length)?.mean(0)?;
        mean.broadcast_div(&mean.sqr()?.sum_all()?.sqrt()?)
    };
    let texts: Vec<Tensor> =
        lengths.iter().enumerate().map(of_text).collect::<candle_core::Result<_>>()?;
    Ok(Tensor::stack(&texts, 0)?)
}
