//! SmolLM2-135M-Instruct (Allal et al. 2025), quantised to 4 bits: a Llama with 9 query heads on 3 key heads.

use super::files;
use anyhow::{Context, Error, Result};
use candle_core::quantized::tokenizer::TokenizerFromGguf;
use candle_core::quantized::{QMatMul, gguf_file};
use candle_core::{Device, Module, Tensor};
use candle_nn::Embedding;
use candle_nn::ops::{rms_norm, silu};
use candle_nn::rotary_emb::rope_i;
use softdot_candle::softdot::{Causal, Workspace};
use softdot_candle::{Attention, KvCache, Outputs};
use std::io::Cursor;
use std::time::{Duration, Instant};
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;

pub const NAME: &str = "SmolLM2-135M-Instruct";

/// The model with the keys and values of a text, and how long its attention has taken.
pub struct SmolLm {
    words: Embedding,
    layers: Vec<Layer>,
    norm: Tensor,
    output: QMatMul,
    heads: usize,
    kv_heads: usize,
    epsilon: f32,
    /// Of the angle of each position and pair of dimensions.
    cos: Tensor,
    sin: Tensor,
    workspace: Workspace<'static>,
    pub attention_time: Duration,
}

struct Layer {
    query: QMatMul,
    key: QMatMul,
    value: QMatMul,
    output: QMatMul,
    gate: QMatMul,
    up: QMatMul,
    down: QMatMul,
    attention_norm: Tensor,
    inner_norm: Tensor,
    cache: KvCache,
}

/// The contents of its file, and what they are.
pub fn file() -> Result<(Cursor<Vec<u8>>, gguf_file::Content)> {
    let mut reader = Cursor::new(files::read(NAME, "SmolLM2-135M-Instruct.Q4_1.gguf")?);
    let content = gguf_file::Content::read(&mut reader)?;
    Ok((reader, content))
}

/// The tokenizer of its file. Of the ways to cut a text that there are, candle does not know this one's:
/// digits one by one.
pub fn tokenizer(content: &gguf_file::Content) -> Result<Tokenizer> {
    let mut tokenizer = Tokenizer::from_gguf(content)?;
    let bytes = ByteLevel::new(false, true, true);
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![Digits::new(true).into(), bytes.into()])));
    Ok(tokenizer)
}

impl SmolLm {
    pub fn load(reader: &mut Cursor<Vec<u8>>, content: &gguf_file::Content) -> Result<Self> {
        let number = |name: &str| {
            let name = format!("llama.{name}");
            content.metadata.get(&name).with_context(|| format!("no {name} in the file"))
        };
        let count = |name: &str| Ok::<_, Error>(number(name)?.to_u32()? as usize);
        let width = count("embedding_length")?;
        let words = content.tensor(reader, "token_embd.weight", &Device::Cpu)?;
        let (cos, sin) = rotations(
            count("context_length")?,
            count("rope.dimension_count")?,
            number("rope.freq_base")?.to_f32()?,
        )?;
        Ok(SmolLm {
            words: Embedding::new(words.dequantize(&Device::Cpu)?, width),
            layers: (0..count("block_count")?)
                .map(|layer| Layer::new(reader, content, layer))
                .collect::<Result<_>>()?,
            norm: vector(reader, content, "output_norm.weight")?,
            // The words' embeddings, once more.
            output: QMatMul::from_qtensor(words)?,
            heads: count("attention.head_count")?,
            kv_heads: count("attention.head_count_kv")?,
            epsilon: number("attention.layer_norm_rms_epsilon")?.to_f32()?,
            cos,
            sin,
            workspace: Workspace::new(),
            attention_time: Duration::ZERO,
        })
    }

