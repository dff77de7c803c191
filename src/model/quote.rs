//! Texts in quotes, as Go's `strconv.Quote` writes and `strconv.Unquote` reads them.
//!
//! Prometheus shows label values, matchers and words of a query in this form, so our texts equal its own only with the same
//! escapes: printable characters as they are, others as `\x00`, `\u00a0`, `\U000e0001`.

use std::fmt::Write;
use std::sync::LazyLock;

use regex::Regex;

/// `text` in double quotes.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        push_escaped(&mut out, c, '"');
    }
    out.push('"');
    out
}

/// `bytes` in double quotes; what is no UTF-8 as `\xff`.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_escaped(&mut out, c, '"'));
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("BUG: writing to a String cannot fail");
        }
    }
    out.push('"');
    out
}

/// `c` in single quotes.
pub fn quote_char(c: char) -> String {
    let mut out = String::with_capacity(4);
    out.push('\'');
    push_escaped(&mut out, c, '\'');
    out.push('\'');
    out
}

fn push_escaped(out: &mut String, c: char, delimiter: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{b}' => out.push_str("\\v"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c == delimiter => {
            out.push('\\');
            out.push(c);
        }
        c if is_printable(c) => out.push(c),
        c => {
            let code = u32::from(c);
            let written = match code {
                0..=0x7f => write!(out, "\\x{code:02x}"),
                0x80..=0xffff => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            };
            written.expect("BUG: writing to a String cannot fail");
        }
    }
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub fn is_printable(c: char) -> bool {
    static PRINTABLE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S}]$").expect("BUG: a constant pattern is wrong"));
    if c.is_ascii() { c == ' ' || c.is_ascii_graphic() } else { PRINTABLE.is_match(c.encode_utf8(&mut [0; 4])) }
}

/// The bytes of a text that stood in `mark`s, its escapes resolved: `strconv.Unquote` without the marks. `None` where an escape is
/// wrong, or the mark or a line break stands there unescaped. Escapes such as `\xff` may give bytes that are no UTF-8.
pub fn unescape(text: &str, mark: char) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\n' => return None,
            c if c == mark => return None,
            '\\' => unescape_one(&mut chars, mark, &mut out)?,
            c => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Some(out)
}

/// Reads what follows a backslash. `\x` and octal escapes give bytes, `\u` and `\U` give characters.
fn unescape_one(chars: &mut std::str::Chars<'_>, mark: char, out: &mut Vec<u8>) -> Option<()> {
    let escape = chars.next()?;
    let byte = match escape {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        c if c == mark => u8::try_from(mark).ok()?,
        'x' => u8::try_from(digits(chars, "", 2, 16)?).ok()?,
        '0'..='7' => u8::try_from(digits(chars, escape.encode_utf8(&mut [0; 4]), 2, 8)?).ok()?,
        'u' | 'U' => {
            let code = digits(chars, "", if escape == 'u' { 4 } else { 8 }, 16)?;
            out.extend(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    };
    out.push(byte);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_go() {
        for (text, quoted) in [
            ("a\"b'c", r#""a\"b'c""#),
            ("\n\t\r\\", r#""\n\t\r\\""#),
            ("\0\x7f", r#""\x00\x7f""#),
            ("é世 e\u{301}", "\"é世 e\u{301}\""),
            ("\u{a0}\u{200b}", r#""\u00a0\u200b""#),
        ] {
            assert_eq!(quote(text), quoted);
        }
        assert_eq!(quote_char('\''), r"'\''");
        assert_eq!(quote_char('"'), "'\"'");
        assert_eq!(quote_char('$'), "'$'");
    }

    #[test]
    fn escapes_are_resolved() {
        let text =
            |escaped: &str, mark| unescape(escaped, mark).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(text(r#"a\t\"\x41\101\u00e9\U0001f600"#, '"').as_deref(), Some("a\t\"AAé😀"));
        assert_eq!(text(r"\'", '\'').as_deref(), Some("'"));
        for wrong in [r"\", r"\q", r"\x4", r"\400", r"\ud800", r"\'", "a\"b", "a\nb"] {
            assert_eq!(text(wrong, '"'), None, "{wrong}");
        }
        assert_eq!(unescape(r"\xff", '"'), Some(vec![0xff]));
    }
}
