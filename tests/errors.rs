//! What is refused, in which words, and that a refused call has written nothing. And what looks
//! odd but is valid: empty problems, whatever their other extents.

mod common;

use common::options::Options;
use common::{Extents, Problem, assert_same_bits, isas, serial, transcription};
use softdot::{
    Attention, Causal, Error, Isa, PackedKeys, Stage, TensorMut, TensorRef, Workspace,
    attention_weights, dot_on, scaled_softmax_in_place_on, scaled_softmax_on,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

const STAGES: [Stage; 4] = [Stage::Scores, Stage::Capped, Stage::Biased, Stage::Weights];

/// What an output holds before a call that is to be refused.
const SENTINEL: f32 = 12_345.678;

/// Larger than any address space, as an extent.
const ABSURD: usize = usize::MAX;

/// Shape and strides of a view whose data is given elsewhere.
type Layout = ([usize; 4], [isize; 4]);

/// The error of a call into an output of 64 elements, which has to stay as it was.
#[track_caller]
fn refused(attention: &Attention, query: TensorRef, key: TensorRef, output: Layout) -> Error {
    let mut data = [SENTINEL; 64];
    let view = TensorMut::with_strides(&mut data[..], output.0, output.1);
    let error = attention.compute_into(query, key, view, &mut Workspace::new()).unwrap_err();
    assert_eq!(data, [SENTINEL; 64], "{error}: wrote all the same");
    error
}

/// A sound problem that the tests below spoil: `[2, 2, 2, 3]` against `[2, 1, 4, 3]`.
struct Sound {
    data: [f32; 24],
    output: Layout,
}

const QUERY: [usize; 4] = [2, 2, 2, 3];
const KEY: [usize; 4] = [2, 1, 4, 3];
const OUTPUT: [usize; 4] = [2, 2, 2, 4];

impl Sound {
    fn new() -> Self {
        Sound { data: [0.5; 24], output: (OUTPUT, [16, 8, 4, 1]) }
    }

    fn query(&self) -> TensorRef<'_> {
        TensorRef::new(&self.data, QUERY)
    }

    fn key(&self) -> TensorRef<'_> {
        TensorRef::new(&self.data, KEY)
    }

    #[track_caller]
    fn refused_query(&self, shape: [usize; 4], strides: [isize; 4]) -> Error {
        let query = TensorRef::with_strides(&self.data, shape, strides);
        refused(&Attention::new(), query, self.key(), self.output)
    }

    #[track_caller]
    fn refused_key(&self, shape: [usize; 4], strides: [isize; 4]) -> Error {
        let key = TensorRef::with_strides(&self.data, shape, strides);
        refused(&Attention::new(), self.query(), key, self.output)
    }

    #[track_caller]
    fn refused_output(&self, shape: [usize; 4], strides: [isize; 4]) -> Error {
        refused(&Attention::new(), self.query(), self.key(), (shape, strides))
    }
}

/// Strides of dense data.
fn dense(shape: [usize; 4]) -> [isize; 4] {
    TensorRef::<f32>::new(&[], shape).strides()
}

#[test]
fn the_sound_problem_is_sound() {
    let sound = Sound::new();
    let mut data = [SENTINEL; 64];
    let output = TensorMut::with_strides(&mut data[..], sound.output.0, sound.output.1);
    Attention::new()
        .compute_into(sound.query(), sound.key(), output, &mut Workspace::new())
        .expect("valid");
    assert!(data[..32].iter().all(|&weight| weight == 0.25), "{data:?}");
    assert!(data[32..].iter().all(|&weight| weight == SENTINEL), "{data:?}");
}

#[test]
fn extents_that_do_not_fit() {
    let sound = Sound::new();
    let error = sound.refused_key([2, 1, 4, 2], dense([2, 1, 4, 2]));
    assert!(matches!(error, Error::Extent { argument: "key", expected: 3, found: 2, .. }));
    assert_eq!(error.to_string(), "key: expected 3 columns (head_dim) (as the query), found 2");

    let error = sound.refused_key([1, 1, 4, 3], dense([1, 1, 4, 3]));
    assert!(matches!(error, Error::Extent { argument: "key", expected: 2, found: 1, .. }));
    assert_eq!(error.to_string(), "key: expected 2 batch entries (as the query), found 1");
}

