//! The outputs of a call.

use crate::failure::Failure;
use crate::memory::{Kind, Memory, count, list};
use crate::parameters;
use crate::spans::Span;
use crate::structs;
use crate::structs::{
    SOFTDOT_LOGITS_BIASED, SOFTDOT_LOGITS_CAPPED, SOFTDOT_LOGITS_SCORES, SOFTDOT_MASS_ROWS,
};
use crate::views::Target;
use softdot_core::Logits;
use std::ops::Range;

/// The outputs, each by itself as it should be.
pub struct Outputs<'a> {
    output: Option<Memory>,
    lse: Option<Memory>,
    weights: Option<Memory>,
    weights_of_heads: Option<(&'a [usize], Memory)>,
    logits: Option<(Logits, Memory)>,
    max_logit: Option<Memory>,
    max_weight: Option<Memory>,
    max_weight_key: Option<Memory>,
    entropy: Option<Memory>,
    top_k: Option<(Memory, Memory)>,
    key_mass: Option<Memory>,
    key_max: Option<Memory>,
    mass_rows: Option<Range<usize>>,
}

impl<'a> Outputs<'a> {
    /// # Safety
    /// `outputs` is null, not aligned, or points to outputs whose pointers and counts are as the header
    /// says, for `'a`.
    pub unsafe fn open(outputs: *const structs::Outputs) -> Result<Self, Failure> {
        // SAFETY: the caller's promise.
        let outputs = unsafe { parameters::read("outputs", outputs)? };
        let open = |argument, target: *const Target, kind| {
            // SAFETY: the caller's promise.
            unsafe { Memory::of_target(argument, target, kind) }
        };
        let floats = |argument, target| open(argument, target, Kind::Floats);
        // SAFETY: the caller's promise.
        let heads = unsafe { list("heads", outputs.heads, outputs.heads_count)? };
        let of_heads = floats("weights_of_heads", outputs.weights_of_heads)?;
        let (k_weights, k_keys) = (
            floats("top_k_weights", outputs.top_k_weights)?,
            open("top_k_keys", outputs.top_k_keys, Kind::Keys)?,
        );
        Ok(Outputs {
            output: floats("output", outputs.output)?,
            lse: floats("lse", outputs.lse)?,
            weights: floats("weights", outputs.weights)?,
            weights_of_heads: both(["heads", "weights_of_heads"], heads, of_heads)?,
            logits: logits(outputs.logits_stage, floats("logits", outputs.logits)?)?,
            max_logit: floats("max_logit", outputs.max_logit)?,
            max_weight: floats("max_weight", outputs.max_weight)?,
            max_weight_key: open("max_weight_key", outputs.max_weight_key, Kind::Keys)?,
            entropy: floats("entropy", outputs.entropy)?,
            top_k: both(["top_k_weights", "top_k_keys"], k_weights, k_keys)?,
            key_mass: open("key_mass", outputs.key_mass, Kind::F64)?,
            key_max: open("key_max", outputs.key_max, Kind::F32)?,
            mass_rows: mass_rows(&outputs)?,
        })
    }

    /// What is read.
    pub fn read(&self) -> Option<Span> {
        self.weights_of_heads.map(|(heads, _)| Span::of_list("heads", heads))
    }

    /// What is written.
    pub fn written(&self) -> [Option<Span>; 13] {
        let (k_weights, k_keys) = self.top_k.unzip();
        [
            self.output,
            self.lse,
            self.weights,
            self.weights_of_heads.map(|(_, memory)| memory),
            self.logits.map(|(_, memory)| memory),
            self.max_logit,
            self.max_weight,
            self.max_weight_key,
            self.entropy,
            k_weights,
            k_keys,
            self.key_mass,
            self.key_max,
        ]
        .map(|memory| memory.map(|memory| memory.span()))
    }

