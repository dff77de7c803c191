//! Texts in quotes, as Go writes and reads them.
//!
//! **Source.** Go `strconv` (quote.go). **Differs:** what is printable follows Rust's tables of Unicode.

/// `strconv.Quote`.
pub(super) fn quote(text: &str) -> String {
    quote_with(text, '"')
}

pub(super) fn quote_with(text: &str, mark: char) -> String {
    let mut out = String::from(mark);
    for c in text.chars() {
        match c {
            c if c == mark || c == '\\' => out.extend(['\\', c]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) < 0x80 => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if u32::from(c) < 0x10000 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push(mark);
    out
}

pub(super) fn is_printable(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1
}

/// `strconv.Unquote` of a text in `"` or backquotes; `None` where the syntax is wrong.
pub(super) fn unquote(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('`') {
        return Some(inner.strip_suffix('`')?.replace('\r', ""));
    }
    unquote_escapes(text.strip_prefix('"')?.strip_suffix('"')?, '"')
}

/// Resolves the escapes of a text that stood in `mark`s.
pub(super) fn unquote_escapes(text: &str, mark: char) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend(c.to_string().bytes());
            continue;
        }
        let escape = chars.next()?;
        let simple = match escape {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' => b'\\',
            c if c == mark => u8::try_from(mark).ok()?,
            'x' => u8::try_from(digits(&mut chars, 2, 16)?).ok()?,
            '0'..='7' => {
                let rest = digits(&mut chars, 2, 8)?;
                u8::try_from(escape.to_digit(8)? * 64 + rest).ok()?
            }
            'u' | 'U' => {
                let code = digits(&mut chars, if escape == 'u' { 4 } else { 8 }, 16)?;
                bytes.extend(char::from_u32(code)?.to_string().bytes());
                continue;
            }
            _ => return None,
        };
        bytes.push(simple);
    }
    // Rust texts are UTF-8; Go would keep a lone byte such as "\xff".
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn digits(chars: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    let mut value: u32 = 0;
    for _ in 0..count {
        value = value.checked_mul(radix)? + chars.next()?.to_digit(radix)?;
    }
    Some(value)
}
