//! The kernels: what one task computes, on one thread. See [`row_blocks`] for the outline.

mod block_buffer;
mod block_rows;
mod dot;
mod exp;
mod exponentials;
mod key_source;
mod lane_masks;
mod largest_keys;
mod log;
mod logit_ops;
mod next_block;
mod nodes;
mod output;
mod overflow;
mod pack;
mod pack_panels;
mod pages;
mod prefetch_cursor;
mod queries;
mod row_blocks;
mod row_kernel;
mod row_softmax;
mod row_state;
mod score;
mod score_buffer;
mod scratch;
mod small_heads;
mod softmax;
mod tanh;
mod tile;
mod value_pack;
mod value_product;
mod value_source;
mod value_tile;

pub(crate) use block_buffer::BufferMemory;
pub(crate) use dot::DotProduct;
#[cfg(feature = "testing")]
pub(crate) use exp::exp2;
pub(crate) use output::write_rows_without_keys;
pub(crate) use pack::{PadBuffer, pack_keys, pack_panel};
pub(crate) use pack_panels::{PackHead, PackedHeads};
pub(crate) use row_blocks::{FinishBlock, RowBlocks};
pub(crate) use row_softmax::RowSoftmax;
pub(crate) use scratch::Scratch;
pub(crate) use small_heads::SmallHeads;
#[cfg(feature = "testing")]
pub(crate) use tanh::tanh;
