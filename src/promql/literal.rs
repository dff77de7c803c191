//! Numbers and strings: from their spelling to their value.
//!
//! In the flow: [`super::parser`] hands in tokens that [`super::lexer`] has cut, so that only their value is in question here.
//! **Source.** Go 1.25 `strconv.ParseInt` (base 0) and `ParseFloat`, Prometheus 3.14 `util/strutil/quote.go`.
//! **Differs:** a label's name or value in a selector whose byte escapes (`\xff`) do not give UTF-8 is refused; Prometheus carries the
//! bytes on, though no label may hold them. Elsewhere such a text parses and is an error of the evaluation.

use std::borrow::Cow;

use crate::model::quote;

/// The value of a number's spelling: `1.5`, `0x1f`, `017` (octal), `1_000`, `Inf`, `NaN`.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(value) = parse_digits(text) {
        return Ok(value as f64);
    }
    if let Some(value) = parse_integer(text) {
        return Ok(value as f64);
    }
    parse_float(text)
}

/// The value of digits alone, which most numbers are.
fn parse_digits(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (!text.starts_with('0') || text == "0");
    // Ten million million million is the first that `u64` may not hold.
    (is_plain && text.len() < 20).then(|| text.bytes().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

/// As Go reads integers: the base follows from the prefix, underscores separate digits. `None` where it is none or too large.
fn parse_integer(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match lower.strip_prefix("0x") {
        // An underscore may follow the prefix.
        Some(rest) => (rest.strip_prefix('_').unwrap_or(rest), 16),
        None => match lower.strip_prefix('0') {
            Some(rest) if !rest.is_empty() => (rest.strip_prefix('_').unwrap_or(rest), 8),
            _ => (lower.as_str(), 10),
        },
    };
    let separated = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    // `from_str_radix` takes a sign, which the lexer never leaves in a number.
    separated.then(|| i64::from_str_radix(&digits.replace('_', ""), radix).ok()).flatten()
}

fn parse_float(text: &str) -> Result<f64, String> {
    let refused = |why: &str| Err(format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", quote(text)));
    match text.to_ascii_lowercase().as_str() {
        "inf" => return Ok(f64::INFINITY),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    // Rust knows more spellings (`infinity`) than the lexer lets through, and none with underscores.
    let plain = text.replace('_', "");
    let decimal = plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    match plain.parse::<f64>() {
        _ if text.ends_with('_') => refused("invalid syntax"),
        Ok(value) if decimal && value.is_finite() => Ok(value),
        Ok(_) if decimal => refused("value out of range"),
        _ => refused("invalid syntax"),
    }
}

/// The text a quoted string stands for. `raw` includes its quotes; the lexer has checked its escapes.
pub(super) fn unquote(raw: &str) -> Result<Cow<'_, str>, String> {
    match unquote_bytes(raw) {
        Ok(text) => Ok(text),
        Err(_) => Err(format!("error unquoting string {}: its escapes do not give UTF-8", quote(raw))),
    }
}

/// As [`unquote`]; the bytes where they are not UTF-8.
pub(super) fn unquote_bytes(raw: &str) -> Result<Cow<'_, str>, Vec<u8>> {
    let quotation = raw.as_bytes()[0];
    let inner = &raw[1..raw.len() - 1];
    if quotation == b'`' || !inner.contains('\\') {
        return Ok(Cow::Borrowed(inner));
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(escape) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..escape]);
        rest = push_escape(&mut bytes, &rest[escape + 1..]);
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map(Cow::Owned).map_err(|error| error.into_bytes())
}

/// Appends what the escape at the start of `rest` (after its backslash) stands for, and gives the text after it.
fn push_escape<'a>(bytes: &mut Vec<u8>, rest: &'a str) -> &'a str {
    let (kind, digits) = rest.split_at(1);
    let simple = match kind.as_bytes()[0] {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'x' => return push_code(bytes, digits, 2, 16),
        b'u' => return push_code(bytes, digits, 4, 16),
        b'U' => return push_code(bytes, digits, 8, 16),
        b'0'..=b'7' => return push_code(bytes, rest, 3, 8),
        other => other, // the backslash or the quote itself
    };
    bytes.push(simple);
    digits
}

fn push_code<'a>(bytes: &mut Vec<u8>, digits: &'a str, count: usize, radix: u32) -> &'a str {
    let (code, rest) = digits.split_at(count);
    let code = u32::from_str_radix(code, radix).expect("BUG: the lexer let a bad escape through");
    if count <= 3 {
        // `\x` and octal escapes stand for a byte, not for a character.
        bytes.push(u8::try_from(code).expect("BUG: the lexer let a large byte escape through"));
    } else {
        let c = char::from_u32(code).expect("BUG: the lexer let a bad code point through");
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, value) in [
            ("1", 1.0),
            ("1_000", 1000.0),
            ("0x1f", 31.0),
            ("0X_1F", 31.0),
            ("017", 15.0),
            ("08", 8.0),
            ("1.5e3", 1500.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1_000.5", 1000.5),
            ("iNf", f64::INFINITY),
            ("99999999999999999999", 1e20),
        ] {
            assert_eq!(parse_number(text), Ok(value), "{text}");
        }
        assert!(parse_number("nAN").unwrap().is_nan());
    }

    #[test]
    fn numbers_refused() {
        for (text, why) in [
            ("1e400", "value out of range"),
            ("0x", "invalid syntax"),
            ("1e", "invalid syntax"),
            ("8_", "invalid syntax"),
        ] {
            let expected = format!("error parsing number: strconv.ParseFloat: parsing \"{text}\": {why}");
            assert_eq!(parse_number(text), Err(expected));
        }
    }

    #[test]
    fn strings() {
        for (raw, text) in [
            (r#""a\n\t\"b""#, "a\n\t\"b"),
            (r"'a\'b'", "a'b"),
            (r"`a\n`", r"a\n"),
            (r#""\x41\101\u00e9\U0001F600\\""#, "AAé😀\\"),
            (r#""\xc3\xa9""#, "é"),
        ] {
            assert_eq!(unquote(raw), Ok(Cow::Borrowed(text)), "{raw}");
        }
        assert!(unquote(r#""\xff""#).is_err());
    }
}
