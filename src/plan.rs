//! How a call will run: plain data, a pure function of the workload, the instruction set, the number
//! of threads and the cache sizes. Nothing here changes a bit of the result.

use crate::caches::Caches;
use crate::isa::Isa;
use crate::layout::{LINE, MAX_BLOCK_ROWS, PANEL, QUERY_CHUNK, SEGMENT, TileShape};
use crate::memory::Memory;
use crate::problem::Problem;
use crate::rows::Row;
use crate::simd::Staging;
use core::{fmt, ops::Range};

/// Tasks per thread, so that uneven ones even out.
const TASKS_PER_THREAD: usize = 16;

/// Elements of the memory in which lines are assembled.
const STAGING: usize = size_of::<Staging>() / size_of::<f32>();

/// How a call will run; made by [`Attention::plan`](crate::Attention::plan).
///
/// `Display` prints it in words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The instruction set.
    pub isa: Isa,
    /// Threads that share the work; 1 is the caller's own.
    pub threads: usize,
    /// Bytes of the workspace that the call needs.
    pub workspace_bytes: usize,
    /// Where tiles read keys from.
    pub key_source: KeySource,
    /// Which kernel computes the rows.
    pub path: Path,
    /// Key heads over the whole batch.
    pub heads: usize,
    /// Query rows per key head, over its group.
    pub rows: usize,
    /// Keys of a head.
    pub keys: usize,
    /// Query rows of a block, over all its heads.
    pub block_rows: usize,
    /// Heads of a block: several if it has room for all their rows.
    pub block_heads: usize,
    /// Tasks that share the segments of one block; 1 unless a task has one block.
    pub splits: usize,
    /// Whether the result for pairs of rows and keys is written by non-temporal stores.
    pub nontemporal: bool,
    pub(crate) head_dim: usize,
    /// Columns of the values; 0 if there is no output.
    pub(crate) v_dim: usize,
    /// Where tiles read values from.
    pub(crate) value_source: ValueSource,
    /// Keys whose values all rows of a block meet before the next ones: whole panels, as many as
    /// divide a segment.
    pub(crate) value_pass_keys: usize,
    /// Whether exponentials follow the scores.
    pub(crate) softmax: bool,
    /// Whether the moments of the exponentials are summed, for the entropy.
    pub(crate) moments: bool,
    /// Whether the key of each row's largest weight is kept.
    pub(crate) largest_keys: bool,
    /// Whether there is a result with an element for each pair of a row and a key.
    pub(crate) writes_pairs: bool,
    /// Whether the scores of all segments are kept until a block's rows are merged: for results that
    /// follow from the weights themselves.
    pub(crate) keeps_scores: bool,
    /// Keys that all rows of a block meet before the next ones: a whole number of panels.
    pub(crate) pass_keys: usize,
    /// Whether the packed keys of all heads exceed L2.
    pub(crate) beyond_l2: bool,
    /// Whether the keys of the next head are few enough to be prefetched while this one is computed.
    pub(crate) prefetch_keys: bool,
    /// Heads whose blocks are shared out at a time.
    pub(crate) wave_heads: usize,
    /// Blocks that a task computes one after another, of one head or several.
    pub(crate) blocks_per_task: usize,
    /// 2 where a block is written while the next is computed.
    pub(crate) buffers_per_thread: usize,
    /// How the workspace is laid out.
    pub(crate) memory: Memory,
}

/// Where tiles read keys from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// The caller's rows, transposed in registers by each tile: for few query rows.
    RowMajor,
    /// Panels that this call packs, shared by all rows of a head.
    PackPerCall,
    /// Panels that the caller keeps.
    Prepacked,
}

/// Where tiles read values from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// The caller's rows: for few query rows.
    RowMajor,
    /// Panels that this call packs, shared by all rows of a head.
    PackPerCall,
    /// Panels of one pass of keys, packed again for each block: for few query rows whose values
    /// cannot be read as they lie.
    PackPerPass,
}

/// Which kernel computes the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Path {
    /// Blocks of rows, whose scores go through a buffer in cache.
    RowBlocks,
    /// Heads of no more keys than a tile has: their scores stay in registers.
    SmallHeads,
}

