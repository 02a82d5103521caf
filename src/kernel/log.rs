//! `ln`, one fixed sequence of f32 operations: for the log-sum-exp.
//!
//! ```text
//! x = 2ⁿ · f, √½ ≤ f < √2         by the bits of x
//! s = (f − 1) / (f + 1)             v = s · s
//! ln x = fma(n, ln 2, 2s + 2s · v · (1/3 + v · (1/5 + v · (1/7 + v · (1/9 + v / 11)))))
//! ```

use core::f32::consts::LN_2;
use pulp::Simd;

/// 1/3 … 1/11, each rounded to f32.
const COEFFICIENTS: [f32; 5] = [1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0];

/// The bits of √½, rounded down.
const SQRT_HALF: u32 = 0x3f35_04f3;

/// The natural logarithm of x ≥ 0; −∞ for 0, NaN for NaN.
pub(crate) fn ln(x: f32) -> f32 {
    if x == 0.0 {
        return f32::NEG_INFINITY;
    }
    if !x.is_finite() {
        return x;
    }
    let fma = |a, b, c| pulp::Scalar.mul_add_f32s(a, b, c);
    // Subnormal numbers are scaled first.
    let (x, scaled) = if x < f32::MIN_POSITIVE { (x * 8_388_608.0, 23) } else { (x, 0) };
    let offset = x.to_bits().wrapping_sub(SQRT_HALF);
    let exponent = (offset as i32) >> 23;
    let f = f32::from_bits((offset & 0x007f_ffff) + SQRT_HALF);
    let s = (f - 1.0) / (f + 1.0);
    let v = s * s;
    let mut p = COEFFICIENTS[4];
    for i in [3, 2, 1, 0] {
        p = fma(p, v, COEFFICIENTS[i]);
    }
    let twice = s + s;
    let ln_f = fma(twice * v, p, twice);
    fma((exponent - scaled) as f32, LN_2, ln_f)
}
