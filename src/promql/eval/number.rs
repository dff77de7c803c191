//! Floats as Go computes, compares and prints them.

use crate::model::is_stale;

pub(super) use crate::store::CompensatedSum;

/// Prints as Go's `%v` and `%g`: shortest digits, an exponent below 1e-4 and from 1e6 on.
pub fn format_go_float(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return crate::model::format_float(value);
    }
    let scientific = format!("{value:e}");
    let (_, exponent) = scientific.split_once('e').expect("BUG: no exponent in scientific notation");
    let exponent: i32 = exponent.parse().expect("BUG: an exponent that is no number");
    if (-4..6).contains(&exponent) {
        return crate::model::format_float(value);
    }
    crate::model::format_exponent(value)
}

/// Prints as Go's `%.2g`: two significant digits.
pub(in crate::promql) fn format_two_digits(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return crate::model::format_float(value);
    }
    let scientific = format!("{value:.1e}");
    let (digits, exponent) = scientific.split_once('e').expect("BUG: no exponent in scientific notation");
    let exponent: i32 = exponent.parse().expect("BUG: an exponent that is no number");
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    if (-4..2).contains(&exponent) {
        let rounded: f64 = scientific.parse().expect("BUG: a float that cannot be read back");
        return crate::model::format_float(rounded);
    }
    go_exponent(digits, exponent)
}

fn go_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Whether two floats differ by less than `epsilon` of their sum. All NaNs but the staleness marker are equal.
pub fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < epsilon * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < epsilon
}

/// Go's `math.Max`: an infinity wins, then NaN; 0 is greater than -0.
pub(in crate::promql) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`: a negative infinity wins, then NaN; -0 is less than 0.
pub(in crate::promql) fn go_min(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { a } else { b }
    } else {
        a.min(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_like_go() {
        for (value, text) in [
            (1.0, "1"),
            (123456.0, "123456"),
            (1e6, "1e+06"),
            (4294967296.0, "4.294967296e+09"),
            (1e21, "1e+21"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (-10.0, "-10"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format_go_float(value), text);
        }
        for (value, text) in
            [(1.0, "1"), (0.25, "0.25"), (123.0, "1.2e+02"), (99.9, "1e+02"), (12.0, "12"), (0.0512, "0.051")]
        {
            assert_eq!(format_two_digits(value), text);
        }
    }

    #[test]
    fn zeros_have_an_order() {
        for (a, b) in [(0.0, -0.0), (-0.0, 0.0)] {
            assert!(go_max(a, b).is_sign_positive() && go_min(a, b).is_sign_negative(), "{a} and {b}");
        }
        assert!(go_max(-0.0, -0.0).is_sign_negative() && go_min(0.0, 0.0).is_sign_positive());
    }

    #[test]
    fn compensation_keeps_small_terms() {
        let terms = [1e100, 1.0, -1e100];
        assert_eq!(terms.into_iter().fold(CompensatedSum::default(), CompensatedSum::plus).total(), 1.0);
        assert!(almost_equal(1.0, 1.0 + 1e-13, 1e-12));
        assert!(!almost_equal(0.0, 1e-300, 1e-6));
    }
}
