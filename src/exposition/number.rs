//! Numbers of the formats: what Go's `ParseFloat` takes, without its hexadecimal and underscore spellings.
//!
//! **Source.** Prometheus 3.5 `model/textparse/promparse.go` (`parseFloat`), `openmetricsparse.go`
//! (`formatOpenMetricsFloat`), Go `strconv`.

use super::error::Problem;

/// The NaN of Prometheus. All NaNs of a body become this one: a target must not be able to write a staleness marker.
const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Those that are exact floats.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The number that `token` spells.
pub(super) fn parse_value(token: &[u8]) -> Result<f64, Problem> {
    match parse_short_decimal(token) {
        Some(value) => Ok(value),
        None => parse_any(token),
    }
}

/// The number that `bytes` begin with, up to a blank or the end of the line, and how long it is.
#[inline]
pub(super) fn leading_number(bytes: &[u8]) -> Option<(f64, usize)> {
    let is_end = |byte: &u8| matches!(byte, b' ' | b'\n');
    if let Some((value, len)) = leading_decimal(bytes)
        && bytes.get(len).is_none_or(is_end)
    {
        return Some((value, len));
    }
    let len = bytes.iter().position(is_end)?;
    Some((parse_any(&bytes[..len]).ok()?, len))
}

/// The token as [`leading_decimal`], where nothing else is in it.
fn parse_short_decimal(token: &[u8]) -> Option<f64> {
    leading_decimal(token).filter(|(_, len)| *len == token.len()).map(|(value, _)| value)
}

/// What `bytes` begin with, if that is `[-]digits[.digits][e[±]digits]` of at most 15 digits with a small exponent, and how long it is.
/// Numerator and power of ten are then exact floats, so one operation rounds as the full algorithm does.
#[inline]
fn leading_decimal(bytes: &[u8]) -> Option<(f64, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let digits = &bytes[usize::from(negative)..];
    let mut numerator: u64 = 0;
    let mut point = None;
    let mut len = digits.len();
    for (index, byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            // Of more than 15 digits nothing is made.
            numerator = numerator.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if *byte == b'.' && point.is_none() {
            point = Some(index);
        } else {
            len = index;
            break;
        }
    }
    let count = len - usize::from(point.is_some());
    if count == 0 || count > 15 {
        return None;
    }
    let decimals = point.map_or(0, |point| len - 1 - point) as i32;
    let (exponent, exponent_len) = match digits.get(len) {
        Some(b'e' | b'E') => short_exponent(&digits[len + 1..])?,
        _ => (0, 0),
    };
    let power = exponent - decimals;
    let factor = POWERS_OF_TEN.get(power.unsigned_abs() as usize)?;
    let value = if power < 0 { numerator as f64 / factor } else { numerator as f64 * factor };
    Some((if negative { -value } else { value }, usize::from(negative) + len + exponent_len))
}

/// An exponent of one or two digits behind its letter; its length with the letter.
fn short_exponent(bytes: &[u8]) -> Option<(i32, usize)> {
    let signed = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let digits = &bytes[signed..];
    let count = digits.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=2).contains(&count) {
        return None;
    }
    let exponent = digits[..count].iter().fold(0, |exponent, byte| exponent * 10 + i32::from(byte - b'0'));
    Some((if bytes[0] == b'-' { -exponent } else { exponent }, 1 + signed + count))
}

fn parse_any(token: &[u8]) -> Result<f64, Problem> {
    if token.iter().any(|byte| matches!(byte, b'p' | b'P' | b'_')) {
        return Err(Problem::NumberForm);
    }
    if token.ends_with(b"\r") {
        return Err(Problem::CarriageReturn);
    }
    let text = str::from_utf8(token).map_err(|_| Problem::InvalidNumber)?;
    if text.eq_ignore_ascii_case("nan") {
        return Ok(f64::from_bits(NORMAL_NAN_BITS));
    }
    let value: f64 = text.parse().map_err(|_| Problem::InvalidNumber)?;
    let spells_digits = token.iter().any(u8::is_ascii_digit);
    match value {
        value if value.is_nan() => Err(Problem::InvalidNumber), // "+nan", which Go refuses
        value if value.is_infinite() && spells_digits => Err(Problem::NumberOutOfRange),
        value => Ok(value),
    }
}