/// What the plan has to know of a problem.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Key heads over the whole batch.
    pub heads: usize,
    /// Query rows per key head.
    pub rows: usize,
    /// Keys of a head.
    pub keys: usize,
    /// Dimensions of queries and keys.
    pub head_dim: usize,
    /// How keys lie in memory.
    pub key_layout: KeyLayout,
    /// Columns of the values; 0 if there is no output.
    pub v_dim: usize,
    /// Whether the values are rows of contiguous f32 columns, whole panels of them.
    pub values_are_panels: bool,
    /// Whether exponentials follow the scores.
    pub softmax: bool,
    /// Whether sinks take part in the normalisation.
    pub sinks: bool,
    /// Bytes of the result with an element for each pair; 0 if there is none.
    pub pair_bytes: usize,
    /// Whether there are results with an element for each row.
    pub row_results: bool,
    /// Whether there are results that follow from all weights of a row.
    pub weight_results: bool,
    /// Whether the entropy is one of the row results.
    pub entropy: bool,
    /// Whether the key of the largest weight is one of them.
    pub largest_keys: bool,
}

/// How the caller's keys lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLayout {
    /// Rows of contiguous dimensions, aligned to words.
    Words,
    /// Any other strides.
    Strided,
    /// Panels.
    Panels,
}

impl Workload {
    pub(crate) fn new(problem: &Problem<'_>) -> Self {
        let extents = &problem.extents;
        // Without pairs there is nothing to lay out, and the other extents may be anything.
        let (heads, rows, keys, head_dim) = if extents.weights_shape().contains(&0) {
            (0, 0, 0, 0)
        } else {
            (extents.heads(), extents.rows_per_head(), extents.keys, extents.head_dim)
        };
        Workload {
            heads,
            rows,
            keys,
            head_dim,
            key_layout: if problem.has_key_panels() {
                KeyLayout::Panels
            } else if problem.keys_are_words() {
                KeyLayout::Words
            } else {
                KeyLayout::Strided
            },
            v_dim: if problem.goal.has_output() { extents.v_dim } else { 0 },
            values_are_panels: problem.values_are_panels(),
            softmax: problem.goal.is_softmax(),
            sinks: problem.has_sinks(),
            pair_bytes: problem.goal.of_pairs().map_or(0, |target| target.bytes()),
            row_results: problem.goal.has_row_results(),
            weight_results: problem.goal.has_weight_results(),
            entropy: problem.goal.has_entropy(),
            largest_keys: problem.goal.has_largest_keys(),
        }
    }
}

impl Plan {
    /// `threads` are those that may be used.
    pub(crate) fn new(workload: &Workload, isa: Isa, threads: usize, caches: &Caches) -> Plan {
        let Workload { heads, rows, keys, head_dim, .. } = *workload;
        let tile = isa.tile();
        let weights_alone = workload.softmax
            && !workload.sinks
            && !workload.row_results
            && !workload.weight_results
            && workload.v_dim == 0;
        let small = keys <= tile.panels * PANEL && weights_alone && workload.pair_bytes > 0;
        // Small heads pack into one place again and again, which costs less.
        let row_major_rows = if small { tile.panels } else { tile.max_row_major_rows };
        let row_major = workload.key_layout == KeyLayout::Words
            && rows <= row_major_rows
            && keys >= PANEL
            && head_dim > 0;
        let mut plan = Plan {
            isa,
            threads: threads.max(1),
            workspace_bytes: 0,
            key_source: match workload.key_layout {
                _ if row_major => KeySource::RowMajor,
                KeyLayout::Panels => KeySource::Prepacked,
                KeyLayout::Words | KeyLayout::Strided => KeySource::PackPerCall,
            },
            path: if small && !row_major { Path::SmallHeads } else { Path::RowBlocks },
            heads,
            rows,
            keys,
            block_rows: 1,
            block_heads: 1,
            splits: 1,
            nontemporal: false,
            head_dim,
            v_dim: workload.v_dim,
            value_source: if rows > tile.max_row_major_rows {
                ValueSource::PackPerCall
            } else if workload.values_are_panels {
                ValueSource::RowMajor
            } else {
                ValueSource::PackPerPass
            },
            value_pass_keys: SEGMENT,
            softmax: workload.softmax,
            moments: workload.entropy,
            largest_keys: workload.largest_keys,
            writes_pairs: workload.pair_bytes > 0,
            keeps_scores: workload.pair_bytes > 0 || workload.weight_results,
            pass_keys: SEGMENT,
            beyond_l2: false,
            prefetch_keys: false,
            wave_heads: 1,
            blocks_per_task: 1,
            buffers_per_thread: 1,
            memory: Memory::default(),
        };
        let packed_bytes = plan.packed_bytes();
        plan.beyond_l2 = packed_bytes.saturating_mul(heads) > caches.l2;
        plan.prefetch_keys = plan.packs_keys() && packed_bytes <= caches.l2 / 4;
        match plan.path {
            Path::SmallHeads => plan.block_rows = rows.clamp(1, MAX_BLOCK_ROWS),
            Path::RowBlocks => plan.choose_blocks(tile, caches),
        }
        plan.choose_tasks(caches);
        plan.nontemporal = workload.pair_bytes > caches.l3 && plan.path == Path::RowBlocks;
        plan.memory = plan.lay_out();
        plan.workspace_bytes = (plan.memory.total().saturating_mul(size_of::<f32>()))
            .saturating_add(plan.row_slots().saturating_mul(size_of::<Row>()));
        plan
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.heads == 0
    }

