//! Options that are refused, in which words, whatever stage is asked for; and that a refused call has
//! written nothing.

mod common;

use common::STAGES;
use common::call::Call;
use common::refusals::*;
use softdot::{Error, PackedKeys, TensorMut, TensorRef, Workspace};

#[test]
fn scales_that_are_not_finite() {
    let sound = Sound::new();
    for (scale, printed) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")]
    {
        for stage in STAGES {
            let attention = Call::new().stage(stage).scale(scale);
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
fn refused_options(options: &Call) -> Error {
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
        let error = refused_options(&Call::new().softcap(softcap));
        assert_eq!(error, Error::NotPositive { argument: "softcap", found: softcap });
        assert_eq!(
            error.to_string(),
            format!("softcap: expected a finite number above 0, found {printed}")
        );
    }
    // NaN is not equal to itself, nor is its error.
    let sound = Sound::new();
    for stage in STAGES {
        let attention = Call::new().softcap(f32::NAN).stage(stage);
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
        ("bias", refused_options(&Call::new().bias(bias))),
        ("mask", refused_options(&Call::new().mask(mask))),
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

#[test]
fn biases_and_masks_with_negative_strides() {
    for axis in 0..4 {
        for stride in [-1, isize::MIN] {
            let mut strides = dense(OUTPUT);
            strides[axis] = stride;
            for (argument, error) in refused_broadcasts(OUTPUT, strides, 32) {
                assert_eq!(error, Error::NegativeStride { argument, axis, stride });
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
            ("alibi_slopes", "query head", Call::new().alibi_slopes(&numbers)),
            ("sinks", "query head", Call::new().sinks(&numbers)),
            ("key_lengths", "batch entry", Call::new().key_lengths(&lengths)),
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
            let error = refused_options(&Call::new().key_lengths(&lengths));
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
        Call::new().softcap(0.0),
        Call::new().bias(TensorRef::new(&short, [2, 4])),
        Call::new().sinks(&short),
        Call::new().alibi_slopes(&short),
        Call::new().key_lengths(&[5, 0]),
    ] {
        let error = refused_options(&options);
        let mut data = [SENTINEL; 32];
        let output = TensorMut::new(&mut data[..], OUTPUT);
        let found = options.compute_into(sound.query(), &packed, output, &mut Workspace::new());
        assert_eq!(found, Err(error));
        assert_eq!(data, [SENTINEL; 32]);
    }
}
