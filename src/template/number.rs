//! Number and character constants of templates.
//!
//! **Source.** Go's literals: decimal, `0x`, `0o`, `0b`, digits separated by `_`, hexadecimal floats, `'a'`.
//! **Differs:** complex constants (`1+2i`) are refused.

/// A constant, with the type that its spelling gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    /// The value of a number as written; `None` where it is not one.
    pub(super) fn parse(text: &str) -> Option<Number> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let sign = if text.starts_with('-') { -1 } else { 1 };
        let lower = unsigned.to_ascii_lowercase();
        if !has_lawful_underscores(&lower) {
            return None;
        }
        let digits = lower.replace('_', "");
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
            if let Some(rest) = digits.strip_prefix(prefix) {
                if radix == 16 && rest.contains('p') {
                    return hex_float(rest).map(|value| Number::Float(value * f64::from(sign)));
                }
                let value = i128::from_str_radix(rest, radix).ok()?;
                return i64::try_from(value * i128::from(sign)).ok().map(Number::Int);
            }
        }
        if digits.is_empty() || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            // A leading zero means octal, as in Go.
            let octal = digits.len() > 1 && digits.starts_with('0');
            let value = i128::from_str_radix(&digits, if octal { 8 } else { 10 }).ok()?;
            return i64::try_from(value * i128::from(sign)).ok().map(Number::Int);
        }
        let lawful = digits.bytes().all(|byte| byte.is_ascii_digit() || b".e+-".contains(&byte));
        let value = digits.parse::<f64>().ok().filter(|value| lawful && value.is_finite())?;
        Some(Number::Float(value * f64::from(sign)))
    }

    /// The code point of `'a'`.
    pub(super) fn parse_char(text: &str) -> Option<Number> {
        let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
        let unescaped = super::quote::unquote_escapes(inner, '\'')?;
        let mut chars = unescaped.chars();
        let c = chars.next()?;
        chars.next().is_none().then(|| Number::Int(i64::from(u32::from(c))))
    }
}

fn has_lawful_underscores(text: &str) -> bool {
    text.bytes().enumerate().all(|(index, byte)| {
        let neighbour = |at: Option<usize>| {
            at.and_then(|at| text.as_bytes().get(at))
                .is_some_and(|byte| byte.is_ascii_hexdigit() || b"xob".contains(byte))
        };
        byte != b'_' || (neighbour(index.checked_sub(1)) && neighbour(Some(index + 1)))
    })
}

/// `1.8p3` is 1.5 times 2^3.
fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut value = 0.0;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let scaled = value * 2f64.powi(exponent - 4 * i32::try_from(fraction.len()).ok()?);
    (!(whole.is_empty() && fraction.is_empty()) && scaled.is_finite()).then_some(scaled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_literals() {
        for (text, expected) in [
            ("12", Some(Number::Int(12))),
            ("-0x1F", Some(Number::Int(-31))),
            ("017", Some(Number::Int(15))),
            ("1_000", Some(Number::Int(1000))),
            ("1e3", Some(Number::Float(1000.0))),
            (".5", Some(Number::Float(0.5))),
            ("0x1.8p3", Some(Number::Float(12.0))),
            ("1__0", None),
            ("08", None),
            ("1x", None),
            ("inf", None),
            ("9223372036854775808", None),
        ] {
            assert_eq!(Number::parse(text), expected, "{text}");
        }
        assert_eq!(Number::parse_char(r"'\n'"), Some(Number::Int(10)));
        assert_eq!(Number::parse_char("'ab'"), None);
    }
}
