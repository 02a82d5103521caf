//! Against a real model: queries, keys and weights of all-MiniLM-L6-v2 as the model computed them
//! in f32, and the textbook example.

mod common;

use common::call::Call;
use common::{assert_same_bits, isas, serial};
use safetensors::SafeTensors;
use softdot::{TensorRef, attention_weights, reference};
use std::path::Path;

/// How far softdot may be from the exact weights of the model's queries and keys. Scores reach 41,
/// which is 59 in log2 units, where f32 numbers are 3.8e-6 apart: the last rounding of the chain
/// alone moves a weight of ½ by up to ½·½·ln 2·1.9e-6 = 0.33e-6.
const FROM_EXACT: f64 = 1e-6;

/// How far softdot may be from the weights that the model computed: these are rounded f32 results
/// themselves, so both sides have that distance from the exact ones.
const FROM_MODEL: f64 = 2.0 * FROM_EXACT;

/// Some layers and every head of one sentence; layers stand where a batch would.
struct Sentence {
    query: Vec<f32>,
    key: Vec<f32>,
    weights: Vec<f32>,
    shape: [usize; 4],
}

impl Sentence {
    fn load(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cli/data").join(name);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        let floats = |name: &str| {
            let (elements, _) = tensors.tensor(name).expect(name).data().as_chunks::<4>();
            elements.iter().copied().map(f32::from_le_bytes).collect::<Vec<f32>>()
        };
        let shape = tensors.tensor("query").expect("query").shape().to_vec();
        Sentence {
            query: floats("query"),
            key: floats("key"),
            weights: floats("weights"),
            shape: shape.try_into().expect("[layer, head, token, head_dim]"),
        }
    }

    fn views(&self) -> (TensorRef<'_>, TensorRef<'_>) {
        (TensorRef::new(&self.query, self.shape), TensorRef::new(&self.key, self.shape))
    }

    /// The definition in f64, head by head.
    fn exact(&self) -> Vec<f64> {
        let [_, _, tokens, head_dim] = self.shape;
        let heads = self.query.chunks(tokens * head_dim).zip(self.key.chunks(tokens * head_dim));
        let scale = 1.0 / (head_dim as f64).sqrt();
        heads.flat_map(|(q, k)| reference::weights(q, k, head_dim, scale)).collect()
    }
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn check(name: &str, layers: usize, tokens: usize) {
    let sentence = Sentence::load(name);
    assert_eq!(sentence.shape, [layers, 12, tokens, 32]);
    let (query, key) = sentence.views();
    let expected = Call::new().compute(query, key).expect("valid");
    let exact = sentence.exact();
    let wide = |weights: &[f32]| weights.iter().map(|&weight| weight.into()).collect::<Vec<f64>>();
    let from_exact = largest_difference(&exact, &wide(&expected));
    let from_model = largest_difference(&wide(&sentence.weights), &wide(&expected));
    println!("{name}: off by {from_exact:e} from the exact weights, {from_model:e} from the model");
    assert!(from_exact < FROM_EXACT, "{name}: {from_exact:e}");
    assert!(from_model < FROM_MODEL, "{name}: {from_model:e}");
    common::bounds::assert_rows_sum_to_one(&expected, tokens, name);
    for isa in isas() {
        let found = serial(isa).compute(query, key).expect("valid");
        assert_same_bits(&expected, &found, format_args!("{isa}, {name}"));
    }
}

#[test]
fn a_short_sentence() {
    check("minilm-cat.safetensors", 6, 6);
}

#[test]
fn a_paragraph() {
    check("minilm-story.safetensors", 3, 45);
}

/// One layer and head at a time through the simplest call gives the same bits.
#[test]
fn one_head_at_a_time() {
    let sentence = Sentence::load("minilm-story.safetensors");
    let [_, _, tokens, head_dim] = sentence.shape;
    let (query, key) = sentence.views();
    let expected = Call::new().compute(query, key).expect("valid");
    let head_elements = tokens * head_dim;
    let heads = sentence.query.chunks(head_elements).zip(sentence.key.chunks(head_elements));
    for ((query, key), expected) in heads.zip(expected.chunks(tokens * tokens)) {
        let found = attention_weights(query, key, head_dim).expect("valid");
        assert_same_bits(expected, &found, "one head");
    }
}

/// d_k = 4, dot products 2, 4 and 6, which 1/√4 scales to 1, 2 and 3.
#[test]
fn the_textbook_example() {
    let query = TensorRef::new(&[1.0; 4], [1, 4]);
    let key = [0.5f32, 1.0, 1.5].map(|element| [element; 4]).concat();
    for isa in isas() {
        let found = serial(isa).compute(query, TensorRef::new(&key, [3, 4])).expect("valid");
        let rounded: Vec<String> = found.iter().map(|weight| format!("{weight:.4}")).collect();
        assert_eq!(rounded, ["0.0900", "0.2447", "0.6652"], "{isa}");
    }
}
