//! The structs of a call, and their constants.

use crate::packed_keys::PackedKeys;
use crate::pool::Pool;
use crate::views::{Target, View};
use crate::workspace::Workspace;
use std::ffi::c_void;

/// Not causal.
pub const SOFTDOT_CAUSAL_NONE: i32 = 0;
/// Causal, query row i stands at key i.
pub const SOFTDOT_CAUSAL_TOP_LEFT: i32 = 1;
/// Causal, the last query row stands at the last key: the newest tokens of a cache.
pub const SOFTDOT_CAUSAL_BOTTOM_RIGHT: i32 = 2;
/// Causal, query row 0 stands at the key causal_offset, which may be negative.
pub const SOFTDOT_CAUSAL_OFFSET: i32 = 3;

/// softdot_options.flags: scale is given. Without it the scale is 1/sqrt(head_dim).
pub const SOFTDOT_SCALE: u32 = 1;
/// softdot_options.flags: window_left is given. Without it the window is unbounded there.
pub const SOFTDOT_WINDOW_LEFT: u32 = 2;
/// softdot_options.flags: window_right is given. Without it the window is unbounded there.
pub const SOFTDOT_WINDOW_RIGHT: u32 = 4;

/// softdot_outputs.flags: mass_rows_begin and mass_rows_end are given. Without it all rows count.
pub const SOFTDOT_MASS_ROWS: u32 = 1;

/// Stage of logits: scale * q.k.
pub const SOFTDOT_LOGITS_SCORES: i32 = 1;
/// Stage of logits: after the softcap.
pub const SOFTDOT_LOGITS_CAPPED: i32 = 2;
/// Stage of logits: what the softmax sees, minus infinity where excluded.
pub const SOFTDOT_LOGITS_BIASED: i32 = 3;

/// The options of a call. All zero but struct_size: none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Options {
    /// sizeof(softdot_options).
    pub struct_size: usize,
    /// Which of the numbers below are given: SOFTDOT_SCALE, SOFTDOT_WINDOW_LEFT, SOFTDOT_WINDOW_RIGHT.
    pub flags: u32,
    /// What q.k is multiplied by, any finite value.
    pub scale: f32,
    /// Caps scores softly: softcap * tanh(score / softcap). 0 is no cap.
    pub softcap: f32,
    /// SOFTDOT_CAUSAL_NONE and so on.
    pub causal: i32,
    /// Where query row 0 stands with SOFTDOT_CAUSAL_OFFSET, else 0.
    pub causal_offset: i64,
    /// Keys before a row's own position that it attends to at most.
    pub window_left: i64,
    /// Keys after a row's own position that it attends to at most.
    pub window_right: i64,
    /// What to add to the scaled, capped scores, or null: [batch, q_heads, query_rows, keys], each
    /// extent as that of the weights or 1. Minus infinity excludes.
    pub bias: *const View,
    /// Which keys rows attend to, SOFTDOT_U8, or null: extents as those of bias.
    pub mask: *const View,
    /// One ALiBi slope for each query head, or null.
    pub alibi_slopes: *const f32,
    /// How many.
    pub alibi_slopes_count: usize,
    /// How many keys each batch entry has, the first ones, or null. Nothing beyond them is read.
    pub key_lengths: *const usize,
    /// How many.
    pub key_lengths_count: usize,
    /// A logit for each query head that takes part in the normalisation alone, or null.
    pub sinks: *const f32,
    /// How many.
    pub sinks_count: usize,
    /// SOFTDOT_ISA_DETECTED, or the instruction set to run on.
    pub isa: i32,
    /// 0.
    pub reserved_word: u32,
    /// 0 each.
    pub reserved: [u64; 8],
}

