//! What a summary says of a call.

use super::inputs::Inputs;
use crate::args::{Call, StageName, Window};
use softdot::{Causal, Plan};
use std::time::Duration;

/// The instruction set, the threads and the time.
pub fn how(plan: &Plan, time: Duration) -> String {
    format!(
        "{}, {} thread{}, {:.3} ms",
        plan.isa,
        plan.threads,
        if plan.threads == 1 { "" } else { "s" },
        time.as_secs_f64() * 1e3,
    )
}

/// The options given, each with the first stage that it changes.
pub fn options(call: &Call, inputs: &Inputs) -> Vec<(StageName, String)> {
    let adjustments = &call.adjustments;
    let at = |stage| move |option| (stage, option);
    [
        call.scale.map(|scale| format!("scale {scale}")).map(at(StageName::Scores)),
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
