//! What the options exclude has no influence: NaN, infinities and garbage in keys and biases that
//! no row attends to change no bit of any row.

mod common;

use common::bounds::Definition;
use common::call::Stage;
use common::elements::{AnyTensor, Type};
use common::options::{Broadcast, Kind, Options};
use common::strided::{Layout, Strided, index_of};
use common::{Extents, Problem, Random, assert_same_bits, isas, proptests, serial};
use proptest::prelude::*;
use softdot::{Isa, Keys, PackedKeys};

/// Those in which each key has memory of its own.
const LAYOUTS: [Layout; 6] = [
    Layout::Dense,
    Layout::SequenceMajor,
    Layout::Transposed,
    Layout::PaddedRows,
    Layout::Misaligned,
    Layout::StridedColumns,
];

fn poison(random: &mut Random) -> f32 {
    random.one_of([
        f32::NAN,
        -f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        1e-40,
        -7.5,
    ])
}

/// Keys, biases, and what of them takes part in which element of a result.
struct Influence {
    extents: Extents,
    /// Elements of the result whose key is attended.
    attended: Vec<bool>,
    /// Those that are attended unless it is the bias that excludes them.
    but_for_bias: Vec<bool>,
    /// Keys over batch and heads that are to be spoiled: those that nobody attends to, and at times
    /// some that somebody does, for the sake of the rows that do not.
    spoiled_keys: Vec<bool>,
}

impl Influence {
    fn new(
        extents: Extents,
        stage: Stage,
        options: &Options,
        bias: &Broadcast<f32>,
        random: &mut Random,
    ) -> Influence {
        let but_for_bias = attended(&extents, options, stage);
        let with_bias = Options { bias: Some(bias.clone()), ..options.clone() };
        let attended = attended(&extents, &with_bias, stage);
        let mut spoiled_keys = vec![true; extents.key_shape()[..3].iter().product()];
        for (element, attended) in attended.iter().enumerate() {
            spoiled_keys[key_of(&extents, element)] &= !attended;
        }
        if random.below(2) == 0 {
            spoiled_keys.iter_mut().for_each(|spoiled| *spoiled |= random.below(16) == 0);
        }
        Influence { extents, attended, but_for_bias, spoiled_keys }
    }

    fn is_spoiled_key(&self, [batch, head, key, _]: [usize; 4]) -> bool {
        let Extents { kv_heads, keys, .. } = self.extents;
        self.spoiled_keys[(batch * kv_heads + head) * keys + key]
    }

    fn is_spoiled_bias(&self, [batch, head, row, key]: [usize; 4]) -> bool {
        let Extents { q_heads, rows, keys, .. } = self.extents;
        !self.but_for_bias[((batch * q_heads + head) * rows + row) * keys + key]
    }

    /// Elements of the result that attend to a spoiled key; of weights their whole rows.
    fn tainted(&self, stage: Stage) -> Vec<bool> {
        let attends = |(element, attended): (usize, &bool)| {
            *attended && self.spoiled_keys[key_of(&self.extents, element)]
        };
        let mut tainted: Vec<bool> = self.attended.iter().enumerate().map(attends).collect();
        if stage == Stage::Weights {
            tainted.chunks_mut(self.extents.keys).for_each(|row| row.fill(row.contains(&true)));
        }
        tainted
    }
}

/// A problem with a bias for each row and key, twice: with poison where it should have no
/// influence, and with zeros there.
struct Case {
    extents: Extents,
    stage: Stage,
    /// All but the bias.
    options: Options,
    query: AnyTensor,
    sound: Inputs,
    poisoned: Inputs,
    /// Elements of the result that attend to poison all the same.
    tainted: Vec<bool>,
}

#[derive(Clone, Debug)]
struct Inputs {
    key: AnyTensor,
    bias: AnyTensor,
}

impl Case {
    fn new(extents: Extents, stage: Stage, kinds: &[Kind], layout: Layout, seed: u64) -> Case {
        let mut random = Random::new(seed);
        let mut options = Options::random(&extents, kinds, random.next());
        if random.below(2) == 0 {
            options.mask = Some(excluding(&extents, true, false, &mut random));
        }
        let bias = match random.below(2) {
            0 => Broadcast::new(extents.output_shape(), || 4.0 * random.unit()),
            _ => excluding(&extents, 0.5, f32::NEG_INFINITY, &mut random),
        };
        let influence = Influence::new(extents, stage, &options, &bias, &mut random);

        let query = layout.query(extents.query_shape()).random(random.next());
        let key = layout.key(extents.key_shape()).random(random.next());
        let bias = layout.output(extents.output_shape()).filled(|index| bias.at(index));
        let [query_type, key_type, bias_type] =
            [(); 3].map(|()| Type::ALL[random.below(Type::ALL.len())]);
        let mut inputs = |poisoned: bool| {
            let mut value = || if poisoned { poison(&mut random) } else { 0.0 };
            let key = replaced(&key, |index| influence.is_spoiled_key(index), &mut value);
            let bias = replaced(&bias, |index| influence.is_spoiled_bias(index), &mut value);
            Inputs { key: key_type.tensor(&key), bias: bias_type.tensor(&bias) }
        };
        Case {
            extents,
            stage,
            options,
            query: query_type.tensor(&query),
            sound: inputs(false),
            poisoned: inputs(true),
            tainted: influence.tainted(stage),
        }
    }

    /// The result, but for what is tainted.
    fn result(&self, isa: Isa, key: Keys<'_>, bias: &AnyTensor) -> Vec<f32> {
        let attention = self.options.set_on(serial(isa).stage(self.stage));
        let mut result =
            attention.bias(bias.view()).compute(self.query.view(), key).expect("valid");
        for (value, tainted) in result.iter_mut().zip(&self.tainted) {
            *value = if *tainted { 0.0 } else { *value };
        }
        result
    }