/// What a call computes, and into which memory. A null pointer: not that.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Outputs {
    /// sizeof(softdot_outputs).
    pub struct_size: usize,
    /// weights * V, [batch, q_heads, query_rows, v_dim].
    pub output: *const Target,
    /// The log-sum-exp of each row's logits, natural, [batch, q_heads, query_rows, 1].
    pub lse: *const Target,
    /// The attention weights, [batch, q_heads, query_rows, keys].
    pub weights: *const Target,
    /// The weights of the query heads in the list heads, [batch, heads_count, query_rows, keys].
    pub weights_of_heads: *const Target,
    /// Query heads.
    pub heads: *const usize,
    /// How many.
    pub heads_count: usize,
    /// The logits at logits_stage, [batch, q_heads, query_rows, keys].
    pub logits: *const Target,
    /// SOFTDOT_LOGITS_SCORES and so on; 0 without logits.
    pub logits_stage: i32,
    /// SOFTDOT_MASS_ROWS, or 0.
    pub flags: u32,
    /// Each row's largest logit, [batch, q_heads, query_rows, 1].
    pub max_logit: *const Target,
    /// Each row's largest weight, [batch, q_heads, query_rows, 1].
    pub max_weight: *const Target,
    /// Its key, SOFTDOT_I64, [batch, q_heads, query_rows, 1]; -1 if there is none.
    pub max_weight_key: *const Target,
    /// The entropy of each row's weights in nats, [batch, q_heads, query_rows, 1].
    pub entropy: *const Target,
    /// The largest weights of each row, [batch, q_heads, query_rows, k], k up to 256. With top_k_keys.
    pub top_k_weights: *const Target,
    /// Their keys, SOFTDOT_I64; -1 for none. With top_k_weights.
    pub top_k_keys: *const Target,
    /// Adds the weights that each key received: SOFTDOT_F64, [batch, q_heads or kv_heads, 1, keys].
    pub key_mass: *const Target,
    /// The largest weight that each key received, if larger than what is there: SOFTDOT_F32, extents
    /// as those of key_mass.
    pub key_max: *const Target,
    /// The first query row that counts for key_mass and key_max.
    pub mass_rows_begin: i64,
    /// The first that does not any more.
    pub mass_rows_end: i64,
    /// 0 each.
    pub reserved: [u64; 8],
}

/// What softdot_parallel_for calls with each index. It may be called on any thread, and never unwinds.
pub type Body = Option<unsafe extern "C" fn(work: *mut c_void, index: i64)>;

/// A loop of the host's: calls body(work, index) for each index from 0 to count - 1, on any threads, at
/// the same time or one after another in any order, and returns when these calls have. It does not
/// throw. Each call of body takes tasks until none is left: none waits for one that has not begun, and
/// the tasks of indices that are left out run on the calling thread in the end.
pub type Loop =
    Option<unsafe extern "C" fn(context: *mut c_void, count: i64, body: Body, work: *mut c_void)>;

/// A call of attention.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    /// sizeof(softdot_call).
    pub struct_size: usize,
    /// [batch, q_heads, query_rows, head_dim].
    pub query: *const View,
    /// [batch or 1, kv_heads, keys, head_dim], q_heads a multiple of kv_heads; null with packed_keys.
    pub key: *const View,
    /// Keys that are kept packed; null with key.
    pub packed_keys: *const PackedKeys,
    /// [batch or 1, kv_heads, keys, v_dim]; may be null unless the output is asked for.
    pub value: *const View,
    /// Null: no options.
    pub options: *const Options,
    /// What is computed.
    pub outputs: *const Outputs,
    /// Null, and workspace_memory, too: the call has memory of its own, which it allocates and frees.
    pub workspace: *const Workspace,
    /// Memory to work in, without workspace: softdot_attention_workspace_bytes says how much. Aligned as
    /// float, of any content. Null: not that.
    pub workspace_memory: *mut c_void,
    /// How many bytes of it; 0 without.
    pub workspace_bytes: usize,
    /// Threads that share the work. Null, and parallel_for, too: the calling thread alone.
    pub pool: *const Pool,
    /// Null: not threads of the host's own. Null with pool.
    pub parallel_for: Loop,
    /// What parallel_for is called with, may be null.
    pub parallel_for_context: *mut c_void,
    /// How many threads parallel_for can use, the calling one included: 1 to 1024, 0 without.
    pub parallel_for_threads: i64,
    /// 0 each: room for caches, pages and ragged batches.
    pub reserved: [u64; 16],
}
