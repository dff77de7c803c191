//! Hyperbolic functions and their inverses, with the bits that Prometheus gives.
//!
//! **Source.** J. F. Hart and others, "Computer Approximations", no. 2029, for small sines; Cephes 2.8 `tanh.c`; FreeBSD msun
//! `s_asinh.c`, `e_acosh.c`, `e_atanh.c`, `s_log1p.c`: the methods of Go's library, which Prometheus has.

use std::f64::consts::LN_2;

use super::elementary::{LN2_HIGH, LN2_LOW, exp, horner, ln};

const SINH_UPPER: [f64; 4] =
    [-26.305_632_133_974_97, -2_894.211_355_989_564, -89_912.720_220_395_09, -630_767.364_049_771_7];
const SINH_LOWER: [f64; 4] = [1.0, -0.173_678_953_558_233_7e3, 0.152_151_737_879_001_9e5, -0.630_767_364_049_771_7e6];
const TANH_UPPER: [f64; 3] = [-0.964_399_179_425_052_3, -99.287_723_100_191_85, -1_614.687_684_417_084_5];
const TANH_LOWER: [f64; 4] = [1.0, 1.128_116_784_916_329_3e2, 2.235_488_390_601_004_5e3, 4.844_063_053_251_255e3];
/// ln 2^127: twice this is where the tangent is 1.
const TANH_ARGUMENT_MAX: f64 = 8.802_969_193_111_305e1;

/// The terms of the series for the logarithm, from the highest down.
const LN_1P: [f64; 7] = [
    1.479_819_860_511_658_6e-1,
    1.531_383_769_920_937_3e-1,
    1.818_357_216_161_805e-1,
    2.222_219_843_214_978_4e-1,
    2.857_142_874_366_239e-1,
    3.999_999_999_940_942e-1,
    6.666_666_666_666_735e-1,
];

const TWO_POW_28: f64 = (1 << 28) as f64;

/// Without a sign, but for that of zero.
fn positive(x: f64) -> f64 {
    if x < 0.0 { -x } else { x }
}

/// The hyperbolic sine.
pub(super) fn sinh(x: f64) -> f64 {
    let size = positive(x);
    let value = if size > 21.0 {
        exp(size) * 0.5
    } else if size > 0.5 {
        let power = exp(size);
        (power - 1.0 / power) * 0.5
    } else {
        let square = size * size;
        horner(&SINH_UPPER, square) * size / horner(&SINH_LOWER, square)
    };
    if x < 0.0 { -value } else { value }
}

/// The hyperbolic cosine.
pub(super) fn cosh(x: f64) -> f64 {
    let size = x.abs();
    let power = exp(size);
    if size > 21.0 { power * 0.5 } else { (power + 1.0 / power) * 0.5 }
}

/// The hyperbolic tangent.
pub(super) fn tanh(x: f64) -> f64 {
    let size = x.abs();
    if size > 0.5 * TANH_ARGUMENT_MAX {
        1.0_f64.copysign(x)
    } else if size >= 0.625 {
        (1.0 - 2.0 / (exp(2.0 * size) + 1.0)).copysign(x)
    } else if x == 0.0 {
        x
    } else {
        let square = x * x;
        x + x * square * horner(&TANH_UPPER, square) / horner(&TANH_LOWER, square)
    }
}

/// The inverse of [`sinh`].
pub(super) fn asinh(x: f64) -> f64 {
    if !x.is_finite() {
        return x;
    }
    let size = positive(x);
    let value = if size > TWO_POW_28 {
        ln(size) + LN_2
    } else if size > 2.0 {
        ln(2.0 * size + 1.0 / ((size * size + 1.0).sqrt() + size))
    } else if size < 1.0 / TWO_POW_28 {
        size
    } else {
        ln_1p(size + size * size / (1.0 + (1.0 + size * size).sqrt()))
    };
    if x < 0.0 { -value } else { value }
}

