//! Plans for machines that are not at hand.

use super::{KeyLayout, KeySource, Path, Plan, Step, ValueSource, Workload};
use crate::caches::Caches;
use crate::isa::Isa;
use crate::layout::{PANEL, SEGMENT};
use alloc::vec;
use alloc::vec::Vec;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// From small cores to large servers.
fn machines() -> impl Iterator<Item = (Isa, usize, Caches)> {
    let l2 = [256 * KIB, 512 * KIB, MIB, 2 * MIB];
    let l3 = [8 * MIB, 32 * MIB, 96 * MIB];
    let threads = [1, 2, 7, 64];
    Isa::ALL.into_iter().flat_map(move |isa| {
        l2.into_iter().flat_map(move |l2| {
            l3.into_iter().flat_map(move |l3| {
                threads
                    .into_iter()
                    .map(move |threads| (isa, threads, Caches { l1: 32 * KIB, l2, l3 }))
            })
        })
    })
}

fn workload(heads: usize, rows: usize, keys: usize, head_dim: usize) -> Workload {
    Workload {
        heads,
        rows,
        keys,
        head_dim,
        key_layout: KeyLayout::Words,
        v_dim: 0,
        values_are_panels: false,
        softmax: true,
        only_positions: true,
        pair_bytes: heads * rows * keys * size_of::<f32>(),
        row_results: false,
    }
}

/// Encoders, prefill, decoding, and extents around those of panels, segments and tiles.
fn workloads() -> Vec<Workload> {
    let mut workloads = vec![
        workload(12, 128, 128, 64),
        workload(12, 512, 512, 64),
        workload(8, 2048, 2048, 128),
        workload(32, 1, 4096, 128),
        workload(1, 1, 131_072, 128),
        workload(8, 512, 4096, 128),
        workload(6144, 6, 6, 32),
        workload(1, 131_072, 131_072, 64),
        workload(3, 5, 7, 0),
    ];
    for rows in [1, 5, 6, 7, 25, 49] {
        for keys in [1, 15, 16, 17, 32, 33, 1023, 1024, 1025, 5000] {
            workloads.push(workload(2, rows, keys, 40));
        }
    }
    let others = workloads.clone();
    for workload in others {
        let only_rows = Workload { pair_bytes: 0, row_results: true, ..workload };
        let panels = Workload { key_layout: KeyLayout::Panels, ..workload };
        let logits = Workload { softmax: false, key_layout: KeyLayout::Strided, ..workload };
        let output = Workload { v_dim: workload.head_dim, pair_bytes: 0, ..workload };
        let both = Workload { v_dim: 64, values_are_panels: true, ..workload };
        workloads.extend([only_rows, panels, logits, output, both]);
    }
    workloads
}

fn each_plan(check: impl Fn(&Workload, &Caches, &Plan)) {
    for (isa, threads, caches) in machines() {
        for workload in workloads() {
            check(&workload, &caches, &Plan::new(&workload, isa, threads, &caches));
        }
    }
}

/// Each row of each head meets each segment once, and the tasks that share a block do not share
/// segments.
#[test]
fn tasks_cover_everything_once() {
    each_plan(|workload, _, plan| {
        if workload.rows > 4096 {
            return;
        }
        let mut met = vec![0; workload.heads * workload.rows];
        for wave in 0..plan.heads.div_ceil(plan.wave_heads) {
            let first = wave * plan.wave_heads;
            let heads = first..plan.heads.min(first + plan.wave_heads);
            let [_, (step, tasks), _] = plan.steps();
            assert_eq!(step, Step::Compute);
            for task in (0..tasks).map(|task| plan.task(&heads, task)) {
                for block in task.blocks.clone().map(|block| plan.block(block)) {
                    assert!(block.heads.len() == 1 || block.rows == (0..workload.rows), "{plan}");
                    for head in block.heads.clone() {
                        for row in block.rows.clone() {
                            met[head * workload.rows + row] += task.segments.len();
                        }
                    }
                }
                assert!(plan.kept_by(&task).end <= plan.kept_segments(), "{plan}");
            }
        }
        assert!(met.iter().all(|&met| met == plan.segments()), "{workload:?}: {plan}");
    });
}

/// Blocks are whole tiles unless a head has fewer rows, and at most as many rows as pay for a panel.
#[test]
fn blocks_are_whole_tiles() {
    each_plan(|workload, _, plan| {
        let tile = plan.isa.tile();
        let rows = plan.block_rows / plan.block_heads;
        assert!(plan.block_rows <= super::MAX_BLOCK_ROWS, "{workload:?}: {plan}");
        match plan.path {
            Path::SmallHeads => assert_eq!(plan.block_heads, 1),
            Path::RowBlocks => assert!(
                rows == workload.rows || rows.is_multiple_of(tile.rows),
                "{workload:?}: {plan}"
            ),
        }
    });
}

