//! Both forms of each model.

use crate::shared::minilm::{self, MiniLm};
use crate::shared::smollm::{self, SmolLm};
use anyhow::Result;
use candle_core::{Device, Tensor};
use candle_transformers::models::bert::{BertModel, Config};
use candle_transformers::models::quantized_llama::{self, ModelWeights};
use tokenizers::Tokenizer;

/// Positions that candle's Llama has rotations for.
pub const CANDLES_POSITIONS: usize = quantized_llama::MAX_SEQ_LEN;

/// all-MiniLM-L6-v2.
pub struct Embeddings {
    pub softdots: MiniLm,
    candles: BertModel,
}

impl Embeddings {
    pub fn load() -> Result<Self> {
        let config = Config {
            hidden_size: minilm::WIDTH,
            num_hidden_layers: minilm::LAYERS,
            num_attention_heads: minilm::HEADS,
            intermediate_size: minilm::INNER_WIDTH,
            ..Config::default()
        };
        let candles = BertModel::load(minilm::tensors()?, &config)?;
        Ok(Embeddings { softdots: MiniLm::load()?, candles })
    }

    /// As [`MiniLm::forward`].
    pub fn candles(&self, tokens: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let (texts, longest) = tokens.dims2()?;
        let mask = lengths.iter().flat_map(|&length| (0..longest).map(move |token| token < length));
        let mask: Vec<u32> = mask.map(u32::from).collect();
        let mask = Tensor::from_vec(mask, (texts, longest), &Device::Cpu)?;
        Ok(self.candles.forward(tokens, &tokens.zeros_like()?, Some(&mask))?)
    }
}

/// SmolLM2-135M-Instruct.
pub struct Chats {
    pub tokenizer: Tokenizer,
    pub softdots: SmolLm,
    candles: ModelWeights,
}

impl Chats {
    pub fn load() -> Result<Self> {
        let (mut reader, content) = smollm::file()?;
        Ok(Chats {
            tokenizer: smollm::tokenizer(&content)?,
            softdots: SmolLm::load(&mut reader, &content)?,
            candles: ModelWeights::from_gguf(content, &mut reader, &Device::Cpu)?,
        })
    }

    /// Both forget all.
    pub fn clear(&mut self) -> Result<()> {
        self.candles.clear_kv_cache();
        self.softdots.truncate(0)
    }

    /// As [`SmolLm::forward`], of a text of which `seen` tokens have been read.
    pub fn candles(&mut self, tokens: &[u32], seen: usize) -> Result<Tensor> {
        let tokens = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
        Ok(self.candles.forward(&tokens, seen)?.flatten_all()?)
    }
}
