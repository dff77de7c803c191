//! Positions, and what is wrong at them.
//!
//! **Cost.** A file's lines are found once, when the first position is asked for; a position then is a binary search and at most
//! [`MARK_DISTANCE`] bytes read, so that a thousand mistakes of a large file cost little more than one.

use std::fmt;
use std::sync::{Arc, OnceLock};

/// A half-open range of bytes in a source.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// Bytes `start..end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Span { start, end }
    }

    /// From the start of `self` to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The same range `by` bytes further on.
    pub fn shifted(self, by: usize) -> Span {
        Span { start: self.start + by, end: self.end + by }
    }
}

/// Line and column, both from 1; the column counts characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// A text with a name. Cloning shares it.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Path as the user wrote it, or `<expr>`, `<stdin>`.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
    marks: Arc<OnceLock<Vec<Mark>>>,
}

impl SourceFile {
    /// A text with a name.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        SourceFile { name: name.into(), text: text.into(), marks: Arc::default() }
    }

    /// Line and column of a byte offset; past the end gives the end.
    pub fn position(&self, offset: usize) -> Position {
        let end = self.text.floor_char_boundary(offset);
        let mark = self.mark_before(end);
        let Position { line, column } = mark.position;
        Position { line, column: column + self.text[mark.offset..end].chars().count() }
    }

    /// The last mark at or before `offset`.
    fn mark_before(&self, offset: usize) -> Mark {
        let marks = self.marks.get_or_init(|| mark(&self.text));
        let after = marks.partition_point(|mark| mark.offset <= offset);
        marks[after - 1]
    }
}

/// A place from which columns are counted: the start of a line, or one of several places in a long line.
#[derive(Clone, Copy, Debug)]
struct Mark {
    offset: usize,
    position: Position,
}

/// Marks are less than this many bytes and a character apart: a file may be one line (JSON is YAML).
const MARK_DISTANCE: usize = 512;

/// The marks of `text`, the first at its start.
fn mark(text: &str) -> Vec<Mark> {
    let mut last = Mark { offset: 0, position: Position { line: 1, column: 1 } };
    let mut marks = vec![last];
    let mut column = 1;
    for (offset, c) in text.char_indices() {
        if offset >= last.offset + MARK_DISTANCE {
            last = Mark { offset, position: Position { column, ..last.position } };
            marks.push(last);
        }
        column += 1;
        if c == '\n' {
            column = 1;
            last = Mark { offset: offset + 1, position: Position { line: last.position.line + 1, column } };
            marks.push(last);
        }
    }
    marks
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// The file cannot be used.
    Error,
    /// It can be used, but probably does not do what was meant.
    Warning,
    /// Worth knowing.
    Info,
}

impl Level {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "info",
        }
    }
}

/// One thing that is wrong, where, and what to write instead.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad.
    pub level: Level,
    /// Where it is; `None` when it concerns no file (a missing one, say).
    pub at: Option<(SourceFile, Span)>,
    /// What is wrong: one line, lower case, no final stop.
    pub message: String,
    /// What to write instead, if we know.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(source: &SourceFile, span: Span, message: impl Into<String>) -> Self {
        Diagnostic { level: Level::Error, at: Some((source.clone(), span)), message: message.into(), help: None }
    }

    /// A warning at a place.
    pub fn warning(source: &SourceFile, span: Span, message: impl Into<String>) -> Self {
        Diagnostic { level: Level::Warning, ..Diagnostic::error(source, span, message) }
    }

    /// An error about something that has no text, such as a file that cannot be opened.
    pub fn error_without_place(message: impl Into<String>) -> Self {
        Diagnostic { level: Level::Error, at: None, message: message.into(), help: None }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Line and column of its start, if it has a place.
    pub fn position(&self) -> Option<Position> {
        self.at.as_ref().map(|(source, span)| source.position(span.start))
    }
}

/// `file:line:column: message; help` on one line, the form of logs and plain output.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some((source, _)), Some(position)) = (&self.at, self.position()) {
            write!(f, "{}:{}:{}: ", source.name, position.line, position.column)?;
        }
        if self.level != Level::Error {
            write!(f, "{}: ", self.level.as_str())?;
        }
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order found.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Diagnostics) {
        self.0.extend(other.0);
    }

    /// Whether any is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.level == Level::Error)
    }

    /// Whether nothing at all was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// In order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// One diagnostic a line.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{diagnostic}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let source = SourceFile::new("f", "ab\nüx\n");
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(5), Position { line: 2, column: 2 });
        assert_eq!(source.position(99), Position { line: 3, column: 1 });
        let diagnostic = Diagnostic::error(&source, Span::new(3, 5), "bad").with_help("write x");
        assert_eq!(diagnostic.to_string(), "f:2:1: bad; write x");
    }

    /// Line and column by reading everything before.
    fn naive(text: &str, offset: usize) -> Position {
        let before = &text[..text.floor_char_boundary(offset)];
        let line = before.rsplit('\n').next().unwrap_or_default();
        Position { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }

    #[test]
    fn marks_give_what_reading_everything_gives() {
        let long = "aé\u{1f600}".repeat(MARK_DISTANCE);
        for text in ["", "\n", "a", "a\n\nb\r\nc", &long, &format!("x\n{long}\n\n{long}")] {
            let source = SourceFile::new("f", text);
            for offset in 0..text.len() + 2 {
                assert_eq!(source.position(offset), naive(text, offset), "{offset} of {} bytes", text.len());
            }
        }
    }

    #[test]
    fn a_position_reads_a_bounded_piece_of_marks_made_once() {
        for text in ["short\n".repeat(20_000), "\u{1f600}".repeat(30_000), "x".repeat(100_000) + "\n"] {
            let source = SourceFile::new("f", text);
            let diagnostics: Vec<Diagnostic> = (0..source.text.len())
                .step_by(97)
                .map(|offset| Diagnostic::error(&source, Span::new(offset, offset), "bad"))
                .collect();
            for diagnostic in &diagnostics {
                let (file, span) = diagnostic.at.as_ref().unwrap();
                let read = span.start - file.mark_before(span.start).offset;
                assert!(read < MARK_DISTANCE + 4, "{read} bytes read for one position");
                assert!(Arc::ptr_eq(&file.marks, &source.marks), "a diagnostic has marks of its own");
            }
            let marks = source.marks.get().map_or(0, Vec::len);
            let lines = source.text.matches('\n').count();
            assert!(marks <= 1 + lines + source.text.len() / MARK_DISTANCE, "{marks} marks");
        }
    }
}
