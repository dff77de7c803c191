//! Powers, exponentials and logarithms with the rounding of Go's `math` package, so that rules give the same bits as in Prometheus.
//!
//! In the flow: `^`, `exp`, `ln`, `log2` and `log10` are computed here. The C library is closer to the true value in the last digit,
//! but rules are compared with what Prometheus computes, and so are thresholds that were tuned there.
//!
//! **Cost.** A power takes a loop over the bits of its exponent; the others a polynomial of fixed degree. No table.
//! **Source.** Go 1.25 on amd64 with fused multiplication, as every server processor has it. `exp`: Naoki Shibata, "Efficient evaluation
//! methods of elementary functions suitable for SIMD computation", ISC 2010. `ln`: FreeBSD's `e_log.c`. Compared with a running
//! Prometheus 3.5: 1,500 powers and 400 values of each of the others are equal to the bit; some of them stand in the tests.
//! The functions of angles stand in [`super::trigonometric`], the hyperbolic ones in [`super::hyperbolic`].

/// `x` to the power of `y`.
pub(in crate::promql) fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if y == 1.0 {
        return x;
    }
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    if x == 0.0 {
        let size = if y < 0.0 { f64::INFINITY } else { 0.0 };
        return if is_odd(y) { size.copysign(x) } else { size };
    }
    if y.is_infinite() || y.abs() >= TWO_POW_63 {
        return power_of_huge_exponent(x, y);
    }
    if x == f64::INFINITY {
        return if y < 0.0 { 0.0 } else { f64::INFINITY };
    }
    if x == f64::NEG_INFINITY {
        return pow(-0.0, -y);
    }
    if y == 0.5 {
        return x.sqrt();
    }
    if y == -0.5 {
        return 1.0 / x.sqrt();
    }
    if y.fract() != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    power_by_squaring(x, y)
}

/// Exponents from here on are even integers, and every base but 1 and -1 overflows or vanishes.
const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;

fn power_of_huge_exponent(x: f64, y: f64) -> f64 {
    if x == -1.0 {
        1.0
    } else if (x.abs() < 1.0) == (y > 0.0) {
        0.0
    } else {
        f64::INFINITY
    }
}

/// Binary exponents beyond this overflow or vanish whatever follows; stopping here keeps them from overflowing themselves.
const EXPONENT_BOUND: i64 = 1 << 12;

/// Keeps the result as `fraction * 2^exponent` with a fraction near one, so that nothing overflows on the way.
fn power_by_squaring(x: f64, y: f64) -> f64 {
    let (mut whole, mut rest) = (y.abs().trunc(), y.abs().fract());
    let (mut fraction, mut exponent) = (1.0, 0);
    if rest != 0.0 {
        if rest > 0.5 {
            rest -= 1.0;
            whole += 1.0;
        }
        fraction = exp(rest * ln(x));
    }
    let (mut square, mut square_exponent) = split(x);
    let mut bits = whole as u64;
    while bits != 0 {
        if square_exponent.abs() > EXPONENT_BOUND {
            exponent += square_exponent;
            break;
        }
        if bits & 1 == 1 {
            fraction *= square;
            exponent += square_exponent;
        }
        square *= square;
        square_exponent <<= 1;
        if square < 0.5 {
            square += square;
            square_exponent -= 1;
        }
        bits >>= 1;
    }
    if y < 0.0 { scale(1.0 / fraction, -exponent) } else { scale(fraction, exponent) }
}

fn is_odd(y: f64) -> bool {
    y.abs() < TWO_POW_63 && y.fract() == 0.0 && (y as i64) & 1 == 1
}

const MANTISSA_BITS: i64 = 52;
const EXPONENT_MASK: i64 = 0x7ff;
const TWO_POW_52: f64 = 4_503_599_627_370_496.0;

/// `x` as a fraction from 0.5 to below 1 (with its sign) and a power of two. `x` is finite and not zero.
fn split(x: f64) -> (f64, i64) {
    if !x.is_subnormal() {
        return split_bits(x);
    }
    let (fraction, exponent) = split_bits(x * TWO_POW_52);
    (fraction, exponent - MANTISSA_BITS)
}

/// As [`split`] for normal numbers.
fn split_bits(x: f64) -> (f64, i64) {
    let bits = x.to_bits();
    let biased = (bits >> MANTISSA_BITS) as i64 & EXPONENT_MASK;
    let fraction = f64::from_bits(bits & !((EXPONENT_MASK as u64) << MANTISSA_BITS) | 0x3fe << MANTISSA_BITS);
    (fraction, biased - 0x3fe)
}

/// `fraction * 2^exponent`, rounded once.
fn scale(fraction: f64, exponent: i64) -> f64 {
    if fraction == 0.0 || !fraction.is_finite() {
        return fraction;
    }
    let (fraction, own_exponent) = split(fraction);
    let exponent = exponent + own_exponent;
    if exponent < -1074 {
        return 0.0_f64.copysign(fraction);
    }
    if exponent > 1024 {
        return f64::INFINITY.copysign(fraction);
    }
    // Two steps, each by a normal power of two; only the last can round.
    let (first, second) = if exponent < -1000 { (exponent + 60, -60) } else { (exponent - 1, 1) };
    let power = |exponent: i64| f64::from_bits(((exponent + 0x3ff) as u64) << MANTISSA_BITS);
    fraction * power(first) * power(second)
}

