//! Every option by itself and random combinations of all: on every instruction set the bits of the
//! transcription of docs/numerics.md, and these within the derived bound of the f64 definition.

mod common;

use common::bounds::{Definition, assert_within};
use common::call::{Call, Stage};
use common::options::{Kind, Options};
use common::strided::Layout;
use common::{Extents, Problem, assert_same_bits, isas, proptests, scaled_down, serial, thinned};
use common::{STAGES, fast_isas, transcription};
use proptest::prelude::*;
use softdot::{Attention, Causal, Isa, PackedKeys, Tensor, TensorRef, Workspace};

/// Around registers (4, 8, 16), panels (16), tiles (6 × 16, 8 × 32) and segments (1,024); one row
/// and many; groups of query heads.
fn shapes() -> Vec<Extents> {
    let shape =
        |rows, keys, head_dim, heads| Extents::single(rows, keys, head_dim).with_heads(heads);
    vec![
        shape(1, 1, 1, [1, 1, 1]),
        shape(1, 3, 4, [2, 2, 1]),
        shape(2, 15, 5, [1, 2, 2]),
        shape(5, 16, 8, [2, 1, 1]),
        shape(6, 17, 3, [1, 4, 2]),
        shape(7, 31, 12, [1, 1, 1]),
        shape(8, 32, 9, [2, 2, 2]),
        shape(9, 33, 1, [1, 3, 1]),
        shape(17, 63, 16, [1, 2, 1]),
        shape(33, 65, 7, [2, 2, 2]),
        shape(49, 97, 2, [1, 2, 1]),
        shape(3, 40, 0, [1, 2, 1]),
        shape(3, 1023, 4, [1, 1, 1]),
        shape(2, 1024, 5, [2, 2, 1]),
        shape(7, 1025, 3, [1, 2, 2]),
        shape(1, 2049, 8, [1, 4, 1]),
        shape(9, 3100, 2, [1, 1, 1]),
    ]
}

/// One case on some instruction sets, from strided views, against the transcription.
fn check_bits(extents: Extents, options: &Options, stage: Stage, layout: Layout, isas: &[Isa]) {
    let query = layout.query(extents.query_shape()).random(1);
    let key = layout.key(extents.key_shape()).random(2);
    let dense = Problem { extents, query: query.dense(), key: key.dense() };
    let expected = transcription::with_options(&dense, options, stage);
    let mut workspace = Workspace::new();
    for &isa in isas {
        let what = format!("{isa}, {stage:?}, {layout:?}, {extents:?}, {options:?}");
        let mut output = layout.output(extents.output_shape());
        options
            .set_on(serial(isa).stage(stage))
            .compute_into(query.view(), key.view(), output.view_mut(), &mut workspace)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_same_bits(&expected, &output.dense(), &what);
        output.assert_gaps_untouched(&what);
    }
}

/// The widest instruction set alone: the bits tie the others to it.
fn check_bounds(problem: &Problem, options: &Options, stage: Stage) {
    let what = format!("{stage:?}, {:?}, {options:?}", problem.extents);
    let (exact, error) = Definition::new(problem, options).bounds(stage);
    let found = problem.compute(&options.set_on(serial(fast_isas()[0]).stage(stage)));
    assert_eq!(exact.len(), found.len(), "{what}");
    // Excluded: exactly −∞, or no weight at all.
    for (i, (&exact, &found)) in exact.iter().zip(&found).enumerate() {
        let excluded = exact == f64::NEG_INFINITY || exact == 0.0 && error[i] == 0.0;
        assert!(!excluded || f64::from(found) == exact, "{what}: element {i}: {found:e}");
    }
    let finite = |i: &usize| exact[*i].is_finite();
    let kept: Vec<usize> = (0..exact.len()).filter(finite).collect();
    let of = |values: &[f64]| kept.iter().map(|&i| values[i]).collect::<Vec<f64>>();
    let found: Vec<f32> = kept.iter().map(|&i| found[i]).collect();
    assert_within(&of(&exact), &of(&error), &found, &what);
}

