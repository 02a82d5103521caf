//! Views of memory: element type, extents, strides.

use std::ffi::c_void;

/// Element type: float.
pub const SOFTDOT_F32: i32 = 1;
/// Element type: IEEE 754 binary16.
pub const SOFTDOT_F16: i32 = 2;
/// Element type: bfloat16.
pub const SOFTDOT_BF16: i32 = 3;
/// Element type of masks: a byte (or a C bool), of which any but 0 is true.
pub const SOFTDOT_U8: i32 = 4;
/// Element type of numbers of keys: int64_t.
pub const SOFTDOT_I64: i32 = 5;
/// Element type of key_mass: double.
pub const SOFTDOT_F64: i32 = 6;

/// Memory to read, [batch, heads, rows, columns].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct View {
    /// The first element, aligned as its type. May be null if an extent is 0.
    pub data: *const c_void,
    /// Element type, SOFTDOT_F32 and so on.
    pub dtype: i32,
    /// 0.
    pub reserved: i32,
    /// Extents, 0 or more each.
    pub shape: [i64; 4],
    /// Strides in elements, 0 or more each; 0 repeats an axis.
    pub strides: [i64; 4],
}

/// Memory to write, [batch, heads, rows, columns]. No two elements share memory, and no target's
/// memory, from its first element to its last, overlaps any other argument's. What lies between the
/// elements is not touched, but belongs to the call while it runs.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Target {
    /// The first element, aligned as its type. May be null if an extent is 0.
    pub data: *mut c_void,
    /// Element type, SOFTDOT_F32 and so on.
    pub dtype: i32,
    /// 0.
    pub reserved: i32,
    /// Extents, 0 or more each.
    pub shape: [i64; 4],
    /// Strides in elements, 0 or more each.
    pub strides: [i64; 4],
}