#[test]
fn outputs_of_another_shape() {
    let axes = ["batch entries", "heads", "rows", "columns (keys)"];
    for (axis, name) in axes.into_iter().enumerate() {
        for found in [0, OUTPUT[axis] - 1, OUTPUT[axis] + 1, ABSURD] {
            let mut shape = OUTPUT;
            shape[axis] = found;
            let expected = OUTPUT[axis];
            assert_eq!(
                Sound::new().refused_output(shape, dense(OUTPUT)).to_string(),
                format!("output: expected {expected} {name} (as query and key), found {found}")
            );
        }
    }
}

#[test]
fn heads_that_cannot_be_shared_out() {
    for (q_heads, kv_heads) in [(3, 2), (1, 2), (4, 3), (2, 0), (1, ABSURD)] {
        let query = TensorRef::with_strides(&[0.0], [1, q_heads, 1, 1], [0; 4]);
        let key = TensorRef::with_strides(&[0.0], [1, kv_heads, 1, 1], [0; 4]);
        let error = refused(&Attention::new(), query, key, ([1, q_heads, 1, 1], [0, 1, 0, 0]));
        // So many key heads are refused as such, before they are compared with the query's.
        if kv_heads == ABSURD {
            assert!(matches!(error, Error::Overflow { argument: "key", .. }), "{error}");
            continue;
        }
        assert_eq!(error, Error::HeadGroups { q_heads, kv_heads });
        assert_eq!(
            error.to_string(),
            format!(
                "query: expected heads to be a multiple of the key's {kv_heads}, found {q_heads}"
            )
        );
    }
}

#[test]
fn negative_strides() {
    let sound = Sound::new();
    for axis in 0..4 {
        for stride in [-1, isize::MIN] {
            let negative = |shape| {
                let mut strides = dense(shape);
                strides[axis] = stride;
                strides
            };
            for (argument, error) in [
                ("query", sound.refused_query(QUERY, negative(QUERY))),
                ("key", sound.refused_key(KEY, negative(KEY))),
                ("output", sound.refused_output(OUTPUT, negative(OUTPUT))),
            ] {
                assert_eq!(error, Error::NegativeStride { argument, axis, stride });
                assert_eq!(
                    error.to_string(),
                    format!(
                        "{argument}: expected strides of at least 0, found {stride} on axis {axis}"
                    )
                );
            }
        }
    }
}

#[test]
fn views_that_reach_one_element_too_far() {
    let sound = Sound::new();
    for (argument, shape, size, limit) in
        [("query", QUERY, 24, 24), ("key", KEY, 24, 24), ("output", OUTPUT, 32, 64)]
    {
        for axis in 0..3 {
            // Each stride alone is made one too long.
            let mut strides = dense(shape);
            if shape[axis] == 1 {
                continue;
            }
            strides[axis] += isize::try_from((limit - size) / (shape[axis] - 1)).unwrap() + 1;
            let expected =
                1 + (0..4).map(|i| (shape[i] - 1) * strides[i].unsigned_abs()).sum::<usize>();
            let error = match argument {
                "query" => sound.refused_query(shape, strides),
                "key" => sound.refused_key(shape, strides),
                _ => sound.refused_output(shape, strides),
            };
            assert_eq!(error, Error::OutOfBounds { argument, expected, found: limit });
            assert_eq!(
                error.to_string(),
                format!(
                    "{argument}: expected data of at least {expected} elements for its shape and \
                     strides, found {limit}"
                )
            );
        }
    }
    let short = TensorRef::new(&sound.data[..23], QUERY);
    let error = refused(&Attention::new(), short, sound.key(), sound.output);
    assert_eq!(error, Error::OutOfBounds { argument: "query", expected: 24, found: 23 });
}

