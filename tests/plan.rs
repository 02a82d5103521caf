//! Plans for machines that are not at hand: a pure function of the workload, the instruction set, the
//! threads and the cache sizes.

use softdot::testing::{KeyLayout, MAX_BLOCK_ROWS, Planned, ValueSource, Workload, plan};
use softdot::{Caches, Isa, KeySource, Path};

/// Keys of a panel, and of a segment.
const PANEL: usize = 16;
const SEGMENT: usize = 1024;

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
        sinks: false,
        pair_bytes: heads * rows * keys * size_of::<f32>(),
        row_results: false,
        weight_results: false,
        entropy: false,
        largest_keys: false,
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
        let statistics = Workload { weight_results: true, entropy: true, ..only_rows };
        let panels = Workload { key_layout: KeyLayout::Panels, ..workload };
        let logits = Workload { softmax: false, key_layout: KeyLayout::Strided, ..workload };
        let output = Workload { v_dim: workload.head_dim, pair_bytes: 0, ..workload };
        let both = Workload { v_dim: 64, values_are_panels: true, ..workload };
        workloads.extend([only_rows, statistics, panels, logits, output, both]);
    }
    workloads
}

fn each_plan(with_tasks: bool, check: impl Fn(&Workload, &Caches, &Planned)) {
    for (isa, threads, caches) in machines() {
        for workload in workloads().into_iter().filter(|w| !with_tasks || w.rows <= 4096) {
            check(&workload, &caches, &plan(&workload, isa, threads, &caches, with_tasks));
        }
    }
}

/// Each row of each head meets each segment once, and the tasks that share a block do not share
/// segments.
#[test]
fn tasks_cover_everything_once() {
    each_plan(true, |workload, _, planned| {
        let plan = &planned.plan;
        let mut met = vec![0; workload.heads * workload.rows];
        for task in &planned.tasks {
            for [heads, rows] in &task.blocks {
                assert!(heads.len() == 1 || *rows == (0..workload.rows), "{plan}");
                for head in heads.clone() {
                    for row in rows.clone() {
                        met[head * workload.rows + row] += task.segments.len();
                    }
                }
            }
            assert!(task.kept.end <= planned.kept_segments, "{plan}");
        }
        let segments = workload.keys.div_ceil(SEGMENT);
        assert!(met.iter().all(|&met| met == segments), "{workload:?}: {plan}");
    });
}

/// Blocks are whole tiles unless a head has fewer rows, and at most as many rows as pay for a panel.
#[test]
fn blocks_are_whole_tiles() {
    each_plan(false, |workload, _, planned| {
        let (plan, [tile_rows, _]) = (&planned.plan, planned.tile);
        let rows = plan.block_rows / plan.block_heads;
        assert!(plan.block_rows <= MAX_BLOCK_ROWS, "{workload:?}: {plan}");
        match plan.path {
            Path::SmallHeads => assert_eq!(plan.block_heads, 1),
            _ => assert!(
                rows == workload.rows || rows.is_multiple_of(tile_rows),
                "{workload:?}: {plan}"
            ),
        }
    });
}

/// What is meant to stay in a cache does: the scores of a block in L2 where packed keys come from
/// L3 at most, the keys of a pass in an eighth of L2, the values of a pass in half of L1.
#[test]
fn working_sets_fit_their_caches() {
    each_plan(false, |workload, caches, planned| {
        let (plan, [tile_rows, panels]) = (&planned.plan, planned.tile);
        if plan.path == Path::SmallHeads {
            return;
        }
        if planned.packed_key_bytes <= caches.l3 / 2 && plan.splits == 1 {
            let scores = planned.score_bytes;
            assert!(
                scores <= caches.l2 || plan.block_rows <= tile_rows,
                "{workload:?}: {plan}: {scores} bytes of scores"
            );
        }
        let pass = planned.pass_keys * workload.head_dim * size_of::<f32>();
        let head_rows = plan.block_rows / plan.block_heads;
        let one_tile = plan.key_source == KeySource::RowMajor && head_rows <= tile_rows;
        let fits = pass <= caches.l2 / 8 || planned.pass_keys == PANEL;
        assert!(fits || one_tile, "{workload:?}: {plan}");
        assert!(planned.pass_keys.is_multiple_of(PANEL) && planned.pass_keys <= SEGMENT);
        if workload.v_dim > 0 {
            let columns = match planned.value_source {
                ValueSource::PackPerCall => panels * PANEL,
                _ => workload.v_dim.next_multiple_of(PANEL),
            };
            let keys = planned.value_pass_keys;
            let values = keys * columns * size_of::<f32>();
            let most = match planned.value_source {
                ValueSource::RowMajor => caches.l1,
                _ => caches.l1 / 2,
            };
            assert!(values <= most || keys == PANEL, "{workload:?}: {values}");
            assert!(SEGMENT.is_multiple_of(keys) || keys >= workload.keys, "{workload:?}");
        }
    });
}

