//! Embeddings of texts by all-MiniLM-L6-v2, with softdot's attention:
//!
//!     candle/fetch-models
//!     cargo run --release -p softdot-candle --example embed
//!
//! prints how similar some texts are, each computed by itself, and computes them once more in one batch.

mod shared;

use anyhow::{Result, ensure};
use candle_core::Tensor;
use shared::minilm::{MiniLm, padded};
use softdot_candle::Attention;

/// Of mixed lengths; each two are about one thing.
const TEXTS: [&str; 8] = [
    "The cat sat on the mat.",
    "A kitten was asleep on the rug in front of the fire, and nothing that went on around it, neither the \
     rain on the window nor the visitors at the door, could wake it.",
    "How do I reset my password?",
    "I cannot log in to my account any more. The page says that the e-mail address or the password is wrong, \
     though I have not changed either of them for years. What can I do?",
    "Water boils at 100 degrees Celsius at sea level.",
    "On a mountain, where the air is thinner, tea is made with water that boils at a lower temperature: at \
     3,000 metres it is about 90 degrees.",
    "Rust's borrow checker rejects this program.",
    "The compiler says that a value is used after it was moved; a clone, or a reference, would do.",
];

fn main() -> Result<()> {
    let mut model = MiniLm::load()?;
    let texts = TEXTS.map(|text| model.tokens(text)).into_iter().collect::<Result<Vec<_>>>()?;
    let mut alone = Vec::new();
    for text in &texts {
        alone.push(model.embed(std::slice::from_ref(text))?.get(0)?.to_vec1::<f32>()?);
    }
    println!("Similarity of {} texts of {:?} tokens:", texts.len(), lengths(&texts));
    for (number, one) in alone.iter().enumerate() {
        let row: Vec<String> =
            alone.iter().map(|other| format!("{:5.2}", dot(one, other))).collect();
        let beginning: String = TEXTS[number].chars().take(40).collect();
        println!("{} {}  {beginning}", number + 1, row.join(" "));
    }
    let together = model.embed(&texts)?.to_vec2::<f32>()?;
    let difference = |(one, other): (&Vec<f32>, &Vec<f32>)| {
        one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
    };
    let largest = alone.iter().zip(&together).map(difference).fold(0.0, f32::max);
    println!("largest difference of an embedding alone and in a batch of all: {largest:e}");
    attention_alone_and_in_a_batch(&model, &texts)
}

/// Shows that a text's attention has the same bits by itself and padded in a batch. (What else differs is
/// candle's: its matrix products depend on how many rows there are.)
fn attention_alone_and_in_a_batch(model: &MiniLm, texts: &[Vec<u32>]) -> Result<()> {
    let lengths = lengths(texts);
    let [q, k, v] = model.first_heads(&padded(texts)?)?;
    let attention = Attention::new().rows_first();
    let together = attention.clone().key_lengths(&lengths).run(&q, (&k, &v))?;
    let bits = |tensor: &Tensor| -> Result<Vec<u32>> {
        let elements = tensor.flatten_all()?.to_vec1::<f32>()?;
        Ok(elements.into_iter().map(f32::to_bits).collect())
    };
    let mut elements = 0;
    for (text, &length) in lengths.iter().enumerate() {
        let part = |tensor: &Tensor| tensor.narrow(0, text, 1)?.narrow(1, 0, length);
        let alone = bits(&attention.run(&part(&q)?, (&part(&k)?, &part(&v)?))?)?;
        ensure!(alone == bits(&part(&together)?)?, "text {}: other bits in a batch", text + 1);
        elements += alone.len();
    }
    println!("attention alone and in the batch: the same bits, {elements} elements of layer 1");
    Ok(())
}

fn lengths(texts: &[Vec<u32>]) -> Vec<usize> {
    texts.iter().map(Vec::len).collect()
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}
