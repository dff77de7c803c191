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
    let odd_last = text.bytes().rposition(|byte| byte.is_ascii_digit() && byte != b'0');
    let Some(last) = odd_last.filter(|last| digits >= TIE_DIGITS_MIN && (text.as_bytes()[*last] - b'0') % 2 == 1)
    else {
        return text;
    };
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

/// A float's exact value can go on for hundreds of digits; hardly any has so many zeros after its five unless it ends there.
const QUICK_DIGITS: usize = 8;
/// No float has more digits.
const EXACT_DIGITS_MAX: usize = 780;

#[cfg(test)]
mod tests {
    use super::{format_exponent, format_float};

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
