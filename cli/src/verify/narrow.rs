//! Problems in f16 and bf16, queries to results.

use super::problems::hash::{Bits, fnv1a};
use super::problems::inputs::{Extents, Inputs, zeros};
use super::problems::problem::{Hashes, Problem, Setting};
use half::{bf16, f16};
use softdot::{Causal, Element, Outputs, TensorMut, TensorRef, Workspace};

/// All of them.
pub const PROBLEMS: [Problem; 2] = [
    Problem {
        name: "f16",
        hashes: |setting| hashes(setting, f16::from_f32),
        expected: &[
            0x6e8f_208b_3468_e5d5,
            0xc4cc_cded_c2cb_b0bf,
            0xb485_1450_8799_468d,
            0xc62c_ec8b_8edd_2d0e,
        ],
    },
    Problem {
        name: "bf16",
        hashes: |setting| hashes(setting, bf16::from_f32),
        expected: &[
            0x403d_50c7_4d68_2603,
            0x6233_4fb1_51e9_4c09,
            0xc78a_167c_7960_9c88,
            0xdf6a_0e3e_b285_fdfd,
        ],
    },
];

/// Output and weights of many rows, then of one.
fn hashes<T: Element + Bits + Default>(setting: Setting, narrow: fn(f32) -> T) -> Hashes {
    let mut hashes = Vec::new();
    for (rows, keys) in [(48, 90), (1, 4200)] {
        let extents = Extents::new([1, 4, 2], [rows, keys, 64]);
        let Inputs { query, key, value, .. } = Inputs::new(extents);
        let narrowed = |numbers: Vec<f32>| numbers.into_iter().map(narrow).collect::<Vec<T>>();
        let [query, key, value] = [query, key, value].map(narrowed);
        let [output_shape, weights_shape] = [64, keys].map(|elements| extents.rows_of(elements));
        let (mut output, mut weights) = (zeros::<T>(output_shape), zeros::<T>(weights_shape));
        let outputs = Outputs::new()
            .output(TensorMut::new(&mut output[..], output_shape))
            .weights(TensorMut::new(&mut weights[..], weights_shape));
        let query = TensorRef::new(&query[..], extents.query_shape());
        let key = TensorRef::new(&key[..], extents.key_shape());
        let value = TensorRef::new(&value[..], extents.value_shape());
        let attention = setting.attention().causal(Causal::BottomRight);
        attention.run(query, (key, value), outputs, &mut Workspace::new())?;
        hashes.extend([fnv1a(&output), fnv1a(&weights)]);
    }
    Ok(hashes)
}

impl Bits for f16 {
    fn bytes(self) -> impl IntoIterator<Item = u8> {
        let bits = if self.is_nan() { f16::NAN } else { self };
        bits.to_le_bytes()
    }
}

impl Bits for bf16 {
    fn bytes(self) -> impl IntoIterator<Item = u8> {
        let bits = if self.is_nan() { bf16::NAN } else { self };
        bits.to_le_bytes()
    }
}
