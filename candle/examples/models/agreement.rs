//! Whether both forms of a model give the same answers.

use crate::candles::{Chats, Embeddings};
use crate::shared::minilm;
use anyhow::{Error, Result, ensure};
use candle_core::{D, Tensor};

/// The largest difference of an embedding's elements.
const EMBEDDINGS: f32 = 1e-5;

/// How near two logits are, of about 20, that the last bits of either form may decide which is larger.
const TIE: f32 = 1e-3;

const PROMPTS: [&str; 20] = [
    "The capital of France is",
    "Once upon a time, there was a",
    "Water boils at",
    "def fibonacci(n):\n",
    "The three primary colours are",
    "In 1969, astronauts",
    "A recipe for pancakes: first,",
    "The opposite of hot is",
    "Dear Sir or Madam,\n",
    "The quick brown fox",
    "Photosynthesis is the process by which",
    "To be, or not to be,",
    "The largest planet of the solar system is",
    "Why did the chicken cross the road?",
    "1, 2, 3, 4, 5,",
    "SELECT name FROM",
    "The speed of light is",
    "My favourite season is autumn, because",
    "Gravity is a force that",
    "The Roman Empire fell because of many reasons, some of which were slow to come and hard to see for those \
     who lived at that time. Among them were",
];

/// # Errors
/// Answers that differ by more than rounding explains.
pub fn check(embeddings: &mut Embeddings, chats: &mut Chats, quick: bool) -> Result<()> {
    let texts = PROMPTS.map(|text| embeddings.softdots.tokens(text)).into_iter();
    let texts = texts.collect::<Result<Vec<_>>>()?;
    let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
    let candles = embeddings.candles(&minilm::padded(&texts)?, &lengths)?;
    let candles = minilm::pooled(&candles, &lengths)?;
    let difference = largest_difference(&embeddings.softdots.embed(&texts)?, &candles)?;
    println!("Embeddings of {} texts differ by {difference:.1e} at most.", texts.len());
    ensure!(difference <= EMBEDDINGS, "expected {EMBEDDINGS:.0e} at most");

    let (mut same, count) = (0, if quick { 16 } else { 48 });
    for prompt in PROMPTS {
        same += usize::from(same_tokens(chats, prompt, count)?);
    }
    println!("The first {count} tokens after {same} of {} prompts are the same.\n", PROMPTS.len());
    Ok(())
}

/// Whether both find the same tokens likeliest after a prompt; if not, this is shown to be a tie.
fn same_tokens(chats: &mut Chats, prompt: &str, count: usize) -> Result<bool> {
    chats.clear()?;
    let mut tokens = chats.tokenizer.encode(prompt, false).map_err(Error::msg)?.get_ids().to_vec();
    let mut seen = 0;
    for token in 0..count {
        let softdots = chats.softdots.forward(&tokens)?;
        let candles = chats.candles(&tokens, seen)?;
        seen += tokens.len();
        let likeliest = [likeliest(&softdots)?, likeliest(&candles)?];
        if likeliest[0] != likeliest[1] {
            let [softdots, candles] = [gap(&softdots, likeliest)?, gap(&candles, likeliest)?];
            println!(
                "{prompt:?}: token {token} is a tie: the logit of softdot's is {softdots:.3} larger in its \
                 own form, {candles:.3} in candle's"
            );
            ensure!(softdots.abs() <= TIE && candles.abs() <= TIE, "expected {TIE} at most");
            return Ok(false);
        }
        tokens = vec![likeliest[0]];
    }
    Ok(true)
}

fn likeliest(logits: &Tensor) -> Result<u32> {
    Ok(logits.argmax(D::Minus1)?.to_scalar()?)
}

/// How much larger the first of two logits is than the second.
fn gap(logits: &Tensor, [one, other]: [u32; 2]) -> Result<f32> {
    let logits = logits.to_vec1::<f32>()?;
    Ok(logits[one as usize] - logits[other as usize])
}

fn largest_difference(one: &Tensor, other: &Tensor) -> Result<f32> {
    Ok((one - other)?.abs()?.max_all()?.to_scalar()?)
}