    /// Tokens that it has seen.
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.cache.len())
    }

    /// Forgets all but the first tokens.
    pub fn truncate(&mut self, tokens: usize) -> Result<()> {
        for layer in &mut self.layers {
            layer.cache.truncate(tokens)?;
        }
        Ok(())
    }

    /// The logits `[words]` of what follows the text so far and these tokens.
    pub fn forward(&mut self, tokens: &[u32]) -> Result<Tensor> {
        let (seen, new) = (self.len(), tokens.len());
        let (cos, sin) = (self.cos.narrow(0, seen, new)?, self.sin.narrow(0, seen, new)?);
        let rotated = |heads: Tensor| rope_i(&heads.transpose(1, 2)?.contiguous()?, &cos, &sin);
        let mut states = self.words.forward(&Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?)?;
        for layer in &mut self.layers {
            let normed = rms_norm(&states, &layer.attention_norm, self.epsilon)?;
            let of_heads = |projected: Tensor, heads| projected.reshape((1, new, heads, ()));
            let q = rotated(of_heads(layer.query.forward(&normed)?, self.heads)?)?;
            let k = rotated(of_heads(layer.key.forward(&normed)?, self.kv_heads)?)?;
            let v = of_heads(layer.value.forward(&normed)?, self.kv_heads)?.transpose(1, 2)?;
            let start = Instant::now();
            layer.cache.append(&k, &v)?;
            let attention = Attention::new().rows_first().causal(Causal::BottomRight);
            let results = attention.run_with(
                &q.transpose(1, 2)?,
                &layer.cache,
                &Outputs::new(),
                &mut self.workspace,
            )?;
            self.attention_time += start.elapsed();
            let attended = results.output.flatten_from(2)?;
            states = (states + layer.output.forward(&attended)?)?;
            let normed = rms_norm(&states, &layer.inner_norm, self.epsilon)?;
            let gate = silu(&layer.gate.forward(&normed)?)?;
            let inner = (gate * layer.up.forward(&normed)?)?;
            states = (states + layer.down.forward(&inner)?)?;
        }
        let last = states.narrow(1, new - 1, 1)?.contiguous()?;
        let logits = self.output.forward(&rms_norm(&last, &self.norm, self.epsilon)?)?;
        Ok(logits.flatten_all()?)
    }
}

impl Layer {
    fn new(
        reader: &mut Cursor<Vec<u8>>,
        content: &gguf_file::Content,
        layer: usize,
    ) -> Result<Self> {
        let mut matrix = |name: &str| {
            let name = format!("blk.{layer}.{name}.weight");
            QMatMul::from_qtensor(content.tensor(reader, &name, &Device::Cpu)?)
        };
        Ok(Layer {
            query: matrix("attn_q")?,
            key: matrix("attn_k")?,
            value: matrix("attn_v")?,
            output: matrix("attn_output")?,
            gate: matrix("ffn_gate")?,
            up: matrix("ffn_up")?,
            down: matrix("ffn_down")?,
            attention_norm: vector(reader, content, &format!("blk.{layer}.attn_norm.weight"))?,
            inner_norm: vector(reader, content, &format!("blk.{layer}.ffn_norm.weight"))?,
            cache: KvCache::new(1024),
        })
    }
}

fn vector(
    reader: &mut Cursor<Vec<u8>>,
    content: &gguf_file::Content,
    name: &str,
) -> Result<Tensor> {
    Ok(content.tensor(reader, name, &Device::Cpu)?.dequantize(&Device::Cpu)?)
}

/// Cosine and sine of `position / base^(2 · pair / dimensions)` (Su et al. 2021), `[positions, pairs]`.
fn rotations(positions: usize, dimensions: usize, base: f32) -> Result<(Tensor, Tensor)> {
    let frequency = |dimension| base.powf(dimension as f32 / dimensions as f32).recip();
    let frequencies: Vec<f32> = (0..dimensions).step_by(2).map(frequency).collect();
    let frequencies = Tensor::new(frequencies, &Device::Cpu)?.unsqueeze(0)?;
    let positions: Vec<f32> = (0..positions).map(|position| position as f32).collect();
    let angles = Tensor::new(positions, &Device::Cpu)?.unsqueeze(1)?.matmul(&frequencies)?;
    Ok((angles.cos()?, angles.sin()?))
}
