//! How long a step of each model takes in both forms, taking turns.

use crate::candles::{CANDLES_POSITIONS, Chats, Embeddings};
use crate::shared::minilm;
use anyhow::Result;
use std::time::{Duration, Instant};

/// Steps of one token each, at the end of a text.
const DECODING_STEPS: usize = 8;

/// The time of a step, and of the attention in it where that is known.
#[derive(Clone, Copy)]
struct Times {
    whole: Duration,
    attention: Duration,
}

/// Prints a table of times: embeddings, prompts, and decoding behind them, of texts of at most so many tokens.
/// Each is repeated until it has taken as long as `least`.
pub fn print(
    embeddings: &mut Embeddings,
    chats: &mut Chats,
    most_tokens: usize,
    least: Duration,
) -> Result<()> {
    println!(
        "| model | step | tokens | softdot | attention | candle | attention | candle ÷ softdot | of attention |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (texts, tokens) in [(1, 128), (1, 512), (8, 128), (8, 512)] {
        if texts * tokens <= most_tokens {
            let medians = embedding(embeddings, texts, tokens, least)?;
            print_row("MiniLM", "embed", &format!("{texts} × {tokens}"), medians);
        }
    }
    for tokens in [128, 256, 512, 1024, 2048, 4096, 8192] {
        if tokens <= most_tokens {
            let [prompts, decoding] = chatting(chats, tokens, least)?;
            print_row("SmolLM2", "prompt", &format!("1 × {}", tokens - DECODING_STEPS), prompts);
            print_row("SmolLM2", "decode", &format!("1 at {tokens}"), decoding);
        }
    }
    println!();
    println!(
        "softdot's attention is measured (with a cache, what is appended to it too); candle's is its time less \
         that of softdot's other layers, which are the same. candle's Llama has rotations for \
         {CANDLES_POSITIONS} positions."
    );
    Ok(())
}

fn print_row(model: &str, step: &str, tokens: &str, (softdots, candles): Medians) {
    let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let share = |part: Duration, whole: Duration| {
        format!("{:.0} %", part.as_secs_f64() / whole.as_secs_f64() * 100.0)
    };
    let ratio = |candles: Duration, softdots: Duration| {
        format!("{:.2}", candles.as_secs_f64() / softdots.as_secs_f64())
    };
    let others = softdots.whole - softdots.attention;
    let of_candle = match candles {
        Some(candles) => {
            let attention = candles.saturating_sub(others);
            [
                milliseconds(candles),
                share(attention, candles),
                ratio(candles, softdots.whole),
                ratio(attention, softdots.attention),
            ]
        }
        None => ["–"; 4].map(str::to_owned),
    };
    println!(
        "| {model} | {step} | {tokens} | {} | {} | {} |",
        milliseconds(softdots.whole),
        share(softdots.attention, softdots.whole),
        of_candle.join(" | "),
    );
}

/// The medians of a batch of texts.
fn embedding(
    embeddings: &mut Embeddings,
    texts: usize,
    tokens: usize,
    least: Duration,
) -> Result<Medians> {
    let (batch, lengths) = (minilm::padded(&vec![words(tokens); texts])?, vec![tokens; texts]);
    let mut turns = Turns::default();
    // The first round finds memory and caches as no other does.
    let mut round = 0;
    let start = Instant::now();
    while round < 2 || start.elapsed() < least {
        embeddings.softdots.attention_time = Duration::ZERO;
        let whole = time(|| embeddings.softdots.forward(&batch, &lengths))?;
        let softdots = Times { whole, attention: embeddings.softdots.attention_time };
        let candles = time(|| embeddings.candles(&batch, &lengths))?;
        if round > 0 {
            turns.softdots.push(softdots);
            turns.candles.push(candles);
        }
        round += 1;
    }
    Ok(turns.medians())
}

/// Reads a text of all but the last of these tokens, once or more often, and then the last ones, one by one;
/// the medians of both.
fn chatting(chats: &mut Chats, tokens: usize, least: Duration) -> Result<[Medians; 2]> {
    let text = words(tokens);
    let (prompt, rest) = text.split_at(tokens - DECODING_STEPS);
    let mut prompts = Turns::default();
    let start = Instant::now();
    while prompts.softdots.is_empty() || start.elapsed() < least {
        chats.clear()?;
        prompts.take(chats, prompt, 0)?;
    }
    let mut decoding = Turns::default();
    for (step, token) in rest.iter().enumerate() {
        decoding.take(chats, std::slice::from_ref(token), prompt.len() + step)?;
    }
    Ok([prompts.medians(), decoding.medians()])
}

/// The times of rounds.
#[derive(Default)]
struct Turns {
    softdots: Vec<Times>,
    candles: Vec<Duration>,
}

/// Of softdot's form, and of candle's, if it took part.
type Medians = (Times, Option<Duration>);

impl Turns {
    /// Both forms read tokens behind those that they have `seen`; candle's as far as it can.
    fn take(&mut self, chats: &mut Chats, tokens: &[u32], seen: usize) -> Result<()> {
        chats.softdots.attention_time = Duration::ZERO;
        let whole = time(|| chats.softdots.forward(tokens))?;
        self.softdots.push(Times { whole, attention: chats.softdots.attention_time });
        if seen + tokens.len() <= CANDLES_POSITIONS {
            self.candles.push(time(|| chats.candles(tokens, seen))?);
        }
        Ok(())
    }

    fn medians(mut self) -> Medians {
        self.softdots.sort_by_key(|times| times.whole);
        self.candles.sort();
        let softdots = self.softdots[self.softdots.len() / 2];
        (softdots, self.candles.get(self.candles.len() / 2).copied())
    }
}

fn time<T>(step: impl FnOnce() -> Result<T>) -> Result<Duration> {
    let start = Instant::now();
    step()?;
    Ok(start.elapsed())
}

/// Some tokens, always the same ones, of words and not of marks.
fn words(count: usize) -> Vec<u32> {
    (0..count as u32).map(|token| 1000 + token * 7919 % 20_000).collect()
}
