//! How a call will run: plain data from a pure function of the problem, the machine and the
//! number of threads. Nothing here changes a bit of the result.

use crate::attention::Stage;
use crate::caches::Caches;
use crate::isa::Isa;
use crate::kernel::block::Row;
use crate::kernel::pack::PANEL;
use crate::kernel::queries::QUERY_RUN;
use crate::kernel::softmax::SEGMENT;
use crate::lanes::{Kernel, Lanes, TileShape};
use crate::problem::{Inputs, KeyForm};
use crate::workspace::LINE;
use core::{fmt, ops::Range};

/// Padding a head's keys to whole panels adds less than this.
pub(crate) const MARGIN: usize = PANEL;

/// Query rows of a block at most: enough for a panel of keys to pay for its way into L1.
const MOST_BLOCK_ROWS: usize = 48;

/// Tasks per thread that even out what the threads get.
const TASKS_PER_THREAD: usize = 16;

/// How a call will run; made by [`Attention::plan`](crate::Attention::plan).
///
/// `Display` prints it in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The instruction set.
    pub isa: Isa,
    /// Threads that share the work; 1 is the caller's own.
    pub threads: usize,
    /// Bytes of the workspace that the call needs.
    pub workspace_bytes: usize,
    pub(crate) stage: Stage,
    /// Whether keys are packed before the rows of their head.
    pub(crate) key_access: KeyAccess,
    /// Key heads over the whole batch.
    pub(crate) heads: usize,
    /// Query rows per key head, over its group.
    pub(crate) rows: usize,
    pub(crate) keys: usize,
    pub(crate) head_dim: usize,
    /// Query rows of a block, over all its heads.
    pub(crate) block_rows: usize,
    /// Heads of a block: several if it has room for all their rows.
    pub(crate) block_heads: usize,
    /// Keys that all rows of a block meet before the next ones: a whole number of panels.
    pub(crate) pass_keys: usize,
    /// Whether the packed keys of all heads are more than the core's own caches hold.
    pub(crate) keys_are_far: bool,
    /// Whether the keys of the next head are few enough to be fetched while this one is computed.
    pub(crate) fetch_keys: bool,
    /// Heads whose blocks are shared out at a time.
    pub(crate) wave_heads: usize,
    /// Blocks that a task computes one after another, of one head or several.
    pub(crate) blocks_per_task: usize,
    /// Tasks that share the segments of one block; 1 unless a task has one block.
    pub(crate) splits: usize,
    /// 2 where a block is written while the next is computed.
    pub(crate) strips_per_thread: usize,
    /// Whether the result is written past the caches.
    pub(crate) streaming: bool,
}

/// How tiles get at the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyAccess {
    /// Packed panels, shared by all rows of a head.
    Packed,
    /// As the caller has them, transposed on the way: for few rows.
    Rows,
    /// Packed panels that the caller keeps.
    Caller,
    /// A tile for all keys of a head, of which there are few: its scores stay in registers.
    Registers,
}

struct TileOf;

impl Kernel for TileOf {
    type Output = TileShape;

    #[inline(always)]
    fn run<S: Lanes, const REGISTERS: usize>(self, _: S) -> Self::Output {
        S::TILE
    }
}