#[test]
fn each_option_alone_on_every_instruction_set() {
    let layouts = Layout::ALL.into_iter().cycle();
    let isas = isas();
    for ((i, extents), layout) in thinned(shapes(), 5).into_iter().enumerate().zip(layouts) {
        for (j, kind) in Kind::ALL.into_iter().enumerate() {
            let options = Options::random(&extents, &[kind], (i * Kind::ALL.len() + j) as u64);
            for stage in STAGES {
                check_bits(extents, &options, stage, layout, &isas);
            }
        }
    }
}

#[test]
fn each_option_alone_is_within_its_bound() {
    for (i, extents) in thinned(shapes(), 3).into_iter().enumerate() {
        let problem = Problem::random(extents, i as u64);
        for kind in Kind::ALL {
            for seed in 0..scaled_down(3, 1) as u64 {
                let options = Options::random(&extents, &[kind], seed);
                STAGES.into_iter().for_each(|stage| check_bounds(&problem, &options, stage));
            }
        }
    }
}

/// Rows of two query heads meet in a tile, and stand far apart among keys that come in several
/// passes: the keys between them belong to neither.
#[test]
fn rows_of_a_tile_that_stand_far_apart() {
    for window in [(Some(2), Some(0)), (Some(20), Some(3)), (None, Some(0)), (Some(0), None)] {
        let options = Options { window, ..Options::default() };
        for head_dim in [128, 500] {
            let extents = Extents::single(scaled_down(602, 302), 1024, head_dim);
            let extents = extents.with_heads([1, 2, 1]);
            // What was in the strip before would show.
            for isa in fast_isas() {
                check_bits(extents, &options, Stage::Weights, Layout::Dense, &[isa]);
            }
        }
    }
}

prop_compose! {
    fn any_extents()(
        batch in 1usize..3,
        kv_heads in 1usize..3,
        group in prop::sample::select(vec![1usize, 2, 3]),
        rows in 1usize..20,
        keys in prop_oneof![1usize..70, 1000usize..1100, 2040usize..2060],
        head_dim in 1usize..20,
    ) -> Extents {
        Extents { batch, q_heads: kv_heads * group, kv_heads, rows, keys, head_dim }
    }
}

fn any_kinds() -> impl Strategy<Value = Vec<Kind>> {
    prop::sample::subsequence(Kind::ALL.to_vec(), 0..=Kind::ALL.len())
}

fn any_stage() -> impl Strategy<Value = Stage> {
    prop::sample::select(STAGES.to_vec())
}

proptest! {
    #![proptest_config(proptests(200, 10))]

    #[test]
    fn combinations_have_the_bits_of_the_transcription(
        extents in any_extents(),
        kinds in any_kinds(),
        seed: u64,
        stage in any_stage(),
        layout in prop::sample::select(Layout::ALL.to_vec()),
    ) {
        let options = Options::random(&extents, &kinds, seed);
        check_bits(extents, &options, stage, layout, &isas());
    }

    #[test]
    fn combinations_are_within_their_bounds(
        extents in any_extents(),
        kinds in any_kinds(),
        seed: u64,
        stage in any_stage(),
    ) {
        let options = Options::random(&extents, &kinds, seed);
        check_bounds(&Problem::random(extents, seed), &options, stage);
    }

    /// Chunked prefill: the rows of a call stand where they stand in the whole, if it says so.
    #[test]
    fn a_block_of_rows_equals_those_rows_of_the_whole(
        extents in any_extents(),
        kinds in any_kinds(),
        seed: u64,
        stage in any_stage(),
        chunk in 1usize..20,
        isa in prop::sample::select(isas()),
    ) {
        let mut options = Options::random(&extents, &kinds, seed);
        options.causal = options.causal.or(Some(softdot::Causal::TopLeft));
        let first = match options.causal {
            Some(softdot::Causal::Offset(offset)) => offset,
            Some(softdot::Causal::BottomRight) if options.key_lengths.is_none() => {
                extents.keys as isize - extents.rows as isize
            }
            _ => {
                options.causal = Some(softdot::Causal::TopLeft);
                0
            }
        };
        let problem = Problem::random(extents, seed);
        let whole = problem.compute(&options.set_on(serial(isa).stage(stage)));
        for start in (0..extents.rows).step_by(chunk) {
            let rows = start..extents.rows.min(start + chunk);
            let part = part_of_rows(&problem, &options, rows.clone());
            let (part, mut options) = part;
            options.causal = Some(softdot::Causal::Offset(first + start as isize));
            let found = part.compute(&options.set_on(serial(isa).stage(stage)));
            let expected = rows_of(&whole, extents, rows);
            assert_same_bits(&expected, &found, isa);
        }
    }

    #[test]
    fn packed_keys_give_the_same_bits(
        extents in any_extents(),
        kinds in any_kinds(),
        seed: u64,
        stage in any_stage(),
    ) {
        let options = Options::random(&extents, &kinds, seed);
        let problem = Problem::random(extents, seed);
        let packed = PackedKeys::from_view(problem.key_view()).expect("valid keys");
        for isa in isas() {
            let attention = options.set_on(serial(isa).stage(stage));
            let found = attention.compute(problem.query_view(), &packed).expect("valid");
            assert_same_bits(&problem.compute(&attention), &found, isa);
        }
    }
}

