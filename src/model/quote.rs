//! Texts in quotes, as Go's `strconv.Quote` writes them.
//!
//! Prometheus shows label values, matchers and words of a query in this form, so our texts equal its own only with the same
//! escapes: printable characters as they are, others as `\x00`, `\u00a0`, `\U000e0001`.

use std::fmt::Write;

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

/// Go's `unicode.IsPrint`, as near as the standard library knows it: letters, marks, numbers, punctuation, symbols and the
/// ASCII space.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    // Only a character that is not the first keeps its combining marks, which Go counts as printable.
    let pair: String = ['a', c].iter().collect();
    pair.escape_debug().nth(1) == Some(c)
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
}