#[test]
fn shapes_that_overflow() {
    let one = [0.0];
    let view = |shape| TensorRef::with_strides(&one, shape, [0; 4]);
    let huge = isize::MAX as usize / 4;
    let overflows = [
        // One operand is too large already …
        ("query", [1, 1, ABSURD, 1], [1, 1, 1, 1]),
        ("query", [ABSURD, ABSURD, 1, 1], [ABSURD, 1, 1, 1]),
        ("query", [1, 1, huge + 1, 1], [1, 1, 1, 1]),
        ("key", [1, 1, 1, 1], [1, 1, ABSURD, 1]),
        ("query", [1, 1, 1, ABSURD], [1, 1, 1, ABSURD]),
        ("query", [1, 1, 1 << 40, 1 << 40], [1, 1, 1, 1 << 40]),
        // … or only with the padding of its panels …
        ("key", [1, 1, 1, 1], [1, 1, huge, 1]),
        // … or the product of both is.
        ("output", [1, 1, 1 << 40, 1], [1, 1, 1 << 40, 1]),
        ("output", [1, 1, huge, 1], [1, 1, 2, 1]),
    ];
    for (argument, query, key) in overflows {
        for stage in STAGES {
            let attention = Attention::new().stage(stage);
            let error = attention.compute(view(query), view(key)).unwrap_err();
            assert!(
                matches!(error, Error::Overflow { argument: found, .. } if found == argument),
                "{argument}: {error:?}"
            );
            assert!(error.to_string().starts_with(&format!("{argument}: ")), "{error}");
            assert_eq!(attention.plan(view(query), view(key)).unwrap_err(), error);
        }
    }
}

#[test]
fn strides_that_overflow() {
    let sound = Sound::new();
    for axis in [0, 2] {
        let mut strides = [0; 4];
        strides[axis] = isize::MAX;
        let error = sound.refused_query([4, 1, 4, 3], strides);
        assert!(matches!(error, Error::Overflow { argument: "query", .. }), "{error}");
        // The last span that is a number still.
        let error = sound.refused_query([3, 1, 3, 3], strides);
        let expected = usize::MAX;
        assert_eq!(error, Error::OutOfBounds { argument: "query", expected, found: 24 });
    }
    // A sum that overflows though no product does.
    let error = sound.refused_query(QUERY, [isize::MAX, isize::MAX, isize::MAX, 1]);
    assert!(matches!(error, Error::Overflow { argument: "query", .. }), "{error}");
}

#[test]
fn outputs_whose_elements_share_memory() {
    for strides in [
        [16, 8, 4, 0],
        [16, 8, 0, 1],
        [0, 8, 4, 1],
        [0; 4],
        [16, 8, 3, 1],
        [16, 7, 4, 1],
        [15, 8, 4, 1],
        [1, 1, 1, 1],
        // Transposed, one short of room for the rows.
        [16, 8, 1, 1],
        [14, 7, 1, 2],
    ] {
        let error = Sound::new().refused_output(OUTPUT, strides);
        assert_eq!(error, Error::Overlap { argument: "output", shape: OUTPUT, strides });
        assert_eq!(
            error.to_string(),
            format!(
                "output: expected strides that keep elements apart, found {strides:?} for shape \
                 {OUTPUT:?}"
            )
        );
    }
}

/// The stride of an axis with one entry moves nothing.
#[test]
fn strides_of_single_entries_do_not_matter() {
    let extents = Extents::single(1, 5, 1);
    let problem = Problem::random(extents, 1);
    let expected = problem.compute(&Attention::new());
    for strides in [[0, 0, 0, 1], [1, 1, 1, 1], [isize::MAX, isize::MAX, isize::MAX, 1]] {
        let mut data = [SENTINEL; 5];
        let output = TensorMut::with_strides(&mut data[..], [1, 1, 1, 5], strides);
        Attention::new()
            .compute_into(problem.query_view(), problem.key_view(), output, &mut Workspace::new())
            .expect("valid");
        assert_eq!(data[..], expected);
    }
}

#[test]
fn scales_that_are_not_finite() {
    let sound = Sound::new();
    for (scale, printed) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")]
    {
        for stage in STAGES {
            let attention = Attention::new().stage(stage).scale(scale);
            let error = refused(&attention, sound.query(), sound.key(), sound.output);
            assert!(matches!(error, Error::NotFinite { argument: "scale", .. }));
            assert_eq!(
                error.to_string(),
                format!("scale: expected a finite number, found {printed}")
            );
        }
    }
}

