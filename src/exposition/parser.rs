//! The reader of both text formats.

use std::borrow::Cow;
use std::ops::Range;

use super::ENTRY_BYTES_MAX;
use super::content_type::Format;
use super::error::{Fault, ParseError, Problem};
use super::label_set::{LabelPairs, quoted_name, read_set, run, skip_blanks, unescape};
use super::number::{leading_number, parse_value};
use crate::model::MetricKind;

/// One line of a body (a quoted text may hold line breaks, so it can be more).
#[derive(Clone, PartialEq, Debug)]
pub enum Entry<'a> {
    /// A sample with its series.
    Series(Series<'a>),
    /// The type of a family.
    Type {
        /// Of which family.
        name: Cow<'a, str>,
        /// What it is.
        kind: MetricKind,
    },
    /// The help text of a family.
    Help {
        /// Of which family.
        name: Cow<'a, str>,
        /// Escapes resolved.
        text: Cow<'a, str>,
    },
    /// The unit of a family (OpenMetrics).
    Unit {
        /// Of which family.
        name: Cow<'a, str>,
        /// Such as `seconds`.
        unit: Cow<'a, str>,
    },
    /// Any other comment (text format), with its `#`; need not be UTF-8.
    Comment(&'a [u8]),
    /// `# EOF` (OpenMetrics).
    Eof,
}

/// A sample and the text of its series.
#[derive(Clone, PartialEq, Debug)]
pub struct Series<'a> {
    /// Name and labels as written, such as `foo{a="b"}`; checked UTF-8.
    pub text: &'a [u8],
    /// What the last TYPE line said; it decides how bounds are written.
    pub kind: MetricKind,
    /// The number; a NaN is Prometheus's ordinary one.
    pub value: f64,
    /// Milliseconds since the epoch, where the line has a timestamp.
    pub timestamp_ms: Option<i64>,
    /// OpenMetrics only.
    pub exemplar: Option<Exemplar<'a>>,
}

impl<'a> Series<'a> {
    /// The labels in the order written, escapes resolved, bounds normalised; the metric's name is `__name__`.
    pub fn labels(&self) -> LabelPairs<'a> {
        LabelPairs::new(self.text, self.kind)
    }
}

/// An example of what was counted.
#[derive(Clone, PartialEq, Debug)]
pub struct Exemplar<'a> {
    text: &'a [u8],
    /// What the example measured.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub timestamp_ms: Option<i64>,
}

impl<'a> Exemplar<'a> {
    /// Its labels in the order written.
    pub fn labels(&self) -> LabelPairs<'a> {
        LabelPairs::new(self.text, MetricKind::Unknown)
    }
}

/// What a sample looks like up to its number: see [`Parser::repeat`].
#[derive(Clone, Copy, Debug)]
pub struct Repeat<'a> {
    /// From [`Parser::position`] before the comments of the sample, or before its line where it has none, to [`Parser::series_end`].
    pub bytes: &'a [u8],
    /// The type in force at its end.
    pub kind: MetricKind,
    /// Whether one of the comments is a TYPE line.
    pub declares_kind: bool,
}

/// Bytes that a number and a timestamp have at most where [`Parser::repeat`] reads them.
const SUFFIX_BYTES_MAX: usize = 64;

/// Reads a body entry by entry; ends after the first error.
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    body: &'a [u8],
    format: Format,
    at: usize,
    series_end: usize,
    kind: MetricKind,
    finished: bool,
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_expecting(&[])
    }
}

impl<'a> Parser<'a> {
    /// Reads `body` as `format`.
    pub fn new(body: &'a [u8], format: Format) -> Self {
        Parser { body, format, at: 0, series_end: 0, kind: MetricKind::Unknown, finished: false }
    }