    /// Chooses the rows and heads of a block, and the keys of a pass.
    fn choose_blocks(&mut self, tile: TileShape, caches: &Caches) {
        let row_bytes = self.kept_segments().max(1) * self.score_pitch() * size_of::<f32>();
        let buffers = if self.writes_pairs { 2 } else { 1 };
        let rows_in = |bytes: usize| bytes / buffers / row_bytes;
        let even = self.heads.saturating_mul(self.rows) / self.wanted_tasks();
        // Where a head's packed keys stay in L2, each panel needs only a few tiles of rows to pay
        // for its way from there into L1; where they come from further away it needs as many as half
        // of L2 holds the scores of; where they come from memory for each block, that costs more than
        // fetching scores from L3.
        let wanted = match self.packed_bytes() {
            packed if packed <= caches.l2 / 2 => rows_in(4 * caches.l1).min(even),
            packed if packed <= caches.l3 / 2 => rows_in(caches.l2 / 2).min(even),
            _ => rows_in(caches.l3 / self.threads),
        };
        let whole_tiles = |rows: usize| (rows / tile.rows * tile.rows).max(tile.rows);
        let pass_bytes = PANEL.saturating_mul(self.head_dim).saturating_mul(size_of::<f32>());
        let pass_panels = (caches.l2 / 8).checked_div(pass_bytes).unwrap_or(usize::MAX);
        self.pass_keys = pass_panels.clamp(1, SEGMENT / PANEL) * PANEL;
        // The values of a pass stay in half of L1: one group of panels of them, or all columns where
        // they are packed pass by pass. Row-major ones are read panel by panel: with the next pass,
        // which is prefetched meanwhile, they stay in L2.
        let (value_bytes, value_columns) = match self.value_source {
            ValueSource::PackPerCall => (caches.l1 / 2, tile.panels * PANEL),
            ValueSource::PackPerPass => (caches.l1 / 2, self.value_pitch().max(PANEL)),
            ValueSource::RowMajor => (caches.l1, self.value_pitch().max(PANEL)),
        };
        let value_keys = value_bytes / size_of::<f32>() / value_columns;
        let value_keys = 1 << value_keys.clamp(PANEL, SEGMENT).ilog2();
        self.value_pass_keys = value_keys.min(self.keys.next_multiple_of(PANEL).max(PANEL));
        let most = whole_tiles(wanted.min(MAX_BLOCK_ROWS));
        self.block_rows = most.min(self.rows.max(1));
        if self.key_source == KeySource::RowMajor && self.block_rows <= tile.rows {
            // One tile of rows meets each key once: nothing to keep in L2.
            self.pass_keys = SEGMENT;
        }
        if self.segments() == 1 && self.packed_bytes() <= caches.l1 {
            // Short heads: several share a block, so that each step has enough independent work.
            let in_cache = caches.l2 / 4 / self.packed_bytes().max(1);
            self.block_heads = (most / self.block_rows).min(in_cache).clamp(1, self.heads);
            self.block_rows *= self.block_heads;
        }
        let blocks = self.blocks(&(0..self.heads)).len();
        if self.writes_pairs && blocks > 1 && rows_in(caches.l2) >= self.block_rows {
            self.buffers_per_thread = 2;
        }
    }