/// A bucket bound or quantile as OpenMetrics writes it (`1` becomes `1.0`, a million `1e+06`), so that a target's series
/// stay the same whichever format it answers in. A text that is no number stays.
pub(super) fn normal_bound(text: &str) -> Option<String> {
    parse_value(text.as_bytes()).ok().map(format_bound)
}

/// As [`normal_bound`].
pub(super) fn format_bound(value: f64) -> String {
    if value.is_nan() || value.is_infinite() {
        let text = if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return text.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("BUG: a float in scientific form without exponent");
    let exponent: i32 = exponent.parse().expect("BUG: a float's exponent is no number");
    // Go's %g with the shortest precision switches at these exponents.
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{value}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

/// Every NaN as Prometheus's ordinary one.
pub(super) fn normal_nan(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(NORMAL_NAN_BITS) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, value) in [
            ("0", 0.0),
            ("-0", -0.0),
            ("1", 1.0),
            ("+1", 1.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-12.75", -12.75),
            ("1e5", 1e5),
            ("1E-3", 1e-3),
            ("0.1", 0.1),
            ("123456789012345", 123_456_789_012_345.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("1.7976931348623157e308", f64::MAX),
            ("1e-999", 0.0),
            ("inf", f64::INFINITY),
            ("+Inf", f64::INFINITY),
            ("-infinity", f64::NEG_INFINITY),
        ] {
            let read = parse_value(text.as_bytes()).unwrap();
            assert_eq!(read.to_bits(), value.to_bits(), "{text}");
        }
        for text in ["NaN", "nan", "nAn"] {
            assert_eq!(parse_value(text.as_bytes()).unwrap().to_bits(), NORMAL_NAN_BITS);
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for (text, problem) in [
            ("", Problem::InvalidNumber),
            ("-", Problem::InvalidNumber),
            (".", Problem::InvalidNumber),
            ("1x", Problem::InvalidNumber),
            ("0x10", Problem::InvalidNumber),
            ("0x1p-2", Problem::NumberForm),
            ("1_0", Problem::NumberForm),
            ("+NaN", Problem::InvalidNumber),
            ("1e999", Problem::NumberOutOfRange),
            ("1\r", Problem::CarriageReturn),
            ("1.2.3", Problem::InvalidNumber),
        ] {
            assert_eq!(parse_value(text.as_bytes()), Err(problem), "{text}");
        }
    }

    #[test]
    fn writes_bounds_as_open_metrics() {
        for (text, normal) in [
            ("1", "1.0"),
            ("1.0", "1.0"),
            ("0.005", "0.005"),
            ("100000", "100000.0"),
            ("1000000", "1e+06"),
            ("1.5e6", "1.5e+06"),
            ("0.00001", "1e-05"),
            ("+Inf", "+Inf"),
            ("inf", "+Inf"),
            ("0.99", "0.99"),
        ] {
            assert_eq!(normal_bound(text).as_deref(), Some(normal), "{text}");
        }
        assert_eq!(normal_bound("many"), None);
    }
}

#[cfg(test)]
mod properties {
    use super::parse_value;
    use proptest::prelude::*;

    proptest! {
        /// The short way must round as the standard library does, to the bit.
        #[test]
        fn short_decimals_are_exact(
            whole in 0u64..1_000_000_000,
            fraction in "(\\.[0-9]{0,6})?",
            exponent in "([eE][+-]?[0-9]{1,2})?",
            negative: bool,
        ) {
            let text = format!("{}{whole}{fraction}{exponent}", if negative { "-" } else { "" });
            prop_assert_eq!(parse_value(text.as_bytes()).unwrap().to_bits(), text.parse::<f64>().unwrap().to_bits());
        }
    }
}
