//! Files of rule tests, in promtool's form, checked.
//!
//! **Source.** Prometheus 3.14 `docs/configuration/unit_testing_rules.md` (`start_timestamp` included, which 3.5 does not know).
//! **Differs:** all mistakes of a test file are told at once, each at its place, and before any test runs.
//! **Differs:** `values` over several lines are read to their end; promtool stops reading series at a line break.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::model::{Labels, Timestamp};
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::{self, Node};
use crate::source::{Diagnostics, SourceFile, Span};
use crate::unittest::notation;
use crate::unittest::series::{SeriesError, SeriesValue, parse_labels, parse_values};

use super::go_text::histogram_text;

/// Where a file names no `evaluation_interval`.
const EVALUATION_INTERVAL_DEFAULT: Duration = Duration::from_secs(60);

/// A file of tests.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// Its name and text.
    pub source: SourceFile,
    /// Patterns of rule files, relative to this file.
    pub rule_files: Vec<(String, Span)>,
    /// The distance of evaluations.
    pub evaluation_interval: Duration,
    /// Groups of rules named here are evaluated in this order.
    pub group_eval_order: Vec<String>,
    /// Whether numbers may differ by their last bit.
    pub fuzzy_compare: bool,
    /// Whether a group's own `interval` counts (ours): promtool evaluates every group at each step.
    pub group_intervals: bool,
    /// In file order.
    pub groups: Vec<TestGroup>,
}

/// Series and what must come of them.
#[derive(Clone, Debug)]
pub struct TestGroup {
    /// Empty where none is given.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// The distance of the values of `input`.
    pub interval: Duration,
    /// The instant of the first value and of the first evaluation.
    pub start: Timestamp,
    /// Of two of the same series the last one counts.
    pub input: Vec<InputSeries>,
    /// In file order.
    pub alert_tests: Vec<AlertTest>,
    /// In file order.
    pub expr_tests: Vec<ExprTest>,
    /// What templates see as `$externalLabels`.
    pub external_labels: Labels,
    /// What templates see as `$externalURL`.
    pub external_url: String,
}

/// A series and its values.
#[derive(Clone, Debug)]
pub struct InputSeries {
    /// Metric name and labels.
    pub labels: Labels,
    /// One for each step.
    pub values: Vec<SeriesValue>,
}

/// Which alerts of a name fire at an instant.
#[derive(Clone, Debug)]
pub struct AlertTest {
    /// Where it stands.
    pub span: Span,
    /// Since the start.
    pub eval_time: Duration,
    /// The name of the rules.
    pub alertname: String,
    /// How labels and annotations are compared.
    pub matching: Matching,
    /// All of them.
    pub expected: Vec<ExpectedAlert>,
}

/// How expected labels and annotations are compared with those of an alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Matching {
    /// All must be the same.
    Exact,
    /// Those expected must be there; others may be (ours).
    Partial,
}

/// An alert that must fire.
#[derive(Clone, Debug, Default)]
pub struct ExpectedAlert {
    /// Without `alertname`.
    pub labels: BTreeMap<String, String>,
    /// Those with a text.
    pub annotations: BTreeMap<String, String>,
}

/// What an expression gives at an instant.
#[derive(Clone, Debug)]
pub struct ExprTest {
    /// Where it stands.
    pub span: Span,
    /// As written.
    pub expr: String,
    /// Since the start.
    pub eval_time: Duration,
    /// In any order.
    pub expected: Vec<ExpectedSample>,
}

/// A sample that an expression must give.
#[derive(Clone, Debug)]
pub struct ExpectedSample {
    /// All of them.
    pub labels: Labels,
    /// Of a float; 0 for a histogram.
    pub value: f64,
    /// A native histogram in the notation of tests.
    pub histogram: Option<String>,
}

impl TestFile {
    /// Reads a test file; all mistakes at once.
    pub fn parse(source: &SourceFile) -> (Option<TestFile>, Diagnostics) {
        let (root, mut diagnostics) = yaml::parse(source);
        let Some(root) = root else { return (None, diagnostics) };
        let mut decoder = Decoder::new(source);
        let file = decode(&mut decoder, &root);
        diagnostics.extend(decoder.finish());
        (file.filter(|_| !diagnostics.has_errors()), diagnostics)
    }

    /// What promtool calls the group: its name, or `unnamed#2`.
    pub fn title(&self, index: usize) -> String {
        match &*self.groups[index].name {
            "" => format!("unnamed#{index}"),
            name => name.to_owned(),
        }
    }
}

