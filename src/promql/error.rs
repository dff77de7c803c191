//! What is wrong with an expression.

use std::fmt;

use crate::source::Span;

/// One mistake in an expression: Prometheus's own message, and where we can tell, what to write instead.
///
/// Its `Display` is Prometheus's text without our help: `1:7: parse error: unexpected end of input`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Bytes of the expression it is about.
    pub span: Span,
    /// One line, in Prometheus's words.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Line and byte column of its start, from 1; `None` in an empty expression, which has no positions.
    place: Option<(usize, usize)>,
}

impl ParseError {
    /// An error at `span` of the expression `text`.
    pub(super) fn new(text: &str, span: Span, message: impl Into<String>) -> Self {
        ParseError { span, message: message.into(), help: None, place: place_in(text, span.start) }
    }

    /// Prometheus's text and, after a semicolon, our help where there is some: for answers that people read on one line.
    pub fn text_with_help(&self) -> String {
        match &self.help {
            Some(help) => format!("{self}; {help}"),
            None => self.to_string(),
        }
    }

    /// Adds what to write instead, if there is something.
    #[must_use]
    pub(super) fn with_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

/// Prometheus counts columns in bytes, which shows only where the text before is not ASCII.
fn place_in(text: &str, offset: usize) -> Option<(usize, usize)> {
    if text.is_empty() {
        return None;
    }
    let before = &text.as_bytes()[..offset];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    Some((before.iter().filter(|byte| **byte == b'\n').count() + 1, offset - line_start + 1))
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{line}:{column}: parse error: {}", self.message),
            None => write!(f, "unknown position: parse error: {}", self.message),
        }
    }
}

impl std::error::Error for ParseError {}