/// The query rows `rows` of every head of a result.
fn rows_of<T: Copy>(result: &[T], extents: Extents, rows: core::ops::Range<usize>) -> Vec<T> {
    let heads = result.chunks(extents.rows * extents.keys);
    heads
        .flat_map(|head| head[rows.start * extents.keys..rows.end * extents.keys].to_vec())
        .collect()
}

/// The query rows `rows` as a problem of their own, with the rows of bias and mask.
fn part_of_rows(
    problem: &Problem,
    options: &Options,
    rows: core::ops::Range<usize>,
) -> (Problem, Options) {
    let extents = Extents { rows: rows.len(), ..problem.extents };
    let of_dim = Extents { keys: extents.head_dim, ..problem.extents };
    let query = rows_of(&problem.query, of_dim, rows.clone());
    let mut options = options.clone();
    let entries = 0..extents.batch;
    options.bias = options.bias.map(|bias| bias.part(entries.clone(), rows.clone()));
    options.mask = options.mask.map(|mask| mask.part(entries, rows));
    (Problem { extents, query, key: problem.key.clone() }, options)
}

/// Many rows, few rows and many segments, many heads: all above the size where the pool is used.
#[test]
fn any_number_of_threads() {
    let cases = [
        Extents::single(200, 333, 33),
        Extents::single(1, 5000, 212),
        Extents::single(2, 6 * 1024, 44).with_heads([1, 4, 2]),
        Extents::single(17, 129, 16).with_heads([2, 16, 4]),
    ];
    let kinds = [
        Kind::ALL.to_vec(),
        vec![Kind::Causal, Kind::KeyLengths],
        vec![Kind::Window, Kind::Sinks],
        vec![Kind::Softcap, Kind::Bias, Kind::Alibi],
        vec![Kind::Mask],
    ];
    for extents in cases {
        assert!(extents.work() >= 1 << 20, "{extents:?} would not use the pool");
        let problem = Problem::random(extents, 3);
        for (seed, kinds) in kinds.iter().enumerate() {
            let options = Options::random(&extents, kinds, seed as u64);
            for stage in [Stage::Biased, Stage::Weights] {
                let expected = transcription::with_options(&problem, &options, stage);
                for threads in thinned(vec![3, 1, 2, 7], 4) {
                    let pool = common::pool(threads);
                    for isa in fast_isas() {
                        let attention = options.set_on(Call::new().isa(isa).stage(stage));
                        let found = pool.install(|| problem.compute(&attention));
                        let what = format!("{isa}, {stage:?}, {threads} threads, {extents:?}");
                        assert_same_bits(&expected, &found, what);
                    }
                }
            }
        }
    }
}

