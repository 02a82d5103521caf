//! What was done, in one line.

use super::compute::Computed;
use super::inputs::Inputs;
use crate::args::{StageName, Weights, Window};
use softdot::Causal;

/// Inputs, the options that applied and those that came too late for the stage, and how it ran.
pub fn summary(arguments: &Weights, inputs: &Inputs, computed: &Computed) -> String {
    let Computed { result, plan, time } = computed;
    let (applied, unused): (Vec<_>, Vec<_>) =
        options(arguments, inputs).into_iter().partition(|(from, _)| *from <= arguments.stage);
    let applied: String = applied.iter().map(|(_, option)| format!(", {option}")).collect();
    let unused: Vec<String> = unused.into_iter().map(|(_, option)| option).collect();
    let unused = match unused.is_empty() {
        true => String::new(),
        false => format!(" (not at this stage: {})", unused.join(", ")),
    };
    format!(
        "{} {:?} {} of query {} and key {}{applied}{unused}: {}, {} thread{}, {:.3} ms, written to {}",
        arguments.stage.noun(),
        inputs.shape,
        result.type_name(),
        inputs.query,
        inputs.key,
        plan.isa,
        plan.threads,
        if plan.threads == 1 { "" } else { "s" },
        time.as_secs_f64() * 1e3,
        arguments.output.display(),
    )
}

/// The options given, each with the first stage that it changes.
fn options(arguments: &Weights, inputs: &Inputs) -> Vec<(StageName, String)> {
    let adjustments = &arguments.adjustments;
    let at = |stage| move |option| (stage, option);
    [
        arguments.scale.map(|scale| format!("scale {scale}")).map(at(StageName::Scores)),
        (adjustments.key_lengths.as_ref())
            .map(|lengths| format!("key lengths {lengths:?}"))
            .map(at(StageName::Scores)),
        adjustments.softcap.map(|cap| format!("softcap {cap}")).map(at(StageName::Capped)),
        inputs.bias.as_ref().map(|bias| format!("bias {bias}")).map(at(StageName::Biased)),
        adjustments.alibi.then(|| "ALiBi".into()).map(at(StageName::Biased)),
        (inputs.mask.as_ref())
            .map(|mask| format!("mask {:?}", mask.shape()))
            .map(at(StageName::Biased)),
        adjustments.causal.map(causal).map(at(StageName::Biased)),
        adjustments.window.map(window).map(at(StageName::Biased)),
        adjustments.sinks.as_ref().map(|_| "sinks".into()).map(at(StageName::Weights)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn causal(causal: Causal) -> String {
    match causal {
        Causal::TopLeft => "causal top-left".into(),
        Causal::BottomRight => "causal bottom-right".into(),
        Causal::Offset(offset) => format!("causal from key {offset}"),
    }
}

fn window(Window { left, right }: Window) -> String {
    let [left, right] =
        [left, right].map(|side| side.map_or("∞".into(), |keys| keys.to_string()));
    format!("window {left} before, {right} after")
}