    /// softdot's own.
    ///
    /// # Safety
    /// The memory of all outputs is there for `'a`, and nothing else uses it.
    pub unsafe fn views(&self) -> softdot_core::Outputs<'a> {
        // SAFETY: the caller's promise; no span overlaps another (`spans::check`), and each kind was
        // checked to be of the type that it is taken for.
        unsafe { self.float_views(self.other_views()) }
    }

    /// # Safety
    /// As [`Outputs::views`].
    unsafe fn float_views(
        &self,
        mut outputs: softdot_core::Outputs<'a>,
    ) -> softdot_core::Outputs<'a> {
        // SAFETY: the caller's promise, here and below.
        let view = |memory: &Memory| unsafe { memory.floats_mut() };
        if let Some(output) = &self.output {
            outputs = outputs.output(view(output));
        }
        if let Some(lse) = &self.lse {
            outputs = outputs.lse(view(lse));
        }
        if let Some(weights) = &self.weights {
            outputs = outputs.weights(view(weights));
        }
        if let Some((heads, weights)) = &self.weights_of_heads {
            outputs = outputs.weights_of_heads(heads, view(weights));
        }
        if let Some((stage, logits)) = &self.logits {
            outputs = outputs.logits(*stage, view(logits));
        }
        if let Some(max_logit) = &self.max_logit {
            outputs = outputs.max_logit(view(max_logit));
        }
        if let Some(max_weight) = &self.max_weight {
            outputs = outputs.max_weight(view(max_weight));
        }
        if let Some(entropy) = &self.entropy {
            outputs = outputs.entropy(view(entropy));
        }
        outputs
    }

    /// # Safety
    /// As [`Outputs::views`].
    unsafe fn other_views(&self) -> softdot_core::Outputs<'a> {
        let mut outputs = softdot_core::Outputs::new();
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(keys) = &self.max_weight_key {
                outputs = outputs.max_weight_key(keys.tensor_mut());
            }
            if let Some((weights, keys)) = &self.top_k {
                outputs = outputs.top_k(weights.floats_mut(), keys.tensor_mut());
            }
            if let Some(mass) = &self.key_mass {
                outputs = outputs.key_mass(mass.tensor_mut());
            }
            if let Some(max) = &self.key_max {
                outputs = outputs.key_max(max.tensor_mut());
            }
        }
        match self.mass_rows.clone() {
            Some(rows) => outputs.mass_rows(rows),
            None => outputs,
        }
    }
}

/// Two arguments that come together.
fn both<A, B>(
    [first, second]: [&'static str; 2],
    a: Option<A>,
    b: Option<B>,
) -> Result<Option<(A, B)>, Failure> {
    match (a, b) {
        (Some(a), Some(b)) => Ok(Some((a, b))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Failure::Null { argument: first }),
        (Some(_), None) => Err(Failure::Null { argument: second }),
    }
}

fn logits(stage: i32, logits: Option<Memory>) -> Result<Option<(Logits, Memory)>, Failure> {
    let argument = "logits_stage";
    let stage = match (stage, logits.is_some()) {
        (0, false) => return Ok(None),
        (SOFTDOT_LOGITS_SCORES, true) => Logits::Scores,
        (SOFTDOT_LOGITS_CAPPED, true) => Logits::Capped,
        (SOFTDOT_LOGITS_BIASED, true) => Logits::Biased,
        (found, true) => {
            let (expected, found) = ("one of SOFTDOT_LOGITS_...", found.into());
            return Err(Failure::Unknown { argument, expected, found });
        }
        (_, false) => return Err(Failure::Unset { argument, expected: "0 without logits" }),
    };
    Ok(logits.map(|memory| (stage, memory)))
}

fn mass_rows(outputs: &structs::Outputs) -> Result<Option<Range<usize>>, Failure> {
    let structs::Outputs { flags, mass_rows_begin: begin, mass_rows_end: end, .. } = *outputs;
    match flags {
        SOFTDOT_MASS_ROWS => {
            Ok(Some(count("mass_rows_begin", begin)?..count("mass_rows_end", end)?))
        }
        0 if (begin, end) == (0, 0) => Ok(None),
        0 => {
            let expected = "0 without SOFTDOT_MASS_ROWS";
            Err(Failure::Unset { argument: "mass_rows_begin, mass_rows_end", expected })
        }
        _ => {
            let (expected, found) = ("SOFTDOT_MASS_ROWS alone", flags.into());
            Err(Failure::Unknown { argument: "outputs.flags", expected, found })
        }
    }
}