/// Batches whose entries have different lengths are what they are alone.
#[test]
fn a_batch_is_its_entries() {
    let extents = Extents::single(6, 1100, 8).with_heads([3, 4, 2]);
    let problem = Problem::random(extents, 5);
    let lengths = vec![1100, 0, 1030];
    let options = Options {
        causal: Some(softdot::Causal::BottomRight),
        key_lengths: Some(lengths.clone()),
        alibi_slopes: Some(softdot::alibi_slopes(4)),
        ..Options::default()
    };
    for isa in isas() {
        let whole = problem.compute(&options.set_on(serial(isa)));
        for (batch, (whole, &length)) in whole.chunks(4 * 6 * 1100).zip(&lengths).enumerate() {
            let alone = Options { key_lengths: Some(vec![length]), ..options.clone() };
            let query = TensorRef::new(&problem.query[batch * 4 * 6 * 8..][..4 * 6 * 8], [4, 6, 8]);
            let key = TensorRef::new(&problem.key[batch * 2 * 1100 * 8..], [2, 1100, 8]);
            let found = alone.set_on(serial(isa)).compute(query, key).expect("valid");
            assert_same_bits(whole, &found, format_args!("{isa}, entry {batch}"));
        }
    }
}

/// Positions and distances at the ends of their types are numbers like any other: rows that stand
/// far before or behind all keys, windows that reach further than there are any.
#[test]
fn positions_at_the_ends_of_the_range() {
    let problem = Problem::random(Extents::single(3, 20, 4).with_heads([2, 2, 1]), 1);
    let sides = [None, Some(0), Some(2), Some(usize::MAX - 1), Some(usize::MAX)];
    let offsets = [isize::MIN, isize::MIN + 1, -1, 0, isize::MAX - 1, isize::MAX];
    let causal = offsets.map(|offset| Some(Causal::Offset(offset))).into_iter();
    for causal in causal.chain([None, Some(Causal::TopLeft), Some(Causal::BottomRight)]) {
        for left in sides {
            for right in sides {
                for alibi_slopes in [None, Some(vec![0.25, -1e-10])] {
                    let options = Options {
                        causal,
                        window: (left, right),
                        alibi_slopes,
                        key_lengths: Some(vec![20, 17]),
                        ..Options::default()
                    };
                    for stage in [Stage::Biased, Stage::Weights] {
                        let expected = transcription::with_options(&problem, &options, stage);
                        for isa in isas() {
                            let attention = options.set_on(serial(isa).stage(stage));
                            let found = problem.compute(&attention);
                            assert_same_bits(&expected, &found, format!("{isa}, {options:?}"));
                        }
                    }
                }
            }
        }
    }
}

/// A mask may be bytes: any but 0 attends, on short heads and long ones, by lines and strided.
#[test]
fn bytes_but_0_attend() {
    for keys in [1, 6, 16, 17, 40] {
        let problem = Problem::random(Extents::single(5, keys, 8), 3);
        let bytes: Vec<u8> =
            (0..2 * 5 * keys).map(|i| [0, 1, 2, 0x80, 0xff, 0][i % 7 % 6]).collect();
        for step in [1, 2] {
            let (shape, strides) = ([1, 1, 5, keys], [0, 0, keys as isize * step, step]);
            let bools: Vec<bool> = bytes.iter().map(|&byte| byte != 0).collect();
            for isa in isas() {
                let attention = Attention::new().isa(isa);
                let weights = |attention: Attention<'_>| {
                    let (query, key) = (&problem.query[..], &problem.key[..]);
                    let query = TensorRef::new(query, [5, 8]);
                    attention.weights(query, TensorRef::new(key, [keys, 8])).unwrap()
                };
                let of_bools = Tensor::with_strides(&bools[..], shape, strides);
                let of_bytes = Tensor::with_strides(&bytes[..], shape, strides);
                assert_same_bits(
                    &weights(attention.clone().mask(of_bools)),
                    &weights(attention.mask(of_bytes)),
                    format!("{isa}, {keys} keys, step {step}"),
                );
            }
        }
    }
}
