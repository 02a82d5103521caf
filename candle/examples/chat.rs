//! A conversation with SmolLM2-135M-Instruct, with softdot's attention on a key cache:
//!
//!     candle/fetch-models
//!     cargo run --release -p softdot-candle --example chat
//!     cargo run --release -p softdot-candle --example chat -- "Why is the sky blue?" "And at dusk?"
//!
//! Each argument is a turn of one conversation; the answers are the likeliest tokens.

mod shared;

use anyhow::{Error, Result};
use candle_core::D;
use shared::smollm::{self, SmolLm};
use std::env;
use std::io::{Write, stdout};
use std::time::Instant;
use tokenizers::Tokenizer;

const QUESTIONS: [&str; 2] = ["What is the capital of France?", "Name three of its museums."];

/// What the model was trained with.
const SYSTEM: &str = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging \
                      Face<|im_end|>\n";

/// Tokens of an answer at most.
const MOST_TOKENS: usize = 200;

fn main() -> Result<()> {
    let mut questions: Vec<String> = env::args().skip(1).collect();
    if questions.is_empty() {
        questions = QUESTIONS.map(str::to_owned).into();
    }
    let (mut reader, content) = smollm::file()?;
    let tokenizer = smollm::tokenizer(&content)?;
    let mut model = SmolLm::load(&mut reader, &content)?;
    let mut before = SYSTEM;
    for question in questions {
        println!("> {question}");
        let turn =
            format!("{before}<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n");
        answer(&mut model, &tokenizer, &turn)?;
        before = "<|im_end|>\n";
    }
    Ok(())
}

/// Prints what follows a turn, token by token; the model keeps both.
fn answer(model: &mut SmolLm, tokenizer: &Tokenizer, turn: &str) -> Result<()> {
    let end = tokenizer.token_to_id("<|im_end|>");
    let mut tokens = tokenizer.encode(turn, false).map_err(Error::msg)?.get_ids().to_vec();
    let mut text = tokenizer.decode_stream(true);
    let (start, read, mut written) = (Instant::now(), tokens.len(), 0);
    loop {
        let likeliest = model.forward(&tokens)?.argmax(D::Minus1)?.to_scalar::<u32>()?;
        if Some(likeliest) == end || written == MOST_TOKENS {
            break;
        }
        written += 1;
        tokens = vec![likeliest];
        if let Some(piece) = text.step(likeliest).map_err(Error::msg)? {
            print!("{piece}");
            stdout().flush()?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("\n({read} tokens read, {written} written, {seconds:.1} s)\n");
    Ok(())
}
