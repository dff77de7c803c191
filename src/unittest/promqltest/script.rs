//! A script as commands.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Anchoring, Pattern, StartTime, Timestamp, Value};
use crate::source::parse_duration;
use crate::unittest::metric_notation::unquote;
use crate::unittest::series::{SeriesDescription, SeriesValue, parse_series};

use super::samples::{Loaded, Samples};
use super::start_line::StartLine;

/// One command.
pub(super) enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
    /// What cannot be read.
    Broken {
        line: usize,
        message: String,
        is_load: bool,
    },
}

/// `load 1m` and its series.
pub(super) struct Load {
    step: Duration,
    /// `load_with_nhcb`
    with_custom_histograms: bool,
    series: Vec<LoadedSeries>,
}

/// A series of a load.
struct LoadedSeries {
    description: SeriesDescription,
    /// Milliseconds from each sample to its start time, from the line `metric@st …` before; empty without one.
    starts_ms: Vec<Option<i64>>,
}

/// When to evaluate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum When {
    Instant(Timestamp),
    Range { start: Timestamp, end: Timestamp, step: Duration },
}

/// `eval …` and what is expected of it.
pub(super) struct Eval {
    /// From 1.
    pub(super) line: usize,
    pub(super) when: When,
    pub(super) query: String,
    pub(super) expectations: Vec<Expectation>,
    /// `expect range vector`: where the samples of an instant query's matrix lie.
    pub(super) range_vector: Option<(Timestamp, Timestamp, Duration)>,
    pub(super) expected: Expected,
}

/// The result that is expected.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expected {
    /// In order.
    Series(Vec<SeriesDescription>),
    Scalar(f64),
    String(String),
}

/// `expect warn msg: …`
pub(super) struct Expectation {
    pub(super) kind: ExpectationKind,
    pub(super) text: TextMatch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpectationKind {
    Fail,
    Warn,
    NoWarn,
    Info,
    NoInfo,
    Ordered,
}

pub(super) enum TextMatch {
    Any,
    Exactly(String),
    Regex(Pattern),
}

impl TextMatch {
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            TextMatch::Any => true,
            TextMatch::Exactly(expected) => expected == text,
            TextMatch::Regex(regex) => regex.is_match(text),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            TextMatch::Any => "",
            TextMatch::Exactly(expected) => expected,
            TextMatch::Regex(regex) => regex.as_str(),
        }
    }
}

impl Eval {
    pub(super) fn of_kind(&self, kind: ExpectationKind) -> impl Iterator<Item = &Expectation> {
        self.expectations.iter().filter(move |expectation| expectation.kind == kind)
    }

    pub(super) fn is_fail(&self) -> bool {
        self.of_kind(ExpectationKind::Fail).next().is_some()
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.of_kind(ExpectationKind::Ordered).next().is_some()
    }

    /// Whether the result has no counterpart in a range query.
    pub(super) fn is_instant_only(&self) -> bool {
        self.range_vector.is_some() || matches!(self.expected, Expected::String(_))
    }
}

impl Load {
    pub(super) fn store(&self, samples: &mut Samples) {
        let mut loaded = Vec::new();
        for series in &self.series {
            let LoadedSeries { description: SeriesDescription { labels, values }, starts_ms } = series;
            let mut at = Timestamp::EPOCH;
            let mut points = Vec::new();
            for (index, value) in values.iter().enumerate() {
                let value = match value {
                    SeriesValue::Missing => None,
                    SeriesValue::Float(value) => Some(Value::Float(*value)),
                    SeriesValue::Histogram { histogram, .. } => Some(Value::Histogram(Arc::clone(histogram))),
                };
                let start_ms = starts_ms.get(index).copied().flatten();
                let start = start_ms.and_then(|ms| StartTime::new(at.plus_ms(ms)));
                points.extend(value.map(|value| (at, Loaded { value, start })));
                at = at + self.step;
            }
            samples.add(labels, points.iter().cloned());
            loaded.push((labels.clone(), points));
        }
        if self.with_custom_histograms {
            samples.add_custom_histograms(&loaded);
        }
    }
}