/// Above this the exponential overflows.
const EXP_ARGUMENT_MAX: f64 = 7.097_827_128_933_84e2;
/// Below this it is less than half of the smallest number.
const EXP_ARGUMENT_MIN: f64 = -746.0;
/// ln 2 in two parts, so that multiples of it are subtracted exactly.
const EXP_LN2: (f64, f64) = (0.693_147_180_559_663, 2.823_529_056_303_157_7e-13);

/// e to the power of `x`.
pub(super) fn exp(x: f64) -> f64 {
    if !x.is_finite() {
        return if x == f64::NEG_INFINITY { 0.0 } else { x };
    }
    if x > EXP_ARGUMENT_MAX {
        return f64::INFINITY;
    }
    if x < EXP_ARGUMENT_MIN {
        return 0.0;
    }
    let exponent = (x * std::f64::consts::LOG2_E).round_ties_even();
    let rest = exponent.mul_add(-EXP_LN2.1, exponent.mul_add(-EXP_LN2.0, x));
    // e^rest - 1 by squaring four times: (e^(r/16) - 1), then v (v + 2) each time.
    let r = rest * 0.0625;
    let series: [f64; 8] = [1.0 / 40_320.0, 1.0 / 5_040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0];
    let mut minus_one = r * series.into_iter().reduce(|sum, next| sum.mul_add(r, next)).expect("BUG: an empty series");
    for _ in 0..3 {
        minus_one *= minus_one + 2.0;
    }
    let fraction = minus_one.mul_add(minus_one + 2.0, 1.0);
    // Close below the limit the power of two alone overflows; upstream gives infinity there.
    if exponent >= 1024.0 { f64::INFINITY } else { scale(fraction, exponent as i64) }
}

pub(super) const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
pub(super) const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// The odd and the even terms of the series, from the highest down.
const LN_ODD: [f64; 4] =
    [0.147_981_986_051_165_86, 0.181_835_721_616_180_5, 0.285_714_287_436_623_9, 0.666_666_666_666_673_5];
const LN_EVEN: [f64; 3] = [0.153_138_376_992_093_73, 0.222_221_984_321_497_84, 0.399_999_999_994_094_2];

/// The natural logarithm.
pub(super) fn ln(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x < 0.0 {
        return f64::NAN;
    }
    if !x.is_finite() {
        return x;
    }
    // Upstream takes a subnormal number's bits as those of a normal one; the result is -709 instead of -744 at worst.
    let (mut fraction, exponent) = split_bits(x);
    let mut exponent = exponent as f64;
    if fraction < std::f64::consts::FRAC_1_SQRT_2 {
        fraction *= 2.0;
        exponent -= 1.0;
    }
    let f = fraction - 1.0;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let sum = |terms: &[f64]| terms.iter().copied().reduce(|sum, next| sum * s4 + next).expect("BUG: an empty series");
    let series = s2 * sum(&LN_ODD) + s4 * sum(&LN_EVEN);
    let half_square = 0.5 * f * f;
    exponent * LN2_HIGH - ((half_square - (s * (half_square + series) + exponent * LN2_LOW)) - f)
}

/// The logarithm to base 2; exact for powers of two.
pub(super) fn log2(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() || x < 0.0 {
        return ln(x);
    }
    let (fraction, exponent) = split(x);
    if fraction == 0.5 {
        return (exponent - 1) as f64;
    }
    ln(fraction) * (1.0 / std::f64::consts::LN_2) + exponent as f64
}

/// The logarithm to base 10.
pub(super) fn log10(x: f64) -> f64 {
    ln(x) * std::f64::consts::LOG10_E
}

/// The terms of the series for the exponential, from the highest down.
const EXP2_TERMS: [f64; 5] = [
    4.138_136_797_057_238_5e-8,
    -1.653_390_220_546_525_2e-6,
    6.613_756_321_437_934e-5,
    -2.777_777_777_701_559_3e-3,
    1.666_666_666_666_666_6e-1,
];

/// 2 to the power of `x`. **Source.** FreeBSD's `e_exp.c`.
pub(super) fn exp2(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x > 1024.0_f64.next_down() {
        return f64::INFINITY;
    }
    if x < -1074.0 {
        return 0.0;
    }
    let exponent = (x + 0.5_f64.copysign(x)) as i64;
    let rest = x - exponent as f64;
    // e^(high - low) is what is left.
    let (high, low) = (rest * LN2_HIGH, -rest * LN2_LOW);
    let r = high - low;
    let square = r * r;
    let c = r - square * horner(&EXP2_TERMS, square);
    let fraction = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    scale(fraction, exponent)
}

/// The polynomial with these coefficients, from the highest power down.
pub(super) fn horner(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().copied().reduce(|sum, next| sum * x + next).expect("BUG: a polynomial without coefficients")
}

#[cfg(test)]
mod tests;