/// The inverse of [`cosh`].
pub(super) fn acosh(x: f64) -> f64 {
    if x < 1.0 || x.is_nan() {
        return f64::NAN;
    }
    if x == 1.0 {
        0.0
    } else if x >= TWO_POW_28 {
        ln(x) + LN_2
    } else if x > 2.0 {
        ln(2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt()))
    } else {
        let above = x - 1.0;
        ln_1p(above + (2.0 * above + above * above).sqrt())
    }
}

/// The inverse of [`tanh`].
pub(super) fn atanh(x: f64) -> f64 {
    let size = positive(x);
    if size > 1.0 || x.is_nan() {
        return f64::NAN;
    }
    let value = if size == 1.0 {
        f64::INFINITY
    } else if size < 1.0 / TWO_POW_28 {
        size
    } else if size < 0.5 {
        let double = size + size;
        0.5 * ln_1p(double + double * size / (1.0 - size))
    } else {
        0.5 * ln_1p((size + size) / (1.0 - size))
    };
    if x < 0.0 { -value } else { value }
}

/// 1 + x as a power of two and what is left: `2^exponent · (1 + fraction)`, with what rounding lost.
struct Split {
    exponent: f64,
    fraction: f64,
    lost: f64,
    /// Whether `fraction` is so small that its square suffices.
    is_tiny: bool,
}

/// The logarithm of 1 + `x`, for `x` of at least 0.
fn ln_1p(x: f64) -> f64 {
    if x < 1.0 / (1u64 << 29) as f64 {
        return if x < 1.0 / (1u64 << 54) as f64 { x } else { x - x * x * 0.5 };
    }
    if x.is_infinite() {
        return x;
    }
    let Split { exponent, fraction, lost, is_tiny } = split_1p(x);
    let half_square = 0.5 * fraction * fraction;
    if is_tiny {
        if fraction == 0.0 {
            return if exponent == 0.0 { 0.0 } else { exponent * LN2_HIGH + (lost + exponent * LN2_LOW) };
        }
        let rest = half_square * (1.0 - 2.0 / 3.0 * fraction);
        return match exponent == 0.0 {
            true => fraction - rest,
            false => exponent * LN2_HIGH - ((rest - (exponent * LN2_LOW + lost)) - fraction),
        };
    }
    let s = fraction / (2.0 + fraction);
    let square = s * s;
    let series = square * horner(&LN_1P, square);
    if exponent == 0.0 {
        return fraction - (half_square - s * (half_square + series));
    }
    exponent * LN2_HIGH - ((half_square - (s * (half_square + series) + (exponent * LN2_LOW + lost))) - fraction)
}

fn split_1p(x: f64) -> Split {
    const SQRT_2_MINUS_1: f64 = 0.414_213_562_373_095_03;
    const MANTISSA_OF_SQRT_2: u64 = 0x0006_a09e_667f_3bcd;
    const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;
    if x < SQRT_2_MINUS_1 {
        return Split { exponent: 0.0, fraction: x, lost: 0.0, is_tiny: false };
    }
    let is_exact = x >= (1u64 << 53) as f64;
    let sum = if is_exact { x } else { 1.0 + x };
    let exponent = (sum.to_bits() >> 52) as i64 - 1023;
    let lost = match (is_exact, exponent > 0) {
        (true, _) => 0.0,
        (false, true) => (1.0 - (sum - x)) / sum,
        (false, false) => (x - (sum - 1.0)) / sum,
    };
    let mantissa = sum.to_bits() & MANTISSA;
    let (exponent, normal, distance) = if mantissa < MANTISSA_OF_SQRT_2 {
        (exponent, f64::from_bits(mantissa | 0x3ff0_0000_0000_0000), mantissa)
    } else {
        (exponent + 1, f64::from_bits(mantissa | 0x3fe0_0000_0000_0000), ((1 << 52) - mantissa) >> 2)
    };
    Split { exponent: exponent as f64, fraction: normal - 1.0, lost, is_tiny: distance == 0 }
}