    /// Tasks that are enough for the threads to even out.
    fn wanted_tasks(&self) -> usize {
        if self.threads == 1 { 1 } else { self.threads * TASKS_PER_THREAD }
    }

    /// Shares out blocks and heads.
    fn choose_tasks(&mut self, caches: &Caches) {
        let all_blocks = self.blocks(&(0..self.heads)).len();
        if all_blocks < self.threads * 2 {
            self.splits =
                (self.wanted_tasks() / all_blocks.max(1)).clamp(1, self.segments().max(1));
        }
        if self.splits > 1 {
            self.buffers_per_thread = 1;
            self.wave_heads = self.heads.max(1);
        } else if self.threads == 1 {
            self.wave_heads = self.heads.max(1);
            self.blocks_per_task = all_blocks.max(1);
        } else {
            let head_elements = self.call_packed_keys() + self.call_packed_values();
            let head_bytes = head_elements.saturating_mul(size_of::<f32>());
            // Threads idle at the end of each step: few waves, then, of as many heads as a quarter
            // of the last cache holds.
            let in_cache = caches.l3 / 4 / head_bytes.max(1);
            let heads = in_cache.min(self.heads);
            self.wave_heads = (heads / self.block_heads * self.block_heads).max(self.block_heads);
            let blocks = self.blocks(&(0..self.wave_heads)).len();
            self.blocks_per_task = (blocks / self.wanted_tasks()).max(1);
        }
    }

    /// Segments of a row.
    pub(crate) fn segments(&self) -> usize {
        self.keys.div_ceil(SEGMENT)
    }

    /// Segments whose scores are kept at a time: all of a row, where they become a result; else one
    /// for each task that shares the row.
    pub(crate) fn kept_segments(&self) -> usize {
        if self.keeps_scores { self.segments() } else { self.segments().min(self.splits) }
    }

    /// The places of a task's scores, of [`Plan::kept_segments`].
    pub(crate) fn kept_by(&self, task: &Task) -> Range<usize> {
        if self.keeps_scores { task.segments.clone() } else { task.split..task.split + 1 }
    }

    /// The keys of a segment.
    pub(crate) fn segment_keys(&self, segment: usize) -> Range<usize> {
        let start = segment * SEGMENT;
        start..self.keys.min(start + SEGMENT)
    }

    /// The keys of some segments.
    pub(crate) fn keys_of(&self, segments: &Range<usize>) -> Range<usize> {
        let end = self.keys.min(segments.end * SEGMENT);
        end.min(segments.start * SEGMENT)..end
    }

    /// Elements from the scores of one row to those of the next: whole panels of a segment, and a
    /// line more so that the rows of a tile do not share their cache sets.
    pub(crate) fn score_pitch(&self) -> usize {
        self.keys.min(SEGMENT).next_multiple_of(PANEL) + LINE
    }

    /// Elements of the scores of a block in one segment.
    pub(crate) fn segment_scores(&self) -> usize {
        self.block_rows * self.score_pitch()
    }

    /// Elements of one field of the row states of a block in one segment: whole lines.
    pub(crate) fn state_lanes(&self) -> usize {
        self.block_rows.next_multiple_of(LINE)
    }

    /// Elements of the row states of a block in one segment: maxima, sums, and what statistics need.
    pub(crate) fn segment_states(&self) -> usize {
        let fields = if self.largest_keys { 4 } else { 2 + usize::from(self.moments) };
        fields * self.state_lanes()
    }

    /// Elements of one head's packed keys, whole lines.
    pub(crate) fn packed_elements(&self) -> usize {
        self.keys.next_multiple_of(PANEL) * self.head_dim
    }

    /// Elements from one row of a block's output to the next, whole panels of columns.
    pub(crate) fn value_pitch(&self) -> usize {
        self.v_dim.next_multiple_of(PANEL)
    }