impl Plan {
    /// `threads` are those that may be used; small work stays on one.
    pub(crate) fn new(inputs: &Inputs<'_>, isa: Isa, threads: usize) -> Plan {
        let (extents, key_form) = (&inputs.extents, inputs.key_form());
        let caches = Caches::detect();
        let tile = isa.run(TileOf);
        // Without a result there is nothing to lay out, and the other extents may be anything.
        let (heads, rows, keys, head_dim) = match extents.is_empty() {
            true => (0, 0, 0, 0),
            false => (extents.heads(), extents.rows_per_head(), extents.keys, extents.head_dim),
        };

        let mut plan = Plan {
            isa,
            threads: threads.max(1),
            workspace_bytes: 0,
            stage: inputs.adjustments.stage,
            key_access: KeyAccess::Packed,
            heads,
            rows,
            keys,
            head_dim,
            block_rows: 1,
            block_heads: 1,
            pass_keys: SEGMENT,
            keys_are_far: false,
            fetch_keys: false,
            wave_heads: 1,
            blocks_per_task: 1,
            splits: 1,
            strips_per_thread: 1,
            streaming: false,
        };
        let in_registers = keys <= tile.panels * PANEL && inputs.has_only_positions();
        // What is not kept costs less to pack.
        let few_rows = if in_registers { tile.panels } else { tile.few_rows };
        plan.key_access = match key_form {
            KeyForm::Rows if rows <= few_rows && keys >= PANEL && head_dim > 0 => KeyAccess::Rows,
            _ if in_registers => KeyAccess::Registers,
            KeyForm::Packed => KeyAccess::Caller,
            KeyForm::Rows | KeyForm::Strided => KeyAccess::Packed,
        };
        let packed_bytes = plan.packed_elements().saturating_mul(size_of::<f32>());
        plan.keys_are_far = packed_bytes.saturating_mul(heads) > caches.l2;
        plan.fetch_keys = plan.key_access == KeyAccess::Packed && packed_bytes <= caches.l2 / 4;
        if plan.key_access == KeyAccess::Registers {
            plan.block_rows = rows.clamp(1, MOST_BLOCK_ROWS);
        } else {
            plan.choose_blocks(tile, &caches);
        }
        plan.choose_tasks(&caches);
        let output_bytes = (extents.output_shape().iter())
            .fold(size_of::<f32>(), |product, &extent| product.saturating_mul(extent));
        plan.streaming = output_bytes > caches.l3 && plan.key_access != KeyAccess::Registers;
        plan.workspace_bytes = (plan.memory().total().saturating_mul(size_of::<f32>()))
            .saturating_add(plan.known_rows().saturating_mul(size_of::<Row>()));
        plan
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.heads == 0
    }

    /// How many rows make a block.
    fn choose_blocks(&mut self, tile: TileShape, caches: &Caches) {
        let row_bytes = self.segments().max(1) * self.segment_pitch() * size_of::<f32>();
        let in_strips = |bytes: usize| bytes / 2 / row_bytes;
        let even = self.heads.saturating_mul(self.rows) / self.wanted_tasks();
        // Where a head's packed keys stay in L2, a few tiles of rows are enough for each panel;
        // else as many as half of L2 holds, so that it pays for its way from further out. Where they come
        // from memory for each block, that takes longer than what is in the strips takes from L3.
        let wanted = match self.packed_elements().saturating_mul(size_of::<f32>()) {
            packed if packed <= caches.l2 / 2 => in_strips(4 * caches.l1).min(even),
            packed if packed <= caches.l3 / 2 => in_strips(caches.l2 / 2).min(even),
            _ => in_strips(caches.l3 / self.threads),
        };
        let whole_tiles = |rows: usize| (rows / tile.rows * tile.rows).max(tile.rows);
        let pass_bytes = PANEL.saturating_mul(self.head_dim).saturating_mul(size_of::<f32>());
        let pass_panels = (caches.l2 / 8).checked_div(pass_bytes).unwrap_or(usize::MAX);
        self.pass_keys = pass_panels.clamp(1, SEGMENT / PANEL) * PANEL;
        let most = whole_tiles(wanted.min(MOST_BLOCK_ROWS));
        self.block_rows = most.min(self.rows.max(1));
        let head_bytes = self.packed_elements().saturating_mul(size_of::<f32>());
        if self.segments() == 1 && head_bytes <= caches.l1 {
            // Short heads: steps that wait for each other are taken for several at a time.
            let in_cache = caches.l2 / 4 / head_bytes.max(1);
            self.block_heads = (most / self.block_rows).min(in_cache).clamp(1, self.heads);
            self.block_rows *= self.block_heads;
        }
        if self.blocks(&(0..self.heads)).len() > 1 && in_strips(caches.l2) >= self.block_rows {
            self.strips_per_thread = 2;
        }
    }