/// What is meant to stay in a cache does: the scores of a block in L2 where packed keys come from
/// L3 at most, the keys of a pass in an eighth of L2.
#[test]
fn working_sets_fit_their_caches() {
    each_plan(|workload, caches, plan| {
        if plan.path == Path::SmallHeads {
            return;
        }
        let tile = plan.isa.tile();
        let row_bytes = plan.kept_segments() * plan.score_pitch() * size_of::<f32>();
        let packed = plan.packed_elements() * size_of::<f32>();
        if packed <= caches.l3 / 2 && plan.splits == 1 {
            let scores = plan.block_rows * row_bytes;
            assert!(
                scores <= caches.l2 || plan.block_rows <= tile.rows,
                "{workload:?}: {plan}: {scores} bytes of scores"
            );
        }
        let pass = plan.pass_keys * workload.head_dim * size_of::<f32>();
        assert!(pass <= caches.l2 / 8 || plan.pass_keys == PANEL, "{workload:?}: {plan}");
        if plan.has_output() {
            let columns = match plan.value_source {
                ValueSource::PackPerCall => tile.panels * PANEL,
                ValueSource::RowMajor | ValueSource::PackPerPass => plan.value_pitch(),
            };
            let values = plan.value_pass_keys * columns * size_of::<f32>();
            assert!(values <= caches.l1 / 2 || plan.value_pass_keys == PANEL, "{workload:?}");
            let keys = plan.value_pass_keys;
            assert!(SEGMENT.is_multiple_of(keys) || keys >= workload.keys, "{workload:?}");
        }
        assert!(plan.pass_keys.is_multiple_of(PANEL) && plan.pass_keys <= SEGMENT);
    });
}

/// Without a result for each pair, memory does not grow with rows × keys.
#[test]
fn row_results_need_no_row_of_scores() {
    let caches = Caches { l1: 32 * KIB, l2: MIB, l3: 32 * MIB };
    let long = Workload { pair_bytes: 0, row_results: true, ..workload(1, 1, 10_000_000, 64) };
    for threads in [1, 64] {
        let plan = Plan::new(&long, Isa::Avx2, threads, &caches);
        // One segment of scores per task, and three states per segment.
        let bound = 2 * MIB + threads * super::TASKS_PER_THREAD * 64 * KIB;
        assert!(plan.workspace_bytes <= bound, "{plan}");
    }
    let square = Workload { pair_bytes: 0, row_results: true, ..workload(1, 131_072, 131_072, 64) };
    let plan = Plan::new(&square, Isa::Avx2, 1, &caches);
    let packed = 131_072 * 64 * size_of::<f32>();
    assert!(plan.workspace_bytes <= packed + 2 * MIB, "{plan}");
}

/// Few rows read keys as they lie, many pack them, and few keys stay in registers.
#[test]
fn sources_and_paths_follow_from_the_extents() {
    let caches = Caches::ASSUMED;
    for isa in Isa::ALL {
        let tile = isa.tile();
        let plan = |workload: &Workload| Plan::new(workload, isa, 1, &caches);
        let few = tile.max_row_major_rows;
        assert_eq!(plan(&workload(2, few, 100, 64)).key_source, KeySource::RowMajor);
        assert_eq!(plan(&workload(2, few + 1, 100, 64)).key_source, KeySource::PackPerCall);
        let strided = Workload { key_layout: KeyLayout::Strided, ..workload(2, 1, 100, 64) };
        assert_eq!(plan(&strided).key_source, KeySource::PackPerCall);
        let panels = Workload { key_layout: KeyLayout::Panels, ..workload(2, 1, 100, 64) };
        assert_eq!(plan(&panels).key_source, KeySource::Prepacked);
        let keys = tile.panels * PANEL;
        assert_eq!(plan(&workload(2, 100, keys, 64)).path, Path::SmallHeads);
        assert_eq!(plan(&workload(2, 100, keys + 1, 64)).path, Path::RowBlocks);
        let masked = Workload { only_positions: false, ..workload(2, 100, keys, 64) };
        assert_eq!(plan(&masked).path, Path::RowBlocks);
    }
}

/// A long row is shared by its segments, and large results bypass the caches.
#[test]
fn threads_and_stores_follow_from_sizes() {
    let caches = Caches { l1: 32 * KIB, l2: MIB, l3: 32 * MIB };
    let plan = Plan::new(&workload(1, 1, 131_072, 128), Isa::Avx2, 8, &caches);
    assert_eq!(plan.splits, 128);
    let plan = Plan::new(&workload(8, 2048, 2048, 128), Isa::Avx2, 2, &caches);
    assert!(plan.splits == 1 && plan.nontemporal, "{plan}");
    assert!(!Plan::new(&workload(8, 512, 512, 64), Isa::Avx2, 2, &caches).nontemporal);
}

/// Nothing to compute needs no memory for scores.
#[test]
fn empty_workloads_are_empty() {
    let plan = Plan::new(&workload(0, 0, 0, 0), Isa::Scalar, 4, &Caches::ASSUMED);
    assert!(plan.is_empty());
}
