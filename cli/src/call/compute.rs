//! The call, and its errors in the words of the command line.

use super::inputs::Inputs;
use crate::args::Call;
use anyhow::anyhow;
use softdot::{Error, Outputs, Plan, Workspace};
use std::time::{Duration, Instant};

/// Checks inputs and options, values too; returns how the call runs.
///
/// # Errors
/// The library's.
pub fn plan(call: &Call, inputs: &Inputs) -> Result<Plan, Error> {
    inputs.attention(call).plan(inputs.query.view(), inputs.keys_values())
}

/// Computes what is asked for; returns the time that it took.
///
/// # Errors
/// The library's.
pub fn compute(call: &Call, inputs: &Inputs, outputs: Outputs<'_>) -> Result<Duration, Error> {
    let (attention, keys) = (inputs.attention(call), inputs.keys_values());
    let start = Instant::now();
    attention.run(inputs.query.view(), keys, outputs, &mut Workspace::new())?;
    Ok(start.elapsed())
}

/// The library's arguments that are options here, by their names there.
const OPTIONS: [&str; 10] =
    ["query", "key", "value", "scale", "softcap", "bias", "mask", "key_lengths", "sinks", "isa"];

/// An error that begins with the name of an argument begins with the option's instead. `results` are
/// the arguments for results that were asked for, each with its option.
pub fn by_option(error: Error, results: &[(&str, &str)]) -> anyhow::Error {
    let message = error.to_string();
    let Some((argument, rest)) = message.split_once(": ") else { return error.into() };
    let result = results.iter().find(|(result, _)| *result == argument);
    match result {
        Some((_, option)) => anyhow!("{option}: {rest}"),
        None if OPTIONS.contains(&argument) => {
            anyhow!("--{}: {rest}", argument.replace('_', "-"))
        }
        None => error.into(),
    }
}
