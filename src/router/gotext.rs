//! Texts as Go prints them, where receivers and `amtool` compare them byte by byte: `%q`, JSON strings, `QuoteMeta`.
//!
//! In the flow: group keys and webhook bodies are written with these.
//! **Source.** Go's `strconv.Quote` and `strconv.Unquote`, `encoding/json` (with HTML escaping, its default),
//! `regexp.QuoteMeta`.

use std::fmt::Write;
use std::sync::LazyLock;

use regex::Regex;

/// What Go calls printable: letters, marks, numbers, punctuation, symbols, and the ASCII space.
static PRINTABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$").expect("BUG: a constant pattern is wrong"));

/// `text` in double quotes, as `strconv.Quote` writes it.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    let mut utf8 = [0; 4];
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            ' '..='~' => out.push(c),
            c if PRINTABLE.is_match(c.encode_utf8(&mut utf8)) => out.push(c),
            c => write_escape(&mut out, c),
        }
    }
    out.push('"');
    out
}

fn write_escape(out: &mut String, c: char) {
    let code = u32::from(c);
    let written = match code {
        0..=0x1f | 0x7f => write!(out, "\\x{code:02x}"),
        0x80..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    written.expect("BUG: writing to a String failed");
}

/// The text in `quoted`, a double-quoted Go string; `None` if it is not one or not UTF-8.
pub(crate) fn unquote(quoted: &str) -> Option<String> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut out: Vec<u8> = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\n' => return None,
            '\\' => unescape(&mut chars, &mut out)?,
            c => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    String::from_utf8(out).ok()
}

/// Reads what follows a backslash. `\x` and octal escapes give bytes, `\u` and `\U` give characters.
fn unescape(chars: &mut std::str::Chars<'_>, out: &mut Vec<u8>) -> Option<()> {
    let escape = chars.next()?;
    let plain = match escape {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '"' => b'"',
        'x' => u8::try_from(digits(chars, "", 2, 16)?).ok()?,
        '0'..='7' => u8::try_from(digits(chars, escape.encode_utf8(&mut [0; 4]), 2, 8)?).ok()?,
        'u' | 'U' => {
            let code = digits(chars, "", if escape == 'u' { 4 } else { 8 }, 16)?;
            out.extend(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    };
    out.push(plain);
    Some(())
}

/// The number written by `first` and the next `count` digits.
fn digits(chars: &mut std::str::Chars<'_>, first: &str, count: usize, radix: u32) -> Option<u32> {
    let mut text = first.to_owned();
    for _ in 0..count {
        text.push(chars.next().filter(|c| c.is_digit(radix))?);
    }
    u32::from_str_radix(&text, radix).ok()
}

/// Appends `text` as a JSON string, as Go's encoder writes it: `<`, `>`, `&` and the line separators are escaped.
pub(crate) fn push_json(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("BUG: writing to a String failed");
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// `text` with every character escaped that means something in a Go regular expression.
pub(crate) fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_like_go() {
        for (text, quoted) in [
            ("", r#""""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\u{7}\n\u{b}\u{1}\u{7f}", r#""\a\n\v\x01\x7f""#),
            ("ü☃ \u{a0}\u{200b}\u{e000}", r#""ü☃ \u00a0\u200b\ue000""#),
            ("\u{f0000}", r#""\U000f0000""#),
        ] {
            assert_eq!(quote(text), quoted);
            assert_eq!(unquote(quoted).as_deref(), Some(text));
        }
    }

    #[test]
    fn unquotes_only_go_strings() {
        assert_eq!(unquote(r#""\101\x41\u0041""#).as_deref(), Some("AAA"));
        for bad in ["x", "\"", r#""a"b""#, r#""\q""#, r#""\x4""#, r#""\'""#, r#""\xff""#, r#""\ud800""#, "\"a\nb\""] {
            assert_eq!(unquote(bad), None, "{bad}");
        }
    }

    #[test]
    fn json_escapes_html() {
        let mut out = String::new();
        push_json(&mut out, "<a href=\"x\">&\u{1}\u{2028}ü\u{7f}");
        assert_eq!(out, "\"\\u003ca href=\\\"x\\\"\\u003e\\u0026\\u0001\\u2028ü\u{7f}\"");
        assert_eq!(quote_meta("web.hook[1]-a"), r"web\.hook\[1\]-a");
    }
}
