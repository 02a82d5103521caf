//! What was done, in one line.

use super::result::Kind;
use crate::args::Attention;
use crate::call::{Inputs, options};

/// Inputs, options, how it ran, and where the results are.
pub fn summary(arguments: &Attention, inputs: &Inputs, how: &str) -> String {
    let call = &arguments.call;
    let options = options(call, inputs).into_iter();
    let options: String = options.map(|(_, option)| format!(", {option}")).collect();
    let value = inputs.value.as_ref().map(|value| format!(" and value {value}"));
    let beside = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Output).filter_map(|kind| {
        let path = kind.path(arguments)?;
        let rows = arguments.mass_rows.filter(|_| kind == Kind::KeyMass);
        let rows = rows.map(|rows| format!(" of the last {rows} query rows")).unwrap_or_default();
        Some(format!(", {}{rows} to {}", kind.argument().replace('_', " "), path.display()))
    });
    format!(
        "output {:?} {} of query {}, key {}{}{options}: {how}, written to {}{}",
        inputs.output_shape(),
        call.dtype.name(),
        inputs.query,
        inputs.key,
        value.unwrap_or_default(),
        call.output.display(),
        beside.collect::<String>(),
    )
}