/// Reads all commands. A blank line or a comment ends a command's lines.
pub(super) fn parse(text: &str) -> Vec<Command> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).map(|line| if line.starts_with('#') { "" } else { line }).collect();
    let mut commands = Vec::new();
    let mut index = 0;
    while index < lines.len() {
        let start = index;
        index += 1;
        let word = lines[start].split_whitespace().next().unwrap_or("").to_ascii_lowercase();
        let has_body = word.starts_with("load") || word.starts_with("eval");
        while has_body && index < lines.len() && !lines[index].is_empty() {
            index += 1;
        }
        let block = Block { first_line: start + 1, head: lines[start], body: &lines[start + 1..index] };
        let command = match &*word {
            "" => continue,
            "clear" => Ok(Command::Clear),
            _ if word.starts_with("load") => block.load().map(Command::Load),
            _ if word.starts_with("eval") => block.eval().map(|eval| Command::Eval(Box::new(eval))),
            _ => Err(format!("invalid command {:?}", lines[start])),
        };
        let is_load = word.starts_with("load");
        commands.push(command.unwrap_or_else(|message| Command::Broken { line: block.first_line, message, is_load }));
    }
    commands
}

/// The lines of a command.
struct Block<'a> {
    first_line: usize,
    head: &'a str,
    body: &'a [&'a str],
}

impl Block<'_> {
    fn load(&self) -> Result<Load, String> {
        let (command, step) = self.head.split_once(char::is_whitespace).ok_or("load needs a step")?;
        let with_custom_histograms = match command {
            "load" => false,
            "load_with_nhcb" => true,
            _ => return Err(format!("invalid command {command:?}")),
        };
        let step = duration(step)?;
        let mut series = Vec::new();
        let mut pending: Option<StartLine<'_>> = None;
        for line in self.body {
            match (StartLine::parse(line)?, &pending) {
                (Some(_), Some(pending)) => return Err(pending.error("has no following sample line")),
                (Some(starts), None) => pending = Some(starts),
                (None, _) => {
                    let description = parse_series(line).map_err(|error| format!("{line}: {error}"))?;
                    let starts_ms = pending.take().map_or(Ok(Vec::new()), |starts| starts.of(&description))?;
                    series.push(LoadedSeries { description, starts_ms });
                }
            }
        }
        if let Some(pending) = pending {
            return Err(pending.error("has no following sample line"));
        }
        Ok(Load { step, with_custom_histograms, series })
    }

    fn eval(&self) -> Result<Eval, String> {
        let (command, rest) = self.head.split_once(char::is_whitespace).ok_or("eval needs a query")?;
        let (when, query) = self.when(rest.trim_start())?;
        let mut eval = Eval {
            line: self.first_line,
            when,
            query: query.to_owned(),
            expectations: Vec::new(),
            range_vector: None,
            expected: Expected::Series(Vec::new()),
        };
        let deprecated = match command {
            "eval" => None,
            "eval_fail" => Some(ExpectationKind::Fail),
            "eval_warn" => Some(ExpectationKind::Warn),
            "eval_info" => Some(ExpectationKind::Info),
            "eval_ordered" => Some(ExpectationKind::Ordered),
            _ => return Err(format!("invalid command {command:?}")),
        };
        eval.expectations.extend(deprecated.map(|kind| Expectation { kind, text: TextMatch::Any }));
        for line in self.body {
            eval.read_line(line)?;
        }
        Ok(eval)
    }

    /// `instant at 5m QUERY`, `range from 0 to 5m step 1m QUERY`.
    fn when<'t>(&self, text: &'t str) -> Result<(When, &'t str), String> {
        let mut words = Words(text);
        match words.next() {
            "instant" => {
                let at = if words.peek() == "at" {
                    words.next();
                    instant(words.next())?
                } else {
                    Timestamp::EPOCH
                };
                Ok((When::Instant(at), words.0))
            }
            "range" => {
                let mut after = |keyword: &str| {
                    if words.next() == keyword { Ok(words.next()) } else { Err(format!("expected {keyword:?}")) }
                };
                let (start, end, step) = (after("from")?, after("to")?, after("step")?);
                let when = When::Range { start: instant(start)?, end: instant(end)?, step: duration(step)? };
                Ok((when, words.0))
            }
            word => Err(format!("invalid evaluation command: expected instant or range, not {word:?}")),
        }
    }
}

