//! What stands between braces: label pairs and, quoted, the metric's name.
//!
//! One reader serves twice: [`read_set`] checks a set when its line is parsed, [`LabelPairs`] walks a checked one again
//! when somebody wants the labels, which in the steady state of a scrape is never.

use std::borrow::Cow;
use std::ops::Range;

use super::LABELS_MAX;
use super::content_type::Format;
use super::error::{Fault, Problem};
use super::number::normal_bound;
use crate::model::MetricKind;

/// One label, escapes resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LabelPair<'a> {
    /// Its name; `__name__` for the metric's name.
    pub name: Cow<'a, str>,
    /// Its value.
    pub value: Cow<'a, str>,
}

/// A piece of a set, as byte ranges without quotes.
pub(super) enum Item {
    /// A quoted text that is the metric's name.
    MetricName(Range<usize>),
    /// A pair.
    Label { name: Range<usize>, value: Range<usize> },
    /// The closing brace.
    End,
}

/// Whether a quoted text may hold a line break.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Allowed,
    Refused,
}

/// Reads the set whose opening brace stands before `at`, to behind its closing brace. Returns how many metric names it has
/// (at most one).
pub(super) fn read_set(body: &[u8], at: &mut usize, format: Format) -> Result<Option<Range<usize>>, Fault> {
    let mut metric_name = None;
    let mut count = 0;
    loop {
        let start = *at;
        match next_item(body, at, format)? {
            Item::End => return Ok(metric_name),
            Item::MetricName(_) if metric_name.is_some() => return Err(Fault::new(start, Problem::NameTwice)),
            Item::MetricName(range) => metric_name = Some(range),
            Item::Label { .. } => count += 1,
        }
        if count > LABELS_MAX {
            return Err(Fault::new(start, Problem::TooManyLabels));
        }
    }
}

/// Reads one piece.
pub(super) fn next_item(body: &[u8], at: &mut usize, format: Format) -> Result<Item, Fault> {
    skip_blanks(body, at, format);
    let (name, was_quoted) = match body.get(*at) {
        Some(b'}') => {
            *at += 1;
            return Ok(Item::End);
        }
        Some(b'"') => (quoted(body, at, Breaks::Allowed, "label name")?, true),
        Some(byte) if byte.is_ascii_alphabetic() || *byte == b'_' => {
            let start = *at;
            *at += run(&body[start..], |byte| byte.is_ascii_alphanumeric() || byte == b'_');
            (start..*at, false)
        }
        _ => return Err(Fault::new(*at, Problem::Expected("label name"))),
    };
    if name.is_empty() {
        return Err(Fault::new(name.start, Problem::NameEmpty));
    }
    skip_blanks(body, at, format);
    match body.get(*at) {
        Some(b'=') => *at += 1,
        Some(b',') if was_quoted => {
            *at += 1;
            return Ok(Item::MetricName(name));
        }
        Some(b'}') if was_quoted => return Ok(Item::MetricName(name)),
        _ => return Err(Fault::new(*at, Problem::Expected("equal"))),
    }
    skip_blanks(body, at, format);
    let breaks = if format == Format::Text { Breaks::Allowed } else { Breaks::Refused };
    let value = quoted(body, at, breaks, "label value")?;
    skip_blanks(body, at, format);
    match body.get(*at) {
        Some(b',') => *at += 1,
        Some(b'}') => {}
        // The text format lets the comma be left out.
        _ if format == Format::Text => {}
        _ => return Err(Fault::new(*at, Problem::Expected("comma or brace close"))),
    }
    Ok(Item::Label { name, value })
}

/// Reads `"…"`; the range is what stands between the quotes. A backslash takes the next byte with it.
pub(super) fn quoted_name(body: &[u8], at: &mut usize) -> Result<Range<usize>, Fault> {
    quoted(body, at, Breaks::Allowed, "metric name")
}

fn quoted(body: &[u8], at: &mut usize, breaks: Breaks, what: &'static str) -> Result<Range<usize>, Fault> {
    let open = *at;
    let unclosed = Fault::new(open, Problem::Expected(what));
    if body.get(open) != Some(&b'"') {
        return Err(unclosed);
    }
    let mut index = open + 1;
    loop {
        index += run(body.get(index..).unwrap_or_default(), |byte| !matches!(byte, b'"' | b'\\' | b'\n'));
        match body.get(index) {
            Some(b'"') => break,
            Some(b'\\') => index += 2,
            Some(_) if breaks == Breaks::Allowed => index += 1,
            _ => return Err(unclosed),
        }
    }
    *at = index + 1;
    Ok(open + 1..index)
}

/// How many bytes at the start of `bytes` pass.
pub(super) fn run(bytes: &[u8], passes: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !passes(*byte)).unwrap_or(bytes.len())
}

/// Blanks may stand between all parts of a line of the text format, and between none of OpenMetrics.
pub(super) fn skip_blanks(body: &[u8], at: &mut usize, format: Format) {
    if format == Format::Text {
        while matches!(body.get(*at), Some(b' ' | b'\t')) {
            *at += 1;
        }
    }
}

/// The labels of a checked series in the order written; a metric name is the label `__name__`.
#[derive(Clone, Debug)]
pub struct LabelPairs<'a> {
    text: &'a [u8],
    at: usize,
    kind: MetricKind,
}

impl<'a> LabelPairs<'a> {
    /// Of the text of a series (`foo{a="b"}`, `foo`, `{"foo"}`) or of an exemplar's labels, which passed [`read_set`].
    pub(super) fn new(text: &'a [u8], kind: MetricKind) -> Self {
        LabelPairs { text, at: 0, kind }
    }

    fn slice(&self, range: Range<usize>) -> Cow<'a, str> {
        unescape(str::from_utf8(&self.text[range]).expect("BUG: a checked label set is not UTF-8"))
    }
}

impl<'a> Iterator for LabelPairs<'a> {
    type Item = LabelPair<'a>;

    fn next(&mut self) -> Option<LabelPair<'a>> {
        let metric = |name| Some(LabelPair { name: Cow::Borrowed(crate::model::METRIC_NAME), value: name });
        if self.at == 0 {
            let bare = run(self.text, |byte| !matches!(byte, b'{' | b' ' | b'\t'));
            let mut brace = bare;
            skip_blanks(self.text, &mut brace, Format::Text);
            self.at = brace + 1;
            if bare > 0 {
                return metric(self.slice(0..bare));
            }
        }
        if self.at >= self.text.len() {
            return None;
        }
        let item =
            next_item(self.text, &mut self.at, Format::Text).expect("BUG: a checked label set cannot be read again");
        match item {
            Item::End => None,
            Item::MetricName(range) => metric(self.slice(range)),
            Item::Label { name, value } => {
                let (name, value) = (self.slice(name), self.slice(value));
                let is_bound =
                    matches!((self.kind, &*name), (MetricKind::Histogram, "le") | (MetricKind::Summary, "quantile"));
                let normal = if is_bound { normal_bound(&value) } else { None };
                Some(LabelPair { name, value: normal.map_or(value, Cow::Owned) })
            }
        }
    }
}

/// Resolves `\\`, `\"` and `\n`; any other backslash stands for itself.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(slash) = rest.find('\\') {
        out.push_str(&rest[..slash]);
        rest = &rest[slash + 1..];
        let resolved = match rest.as_bytes().first() {
            Some(b'\\') => '\\',
            Some(b'"') => '"',
            Some(b'n') => '\n',
            _ => {
                out.push('\\');
                continue;
            }
        };
        out.push(resolved);
        rest = &rest[1..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}