    /// Elements of one head's packed values: whole passes.
    pub(crate) fn packed_value_elements(&self) -> usize {
        self.keys.next_multiple_of(self.value_pass_keys).saturating_mul(self.value_pitch())
    }

    /// Whether there is an output, the weights times the values.
    pub(crate) fn has_output(&self) -> bool {
        self.v_dim > 0
    }

    /// Elements of a node of a block's output: maxima, sums and partial outputs.
    pub(crate) fn node_elements(&self) -> usize {
        2 * self.state_lanes() + (self.block_rows * self.value_pitch()).next_multiple_of(LINE)
    }

    /// Nodes that are kept at a time: a stack of the height of the tree, or where tasks share a block
    /// one for each segment.
    fn nodes(&self) -> usize {
        if !self.has_output() {
            0
        } else if self.splits > 1 {
            self.segments()
        } else {
            // The stack has a node for each bit of the segments' count, and one that is computed.
            self.segments().checked_ilog2().map_or(0, |log| log as usize + 2)
        }
    }

    fn packed_bytes(&self) -> usize {
        self.packed_elements().saturating_mul(size_of::<f32>())
    }

    /// Elements of one packed query row.
    pub(crate) fn query_row_elements(&self) -> usize {
        self.head_dim.next_multiple_of(QUERY_CHUNK)
    }

    /// Blocks that share their heads.
    pub(crate) fn blocks_per_head(&self) -> usize {
        self.rows.div_ceil(self.block_rows)
    }

    /// The blocks of some heads, counted over all. They start with a block's first head.
    pub(crate) fn blocks(&self, heads: &Range<usize>) -> Range<usize> {
        let groups = heads.start / self.block_heads..heads.end.div_ceil(self.block_heads);
        let blocks = self.blocks_per_head();
        groups.start * blocks..groups.end.saturating_mul(blocks)
    }

    /// The rows and heads of a block, counted over all.
    pub(crate) fn block(&self, block: usize) -> Block {
        let (group, block) = (block / self.blocks_per_head(), block % self.blocks_per_head());
        let (head, row) = (group * self.block_heads, block * self.block_rows);
        Block {
            heads: head..self.heads.min(head + self.block_heads),
            rows: row..self.rows.min(row + self.block_rows),
        }
    }

    /// Whether keys are packed, shared by the blocks of their head.
    pub(crate) fn packs_keys(&self) -> bool {
        self.key_source == KeySource::PackPerCall && self.path == Path::RowBlocks
    }

    /// Whether values are packed, shared by the blocks of their head.
    pub(crate) fn packs_values(&self) -> bool {
        self.has_output() && self.value_source == ValueSource::PackPerCall
    }

    /// Elements of one head's keys that the call packs.
    fn call_packed_keys(&self) -> usize {
        if self.packs_keys() { self.packed_elements() } else { 0 }
    }

    /// Elements of one head's values that the call packs.
    fn call_packed_values(&self) -> usize {
        if self.packs_values() { self.packed_value_elements() } else { 0 }
    }

    fn packs(&self) -> bool {
        self.packs_keys() || self.packs_values()
    }

    /// Whether the task that computes the rows of a head packs its keys and values, too.
    pub(crate) fn tasks_pack(&self) -> bool {
        self.packs() && self.threads == 1
    }

    /// Tasks that share the packing of a head.
    pub(crate) fn pack_tasks_per_head(&self) -> usize {
        (self.threads * 4).div_ceil(self.wave_heads).min(self.keys.div_ceil(PANEL))
    }

    /// The steps of a wave and their tasks. The last wave may have fewer heads and leave tasks at
    /// the end of a step without work.
    pub(crate) fn steps(&self) -> [(Step, usize); 3] {
        let packs = self.packs() && !self.tasks_pack();
        let blocks = self.blocks(&(0..self.wave_heads)).len();
        [
            (Step::Pack, if packs { self.wave_heads * self.pack_tasks_per_head() } else { 0 }),
            (Step::Compute, blocks.div_ceil(self.blocks_per_task) * self.splits),
            (Step::Finish, if self.shares_blocks() { blocks } else { 0 }),
        ]
    }

