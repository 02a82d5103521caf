//! The constants of the layout that plan, kernels and numerics share.

/// Elements of a cache line, the alignment of every buffer.
pub(crate) const LINE: usize = 16;

/// Keys of a panel, and columns of a panel of values: a whole number of registers everywhere.
pub(crate) const PANEL: usize = 16;

/// Virtual lanes of a segment's sum (docs/numerics.md): key `j` belongs to lane `j mod 16`.
pub(crate) const VIRTUAL_LANES: usize = 16;

/// Keys of a segment (docs/numerics.md).
pub(crate) const SEGMENT: usize = 1024;

/// Dimensions of a query row that are stored side by side.
pub(crate) const QUERY_CHUNK: usize = 8;

/// Words of a key that one transposing load covers. A word is 32 bits: an f32, or two neighbouring
/// narrow elements.
pub(crate) const TRANSPOSE_WORDS: usize = 4;

/// Query rows of a tile at most.
pub(crate) const MAX_TILE_ROWS: usize = 8;

/// Query rows of a block at most: enough for a panel of keys to pay for its way into L1.
pub(crate) const MAX_BLOCK_ROWS: usize = 48;

/// Weights of a row that a call for the largest ones gives at most.
pub(crate) const MAX_TOP_K: usize = 256;

/// Padding the keys of a head to whole panels adds fewer than this.
pub(crate) const PANEL_PADDING: usize = PANEL;

/// The shape of the register tile of an instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileShape {
    /// Query rows: one broadcast each.
    pub(crate) rows: usize,
    /// Panels of 16 keys.
    pub(crate) panels: usize,
    /// Up to so many rows of a head, transposing row-major keys for each tile costs less than
    /// packing them once.
    pub(crate) max_row_major_rows: usize,
}

impl TileShape {
    /// One lane: enough independent chains to hide the latency of a scalar FMA.
    pub(crate) const SCALAR: TileShape = TileShape { rows: 2, panels: 1, max_row_major_rows: 2 };
    /// 6 × 4 accumulators and 4 registers of keys: 28 of 32 registers.
    pub(crate) const NEON: TileShape = TileShape { rows: 6, panels: 1, max_row_major_rows: 6 };
    /// 6 × 2 accumulators, 2 registers of keys and a broadcast: 15 of 16 registers.
    pub(crate) const AVX2: TileShape = TileShape { rows: 6, panels: 1, max_row_major_rows: 6 };
    /// 8 × 2 accumulators and 2 registers of keys; broadcasts are operands of the FMA.
    pub(crate) const AVX512: TileShape = TileShape { rows: 8, panels: 2, max_row_major_rows: 24 };
    /// Emulated widths take few rows: the compiler takes minutes over large tiles in plain Rust, and
    /// these are tested on the instruction sets themselves.
    #[cfg(feature = "testing")]
    pub(crate) const EMULATED: TileShape = TileShape { rows: 2, panels: 1, max_row_major_rows: 6 };
    /// As AVX-512, two panels at a time and many rows of row-major keys.
    #[cfg(feature = "testing")]
    pub(crate) const EMULATED_16: TileShape =
        TileShape { rows: 2, panels: 2, max_row_major_rows: 24 };
}