fn decode(decoder: &mut Decoder<'_>, root: &Node) -> Option<TestFile> {
    let source = decoder.source().clone();
    let mut fields = decoder.fields(root, "test file")?;
    let rule_files = fields.or("rule_files", Vec::new(), |decoder, node| {
        decoder.list(node, |decoder, node| Some((decoder.string(node)?, node.span)))
    });
    let interval = fields.or("evaluation_interval", Duration::ZERO, Decoder::duration);
    let evaluation_interval = if interval.is_zero() { EVALUATION_INTERVAL_DEFAULT } else { interval };
    let group_eval_order = fields.or("group_eval_order", Vec::new(), decode_order);
    let fuzzy_compare = fields.or("fuzzy_compare", false, Decoder::bool);
    let group_intervals = fields.or("group_intervals", false, Decoder::bool);
    let groups = fields.or("tests", Vec::new(), |decoder, node| {
        decoder.list(node, |decoder, node| decode_group(decoder, node, evaluation_interval))
    });
    fields.finish();
    Some(TestFile { source, rule_files, evaluation_interval, group_eval_order, fuzzy_compare, group_intervals, groups })
}

fn decode_order(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<String>> {
    let mut seen = HashSet::new();
    decoder.list(node, |decoder, node| {
        let name = decoder.string(node)?;
        if !seen.insert(name.clone()) {
            decoder.error(node.span, format!("group name repeated in evaluation order: {name}"));
        }
        Some(name)
    })
}

fn decode_group(decoder: &mut Decoder<'_>, node: &Node, evaluation_interval: Duration) -> Option<TestGroup> {
    let mut fields = decoder.fields(node, "test group")?;
    let name = fields.or("name", String::new(), Decoder::string);
    let interval = fields.or("interval", Duration::ZERO, Decoder::duration);
    let start = fields.or("start_timestamp", Timestamp::from_ms(0), decode_start);
    let input = fields.or("input_series", Vec::new(), |decoder, node| {
        decoder.list(node, |decoder, node| decode_series(decoder, node))
    });
    let alert_tests = fields.or("alert_rule_test", Vec::new(), |decoder, node| {
        decoder.list(node, |decoder, node| decode_alert_test(decoder, node, &name))
    });
    let expr_tests = fields.or("promql_expr_test", Vec::new(), |decoder, node| decoder.list(node, decode_expr_test));
    let external_labels = fields.or("external_labels", Labels::empty(), |decoder, node| {
        let pairs = decoder.map(node, Decoder::string)?;
        Some(Labels::from_pairs(pairs.into_iter().map(|(name, _, value)| (name, value))))
    });
    let external_url = fields.or("external_url", String::new(), Decoder::string);
    let span = fields.span;
    fields.finish();
    let interval = if interval.is_zero() { evaluation_interval } else { interval };
    Some(TestGroup { name, span, interval, start, input, alert_tests, expr_tests, external_labels, external_url })
}

/// Seconds since the epoch, or RFC 3339.
fn decode_start(decoder: &mut Decoder<'_>, node: &Node) -> Option<Timestamp> {
    let text = decoder.string(node)?;
    let secs = text.parse::<f64>().ok().filter(|secs| secs.is_finite()).map(Timestamp::from_secs_f64);
    let instant = secs.or_else(|| {
        let instant: jiff::Timestamp = text.parse().ok()?;
        Some(Timestamp::from_ms(instant.as_millisecond()))
    });
    if instant.is_none() {
        let help = "write seconds since the epoch, or RFC 3339 such as 2026-03-02T09:00:00Z";
        decoder.error_with_help(node.span, format!("cannot parse {text:?} to a valid timestamp"), help);
    }
    instant
}

fn decode_series(decoder: &mut Decoder<'_>, node: &Node) -> Option<InputSeries> {
    let mut fields = decoder.fields(node, "series")?;
    let labels = fields.required("series", |decoder, node| notation::read(decoder, node, parse_labels));
    let values = fields.or("values", Vec::new(), |decoder, node| notation::read(decoder, node, parse_values));
    fields.finish();
    Some(InputSeries { labels: labels?, values })
}

fn decode_alert_test(decoder: &mut Decoder<'_>, node: &Node, group: &str) -> Option<AlertTest> {
    let mut fields = decoder.fields(node, "alert test")?;
    let eval_time = fields.or("eval_time", Duration::ZERO, Decoder::duration);
    let alertname = fields.or("alertname", String::new(), Decoder::string);
    let matching = fields.or("match", Matching::Exact, decode_matching);
    let expected = fields.or("exp_alerts", Vec::new(), |decoder, node| decoder.list(node, decode_expected_alert));
    let span = fields.span;
    if alertname.is_empty() {
        let place = if group.is_empty() { String::new() } else { format!(" (in TestGroup {group})") };
        let at = crate::source::format_duration(eval_time);
        let text =
            format!("an item under alert_rule_test misses required attribute alertname at eval_time {at}{place}");
        fields.decoder.error_with_help(span, text, "add `alertname:` with the name of an alerting rule");
    }
    fields.finish();
    Some(AlertTest { span, eval_time, alertname, matching, expected })
}

fn decode_matching(decoder: &mut Decoder<'_>, node: &Node) -> Option<Matching> {
    match decoder.string(node)?.as_str() {
        "exact" => Some(Matching::Exact),
        "partial" => Some(Matching::Partial),
        other => {
            decoder.error_with_help(node.span, format!("unknown matching {other:?}"), "write exact or partial");
            None
        }
    }
}

fn decode_expected_alert(decoder: &mut Decoder<'_>, node: &Node) -> Option<ExpectedAlert> {
    let mut fields = decoder.fields(node, "expected alert")?;
    let labels = texts(&mut fields, "exp_labels");
    let annotations = texts(&mut fields, "exp_annotations");
    fields.finish();
    Some(ExpectedAlert { labels, annotations })
}

fn texts(fields: &mut Fields<'_, '_, '_>, key: &'static str) -> BTreeMap<String, String> {
    let pairs = fields.or(key, Vec::new(), |decoder, node| decoder.map(node, Decoder::string));
    pairs.into_iter().map(|(name, _, value)| (name, value)).collect()
}

fn decode_expr_test(decoder: &mut Decoder<'_>, node: &Node) -> Option<ExprTest> {
    let mut fields = decoder.fields(node, "expression test")?;
    let expr = fields.or("expr", String::new(), Decoder::string);
    let eval_time = fields.or("eval_time", Duration::ZERO, Decoder::duration);
    let expected = fields.or("exp_samples", Vec::new(), |decoder, node| decoder.list(node, decode_expected_sample));
    let span = fields.span;
    fields.finish();
    Some(ExprTest { span, expr, eval_time, expected })
}

fn decode_expected_sample(decoder: &mut Decoder<'_>, node: &Node) -> Option<ExpectedSample> {
    let mut fields = decoder.fields(node, "expected sample")?;
    let labels = fields.or("labels", Labels::empty(), |decoder, node| notation::read(decoder, node, expected_labels));
    let value = fields.or("value", 0.0, decode_number);
    let histogram = fields.or("histogram", None, |decoder, node| notation::read(decoder, node, expected_histogram));
    fields.finish();
    Some(ExpectedSample { labels, value, histogram })
}

/// Nothing is the empty label set.
fn expected_labels(text: &str) -> Result<Labels, SeriesError> {
    if text.trim().is_empty() { Ok(Labels::empty()) } else { parse_labels(text) }
}

/// Nothing is no histogram.
fn expected_histogram(text: &str) -> Result<Option<String>, SeriesError> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |message: String| SeriesError { span: Span::new(0, text.len()), message };
    match parse_values(text)?.as_slice() {
        [SeriesValue::Histogram { histogram, .. }] => Ok(Some(histogram_text(histogram))),
        [SeriesValue::Float(value)] => Err(wrong(format!("expected histogram, got {value}"))),
        [SeriesValue::Missing] => Err(wrong("expected histogram, got nothing".to_owned())),
        values => Err(wrong(format!("expected 1 value, got {}", values.len()))),
    }
}

/// A number of YAML: `1.5`, `1e3`, `0x1f`, `1_000`, `.inf`, `.nan`.
fn decode_number(decoder: &mut Decoder<'_>, node: &Node) -> Option<f64> {
    let text = decoder.string(node)?.replace('_', "");
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let magnitude = match unsigned {
        ".inf" | ".Inf" | ".INF" => Some(f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        _ => match unsigned.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok().map(|number| number as f64),
            None => {
                unsigned.parse::<f64>().ok().filter(|_| unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
            }
        },
    };
    if magnitude.is_none() {
        decoder.error_with_help(node.span, format!("{text:?} is not a number"), "write 1.5, 1e3, .inf or .nan");
    }
    magnitude.map(|magnitude| if text.starts_with('-') { -magnitude } else { magnitude })
}
