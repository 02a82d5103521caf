//! Views, sizes and instruction sets that are refused, in which words, and that a refused call has
//! written nothing.

mod common;

use common::call::{Call, dot_on, scaled_softmax_in_place_on, scaled_softmax_on};
use common::refusals::*;
use common::{Extents, Problem, STAGES, isas, serial};
use softdot::{Error, Isa, TensorMut, TensorRef, Workspace, attention_weights};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn the_sound_problem_is_sound() {
    let sound = Sound::new();
    let mut data = [SENTINEL; 64];
    let output = TensorMut::with_strides(&mut data[..], sound.output.0, sound.output.1);
    Call::new()
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

    let error = sound.refused_key([3, 1, 4, 3], [0, 12, 3, 1]);
    assert!(matches!(error, Error::Extent { argument: "key", expected: 2, found: 3, .. }));
    assert_eq!(error.to_string(), "key: expected 2 batch entries (as the query, or 1), found 3");
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
                format!("weights: expected {expected} {name} (as query and key), found {found}")
            );
        }
    }
}

#[test]
fn heads_that_cannot_be_shared_out() {
    for (q_heads, kv_heads) in [(3, 2), (1, 2), (4, 3), (2, 0), (1, ABSURD)] {
        let query = TensorRef::with_strides(&[0.0], [1, q_heads, 1, 1], [0; 4]);
        let key = TensorRef::with_strides(&[0.0], [1, kv_heads, 1, 1], [0; 4]);
        let error = refused(&Call::new(), query, key, ([1, q_heads, 1, 1], [0, 1, 0, 0]));
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

/// On axes of more than one entry; on others they are as good as any.
#[test]
fn negative_strides() {
    const TWO_KEY_HEADS: [usize; 4] = [2, 2, 2, 3];
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
                ("key", sound.refused_key(TWO_KEY_HEADS, negative(TWO_KEY_HEADS))),
                ("weights", sound.refused_output(OUTPUT, negative(OUTPUT))),
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
        [("query", QUERY, 24, 24), ("key", KEY, 24, 24), ("weights", OUTPUT, 32, 64)]
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
    let error = refused(&Call::new(), short, sound.key(), sound.output);
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
        ("weights", [1, 1, 1 << 40, 1], [1, 1, 1 << 40, 1]),
        ("weights", [1, 1, huge, 1], [1, 1, 2, 1]),
    ];
    for (argument, query, key) in overflows {
        for stage in STAGES {
            let attention = Call::new().stage(stage);
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
        assert_eq!(error, Error::Overlap { argument: "weights", shape: OUTPUT, strides });
        assert_eq!(
            error.to_string(),
            format!(
                "weights: expected strides that keep elements apart, found {strides:?} for shape \
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
    let expected = problem.compute(&Call::new());
    for strides in [[0, 0, 0, 1], [1, 1, 1, 1], [isize::MAX, isize::MAX, isize::MAX, 1]] {
        let mut data = [SENTINEL; 5];
        let output = TensorMut::with_strides(&mut data[..], [1, 1, 1, 5], strides);
        Call::new()
            .compute_into(problem.query_view(), problem.key_view(), output, &mut Workspace::new())
            .expect("valid");
        assert_eq!(data[..], expected);
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
        assert_eq!(isa.name().to_uppercase().parse(), Ok(isa));
    }
    for name in ["", "AVX3", "avx-512", "sse2", "emulated-4", "avx2 "] {
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
    let error = Call::new().compute(wide, wide).unwrap_err();
    assert_eq!(error, Error::Allocation { argument: "weights", elements: 1 << 60 });
    assert_eq!(
        error.to_string(),
        "weights: expected memory for 1152921504606846976 f32 elements, found none"
    );
}

/// After a call that could not have its memory, the workspace serves the next one.
#[test]
fn a_workspace_survives_errors() {
    let mut workspace = Workspace::new();
    let problem = Problem::random(Extents::single(3, 20, 4), 1);
    let expected = problem.compute(&Call::new());
    let absurd = TensorRef::with_strides(&[0.5], [1, 1, 1, 1 << 45], [0; 4]);
    for _ in 0..2 {
        let mut one = [SENTINEL];
        let output = TensorMut::new(&mut one[..], [1, 1]);
        Call::new().compute_into(absurd, absurd, output, &mut workspace).unwrap_err();
        let mut found = vec![0.0; 60];
        let output = TensorMut::new(&mut found[..], [3, 20]);
        Call::new()
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