    /// How many tasks are enough for the threads to even out.
    fn wanted_tasks(&self) -> usize {
        if self.threads == 1 { 1 } else { self.threads * TASKS_PER_THREAD }
    }

    /// How blocks and heads are shared out.
    fn choose_tasks(&mut self, caches: &Caches) {
        let all_blocks = self.blocks(&(0..self.heads)).len();
        if all_blocks < self.threads * 2 {
            self.splits =
                (self.wanted_tasks() / all_blocks.max(1)).clamp(1, self.segments().max(1));
        }
        if self.splits > 1 {
            self.strips_per_thread = 1;
            self.wave_heads = self.heads.max(1);
        } else if self.threads == 1 {
            self.wave_heads = self.heads.max(1);
            self.blocks_per_task = all_blocks.max(1);
        } else {
            let head_bytes = self.memory().packed.saturating_mul(size_of::<f32>());
            // The end of each step leaves threads without work: few waves, then, of as many heads as
            // leave room in the last cache.
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

    /// Elements from one row of a strip's segment to the next: whole panels, and a line more so
    /// that the rows of a tile do not share their cache sets.
    pub(crate) fn segment_pitch(&self) -> usize {
        self.keys.min(SEGMENT).next_multiple_of(PANEL) + LINE
    }

    /// Elements of a strip's segment: scores, then each row's maximum, then each row's sum.
    pub(crate) fn segment_elements(&self) -> usize {
        self.block_rows * self.segment_pitch() + 2 * self.block_rows.next_multiple_of(LINE)
    }

    /// Elements of one head's packed keys, whole lines.
    pub(crate) fn packed_elements(&self) -> usize {
        self.keys.next_multiple_of(PANEL) * self.head_dim
    }

    /// Elements of one packed query row.
    pub(crate) fn query_row_elements(&self) -> usize {
        self.head_dim.next_multiple_of(QUERY_RUN)
    }

    /// Blocks that share their heads.
    pub(crate) fn blocks_per_head(&self) -> usize {
        self.rows.div_ceil(self.block_rows)
    }

    /// The blocks of some heads, counted over all. They start with a block's first head.
    pub(crate) fn blocks(&self, heads: &Range<usize>) -> Range<usize> {
        let runs = heads.start / self.block_heads..heads.end.div_ceil(self.block_heads);
        let blocks = self.blocks_per_head();
        runs.start * blocks..runs.end.saturating_mul(blocks)
    }

    /// What makes a block, counted over all.
    pub(crate) fn block(&self, block: usize) -> Block {
        let (run, block) = (block / self.blocks_per_head(), block % self.blocks_per_head());
        let (head, row) = (run * self.block_heads, block * self.block_rows);
        Block {
            heads: head..self.heads.min(head + self.block_heads),
            rows: row..self.rows.min(row + self.block_rows),
        }
    }

    /// Whether the task that computes the rows of a head packs its keys, too.
    pub(crate) fn tasks_pack(&self) -> bool {
        self.key_access == KeyAccess::Packed && self.threads == 1
    }

    /// Tasks that pack the keys of a head.
    pub(crate) fn pack_runs(&self) -> usize {
        (self.threads * 4).div_ceil(self.wave_heads).min(self.keys.div_ceil(PANEL))
    }

    /// The steps of a wave and their tasks. The last wave may have fewer heads and leave tasks at
    /// the end of a step without work.
    pub(crate) fn steps(&self) -> [(Step, usize); 3] {
        let packs = self.key_access == KeyAccess::Packed && !self.tasks_pack();
        let blocks = self.blocks(&(0..self.wave_heads)).len();
        [
            (Step::Pack, if packs { self.wave_heads * self.pack_runs() } else { 0 }),
            (Step::Compute, blocks.div_ceil(self.blocks_per_task) * self.splits),
            (Step::Finish, if self.shares_strips() { blocks } else { 0 }),
        ]
    }

    /// What a task of some heads computes; no blocks if there are not so many.
    pub(crate) fn task(&self, heads: &Range<usize>, task: usize) -> Task {
        let (run, split) = (task / self.splits, task % self.splits);
        let (blocks, segments) = (self.blocks(heads), self.segments());
        let first = blocks.end.min(blocks.start + run * self.blocks_per_task);
        Task {
            blocks: first..blocks.end.min(first + self.blocks_per_task),
            segments: split * segments / self.splits..(split + 1) * segments / self.splits,
        }
    }

    /// Elements of a strip of some segments.
    pub(crate) fn strip_elements(&self, segments: usize) -> usize {
        segments.saturating_mul(self.segment_elements())
    }

    /// Whether the tasks of a split block fill one strip together, to be merged afterwards.
    /// Scores need no merge.
    pub(crate) fn shares_strips(&self) -> bool {
        self.splits > 1 && self.stage == Stage::Weights
    }

    /// Rows that are known at a time: those of two blocks per thread.
    pub(crate) fn known_rows(&self) -> usize {
        self.threads.saturating_mul(2 * self.block_rows)
    }

    /// How the workspace is laid out.
    pub(crate) fn memory(&self) -> Memory {
        let lines = |elements: usize| elements.next_multiple_of(LINE);
        let strips = match self.shares_strips() {
            true => self.blocks(&(0..self.heads)).len(),
            false => self.threads,
        };
        let in_registers = self.key_access == KeyAccess::Registers;
        let strip = match in_registers {
            true => 0,
            false => self.strip_elements(self.segments()).saturating_mul(self.strips_per_thread),
        };
        Memory {
            packed: match self.key_access {
                KeyAccess::Packed => self.packed_elements(),
                KeyAccess::Rows | KeyAccess::Caller | KeyAccess::Registers => 0,
            },
            packed_count: if self.tasks_pack() { self.block_heads } else { self.wave_heads },
            strip,
            strip_count: strips,
            query: lines(self.block_rows.saturating_mul(self.query_row_elements())),
            maxima: if in_registers { 0 } else { self.block_rows * LINE },
            panel: match self.key_access {
                KeyAccess::Packed | KeyAccess::Caller => 0,
                KeyAccess::Rows => PANEL * self.head_dim,
                KeyAccess::Registers => self.keys.next_multiple_of(PANEL) * self.head_dim,
            },
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

/// What is done in a wave, one after the other.
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
}

/// Sizes of the workspace's parts in elements, each a multiple of a cache line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// One head's packed keys.
    pub(crate) packed: usize,
    packed_count: usize,
    /// The strips of a thread, or of a block that tasks share.
    pub(crate) strip: usize,
    strip_count: usize,
    /// One block's packed queries.
    pub(crate) query: usize,
    /// The running maxima of one block's rows, a line each.
    pub(crate) maxima: usize,
    /// One panel of a head, where keys are not packed before: its last or only one.
    pub(crate) panel: usize,
    threads: usize,
}

impl Memory {
    pub(crate) fn all_packed(&self) -> usize {
        self.packed.saturating_mul(self.packed_count)
    }

    pub(crate) fn all_strips(&self) -> usize {
        self.strip.saturating_mul(self.strip_count)
    }

    /// What each thread has for itself.
    pub(crate) fn scratch(&self) -> usize {
        self.query.saturating_add(self.maxima).saturating_add(self.panel)
    }

    pub(crate) fn total(&self) -> usize {
        self.all_packed()
            .saturating_add(self.all_strips())
            .saturating_add(self.scratch().saturating_mul(self.threads))
    }
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
            match self.key_access {
                KeyAccess::Packed => "packed",
                KeyAccess::Rows => "unpacked",
                KeyAccess::Caller => "kept",
                KeyAccess::Registers => "few",
            },
            self.segments(),
            if self.segments() == 1 { "" } else { "s" },
        )?;
        if self.splits > 1 {
            write!(f, " shared by {} tasks", self.splits)?;
        }
        if self.streaming {
            write!(f, ", written past the caches")?;
        }
        write!(f, "; {} KiB of workspace", self.workspace_bytes.div_ceil(1024))
    }
}