    /// What a task of some heads computes; no blocks if there are not so many.
    pub(crate) fn task(&self, heads: &Range<usize>, task: usize) -> Task {
        let (group, split) = (task / self.splits, task % self.splits);
        let (blocks, segments) = (self.blocks(heads), self.segments());
        let first = blocks.end.min(blocks.start + group * self.blocks_per_task);
        Task {
            blocks: first..blocks.end.min(first + self.blocks_per_task),
            segments: split * segments / self.splits..(split + 1) * segments / self.splits,
            split,
        }
    }

    /// Whether the tasks of a split block fill one buffer together, to be merged afterwards. Logits
    /// need no merge.
    pub(crate) fn shares_blocks(&self) -> bool {
        self.splits > 1 && self.softmax
    }

    /// Rows that are described at a time: those of two blocks per thread.
    pub(crate) fn row_slots(&self) -> usize {
        self.threads.saturating_mul(2 * self.block_rows)
    }

    /// How the workspace is laid out.
    fn lay_out(&self) -> Memory {
        let lines = |elements: usize| elements.next_multiple_of(LINE);
        let small = self.path == Path::SmallHeads;
        let buffers = if small { 0 } else { self.buffers_per_thread };
        let in_buffers = |elements: usize| elements.saturating_mul(buffers);
        Memory {
            packed_keys: self.call_packed_keys(),
            packed_values: self.call_packed_values(),
            packed_count: if self.tasks_pack() { self.block_heads } else { self.wave_heads },
            scores: in_buffers(self.kept_segments().saturating_mul(self.segment_scores())),
            states: in_buffers(self.segments().saturating_mul(self.segment_states())),
            nodes: self.nodes().saturating_mul(self.node_elements()),
            buffer_count: if self.shares_blocks() {
                self.blocks(&(0..self.heads)).len()
            } else {
                self.threads
            },
            query: lines(self.block_rows.saturating_mul(self.query_row_elements())),
            maxima: if small { 0 } else { self.block_rows * LINE },
            panel: match (self.path, self.key_source) {
                (Path::SmallHeads, _) => self.keys.next_multiple_of(PANEL) * self.head_dim,
                (Path::RowBlocks, KeySource::RowMajor) => PANEL * self.head_dim,
                (Path::RowBlocks, _) => 0,
            },
            value_pass: match self.value_source {
                _ if !self.has_output() => 0,
                ValueSource::PackPerPass => self.value_pass_keys * self.value_pitch(),
                ValueSource::RowMajor | ValueSource::PackPerCall => 0,
            },
            staging: STAGING,
            threads: self.threads,
        }
    }
}

/// Rows that are computed together: some of one head, or all of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) heads: Range<usize>,
    /// Of each head.
    pub(crate) rows: Range<usize>,
}

/// The steps of a wave, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Pack,
    Compute,
    Finish,
}

/// What a task computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    /// Blocks, counted over all heads.
    pub(crate) blocks: Range<usize>,
    /// Segments of their rows.
    pub(crate) segments: Range<usize>,
    /// Which of the tasks that share a block this is.
    split: usize,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (block, of, parts) = match self.block_heads {
            1 => (self.block_rows, self.rows, "query rows"),
            heads => (heads, self.heads, "heads"),
        };
        write!(
            f,
            "{} on {} thread{}: {} key head{}, blocks of {block} of {of} {parts}, {} {} keys, {} segment{}",
            self.isa,
            self.threads,
            if self.threads == 1 { "" } else { "s" },
            self.heads,
            if self.heads == 1 { "" } else { "s" },
            self.keys,
            match (self.path, self.key_source) {
                (Path::SmallHeads, _) => "few",
                (_, KeySource::PackPerCall) => "packed",
                (_, KeySource::RowMajor) => "row-major",
                (_, KeySource::Prepacked) => "prepacked",
            },
            self.segments(),
            if self.segments() == 1 { "" } else { "s" },
        )?;
        if self.splits > 1 {
            write!(f, " shared by {} tasks", self.splits)?;
        }
        if self.nontemporal {
            write!(f, ", non-temporal stores")?;
        }
        write!(f, "; {} KiB of workspace", self.workspace_bytes.div_ceil(1024))
    }
}