    fn check(&self) {
        let Inputs { key, bias } = &self.sound;
        let expected = self.result(isas()[0], key.view().into(), bias);
        let Inputs { key, bias } = &self.poisoned;
        let packed = PackedKeys::from_view(key.view()).expect("valid keys");
        let Case { extents, stage, options, .. } = self;
        for isa in isas() {
            for (form, key) in [("a view", Keys::from(key.view())), ("packed", (&packed).into())] {
                let found = self.result(isa, key, bias);
                assert_same_bits(
                    &expected,
                    &found,
                    format_args!("{isa}, {form}, {stage:?}, {extents:?}, {options:?}"),
                );
            }
        }
    }
}

/// The tensor with other values at some indices.
fn replaced(
    tensor: &Strided,
    which: impl Fn([usize; 4]) -> bool,
    mut value: impl FnMut() -> f32,
) -> Strided {
    let mut elements = tensor.dense().into_iter();
    tensor.clone().filled(|index| {
        let element = elements.next().expect("one for each index");
        if which(index) { value() } else { element }
    })
}

/// The key, counted over batch and heads, that an element of the result belongs to.
fn key_of(extents: &Extents, element: usize) -> usize {
    let [batch, head, _, key] = index_of(element, extents.output_shape());
    let kv_head = head / (extents.q_heads / extents.kv_heads);
    (batch * extents.kv_heads + kv_head) * extents.keys + key
}

/// A mask or bias that excludes some keys for every row, and others for some rows.
fn excluding<T: Copy>(
    extents: &Extents,
    kept: T,
    excluded: T,
    random: &mut Random,
) -> Broadcast<T> {
    let shape = extents.output_shape();
    let keys = extents.key_shape()[..3].iter().product();
    let excluded_for_all: Vec<bool> = (0..keys).map(|_| random.below(3) == 0).collect();
    let mut elements = 0..;
    Broadcast::new(shape, || {
        let key = key_of(extents, elements.next().expect("endless"));
        if excluded_for_all[key] || random.below(8) == 0 { excluded } else { kept }
    })
}

/// Which keys take part in which rows of a stage, by the definition.
fn attended(extents: &Extents, options: &Options, stage: Stage) -> Vec<bool> {
    // What stands in queries and keys does not matter.
    let zeros = |shape: [usize; 4]| vec![0.0; shape.iter().product()];
    let problem = Problem {
        extents: *extents,
        query: zeros(extents.query_shape()),
        key: zeros(extents.key_shape()),
    };
    let definition = Definition::new(&problem, options);
    let reference = definition.reference();
    (0..extents.output_shape().iter().product())
        .map(|element| {
            let [batch, head, row, key] = index_of(element, extents.output_shape());
            let of_all_keys = matches!(stage, Stage::Scores | Stage::Capped);
            key < reference.keys_of(batch)
                && (of_all_keys || reference.attends([batch, head, row], key))
        })
        .collect()
}

prop_compose! {
    fn any_extents()(
        batch in 1usize..3,
        kv_heads in 1usize..3,
        group in prop::sample::select(vec![1usize, 2, 3]),
        rows in prop_oneof![Just(1usize), 1usize..20],
        keys in prop_oneof![4 => 1usize..70, 1 => 1000usize..1100, 1 => 2040usize..2060],
        head_dim in prop_oneof![1usize..20, Just(8usize), Just(16usize)],
    ) -> Extents {
        Extents { batch, q_heads: kv_heads * group, kv_heads, rows, keys, head_dim }
    }
}

/// All but bias and mask, which the cases have of their own.
fn any_kinds() -> impl Strategy<Value = Vec<Kind>> {
    let kinds = Kind::ALL.into_iter().filter(|kind| !matches!(kind, Kind::Bias | Kind::Mask));
    let kinds: Vec<Kind> = kinds.collect();
    let all = kinds.len();
    prop::sample::subsequence(kinds, 0..=all)
}

proptest! {
    #![proptest_config(proptests(300, 12))]

    #[test]
    fn what_is_excluded_has_no_influence(
        extents in any_extents(),
        stage in prop::sample::select(vec![
            Stage::Weights, Stage::Weights, Stage::Biased, Stage::Scores, Stage::Capped,
        ]),
        kinds in any_kinds(),
        layout in prop::sample::select(LAYOUTS.to_vec()),
        seed: u64,
    ) {
        Case::new(extents, stage, &kinds, layout, seed).check();
    }
}

/// The property above is about something: of its cases many have poison in them, and rows that are
/// not zero.
#[test]
fn cases_have_poison_and_results() {
    let extents = Extents::single(3, 40, 8).with_heads([2, 4, 2]);
    let all_kinds = [Kind::Causal, Kind::Window, Kind::KeyLengths];
    let (mut poisoned, mut spared, mut weighty) = (0, 0, 0);
    for seed in 0..60 {
        let kinds = &all_kinds[..seed as usize % 4];
        let case = Case::new(extents, Stage::Weights, kinds, Layout::Dense, seed);
        let has_nan = |tensor: &AnyTensor| tensor.widened().dense().iter().any(|x| x.is_nan());
        poisoned += usize::from(has_nan(&case.poisoned.key));
        spared += usize::from(case.tainted.contains(&true) && case.tainted.contains(&false));
        let result = case.result(isas()[0], case.sound.key.view().into(), &case.sound.bias);
        weighty += usize::from(result.iter().any(|&weight| weight > 0.0));
    }
    assert!(poisoned > 40 && spared > 10 && weighty > 40, "{poisoned}, {spared}, {weighty}");
}
