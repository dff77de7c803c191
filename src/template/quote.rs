//! Texts in quotes, as Go's templates read them.
//!
//! **Source.** Go `strconv` (quote.go). **Differs:** a lone byte such as `"\xff"` becomes the replacement character, since our texts
//! are UTF-8.

use crate::model::unescape;

/// `strconv.Unquote` of a text in `"` or backquotes; `None` where the syntax is wrong.
pub(super) fn unquote(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('`') {
        return Some(inner.strip_suffix('`')?.replace('\r', ""));
    }
    unquote_escapes(text.strip_prefix('"')?.strip_suffix('"')?, '"')
}

/// Resolves the escapes of a text that stood in `mark`s.
pub(super) fn unquote_escapes(text: &str, mark: char) -> Option<String> {
    Some(String::from_utf8_lossy(&unescape(text, mark)?).into_owned())
}
