//! What is wrong with a body, and where.

use std::fmt;

/// Characters of the faulty line that an error shows.
const SHOWN_CHARS_MAX: usize = 120;

/// What is wrong at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// Something else had to stand here.
    Expected(&'static str),
    /// Not a number.
    InvalidNumber,
    /// A number that a float, or a timestamp, cannot hold.
    NumberOutOfRange,
    /// `p`, `P` or `_` in a number: Go's newer spellings, which the formats do not have.
    NumberForm,
    /// A line that ends in a carriage return.
    CarriageReturn,
    /// A timestamp that is not finite.
    InvalidTimestamp,
    /// A word after TYPE that is no metric type.
    InvalidType,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// A second metric name inside braces.
    NameTwice,
    /// Braces without a metric name.
    NameMissing,
    /// A name without characters.
    NameEmpty,
    /// The unit does not end the metric's name.
    UnitNotSuffix,
    /// Data after `# EOF`.
    AfterEof,
    /// No `# EOF` at the end.
    NoEof,
    /// Over [`super::ENTRY_BYTES_MAX`].
    EntryTooLong,
    /// Over [`super::LABELS_MAX`].
    TooManyLabels,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Problem::Expected(what) => return write!(f, "expected {what}"),
            Problem::InvalidNumber => "invalid number",
            Problem::NumberOutOfRange => "number out of range",
            Problem::NumberForm => "unsupported character in float",
            Problem::CarriageReturn => "carriage return at the end of a line (lines must end in \\n alone)",
            Problem::InvalidTimestamp => "invalid timestamp",
            Problem::InvalidType => "invalid metric type",
            Problem::InvalidUtf8 => "invalid UTF-8",
            Problem::NameTwice => "metric name already set",
            Problem::NameMissing => "metric name not set",
            Problem::NameEmpty => "empty name",
            Problem::UnitNotSuffix => "unit is not a suffix of the metric's name",
            Problem::AfterEof => "unexpected data after # EOF",
            Problem::NoEof => "data does not end with # EOF",
            Problem::EntryTooLong => return write!(f, "line longer than {} bytes", super::ENTRY_BYTES_MAX),
            Problem::TooManyLabels => return write!(f, "more than {} labels", super::LABELS_MAX),
        };
        f.write_str(text)
    }
}

/// A problem at an offset of the body, before anybody asks for its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) problem: Problem,
}

impl Fault {
    pub(super) fn new(at: usize, problem: Problem) -> Self {
        Fault { at, problem }
    }
}

/// A body that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub problem: Problem,
    /// The line, shortened.
    pub text: String,
}

impl ParseError {
    pub(super) fn new(body: &[u8], fault: Fault) -> Self {
        let at = fault.at.min(body.len());
        let start = body[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let end = body[at..].iter().position(|byte| *byte == b'\n').map_or(body.len(), |length| at + length);
        // A char has at most four bytes, so this holds all that is shown, of a line of any length.
        let shown = String::from_utf8_lossy(&body[start..end.min(start + 4 * SHOWN_CHARS_MAX + 4)]).into_owned();
        let text = match shown.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((cut, _)) => format!("{}…", &shown[..cut]),
            None => shown,
        };
        ParseError {
            line: body[..start].iter().filter(|byte| **byte == b'\n').count() + 1,
            column: String::from_utf8_lossy(&body[start..at]).chars().count() + 1,
            problem: fault.problem,
            text,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {}, column {}, while parsing: {:?}", self.problem, self.line, self.column, self.text)
    }
}

impl std::error::Error for ParseError {}
