//! The models of the examples: candle's matrices, softdot's attention.

// Each example uses a part of it.
#![allow(dead_code)]

pub mod files;
pub mod minilm;
pub mod smollm;
