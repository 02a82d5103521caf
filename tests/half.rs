//! f16 and bf16: read exactly, whatever the way in; rounded once, to nearest even, on the way out.
//!
//! The conversions of the crate `half` are what they are compared with.

mod common;

use common::call::{Call, Stage};
use common::elements::Type;
use common::options::{Broadcast, Kind, Options};
use common::strided::{Layout, Strided};
use common::{Extents, Problem, Random, assert_same_bits, isas, serial, thinned, transcription};
use core::fmt::Debug;
use half::{bf16, f16};
use softdot::{Element, Isa, KeySource, Keys, PackedKeys, TensorRef, Workspace};

/// A type of 16 bits, with the conversions of its own crate.
trait Narrow: Element + Debug {
    fn from_bits(bits: u16) -> Self;
    fn to_f32(self) -> f32;
    fn from_f32(value: f32) -> Self;
}

impl Narrow for f16 {
    fn from_bits(bits: u16) -> Self {
        f16::from_bits(bits)
    }

    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }

    fn from_f32(value: f32) -> Self {
        f16::from_f32(value)
    }
}

impl Narrow for bf16 {
    fn from_bits(bits: u16) -> Self {
        bf16::from_bits(bits)
    }

    fn to_f32(self) -> f32 {
        bf16::to_f32(self)
    }

    fn from_f32(value: f32) -> Self {
        bf16::from_f32(value)
    }
}

/// How many values a type has.
const VALUES: usize = 1 << 16;

/// What is left of a number in a sum that starts at +0: −0 is +0.
fn summed(x: f32) -> f32 {
    0.0 + x
}

/// All values of a type, as a sum gives them.
fn all_widened<T: Narrow>() -> Vec<f32> {
    (0..=u16::MAX).map(|bits| summed(T::from_bits(bits).to_f32())).collect()
}

/// Every value once, in a row of its own, in one dimension or another; the others are 0.
fn each_in_a_row<T: Narrow>(tensor: &Strided) -> Strided<T> {
    tensor.converted(T::from_f32).filled(|[_, _, row, dim]| {
        let dims = tensor.view().shape()[3];
        T::from_bits(if dim == row % dims { row as u16 } else { 0 })
    })
}

/// Unscaled scores.
fn scores(isa: Isa) -> Call<'static> {
    serial(isa).stage(Stage::Scores).scale(1.0)
}

fn check_keys<T: Narrow>() {
    let values = all_widened::<T>();
    for (layout, head_dim, rows, row_major) in [
        // Words, transposed on their way into a tile. Two dimensions that are left over.
        (Layout::Dense, 8, 1, true),
        (Layout::Dense, 10, 1, true),
        // Words, transposed on their way into panels.
        (Layout::Dense, 8, 25, false),
        // No words: rows of odd lengths, and words that would begin in the middle of others.
        (Layout::Dense, 1, 1, false),
        (Layout::PaddedRows, 8, 1, false),
        (Layout::Misaligned, 8, 1, false),
        // Keys beside each other, and nothing beside anything.
        (Layout::Transposed, 2, 1, false),
        (Layout::StridedColumns, 3, 1, false),
    ] {
        let key = each_in_a_row::<T>(&layout.key([1, 1, VALUES, head_dim]));
        let packed = PackedKeys::from_view(key.view()).expect("valid keys");
        let ones = vec![1.0; rows * head_dim];
        let query = TensorRef::new(&ones, [rows, head_dim]);
        let expected = values.repeat(rows);
        for isa in isas() {
            let what = format!("{isa}, {layout:?}, {rows} × {head_dim}");
            let plan = scores(isa).plan(query, key.view()).expect("a plan");
            assert_eq!(plan.key_source == KeySource::RowMajor, row_major, "{what}: {plan}");
            for key in [Keys::from(key.view()), Keys::from(&packed)] {
                let found = scores(isa).compute(query, key).expect("valid");
                assert_same_bits(&expected, &found, &what);
            }
        }
    }
}

#[test]
fn every_f16_is_read_exactly_as_a_key() {
    check_keys::<f16>();
}

#[test]
fn every_bf16_is_read_exactly_as_a_key() {
    check_keys::<bf16>();
}

fn check_queries<T: Narrow>() {
    let expected = all_widened::<T>();
    // Whole runs of eight dimensions, and what is left over; any strides.
    for (layout, head_dim) in [
        (Layout::Dense, 8),
        (Layout::Dense, 1),
        (Layout::PaddedRows, 9),
        (Layout::Misaligned, 11),
        (Layout::StridedColumns, 3),
    ] {
        let query = each_in_a_row::<T>(&layout.query([1, 1, VALUES, head_dim]));
        let ones = vec![1.0; head_dim];
        let key = TensorRef::new(&ones, [1, head_dim]);
        for isa in isas() {
            let found = scores(isa).compute(query.view(), key).expect("valid");
            assert_same_bits(&expected, &found, format_args!("{isa}, {layout:?}, {head_dim}"));
        }
    }
}