/// A call with options on the sound problem, refused in every stage, by `plan` too, with the same
/// error.
#[track_caller]
fn refused_options(options: &Attention) -> Error {
    let sound = Sound::new();
    let errors = STAGES.map(|stage| {
        let attention = options.clone().stage(stage);
        let error = refused(&attention, sound.query(), sound.key(), sound.output);
        assert_eq!(attention.plan(sound.query(), sound.key()).unwrap_err(), error);
        error
    });
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    errors.into_iter().next().expect("one for each stage")
}

#[test]
fn softcaps_that_are_not_positive() {
    for (softcap, printed) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (-1.5, "-1.5"),
        (f32::INFINITY, "inf"),
        (f32::NEG_INFINITY, "-inf"),
    ] {
        let error = refused_options(&Attention::new().softcap(softcap));
        assert_eq!(error, Error::NotPositive { argument: "softcap", found: softcap });
        assert_eq!(
            error.to_string(),
            format!("softcap: expected a finite number above 0, found {printed}")
        );
    }
    // NaN is not equal to itself, nor is its error.
    let sound = Sound::new();
    for stage in STAGES {
        let attention = Attention::new().softcap(f32::NAN).stage(stage);
        let error = refused(&attention, sound.query(), sound.key(), sound.output);
        assert_eq!(error.to_string(), "softcap: expected a finite number above 0, found NaN");
    }
}

