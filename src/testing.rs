//! What the project's own tests reach into; not part of the interface.

use crate::caches::Caches;
pub use crate::isa::EmulatedLanes;
use crate::isa::Isa;
use crate::kernel;
use crate::plan::Plan;
pub use crate::plan::{KeyLayout, ValueSource, Workload};
use crate::simd::{Kernel, SimdExt};
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Range;

/// The kernels' `exp2`, in place, on a multiple of 16 arguments.
pub fn exp2(isa: Isa, arguments: &mut [f32]) {
    struct Exp2;
    impl Function for Exp2 {
        #[inline(always)]
        fn of<S: SimdExt>(simd: S, x: S::f32s) -> S::f32s {
            kernel::exp2(simd, x)
        }
    }
    apply::<Exp2>(isa, arguments);
}

/// The kernels' `tanh`, in place, on a multiple of 16 arguments.
pub fn tanh(isa: Isa, arguments: &mut [f32]) {
    struct Tanh;
    impl Function for Tanh {
        #[inline(always)]
        fn of<S: SimdExt>(simd: S, x: S::f32s) -> S::f32s {
            kernel::tanh(simd, x)
        }
    }
    apply::<Tanh>(isa, arguments);
}

/// A function of the kernels, of every lane by itself.
trait Function {
    fn of<S: SimdExt>(simd: S, x: S::f32s) -> S::f32s;
}

fn apply<F: Function>(isa: Isa, arguments: &mut [f32]) {
    struct InPlace<'a, F>(&'a mut [f32], PhantomData<F>);
    impl<F: Function> Kernel for InPlace<'_, F> {
        type Output = ();
        #[inline(always)]
        fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
            for x in S::as_mut_simd_f32s(self.0).0 {
                *x = F::of(simd, *x);
            }
        }
    }
    assert!(isa.is_available() && arguments.len().is_multiple_of(16));
    isa.run(InPlace(arguments, PhantomData::<F>));
}

/// A plan for a made-up machine, and what it says of tasks and memory.
#[derive(Debug)]
pub struct Planned {
    pub plan: Plan,
    pub is_empty: bool,
    /// The tasks of all waves.
    pub tasks: Vec<PlannedTask>,
    /// Segments whose scores have a place of their own.
    pub kept_segments: usize,
    /// Bytes of the scores of a block.
    pub score_bytes: usize,
    /// Bytes of one head's packed keys, whether they are packed or not.
    pub packed_key_bytes: usize,
    pub pass_keys: usize,
    pub value_pass_keys: usize,
    pub value_source: ValueSource,
    /// Query rows and panels of keys of the register tile.
    pub tile: [usize; 2],
    pub max_row_major_rows: usize,
}

/// What one task computes.
#[derive(Debug)]
pub struct PlannedTask {
    /// Heads and, of each, rows of its blocks.
    pub blocks: Vec<[Range<usize>; 2]>,
    pub segments: Range<usize>,
    /// The places of its scores.
    pub kept: Range<usize>,
}

/// Query rows of a block at most.
pub const MAX_BLOCK_ROWS: usize = crate::layout::MAX_BLOCK_ROWS;

/// Plans a workload; the tasks are listed on request alone, of which there may be many.
pub fn plan(
    workload: &Workload,
    isa: Isa,
    threads: usize,
    caches: &Caches,
    with_tasks: bool,
) -> Planned {
    let plan = Plan::new(workload, isa, threads, caches);
    let waves = if with_tasks { plan.heads.div_ceil(plan.wave_heads) } else { 0 };
    let mut tasks = Vec::new();
    for wave in 0..waves {
        let first = wave * plan.wave_heads;
        let heads = first..plan.heads.min(first + plan.wave_heads);
        let [_, (_, count), _] = plan.steps();
        for task in (0..count).map(|task| plan.task(&heads, task)) {
            let blocks = task.blocks.clone().map(|block| {
                let block = plan.block(block);
                [block.heads, block.rows]
            });
            tasks.push(PlannedTask {
                blocks: blocks.collect(),
                segments: task.segments.clone(),
                kept: plan.kept_by(&task),
            });
        }
    }
    let tile = isa.tile();
    Planned {
        is_empty: plan.is_empty(),
        tasks,
        kept_segments: plan.kept_segments(),
        score_bytes: plan.kept_segments() * plan.segment_scores() * size_of::<f32>(),
        packed_key_bytes: plan.packed_elements() * size_of::<f32>(),
        pass_keys: plan.pass_keys,
        value_pass_keys: plan.value_pass_keys,
        value_source: plan.value_source,
        tile: [tile.rows, tile.panels],
        max_row_major_rows: tile.max_row_major_rows,
        plan,
    }
}