#[test]
fn every_value_is_read_exactly_as_a_query() {
    check_queries::<f16>();
    check_queries::<bf16>();
}

/// Without dimensions scores are 0, and the bias is all there is.
fn check_biases<T: Narrow>() {
    let values = all_widened::<T>();
    let along_keys = [1, 1, 1, VALUES];
    let along_rows = [1, 1, VALUES, 1];
    for (layout, shape, rows, keys) in [
        (Layout::Dense, along_keys, 1, VALUES),
        (Layout::Misaligned, along_keys, 2, VALUES),
        (Layout::StridedColumns, along_keys, 1, VALUES),
        // The same bias for all keys of a row.
        (Layout::Dense, along_rows, VALUES, 3),
    ] {
        let bias = layout.query(shape).converted(T::from_f32);
        let bias = bias.filled(|[_, _, row, key]| T::from_bits((row + key) as u16));
        let expected: Vec<f32> = (0..rows * keys)
            .map(|element| values[if rows == VALUES { element / keys } else { element % keys }])
            .collect();
        let (query, key) =
            (TensorRef::<f32>::new(&[], [rows, 0]), TensorRef::<f32>::new(&[], [keys, 0]));
        for isa in isas() {
            let found = serial(isa)
                .stage(Stage::Biased)
                .bias(bias.view())
                .compute(query, key)
                .expect("valid");
            assert_same_bits(&expected, &found, format_args!("{isa}, {layout:?}, {rows} rows"));
        }
    }
}

#[test]
fn every_value_is_read_exactly_as_a_bias() {
    check_biases::<f16>();
    check_biases::<bf16>();
}

/// Numbers in and around which rounding decides: every value of the type, every tie between two of
/// them and the one at which it overflows, each with its neighbours in f32, of both signs; and any.
fn numbers_to_round<T: Narrow>() -> Vec<f32> {
    let mut random = Random::new(1);
    let mut numbers: Vec<f32> =
        (0..1 << 17).map(|_| f32::from_bits(random.next() as u32)).collect();
    numbers.extend([f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN]);
    let finite = (0..VALUES as u16 / 2).map(|bits| f64::from(T::from_bits(bits).to_f32()));
    let finite: Vec<f64> = finite.take_while(|value| value.is_finite()).collect();
    for (i, &value) in finite.iter().enumerate() {
        // The last step, if there were a next number.
        let step = match finite.get(i + 1) {
            Some(next) => next - value,
            None => value - finite[i - 1],
        };
        for around in [value, value + step / 2.0] {
            let bits = (around as f32).to_bits();
            assert_eq!(f64::from(f32::from_bits(bits)), around, "a number of f32");
            for bits in [bits.saturating_sub(1), bits, bits + 1] {
                numbers.extend([f32::from_bits(bits), -f32::from_bits(bits)]);
            }
        }
    }
    numbers
}

fn check_rounding<T: Narrow>() {
    let numbers = numbers_to_round::<T>();
    let key = TensorRef::new(&numbers, [numbers.len(), 1]);
    let expected: Vec<f32> =
        numbers.iter().map(|&number| T::from_f32(summed(number)).to_f32()).collect();
    let mut workspace = Workspace::new();
    // Whole lines, lines that begin anywhere, elements one by one.
    for layout in [Layout::Dense, Layout::Misaligned, Layout::StridedColumns] {
        for isa in isas() {
            let mut output = layout.output([1, 1, 1, numbers.len()]).converted(T::from_f32);
            scores(isa)
                .compute_into(
                    TensorRef::new(&[1.0], [1, 1]),
                    key,
                    output.view_mut(),
                    &mut workspace,
                )
                .expect("valid");
            let found = output.converted(T::to_f32).dense();
            assert_same_bits(&expected, &found, format_args!("{isa}, {layout:?}"));
        }
    }
}

#[test]
fn results_are_rounded_to_f16() {
    check_rounding::<f16>();
}

#[test]
fn results_are_rounded_to_bf16() {
    check_rounding::<bf16>();
}