    /// As `next`. Where the next series is written as `expected`, the text of a series that this parser returned for the
    /// same format, its labels are compared and not read again. An empty `expected` expects nothing.
    pub fn next_expecting(&mut self, expected: &[u8]) -> Option<Result<Entry<'a>, ParseError>> {
        if self.finished {
            return None;
        }
        match self.entry(expected) {
            Ok(Some(entry)) => {
                self.finished = entry == Entry::Eof;
                Some(Ok(entry))
            }
            Ok(None) => {
                self.finished = true;
                None
            }
            Err(fault) => {
                self.finished = true;
                Some(Err(ParseError::new(self.body, fault)))
            }
        }
    }

    /// How many bytes are read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Where the text of the last series ended.
    pub fn series_end(&self) -> usize {
        self.series_end
    }

    /// The number and the timestamp of the next sample, if it is written as `expected`, a sample that was read in a body of this format.
    /// Neither its comments nor its labels are read. `None`: nothing is read, [`Parser::next_expecting`] must be asked.
    #[inline]
    pub fn repeat(&mut self, expected: &Repeat<'_>) -> Option<(f64, Option<i64>)> {
        let is_other_kind = !expected.declares_kind && expected.kind != self.kind;
        if is_other_kind || self.finished || expected.bytes.len() > ENTRY_BYTES_MAX - SUFFIX_BYTES_MAX {
            return None;
        }
        let number = self.body[self.at..].strip_prefix(expected.bytes)?.strip_prefix(b" ")?;
        let (value, len) = leading_number(number)?;
        let (timestamp_ms, len) = match number.get(len)? {
            b'\n' => (None, len),
            b' ' if self.format == Format::Text => {
                let digits = &number[len + 1..];
                let count = run(digits, |byte| byte.is_ascii_digit());
                let timestamp = str::from_utf8(&digits[..count]).ok()?.parse::<i64>().ok()?;
                (Some(timestamp), (digits.get(count) == Some(&b'\n')).then_some(len + 1 + count)?)
            }
            _ => return None,
        };
        self.series_end = self.at + expected.bytes.len();
        self.at = self.series_end + 1 + len + 1;
        self.kind = expected.kind;
        Some((value, timestamp_ms))
    }

    fn entry(&mut self, expected: &[u8]) -> Result<Option<Entry<'a>>, Fault> {
        loop {
            skip_blanks(self.body, &mut self.at, self.format);
            let start = self.at;
            let entry = match (self.peek(), self.format) {
                (None, Format::Text) => return Ok(None),
                (None, Format::OpenMetrics) => return Err(self.fault(Problem::NoEof)),
                (Some(b'\n'), Format::Text) => {
                    self.at += 1;
                    continue;
                }
                (Some(b'#'), Format::Text) => self.text_comment()?,
                (Some(b'#'), Format::OpenMetrics) => self.open_metrics_comment()?,
                (Some(byte), _) if is_name_start(byte) || byte == b'{' => Entry::Series(self.series(expected)?),
                (Some(b'\r'), _) => return Err(self.fault(Problem::CarriageReturn)),
                _ => return Err(self.expected("a valid start token")),
            };
            if self.at - start > ENTRY_BYTES_MAX {
                return Err(Fault::new(start, Problem::EntryTooLong));
            }
            return Ok(Some(entry));
        }
    }

    fn series(&mut self, expected: &[u8]) -> Result<Series<'a>, Fault> {
        let text = match self.repeated(expected) {
            Some(text) => text,
            None => self.series_text()?,
        };
        self.series_end = self.at;
        let value = self.value("value after metric")?;
        let (timestamp_ms, exemplar) = match self.format {
            Format::Text => (self.text_timestamp()?, None),
            Format::OpenMetrics => self.open_metrics_suffix()?,
        };
        Ok(Series { text, kind: self.kind, value, timestamp_ms, exemplar })
    }

    /// The series' text if it is `expected` to the byte and ends there.
    fn repeated(&mut self, expected: &[u8]) -> Option<&'a [u8]> {
        let rest = &self.body[self.at..];
        if expected.is_empty() || !rest.starts_with(expected) || !matches!(rest.get(expected.len()), Some(b' ' | b'\t'))
        {
            return None;
        }
        // `foo {a="b"}` begins with `foo` and a blank, too.
        let mut next = expected.len();
        skip_blanks(rest, &mut next, Format::Text);
        if rest.get(next) == Some(&b'{') {
            return None;
        }
        self.at += expected.len();
        Some(&rest[..expected.len()])
    }

    fn series_text(&mut self) -> Result<&'a [u8], Fault> {
        let start = self.at;
        self.at += run(&self.body[start..], is_name_byte);
        let is_named = self.at > start;
        let mut brace = self.at;
        skip_blanks(self.body, &mut brace, self.format);
        if self.body.get(brace) == Some(&b'{') {
            self.at = brace + 1;
            let quoted_name = read_set(self.body, &mut self.at, self.format)?;
            match (is_named, quoted_name) {
                (true, Some(range)) => return Err(Fault::new(range.start, Problem::NameTwice)),
                (false, None) => return Err(Fault::new(start, Problem::NameMissing)),
                _ => {}
            }
        }
        let text = &self.body[start..self.at];
        match str::from_utf8(text) {
            Ok(_) => Ok(text),
            Err(error) => Err(Fault::new(start + error.valid_up_to(), Problem::InvalidUtf8)),
        }
    }

    fn value(&mut self, what: &'static str) -> Result<f64, Fault> {
        let token = match self.format {
            Format::Text => {
                skip_blanks(self.body, &mut self.at, self.format);
                self.token(|byte| !matches!(byte, b'{' | b' ' | b'\t' | b'\n'))
            }
            Format::OpenMetrics => self.spaced_token(),
        };
        self.number(token, what)
    }

    fn number(&self, token: Range<usize>, what: &'static str) -> Result<f64, Fault> {
        if token.is_empty() {
            return Err(Fault::new(token.start, Problem::Expected(what)));
        }
        parse_value(&self.body[token.clone()]).map_err(|problem| Fault::new(token.start, problem))
    }

    /// The optional whole milliseconds and the end of the line.
    fn text_timestamp(&mut self) -> Result<Option<i64>, Fault> {
        skip_blanks(self.body, &mut self.at, self.format);
        let digits = self.token(|byte| byte.is_ascii_digit());
        let timestamp = match digits.is_empty() {
            true => None,
            false => {
                let text = str::from_utf8(&self.body[digits.clone()]).expect("BUG: digits are not UTF-8");
                Some(text.parse().map_err(|_| Fault::new(digits.start, Problem::NumberOutOfRange))?)
            }
        };
        skip_blanks(self.body, &mut self.at, self.format);
        match self.peek() {
            None => {}
            Some(b'\n') => self.at += 1,
            Some(b'\r') => return Err(self.fault(Problem::CarriageReturn)),
            Some(_) if timestamp.is_some() => return Err(self.expected("next entry after timestamp")),
            Some(_) => return Err(self.expected("timestamp or new record")),
        }
        Ok(timestamp)
    }

    /// The optional seconds, the optional exemplar and the end of the line.
    fn open_metrics_suffix(&mut self) -> Result<(Option<i64>, Option<Exemplar<'a>>), Fault> {
        let timestamp_ms = if self.is_exemplar_ahead() { None } else { self.seconds()? };
        if !self.is_exemplar_ahead() {
            self.line_end("next entry after timestamp")?;
            return Ok((timestamp_ms, None));
        }
        self.at += EXEMPLAR_START.len();
        let start = self.at - 1;
        if let Some(name) = read_set(self.body, &mut self.at, self.format)? {
            return Err(Fault::new(name.start, Problem::Expected("label name")));
        }
        let text = &self.body[start..self.at];
        if let Err(error) = str::from_utf8(text) {
            return Err(Fault::new(start + error.valid_up_to(), Problem::InvalidUtf8));
        }
        let value = self.value("value after exemplar labels")?;
        let exemplar = Exemplar { text, value, timestamp_ms: self.seconds()? };
        self.line_end("next entry after exemplar timestamp")?;
        Ok((timestamp_ms, Some(exemplar)))
    }

    fn is_exemplar_ahead(&self) -> bool {
        self.body[self.at..].starts_with(EXEMPLAR_START)
    }

    fn seconds(&mut self) -> Result<Option<i64>, Fault> {
        if self.peek() != Some(b' ') {
            return Ok(None);
        }
        let token = self.spaced_token();
        let at = token.start;
        let secs = self.number(token, "timestamp")?;
        if !secs.is_finite() {
            return Err(Fault::new(at, Problem::InvalidTimestamp));
        }
        Ok(Some((secs * 1000.0) as i64))
    }

    fn line_end(&mut self, what: &'static str) -> Result<(), Fault> {
        match self.peek() {
            Some(b'\n') => {
                self.at += 1;
                Ok(())
            }
            None => Err(self.fault(Problem::NoEof)),
            Some(_) => Err(self.expected(what)),
        }
    }

    /// `# HELP`, `# TYPE`, or any comment.
    fn text_comment(&mut self) -> Result<Entry<'a>, Fault> {
        let start = self.at;
        let blanks = run(&self.body[start + 1..], |byte| byte == b' ' || byte == b'\t');
        let word_at = start + 1 + blanks;
        let rest = &self.body[word_at..];
        let is_word = |word: &[u8]| rest.starts_with(word) && matches!(rest.get(word.len()), Some(b' ' | b'\t'));
        if blanks > 0 && (is_word(b"HELP") || is_word(b"TYPE")) {
            self.at = word_at + 4;
            skip_blanks(self.body, &mut self.at, self.format);
            let name = self.family_name()?;
            let line = self.rest_of_line();
            let all_blank = self.body[line.clone()].iter().all(|byte| matches!(byte, b' ' | b'\t'));
            // One separator is taken off, whatever it is; more blanks belong to the text.
            let text = if all_blank { line.end..line.end } else { line.start + 1..line.end };
            return self.metadata(&self.body[word_at..word_at + 4], name, text);
        }
        let line = self.rest_of_line();
        Ok(Entry::Comment(&self.body[line]))
    }

    /// `# HELP`, `# TYPE`, `# UNIT` or `# EOF`; OpenMetrics has no other comments.
    fn open_metrics_comment(&mut self) -> Result<Entry<'a>, Fault> {
        let rest = &self.body[self.at..];
        if let Some(after) = rest.strip_prefix(b"# EOF") {
            self.at += b"# EOF".len();
            return match after {
                b"" | b"\n" => Ok(Entry::Eof),
                _ => Err(self.fault(Problem::AfterEof)),
            };
        }
        let word = match rest.get(..7) {
            Some(b"# HELP " | b"# TYPE " | b"# UNIT ") => &rest[2..6],
            _ => return Err(self.expected("a valid start token")),
        };
        self.at += 7;
        let name = self.family_name()?;
        if self.peek() != Some(b' ') {
            return Err(self.expected("text after the metric name"));
        }
        self.at += 1;
        let text = self.rest_of_line();
        if self.body.get(text.end) != Some(&b'\n') {
            return Err(self.fault(Problem::NoEof));
        }
        self.metadata(word, name, text)
    }

    fn metadata(&mut self, word: &[u8], name: Cow<'a, str>, text: Range<usize>) -> Result<Entry<'a>, Fault> {
        let (start, bytes) = (text.start, &self.body[text]);
        let as_text = || {
            let checked = str::from_utf8(bytes);
            checked.map_err(|error| Fault::new(start + error.valid_up_to(), Problem::InvalidUtf8))
        };
        match word {
            b"TYPE" => {
                self.kind = kind_of(bytes, self.format).ok_or_else(|| {
                    let at_return = bytes.ends_with(b"\r");
                    Fault::new(start, if at_return { Problem::CarriageReturn } else { Problem::InvalidType })
                })?;
                Ok(Entry::Type { name, kind: self.kind })
            }
            b"UNIT" => {
                let unit = as_text()?;
                let fits = unit.is_empty() || name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'));
                if fits {
                    Ok(Entry::Unit { name, unit: unit.into() })
                } else {
                    Err(Fault::new(start, Problem::UnitNotSuffix))
                }
            }
            _ => Ok(Entry::Help { name, text: unescape(as_text()?) }),
        }
    }

    /// The name after HELP, TYPE or UNIT, quoted or not.
    fn family_name(&mut self) -> Result<Cow<'a, str>, Fault> {
        let range = match self.peek() {
            Some(b'"') => quoted_name(self.body, &mut self.at)?,
            Some(byte) if is_name_start(byte) => self.token(is_name_byte),
            _ => return Err(self.expected("metric name")),
        };
        let start = range.start;
        match str::from_utf8(&self.body[range]) {
            Ok(name) => Ok(unescape(name)),
            Err(error) => Err(Fault::new(start + error.valid_up_to(), Problem::InvalidUtf8)),
        }
    }

    /// What is left of the line without its end, which is consumed.
    fn rest_of_line(&mut self) -> Range<usize> {
        let line = self.token(|byte| byte != b'\n');
        self.at = (self.at + 1).min(self.body.len());
        line
    }

    fn token(&mut self, passes: impl Fn(u8) -> bool) -> Range<usize> {
        let start = self.at;
        self.at += run(&self.body[start..], passes);
        start..self.at
    }

    /// One space and what follows it; empty where there is no space.
    fn spaced_token(&mut self) -> Range<usize> {
        if self.peek() != Some(b' ') {
            return self.at..self.at;
        }
        self.at += 1;
        self.token(|byte| !matches!(byte, b' ' | b'\n'))
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn fault(&self, problem: Problem) -> Fault {
        Fault::new(self.at, problem)
    }

    fn expected(&self, what: &'static str) -> Fault {
        self.fault(Problem::Expected(what))
    }
}

const EXEMPLAR_START: &[u8] = b" # {";

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b':'
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

/// What the word after TYPE means.
fn kind_of(text: &[u8], format: Format) -> Option<MetricKind> {
    Some(match (text, format) {
        (b"counter", _) => MetricKind::Counter,
        (b"gauge", _) => MetricKind::Gauge,
        (b"histogram", _) => MetricKind::Histogram,
        (b"summary", _) => MetricKind::Summary,
        (b"untyped", Format::Text) | (b"unknown", Format::OpenMetrics) => MetricKind::Unknown,
        (b"gaugehistogram", Format::OpenMetrics) => MetricKind::GaugeHistogram,
        (b"info", Format::OpenMetrics) => MetricKind::Info,
        (b"stateset", Format::OpenMetrics) => MetricKind::StateSet,
        _ => return None,
    })
}