impl Eval {
    fn read_line(&mut self, line: &str) -> Result<(), String> {
        if let Some(text) = line.strip_prefix("expected_fail_message") {
            self.expectations.clear();
            let text = TextMatch::Exactly(text.trim().to_owned());
            self.expectations.push(Expectation { kind: ExpectationKind::Fail, text });
        } else if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
            self.expectations.clear();
            let text = TextMatch::Regex(regex(pattern.trim())?);
            self.expectations.push(Expectation { kind: ExpectationKind::Fail, text });
        } else if let Some(text) = line.strip_prefix("expect range vector") {
            let mut words = Words(text.trim_start());
            let mut after = |keyword: &str| {
                if words.next() == keyword { Ok(words.next()) } else { Err(format!("expected {keyword:?}")) }
            };
            self.range_vector = Some((instant(after("from")?)?, instant(after("to")?)?, duration(after("step")?)?));
        } else if let Some(text) = line.strip_prefix("expect string") {
            let text = unquote(text.trim()).ok_or("expected string literal is not correctly quoted")?;
            self.expected = Expected::String(text);
        } else if line.split(' ').next() == Some("expect") {
            self.expectations.push(expectation(line)?);
        } else if let Ok(value) = line.parse::<f64>() {
            self.expected = Expected::Scalar(value);
        } else {
            self.expect_series(line)?;
        }
        Ok(())
    }

    fn expect_series(&mut self, line: &str) -> Result<(), String> {
        let series = parse_series(line).map_err(|error| format!("{line}: {error}"))?;
        if series.values.len() > 1 && matches!(self.when, When::Instant(_)) && self.range_vector.is_none() {
            return Err(format!("{line}: several values of an instant evaluation need `expect range vector`"));
        }
        match &mut self.expected {
            Expected::Series(expected) => expected.push(series),
            other => *other = Expected::Series(vec![series]),
        }
        Ok(())
    }
}

/// `expect warn regex: …`
fn expectation(line: &str) -> Result<Expectation, String> {
    let mut words = Words(line);
    words.next();
    let kind = match words.next() {
        "fail" => ExpectationKind::Fail,
        "warn" => ExpectationKind::Warn,
        "no_warn" => ExpectationKind::NoWarn,
        "info" => ExpectationKind::Info,
        "no_info" => ExpectationKind::NoInfo,
        "ordered" => ExpectationKind::Ordered,
        word => return Err(format!("invalid expected error/annotation type {word}")),
    };
    let text = if words.0.is_empty() {
        TextMatch::Any
    } else if let Some(message) = words.0.strip_prefix("msg:") {
        TextMatch::Exactly(message.trim().to_owned())
    } else if let Some(pattern) = words.0.strip_prefix("regex:") {
        TextMatch::Regex(regex(pattern.trim())?)
    } else {
        return Err(format!("invalid expectation {line:?}"));
    };
    Ok(Expectation { kind, text })
}

/// Words apart by white space; the rest stays as it is.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn peek(&self) -> &'a str {
        self.0.split_whitespace().next().unwrap_or("")
    }

    fn next(&mut self) -> &'a str {
        let word = self.peek();
        self.0 = self.0.trim_start()[word.len()..].trim_start();
        word
    }
}

fn regex(pattern: &str) -> Result<Pattern, String> {
    Pattern::new(pattern, Anchoring::Anywhere).map_err(|error| format!("invalid regexp {pattern:?}: {error}"))
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn instant(text: &str) -> Result<Timestamp, String> {
    Ok(Timestamp::EPOCH + duration(text)?)
}
