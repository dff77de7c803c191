//! Sines, tangents and their inverses, with the bits that Prometheus gives.
//!
//! The last digit depends on the library, and rules compare. Prometheus has Go's, which follows Cephes: an angle is reduced to an
//! eighth of a turn, where a polynomial or a quotient of two is exact to the last bit or the one before it.
//! **Source.** S. L. Moshier, Cephes 2.8, `sin.c`, `tan.c`, `atan.c`, `asin.c`; for large angles K. C. Ng, "Argument reduction for
//! huge arguments: good to the last bit", 1992.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use super::elementary::horner;

const SIN: [f64; 6] = [
    1.589_623_015_765_465_6e-10,
    -2.505_074_776_285_780_7e-8,
    2.755_731_362_138_572_2e-6,
    -0.000_198_412_698_295_895_4,
    0.008_333_333_333_322_118,
    -0.166_666_666_666_666_3,
];
const COS: [f64; 6] = [
    -1.135_853_652_138_768_2e-11,
    2.087_570_084_197_473e-9,
    -2.755_731_417_929_674e-7,
    2.480_158_728_885_170_4e-5,
    -0.001_388_888_888_887_305_6,
    0.041_666_666_666_666_595,
];
const TAN_UPPER: [f64; 3] = [-1.309_369_391_813_837_8e4, 1.153_516_648_385_874_2e6, -1.795_652_519_764_848_8e7];
const TAN_LOWER: [f64; 5] =
    [1.0, 13_681.296_347_069_296, -1_320_892.344_402_109_7, 25_008_380.182_335_79, -53_869_575.592_945_464];
const ATAN_UPPER: [f64; 5] = [
    -0.875_060_860_003_190_4,
    -16.157_537_187_333_652,
    -75.008_557_923_147_05,
    -122.886_668_449_013_61,
    -64.850_219_049_420_25,
];
const ATAN_LOWER: [f64; 6] = [
    1.0,
    2.485_846_490_142_306_3e1,
    1.650_270_098_316_988_5e2,
    4.328_810_604_912_902_7e2,
    4.853_903_996_359_137e2,
    1.945_506_571_482_614e2,
];

/// π/4 in three parts, of which the first two have room for 30 more bits.
const QUARTER_PI: [f64; 3] = [
    f64::from_bits(0x3fe9_21fb_4000_0000),
    f64::from_bits(0x3e64_442d_0000_0000),
    f64::from_bits(0x3ce8_4698_98cc_5170),
];
/// From here on the three parts do not suffice.
const LARGE: f64 = (1 << 29) as f64;
/// What π/2 has beyond its 53 bits.
const HALF_PI_REST: f64 = 6.123_233_995_736_766e-17;
/// The tangent of 3π/8.
const TAN_3_PI_8: f64 = 2.414_213_562_373_095;

/// 4/π as a fixed-point number: one, then 19 words behind the point, enough for the largest float.
const FOUR_OVER_PI: [u64; 20] = [
    0x0000_0000_0000_0001,
    0x45f3_06dc_9c88_2a53,
    0xf84e_afa3_ea69_bb81,
    0xb6c5_2b32_7887_2083,
    0xfca2_c757_bd77_8ac3,
    0x6e48_dc74_849b_a5c0,
    0x0c92_5dd4_13a3_2439,
    0xfc3b_d639_6253_4e7d,
    0xd104_6bea_5d76_8909,
    0xd338_e04d_68be_fc82,
    0x7323_ac73_06a6_73e9,
    0x3908_bf17_7bf2_5076,
    0x3ff1_2fff_bc0b_301f,
    0xde5e_2316_b414_da3e,
    0xda6c_fd9e_4f96_136e,
    0x9e8c_7ecd_3cbf_d45a,
    0xea4f_758f_d7cb_e2f6,
    0x7a0e_73ef_14a5_25d4,
    0xd7f6_bf62_3f1a_ba10,
    0xac06_608d_f8f6_d757,
];

/// An angle as a number of eighths of a turn, which is even, and what remains: at most an eighth of a turn to either side.
struct Reduced {
    octant: u64,
    rest: f64,
}

/// `x` is positive and finite.
fn reduce(x: f64) -> Reduced {
    if x >= LARGE {
        return reduce_large(x);
    }
    let mut octant = (x * (4.0 / PI)) as u64;
    octant += octant & 1;
    let turns = octant as f64;
    let rest = QUARTER_PI.iter().fold(x, |rest, part| rest - turns * part);
    Reduced { octant: octant & 7, rest }
}

