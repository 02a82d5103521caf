//! What was done, in one line.

use crate::args::Weights;
use crate::call::{Buffer, Inputs, options};

/// Inputs, the options that applied and those that came too late for the stage, and how it ran.
pub fn summary(arguments: &Weights, inputs: &Inputs, result: &Buffer, how: &str) -> String {
    let (call, stage) = (&arguments.call, arguments.stage);
    let (applied, unused): (Vec<_>, Vec<_>) =
        options(call, inputs).into_iter().partition(|(from, _)| *from <= stage);
    let applied: String = applied.iter().map(|(_, option)| format!(", {option}")).collect();
    let unused: Vec<String> = unused.into_iter().map(|(_, option)| option).collect();
    let unused = match unused.is_empty() {
        true => String::new(),
        false => format!(" (not at this stage: {})", unused.join(", ")),
    };
    format!(
        "{} {:?} {} of query {} and key {}{applied}{unused}: {how}, written to {}",
        stage.noun(),
        result.shape(),
        result.type_name(),
        inputs.query,
        inputs.key,
        call.output.display(),
    )
}