/// A bias or a mask of some shape and strides, of so many elements.
#[track_caller]
fn refused_broadcasts(
    shape: [usize; 4],
    strides: [isize; 4],
    elements: usize,
) -> [(&'static str, Error); 2] {
    let (bias, mask) = (vec![0.5; elements], vec![true; elements]);
    let bias = TensorRef::with_strides(&bias, shape, strides);
    let mask = TensorRef::with_strides(&mask, shape, strides);
    [
        ("bias", refused_options(&Attention::new().bias(bias))),
        ("mask", refused_options(&Attention::new().mask(mask))),
    ]
}

#[test]
fn biases_and_masks_that_do_not_broadcast() {
    let axes = ["batch entries", "heads", "rows", "columns (keys)"];
    for (axis, name) in axes.into_iter().enumerate() {
        let expected = OUTPUT[axis];
        for found in [0, expected + 1, 2 * expected, ABSURD] {
            // As an axis of the whole result, and of a shape that is 1 otherwise.
            for mut shape in [OUTPUT, [1; 4]] {
                shape[axis] = found;
                for (argument, error) in refused_broadcasts(shape, [0; 4], 1) {
                    assert!(
                        matches!(error, Error::Extent { argument: a, .. } if a == argument),
                        "{error:?}"
                    );
                    assert_eq!(
                        error.to_string(),
                        format!(
                            "{argument}: expected {expected} {name} (as the result, or 1), found \
                             {found}"
                        )
                    );
                }
            }
        }
    }
}

#[test]
fn biases_and_masks_that_reach_too_far() {
    for (shape, strides, expected) in [
        (OUTPUT, dense(OUTPUT), 32),
        ([2, 1, 1, 4], [4, 0, 0, 1], 8),
        ([1, 1, 2, 1], [0, 0, 9, 0], 10),
        (OUTPUT, [0, 0, 0, 5], 16),
    ] {
        for found in [0, expected - 1] {
            for (argument, error) in refused_broadcasts(shape, strides, found) {
                assert_eq!(error, Error::OutOfBounds { argument, expected, found });
                assert_eq!(
                    error.to_string(),
                    format!(
                        "{argument}: expected data of at least {expected} elements for its shape \
                         and strides, found {found}"
                    )
                );
            }
        }
    }
    let strides = [isize::MAX, isize::MAX, isize::MAX, 1];
    for (argument, error) in refused_broadcasts(OUTPUT, strides, 1) {
        assert_eq!(error, Error::Overflow { argument, shape: OUTPUT });
    }
}

/// A negative stride is refused even on an axis of one entry, as it is of queries and keys.
#[test]
fn biases_and_masks_with_negative_strides() {
    for shape in [OUTPUT, [1; 4]] {
        for axis in 0..4 {
            for stride in [-1, isize::MIN] {
                let mut strides = dense(shape);
                strides[axis] = stride;
                for (argument, error) in refused_broadcasts(shape, strides, 32) {
                    assert_eq!(error, Error::NegativeStride { argument, axis, stride });
                }
            }
        }
    }
}

/// The sound problem has two query heads and two batch entries.
#[test]
fn lists_of_the_wrong_length() {
    for found in [0, 1, 3, 64] {
        let (numbers, lengths) = (vec![0.5; found], vec![1; found]);
        for (argument, each, options) in [
            ("alibi_slopes", "query head", Attention::new().alibi_slopes(&numbers)),
            ("sinks", "query head", Attention::new().sinks(&numbers)),
            ("key_lengths", "batch entry", Attention::new().key_lengths(&lengths)),
        ] {
            let error = refused_options(&options);
            assert!(
                matches!(error, Error::Length { argument: a, value: 2, found: f, .. }
                    if a == argument && f == found),
                "{error:?}"
            );
            assert_eq!(
                error.to_string(),
                format!("{argument}: expected one for each {each}, here 2, found length {found}")
            );
        }
    }
}

#[test]
fn lengths_beyond_the_keys() {
    let keys = KEY[2];
    for found in [keys + 1, 1000, ABSURD] {
        for (batch, lengths) in [[found, keys], [keys, found]].into_iter().enumerate() {
            let error = refused_options(&Attention::new().key_lengths(&lengths));
            assert_eq!(error, Error::KeyLength { batch, keys, found });
            assert_eq!(
                error.to_string(),
                format!(
                    "key_lengths: expected at most {keys} (as the key), found {found} for batch \
                     entry {batch}"
                )
            );
        }
    }
}

/// Whatever the option that is wrong, packed keys are refused as a view is.
#[test]
fn packed_keys_are_checked_alike() {
    let sound = Sound::new();
    let packed = PackedKeys::from_view(sound.key()).expect("valid keys");
    let short = [0.5];
    for options in [
        Attention::new().softcap(0.0),
        Attention::new().bias(TensorRef::new(&short, [2, 4])),
        Attention::new().sinks(&short),
        Attention::new().alibi_slopes(&short),
        Attention::new().key_lengths(&[5, 0]),
    ] {
        let error = refused_options(&options);
        let mut data = [SENTINEL; 32];
        let output = TensorMut::new(&mut data[..], OUTPUT);
        let found = options.compute_into(sound.query(), &packed, output, &mut Workspace::new());
        assert_eq!(found, Err(error));
        assert_eq!(data, [SENTINEL; 32]);
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

/// Options of problems without elements in the result: nothing to do, nothing to fail.
#[test]
fn options_of_empty_results() {
    let (bias, mask): ([f32; 0], [bool; 0]) = ([], []);
    for (rows, keys, heads) in [(0, 4, 2), (2, 0, 2), (2, 4, 0)] {
        let shape = [1, heads, rows, keys];
        let numbers = vec![0.5; heads];
        let query = TensorRef::with_strides(&[0.5], [1, heads, rows, 3], [0; 4]);
        let key = TensorRef::with_strides(&[0.5], [1, heads, keys, 3], [0; 4]);
        for stage in STAGES {
            let attention = Attention::new()
                .stage(stage)
                .softcap(2.0)
                .bias(TensorRef::new(&bias, shape))
                .mask(TensorRef::new(&mask, shape))
                .alibi_slopes(&numbers)
                .sinks(&numbers)
                .key_lengths(&[0])
                .causal(Causal::Offset(isize::MIN))
                .window(usize::MAX, usize::MAX);
            assert_eq!(attention.compute(query, key), Ok(vec![]), "{shape:?}");
            attention.plan(query, key).expect("a plan");
        }
    }
}

#[test]
fn instruction_sets_that_the_cpu_lacks() {
    let sound = Sound::new();
    let available: Vec<String> = Isa::available().map(|isa| isa.to_string()).collect();
    let missing: Vec<Isa> = Isa::ALL.into_iter().filter(|isa| !isa.is_available()).collect();
    assert!(!missing.is_empty(), "no CPU has both NEON and AVX2");
    for isa in missing {
        let error = refused(&serial(isa), sound.query(), sound.key(), sound.output);
        assert_eq!(error, Error::IsaUnavailable { isa });
        assert_eq!(
            error.to_string(),
            format!("isa: expected one that this CPU has ({}), found {isa}", available.join(", "))
        );
        assert_eq!(serial(isa).plan(sound.query(), sound.key()).unwrap_err(), error);
        assert_eq!(dot_on(isa, &[1.0], &[1.0]), Err(error.clone()));
        let mut row = [SENTINEL; 3];
        assert_eq!(scaled_softmax_on(isa, &[1.0; 3], 1.0, &mut row), Err(error.clone()));
        assert_eq!(scaled_softmax_in_place_on(isa, &mut row, 1.0), Err(error));
        assert_eq!(row, [SENTINEL; 3]);
    }
}

#[test]
fn names_of_instruction_sets() {
    for isa in Isa::ALL {
        assert_eq!(isa.name().parse(), Ok(isa));
    }
    for name in ["", "AVX2", "avx-512", "sse2", "emulated-4", "avx2 "] {
        let error = name.parse::<Isa>().unwrap_err();
        assert_eq!(error, Error::UnknownIsa { argument: "isa", found: name.into() });
        assert_eq!(
            error.to_string(),
            format!("isa: expected one of scalar, neon, avx2, avx512, found {name:?}")
        );
    }
}

#[test]
fn slices_that_are_not_whole_rows() {
    let data = [0.0; 12];
    for (query, key, head_dim, argument, found) in [
        (11, 12, 4, "query", 11),
        (12, 11, 4, "key", 11),
        (3, 12, 4, "query", 3),
        (12, 12, 0, "query", 12),
        (0, 0, 0, "query", 0),
    ] {
        let error = attention_weights(&data[..query], &data[..key], head_dim).unwrap_err();
        let matched = matches!(
            error,
            Error::Length { argument: a, value, found: f, .. }
                if a == argument && value == head_dim && f == found
        );
        assert!(matched, "{error:?}");
        assert_eq!(
            error.to_string(),
            format!(
                "{argument}: expected a length that is a multiple of a head_dim > 0, here \
                 {head_dim}, found length {found}"
            )
        );
    }
    assert_eq!(attention_weights(&[], &data, 4), Ok(vec![]));
    assert_eq!(attention_weights(&data, &[], 4), Ok(vec![]));
}

/// Packed keys of 2⁴⁵ dimensions are more than any address space of today.
#[test]
fn memory_that_cannot_be_had() {
    let head_dim = 1 << 45;
    let view = TensorRef::with_strides(&[0.5], [1, 1, 1, head_dim], [0; 4]);
    for isa in isas() {
        for stage in STAGES {
            let attention = serial(isa).stage(stage);
            let error = refused(&attention, view, view, ([1; 4], [1; 4]));
            assert!(
                matches!(error, Error::Allocation { argument: "workspace", elements } if elements > head_dim),
                "{error:?}"
            );
            assert!(error.to_string().starts_with("workspace: expected memory for "), "{error}");
            assert!(matches!(attention.compute(view, view), Err(Error::Allocation { .. })));
        }
    }
    let wide = TensorRef::with_strides(&[0.5], [1, 1, 1 << 30, 1], [0; 4]);
    let error = Attention::new().compute(wide, wide).unwrap_err();
    assert_eq!(error, Error::Allocation { argument: "output", elements: 1 << 60 });
    assert_eq!(
        error.to_string(),
        "output: expected memory for 1152921504606846976 f32 elements, found none"
    );
}

/// After a call that could not have its memory, the workspace serves the next one.
#[test]
fn a_workspace_survives_errors() {
    let mut workspace = Workspace::new();
    let problem = Problem::random(Extents::single(3, 20, 4), 1);
    let expected = problem.compute(&Attention::new());
    let absurd = TensorRef::with_strides(&[0.5], [1, 1, 1, 1 << 45], [0; 4]);
    for _ in 0..2 {
        let mut one = [SENTINEL];
        let output = TensorMut::new(&mut one[..], [1, 1]);
        Attention::new().compute_into(absurd, absurd, output, &mut workspace).unwrap_err();
        let mut found = vec![0.0; 60];
        let output = TensorMut::new(&mut found[..], [3, 20]);
        Attention::new()
            .compute_into(problem.query_view(), problem.key_view(), output, &mut workspace)
            .expect("valid");
        assert_eq!(found, expected);
    }
}

#[test]
fn permutations_that_are_none() {
    for axes in [[0, 0, 1, 2], [0, 1, 2, 4], [3, 3, 3, 3]] {
        let view = TensorRef::new(&[0.0], [1, 1]);
        let message = catch_unwind(AssertUnwindSafe(|| view.permute(axes))).unwrap_err();
        let message = message.downcast_ref::<String>().expect("a formatted panic");
        assert!(message.starts_with("axes: expected a permutation of 0, 1, 2, 3"), "{message}");
    }
}

/// Nothing to compute: no elements in the result, whatever the other extents are.
#[test]
fn empty_results_are_valid() {
    let sizes = [0, 1, 3, 1 << 40, ABSURD];
    let mut shapes = vec![([0, 0, 0, 0], [0, 0, 0, 0])];
    for size in sizes {
        for other in sizes {
            shapes.extend([
                // No batch entries, no heads, no rows, no keys.
                ([0, size, other, size], [0, size, other, size]),
                ([size, 0, other, size], [size, 0, other, size]),
                ([size, 0, other, size], [size, 1, other, size]),
                ([size, 2, 0, other], [size, 1, 3, other]),
                ([2, 2, 0, 3], [2, 1, size, 3]),
                ([size, 2, 3, other], [size, 1, 0, other]),
                ([2, 4, size, 3], [2, 2, 0, 3]),
                // No dimensions either.
                ([size, 2, other, 0], [size, 2, 0, 0]),
                ([size, 2, 0, 0], [size, 2, other, 0]),
            ]);
        }
    }
    for (query, key) in shapes {
        for stage in STAGES {
            check_empty(query, key, &Attention::new().stage(stage));
        }
    }
}

/// A problem without results either succeeds with nothing, or one of its operands is itself too
/// large: never a panic, never an element.
fn check_empty(query_shape: [usize; 4], key_shape: [usize; 4], attention: &Attention) {
    let query = TensorRef::with_strides(&[0.0], query_shape, [0; 4]);
    let key = TensorRef::with_strides(&[0.0], key_shape, [0; 4]);
    let what = format!("query {query_shape:?}, key {key_shape:?}, {attention:?}");
    let too_large = |shape: [usize; 4]| {
        let product = shape.iter().map(|&extent| extent as u128).fold(1, u128::saturating_mul);
        !shape.contains(&0) && product > isize::MAX as u128 / 4
    };
    let result = catch_unwind(|| attention.compute(query, key))
        .unwrap_or_else(|_| panic!("panicked: {what}"));
    match result {
        Ok(weights) => assert_eq!(weights, [], "{what}"),
        Err(Error::Overflow { argument, .. }) => {
            let shape = if argument == "query" { query_shape } else { key_shape };
            assert!(too_large(shape), "{what}: {argument} is not too large");
        }
        Err(error) => panic!("{what}: {error}"),
    }
    // A plan can be asked for too; it may fail, not panic.
    let plan = catch_unwind(|| attention.plan(query, key).map(|plan| plan.to_string()));
    assert!(plan.is_ok(), "the plan panicked: {what}");
}

/// No key: rows without elements. No row, no head: no rows. The same on every instruction set,
/// in the caller's memory, which stays as it was.
#[test]
fn empty_results_touch_nothing() {
    let data = [0.5; 24];
    for isa in isas() {
        for (query, key, output) in [
            ([1, 2, 2, 3], [1, 1, 0, 3], [1, 2, 2, 0]),
            ([1, 2, 0, 3], [1, 1, 4, 3], [1, 2, 0, 4]),
            ([0, 2, 2, 3], [0, 1, 4, 3], [0, 2, 2, 4]),
            ([1, 0, 2, 3], [1, 0, 4, 3], [1, 0, 2, 4]),
            ([1, 0, 2, 3], [1, 2, 4, 3], [1, 0, 2, 4]),
        ] {
            let mut found = [SENTINEL; 8];
            let view = TensorMut::new(&mut found[..], output);
            let (query, key) = (TensorRef::new(&data, query), TensorRef::new(&data, key));
            serial(isa).compute_into(query, key, view, &mut Workspace::new()).expect("valid");
            assert_eq!(found, [SENTINEL; 8]);
        }
    }
}