/// Multiplies the mantissa by those 192 bits of 4/π that decide octant and rest; higher ones are whole turns.
fn reduce_large(x: f64) -> Reduced {
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64 - 1023 - 52;
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    let (word, shift) = ((exponent + 61) as usize / 64, (exponent + 61) as u32 % 64);
    let digits = |index: usize| {
        let (high, low) = (FOUR_OVER_PI[word + index], FOUR_OVER_PI[word + index + 1]);
        high << shift | low.checked_shr(64 - shift).unwrap_or(0)
    };
    let product = |digits: u64| u128::from(digits) * u128::from(mantissa);
    let low = product(digits(2)) >> 64;
    let middle = product(digits(1)) + low;
    let high = (digits(0).wrapping_mul(mantissa) as u128) << 64;
    let sum = high.wrapping_add(middle);
    let octant = (sum >> 125) as u64;
    // The 64 bits after the octant, of which the first set one is the float's hidden bit.
    let fraction = sum << 3;
    let zeros = ((fraction >> 64) as u64).leading_zeros();
    let mantissa = (fraction << (zeros + 1) >> 64) as u64 >> 12;
    let rest = f64::from_bits(u64::from(1023 - (zeros + 1)) << 52 | mantissa);
    if octant & 1 == 1 {
        Reduced { octant: (octant + 1) & 7, rest: (rest - 1.0) * FRAC_PI_4 }
    } else {
        Reduced { octant, rest: rest * FRAC_PI_4 }
    }
}

fn sin_of_rest(rest: f64) -> f64 {
    let square = rest * rest;
    rest + rest * square * horner(&SIN, square)
}

fn cos_of_rest(rest: f64) -> f64 {
    let square = rest * rest;
    1.0 - 0.5 * square + square * square * horner(&COS, square)
}

fn negated_if(is_negative: bool, value: f64) -> f64 {
    if is_negative { -value } else { value }
}

/// The sine.
pub(super) fn sin(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    let Reduced { octant, rest } = reduce(x.abs());
    let value = if octant & 3 == 2 { cos_of_rest(rest) } else { sin_of_rest(rest) };
    negated_if((x < 0.0) != (octant > 3), value)
}

/// The cosine.
pub(super) fn cos(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let Reduced { octant, rest } = reduce(x.abs());
    let value = if octant & 3 == 2 { sin_of_rest(rest) } else { cos_of_rest(rest) };
    negated_if(octant == 2 || octant == 4, value)
}

/// The tangent.
pub(super) fn tan(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    let Reduced { octant, rest } = reduce(x.abs());
    let square = rest * rest;
    let mut value = rest;
    if square > 1e-14 {
        value = rest + rest * (square * horner(&TAN_UPPER, square) / horner(&TAN_LOWER, square));
    }
    if octant & 2 == 2 {
        value = -1.0 / value;
    }
    negated_if(x < 0.0, value)
}

/// From 0 to 0.66.
fn atan_of_small(x: f64) -> f64 {
    let square = x * x;
    x * (square * horner(&ATAN_UPPER, square) / horner(&ATAN_LOWER, square)) + x
}

fn atan_of_positive(x: f64) -> f64 {
    if x <= 0.66 {
        atan_of_small(x)
    } else if x > TAN_3_PI_8 {
        FRAC_PI_2 - atan_of_small(1.0 / x) + HALF_PI_REST
    } else {
        FRAC_PI_4 + atan_of_small((x - 1.0) / (x + 1.0)) + 0.5 * HALF_PI_REST
    }
}

/// The angle with this tangent.
pub(super) fn atan(x: f64) -> f64 {
    if x == 0.0 { x } else { negated_if(x <= 0.0, atan_of_positive(x.abs())) }
}

/// The angle with this sine.
pub(super) fn asin(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    let size = x.abs();
    if size > 1.0 {
        return f64::NAN;
    }
    let cosine = (1.0 - size * size).sqrt();
    let angle = if size > 0.7 { FRAC_PI_2 - atan_of_positive(cosine / size) } else { atan_of_positive(size / cosine) };
    negated_if(x < 0.0, angle)
}

/// The angle with this cosine.
pub(super) fn acos(x: f64) -> f64 {
    FRAC_PI_2 - asin(x)
}

/// The angle of the point `(x, y)`.
pub(super) fn atan2(y: f64, x: f64) -> f64 {
    if y.is_nan() || x.is_nan() {
        return f64::NAN;
    }
    if y == 0.0 || x == 0.0 || y.is_infinite() || x.is_infinite() {
        // Multiples of π/4, on which every library agrees.
        return y.atan2(x);
    }
    let angle = atan(y / x);
    if x >= 0.0 {
        angle
    } else if angle <= 0.0 {
        angle + PI
    } else {
        angle - PI
    }
}