/// Without a result for each pair, memory does not grow with rows × keys.
#[test]
fn outputs_need_no_rows_of_scores() {
    let caches = Caches { l1: 32 * KIB, l2: MIB, l3: 32 * MIB };
    let (v_dim, pair_bytes, row_results) = (64, 0, true);
    let long = Workload { v_dim, pair_bytes, row_results, ..workload(1, 1, 10_000_000, 64) };
    let segments = 10_000_000usize.div_ceil(SEGMENT);
    for threads in [1, 64] {
        let plan = plan(&long, Isa::Avx2, threads, &caches, false).plan;
        // For each segment two states of 16 rows and a node of the output, for each task one segment
        // of scores, for each thread what it has for itself.
        let states = segments * (2 * 16 * 4 + 2 * 16 * 4 + v_dim * 4);
        let bound = states + (threads * 16 + 1) * 64 * KIB;
        assert!(plan.workspace_bytes <= bound, "{plan}");
    }
    let square = Workload { v_dim, pair_bytes, row_results, ..workload(1, 131_072, 131_072, 64) };
    let plan = plan(&square, Isa::Avx2, 1, &caches, false).plan;
    let packed = 2 * 131_072 * 64 * size_of::<f32>();
    assert!(plan.workspace_bytes <= packed + 2 * MIB, "{plan}");
}

/// Few rows read keys as they lie, many pack them, and few keys stay in registers.
#[test]
fn sources_and_paths_follow_from_the_extents() {
    let caches = Caches::ASSUMED;
    for isa in Isa::ALL {
        let plan = |workload: &Workload| plan(workload, isa, 1, &caches, false).plan;
        let machine = softdot::testing::plan(&workload(1, 1, 1, 1), isa, 1, &caches, false);
        let few = machine.max_row_major_rows;
        assert_eq!(plan(&workload(2, few, 100, 64)).key_source, KeySource::RowMajor);
        assert_eq!(plan(&workload(2, few + 1, 100, 64)).key_source, KeySource::PackPerCall);
        let strided = Workload { key_layout: KeyLayout::Strided, ..workload(2, 1, 100, 64) };
        assert_eq!(plan(&strided).key_source, KeySource::PackPerCall);
        let panels = Workload { key_layout: KeyLayout::Panels, ..workload(2, 1, 100, 64) };
        assert_eq!(plan(&panels).key_source, KeySource::Prepacked);
        let keys = machine.tile[1] * PANEL;
        assert_eq!(plan(&workload(2, 100, keys, 64)).path, Path::SmallHeads);
        assert_eq!(plan(&workload(2, 100, keys + 1, 64)).path, Path::RowBlocks);
        let with_sinks = Workload { sinks: true, ..workload(2, 100, keys, 64) };
        assert_eq!(plan(&with_sinks).path, Path::RowBlocks);
    }
}

/// A long row is shared by its segments, and large results bypass the caches.
#[test]
fn threads_and_stores_follow_from_sizes() {
    let caches = Caches { l1: 32 * KIB, l2: MIB, l3: 32 * MIB };
    let plan = |workload, threads| plan(&workload, Isa::Avx2, threads, &caches, false);
    assert_eq!(plan(workload(1, 1, 131_072, 128), 8).plan.splits, 128);
    let large = plan(workload(8, 2048, 2048, 128), 2).plan;
    assert!(large.splits == 1 && large.nontemporal, "{large}");
    assert!(!plan(workload(8, 512, 512, 64), 2).plan.nontemporal);
    // Nothing to compute is nothing.
    assert!(plan(workload(0, 0, 0, 0), 4).is_empty);
}
