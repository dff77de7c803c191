//! Floats as Prometheus prints them.

/// Prints `value` as Go's `strconv.FormatFloat(v, 'f', -1, 64)` does: shortest digits, never an exponent,
/// `NaN`, `+Inf`, `-Inf`. This is the form of the HTTP API and of the text exposition.
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        // Rust's `Display` for f64 is the shortest round-trip form without exponent, as Go's 'f' with precision -1, but for ties.
        even_of_tie(format!("{value}"), "", value)
    }
}

/// Prints `value`, which is finite, as Go's `strconv.FormatFloat(v, 'e', -1, 64)` does: `1.5e-07`.
pub fn format_exponent(value: f64) -> String {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_at(text.find('e').expect("BUG: an exponent form without exponent"));
    let digits = even_of_tie(digits.to_owned(), exponent, value);
    let exponent = &exponent[1..];
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Digits that two neighbours in decimal share equally: two texts of the shortest length are as near to the value. Only floats of
/// at least this many digits have such neighbours, for shorter texts stand for one float each.
const TIE_DIGITS_MIN: usize = 16;

/// Where the exact value lies in the middle between two shortest texts, Rust takes the larger and Go the even one, if it still stands for
/// `value`: below a power of two the next float is only half as far away. `exponent` follows the digits of `text`.
fn even_of_tie(text: String, exponent: &str, value: f64) -> String {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if digits < TIE_DIGITS_MIN || !may_be_tie(&text, exponent, value) {
        text
    } else {
        lower_if_tie(text, exponent, value)
    }
}

/// Quickly, whether the exact value may have one digit more than the text, as a tie has. Of integers beyond 2^53 it is not told.
fn may_be_tie(text: &str, exponent: &str, value: f64) -> bool {
    value.abs() >= INTEGER_END || decimals(value) == shown_decimals(text, exponent) + 1
}

/// See [`even_of_tie`].
fn lower_if_tie(text: String, exponent: &str, value: f64) -> String {
    let odd_last = text.bytes().rposition(|byte| byte.is_ascii_digit() && byte != b'0');
    let Some(last) = odd_last.filter(|last| (text.as_bytes()[*last] - b'0') % 2 == 1) else { return text };
    let mut even = text.clone().into_bytes();
    even[last] -= 1;
    let even = String::from_utf8(even).expect("BUG: digits are ASCII");
    if format!("{even}{exponent}").parse() != Ok(value) {
        return text;
    }
    // The exact value has one digit more than the texts, a five.
    let shown = format!("{value:e}");
    let significant = shown.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    let is_five = |more: usize| {
        let exact = format!("{value:.*e}", significant + more);
        let mantissa = exact.split('e').next().expect("BUG: an exponent form without exponent");
        let after = &mantissa[mantissa.len() - more - 1..];
        after.starts_with('5') && after[1..].bytes().all(|byte| byte == b'0')
    };
    if is_five(QUICK_DIGITS) && is_five(EXACT_DIGITS_MAX) { even } else { text }
}

/// From here on floats are integers.
const INTEGER_END: f64 = 9_007_199_254_740_992.0;

/// How many decimals the exact value has: as many as binary places.
fn decimals(value: f64) -> i32 {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 52 };
    (1075 - exponent.max(1) - mantissa.trailing_zeros() as i32).max(0)
}

/// How many of the decimals of a value are shown by digits to which an exponent as `e-7` belongs, or none; less than none, if the last
/// digit stands for tens or more.
fn shown_decimals(digits: &str, exponent: &str) -> i32 {
    let after_point = digits.find('.').map_or(0, |point| digits.len() - point - 1) as i32;
    after_point - exponent.get(1..).map_or(0, |exponent| exponent.parse().unwrap_or(0))
}

/// A float's exact value can go on for hundreds of digits; hardly any has so many zeros after its five unless it ends there.
const QUICK_DIGITS: usize = 8;
/// No float has more digits.
const EXACT_DIGITS_MAX: usize = 780;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_cannot_be_a_tie_is_none(
            value in prop_oneof![any::<f64>(), any::<u64>().prop_map(|bits| bits as f64 / 1024.0), -1e15..1e15f64, 0.0..1.0f64],
        ) {
            prop_assume!(value.is_finite());
            let (plain, scientific) = (format!("{value}"), format!("{value:e}"));
            let (digits, exponent) = scientific.split_at(scientific.find('e').unwrap());
            for (text, exponent) in [(plain.as_str(), ""), (digits, exponent)] {
                let enough = text.bytes().filter(u8::is_ascii_digit).count() >= TIE_DIGITS_MIN;
                if enough && !may_be_tie(text, exponent, value) {
                    prop_assert_eq!(lower_if_tie(text.to_owned(), exponent, value), text);
                }
            }
        }
    }

    #[test]
    fn like_go() {
        assert_eq!(format_float(1.0), "1");
        assert_eq!(format_float(-0.0), "-0");
        assert_eq!(format_float(0.1 + 0.2), "0.30000000000000004");
        assert_eq!(format_float(1e21), "1000000000000000000000");
        assert_eq!(format_float(1_560_241_665_511_130.0 + 0.25), "1560241665511130.2");
        assert_eq!(format_float(-1_560_241_665_511_130.0 - 0.75), "-1560241665511130.8");
        assert_eq!(format_float(10_000_000_000.0 + 0.007_812_5), "10000000000.007812");
        assert_eq!(format_exponent(1_560_241_665_511_130.0 + 0.25), "1.5602416655111302e+15");
        assert_eq!(format_exponent(2.5e-7), "2.5e-07");
        // A power of two, for which the even neighbour would stand for another float.
        assert_eq!(format_float(2f64.powi(-24)), "0.00000005960464477539063");
        assert_eq!(format_exponent(2f64.powi(-24)), "5.960464477539063e-08");
        assert_eq!(format_exponent(-(2f64.powi(-24))), "-5.960464477539063e-08");
        assert_eq!(format_float(f64::NEG_INFINITY), "-Inf");
        assert_eq!(format_float(5e-324), format!("0.{}5", "0".repeat(323)));
    }
}
