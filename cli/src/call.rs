//! A call on tensors in files: what `weights` and `attention` have in common.

mod buffer;
mod compute;
mod inputs;
mod picture;
mod summary;

pub use buffer::Buffer;
pub use compute::{by_option, compute, plan};
pub use inputs::Inputs;
pub use picture::{check_picture, first_head};
pub use summary::{how, options};
