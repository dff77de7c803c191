//! Texts as Go prints them, where receivers and `amtool` compare them byte by byte: JSON strings, `QuoteMeta`.
//!
//! In the flow: group keys and webhook bodies are written with these.
//! **Source.** Go's `strconv.Unquote`, `encoding/json` (with HTML escaping, its default),
//! `regexp.QuoteMeta`.

use std::fmt::Write;

use crate::model::unescape;

/// The text in `quoted`, a double-quoted Go string; `None` if it is not one or not UTF-8.
pub(crate) fn unquote(quoted: &str) -> Option<String> {
    String::from_utf8(unescape(quoted.strip_prefix('"')?.strip_suffix('"')?, '"')?).ok()
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
    use crate::model::quote;

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