/// Around tiles (6 or 8 rows), registers (4, 8, 16 keys), panels (16) and blocks of words.
fn shapes() -> Vec<Extents> {
    let mut shapes = Vec::new();
    for rows in [0, 1, 5, 6, 7, 8, 9, 17] {
        for keys in [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33] {
            for head_dim in [1, 7, 8, 9, 33, 64] {
                shapes.push(Extents::single(rows, keys, head_dim));
            }
        }
    }
    shapes.extend([
        Extents::single(3, 1025, 8).with_heads([2, 2, 1]),
        Extents::single(1, 2049, 9).with_heads([1, 4, 2]),
        Extents::single(7, 40, 16).with_heads([2, 6, 2]),
    ]);
    shapes
}

/// What a case is made of: element types, and where query, key, bias and result lie.
#[derive(Clone, Copy, Debug)]
struct Types {
    query: Type,
    key: Type,
    bias: Type,
    result: Type,
    layouts: [Layout; 4],
}

/// One case on every instruction set: the transcription on the widened inputs, rounded at the end.
fn check_mixed(extents: Extents, types: Types, options: &Options, random: &mut Random) {
    let stage = random.one_of([Stage::Biased, Stage::Weights]);
    let mut tensor =
        |layout: Layout, shape, of: Type| of.tensor(&layout.query(shape).random(random.next()));
    let query = tensor(types.layouts[0], extents.query_shape(), types.query);
    let key = tensor(types.layouts[1], extents.key_shape(), types.key);
    let bias = tensor(types.layouts[2], extents.output_shape(), types.bias);

    let problem = Problem { extents, query: query.widened().dense(), key: key.widened().dense() };
    let mut biases = bias.widened().dense().into_iter();
    let with_bias = Options {
        bias: Some(Broadcast::new(extents.output_shape(), || biases.next().expect("one each"))),
        ..options.clone()
    };
    let expected: Vec<f32> = (transcription::with_options(&problem, &with_bias, stage).into_iter())
        .map(|value| types.result.round(value))
        .collect();

    let mut workspace = Workspace::new();
    for isa in isas() {
        let what = format!("{isa}, {stage:?}, {extents:?}, {types:?}, {options:?}");
        let mut output = types.result.tensor(&types.layouts[3].output(extents.output_shape()));
        options
            .set_on(serial(isa).stage(stage))
            .bias(bias.view())
            .compute_into(query.view(), key.view(), output.view_mut(), &mut workspace)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_same_bits(&expected, &output.widened().dense(), &what);
        output.assert_gaps_untouched(&what);
    }
}

#[test]
fn any_mixture_has_the_bits_of_widening_first() {
    let mut random = Random::new(2);
    let kinds = [
        vec![],
        vec![Kind::Causal],
        vec![Kind::Softcap, Kind::Alibi, Kind::Sinks],
        vec![Kind::Window, Kind::Mask, Kind::KeyLengths],
    ];
    for extents in thinned(shapes(), 7) {
        for &query in Type::ALL {
            for &key in Type::ALL {
                let any_type = |random: &mut Random| Type::ALL[random.below(Type::ALL.len())];
                let (bias, result) = (any_type(&mut random), any_type(&mut random));
                let layouts = [(); 4].map(|()| random.one_of(Layout::ALL));
                let kinds = &kinds[random.below(kinds.len())];
                let options = Options::random(&extents, kinds, random.next());
                let types = Types { query, key, bias, result, layouts };
                check_mixed(extents, types, &options, &mut random);
            }
        }
    }
}

/// Without bias and any other option: the scores themselves.
#[test]
fn mixed_scores() {
    let extents = Extents::single(9, 37, 24).with_heads([2, 4, 2]);
    for [query_type, key_type, result] in all_triples() {
        let query = query_type.tensor(&Layout::Dense.query(extents.query_shape()).random(1));
        let key = key_type.tensor(&Layout::Dense.key(extents.key_shape()).random(2));
        let problem =
            Problem { extents, query: query.widened().dense(), key: key.widened().dense() };
        let expected: Vec<f32> = (transcription::attention(&problem, Stage::Scores, None))
            .into_iter()
            .map(|score| result.round(score))
            .collect();
        for isa in isas() {
            let mut output = result.tensor(&Layout::Dense.output(extents.output_shape()));
            serial(isa)
                .stage(Stage::Scores)
                .compute_into(query.view(), key.view(), output.view_mut(), &mut Workspace::new())
                .expect("valid");
            let what = format!("{isa}, {query_type:?} × {key_type:?} → {result:?}");
            assert_same_bits(&expected, &output.widened().dense(), what);
        }
    }
}

fn all_triples() -> Vec<[Type; 3]> {
    let mut triples = Vec::new();
    for &a in Type::ALL {
        for &b in Type::ALL {
            triples.extend(Type::ALL.iter().map(|&c| [a, b, c]));
        }
    }
    triples
}
