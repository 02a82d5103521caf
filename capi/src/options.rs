//! The options of a call.

use crate::failure::Failure;
use crate::isa;
use crate::memory::{Kind, Memory, count, list};
use crate::parameters;
use crate::spans::Span;
use crate::structs;
use crate::structs::{
    SOFTDOT_CAUSAL_BOTTOM_RIGHT, SOFTDOT_CAUSAL_NONE, SOFTDOT_CAUSAL_OFFSET,
    SOFTDOT_CAUSAL_TOP_LEFT, SOFTDOT_SCALE, SOFTDOT_WINDOW_LEFT, SOFTDOT_WINDOW_RIGHT,
};
use softdot_core::{Attention, Causal, Isa};

/// The options, each by itself as it should be.
#[derive(Default)]
pub struct Options<'a> {
    scale: Option<f32>,
    softcap: Option<f32>,
    causal: Option<Causal>,
    window: [Option<usize>; 2],
    bias: Option<Memory>,
    mask: Option<Memory>,
    alibi_slopes: Option<&'a [f32]>,
    key_lengths: Option<&'a [usize]>,
    sinks: Option<&'a [f32]>,
    isa: Option<Isa>,
}

impl<'a> Options<'a> {
    /// None if the pointer is null.
    ///
    /// # Safety
    /// `options` is null, not aligned, or points to options whose pointers and counts are as the header
    /// says, for `'a`.
    pub unsafe fn open(options: *const structs::Options) -> Result<Self, Failure> {
        if options.is_null() {
            return Ok(Options::default());
        }
        // SAFETY: the caller's promise.
        let options = unsafe { parameters::read("options", options)? };
        check_flags(&options)?;
        let flag = |flag| options.flags & flag != 0;
        let window = |side, argument, keys| {
            if flag(side) { count(argument, keys).map(Some) } else { Ok(None) }
        };
        // SAFETY: the caller's promise.
        unsafe {
            Ok(Options {
                scale: flag(SOFTDOT_SCALE).then_some(options.scale),
                softcap: (options.softcap != 0.0).then_some(options.softcap),
                causal: causal(&options)?,
                window: [
                    window(SOFTDOT_WINDOW_LEFT, "window_left", options.window_left)?,
                    window(SOFTDOT_WINDOW_RIGHT, "window_right", options.window_right)?,
                ],
                bias: Memory::of_view("bias", options.bias, Kind::Floats)?,
                mask: Memory::of_view("mask", options.mask, Kind::Bytes)?,
                alibi_slopes: list(
                    "alibi_slopes",
                    options.alibi_slopes,
                    options.alibi_slopes_count,
                )?,
                key_lengths: list("key_lengths", options.key_lengths, options.key_lengths_count)?,
                sinks: list("sinks", options.sinks, options.sinks_count)?,
                isa: isa::chosen(options.isa)?,
            })
        }
    }

    /// What is read.
    pub fn spans(&self) -> [Option<Span>; 5] {
        [
            self.bias.map(|bias| bias.span()),
            self.mask.map(|mask| mask.span()),
            self.alibi_slopes.map(|list| Span::of_list("alibi_slopes", list)),
            self.key_lengths.map(|list| Span::of_list("key_lengths", list)),
            self.sinks.map(|list| Span::of_list("sinks", list)),
        ]
    }

    /// softdot's own.
    ///
    /// # Safety
    /// Bias and mask are there for `'a`, and nothing writes to them.
    pub unsafe fn attention(&self) -> Attention<'a> {
        let [left, right] = self.window;
        let mut attention = Attention::new().window(left, right);
        if let Some(scale) = self.scale {
            attention = attention.scale(scale);
        }
        if let Some(softcap) = self.softcap {
            attention = attention.softcap(softcap);
        }
        if let Some(causal) = self.causal {
            attention = attention.causal(causal);
        }
        if let Some(bias) = self.bias {
            // SAFETY: the caller's promise.
            attention = attention.bias(unsafe { bias.floats() });
        }
        if let Some(mask) = self.mask {
            // SAFETY: the caller's promise.
            attention = attention.mask(unsafe { mask.bytes() });
        }
        if let Some(slopes) = self.alibi_slopes {
            attention = attention.alibi_slopes(slopes);
        }
        if let Some(lengths) = self.key_lengths {
            attention = attention.key_lengths(lengths);
        }
        if let Some(sinks) = self.sinks {
            attention = attention.sinks(sinks);
        }
        if let Some(isa) = self.isa {
            attention = attention.isa(isa);
        }
        attention
    }
}

/// Refuses flags that do not exist, and numbers whose flag is not set.
fn check_flags(options: &structs::Options) -> Result<(), Failure> {
    let structs::Options { flags, scale, window_left, window_right, .. } = *options;
    if flags & !(SOFTDOT_SCALE | SOFTDOT_WINDOW_LEFT | SOFTDOT_WINDOW_RIGHT) != 0 {
        let expected = "SOFTDOT_SCALE, SOFTDOT_WINDOW_LEFT and SOFTDOT_WINDOW_RIGHT alone";
        let found = flags.into();
        return Err(Failure::Unknown { argument: "options.flags", expected, found });
    }
    let is_set = |flag| flags & flag != 0;
    for (argument, expected, is_sound) in [
        ("scale", "0 without SOFTDOT_SCALE", is_set(SOFTDOT_SCALE) || scale == 0.0),
        (
            "window_left",
            "0 without SOFTDOT_WINDOW_LEFT",
            is_set(SOFTDOT_WINDOW_LEFT) || window_left == 0,
        ),
        (
            "window_right",
            "0 without SOFTDOT_WINDOW_RIGHT",
            is_set(SOFTDOT_WINDOW_RIGHT) || window_right == 0,
        ),
    ] {
        if !is_sound {
            return Err(Failure::Unset { argument, expected });
        }
    }
    Ok(())
}

fn causal(options: &structs::Options) -> Result<Option<Causal>, Failure> {
    let offset = options.causal_offset;
    let causal = match options.causal {
        SOFTDOT_CAUSAL_OFFSET => {
            // Saturates only where `isize` is narrower, far beyond any key.
            let saturated = if offset < 0 { isize::MIN } else { isize::MAX };
            return Ok(Some(Causal::Offset(isize::try_from(offset).unwrap_or(saturated))));
        }
        SOFTDOT_CAUSAL_NONE => None,
        SOFTDOT_CAUSAL_TOP_LEFT => Some(Causal::TopLeft),
        SOFTDOT_CAUSAL_BOTTOM_RIGHT => Some(Causal::BottomRight),
        other => {
            let (argument, expected) = ("causal", "one of SOFTDOT_CAUSAL_...");
            return Err(Failure::Unknown { argument, expected, found: other.into() });
        }
    };
    if offset != 0 {
        let (argument, expected) = ("causal_offset", "0 without SOFTDOT_CAUSAL_OFFSET");
        return Err(Failure::Unset { argument, expected });
    }
    Ok(causal)
}
