//! The indicator `latency` of a specification, in its long and its short form.
//!
//! In the flow: [`super::decode`] calls it.
//!
//! ```yaml
//! latency:
//!   histogram: http_request_duration_seconds{job="checkout"}   # a classic histogram; with or without _bucket
//!   threshold: 300ms          # an event is good if it took no longer; a bucket must end here
//!   # total: requests_total   # default: the histogram's _count
//!   # p95: 300ms              # instead of threshold, and of the objective (95 %)
//! ```
//!
//! Also `p50`, `p75`, `p90`, `p98`, `p99`, `p99.5`, `p99.9`, `p99.99`.

use crate::model::{METRIC_NAME, MatchOp, Matcher};
use crate::source::Span;
use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

use super::latency::BOUND;
use super::selector;
use super::spec::{Indicator, Objective, Selector, TotalIs};

/// The short forms, with the objective that each stands for, in percent.
const QUANTILES: [(&str, f64); 9] = [
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p98", 98.0),
    ("p99", 99.0),
    ("p99.5", 99.5),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
];

/// An objective that an indicator brings along, and the key that says so.
pub(super) type Implied = (Objective, &'static str, Span);

/// Reads `latency`. The objective is told also where the rest is wrong.
pub(super) fn latency(decoder: &mut Decoder<'_>, node: &Node) -> (Option<Indicator>, Option<Implied>) {
    let Some(mut fields) = decoder.fields(node, "latency indicator") else { return (None, None) };
    let span = fields.span;
    let histogram = fields.required("histogram", read_histogram);
    let total = fields.optional("total", selector::read);
    let has_total = fields.key_span("total").is_some();
    let (threshold_ms, implied) = threshold(&mut fields, span);
    fields.finish();
    let indicator = || {
        let (buckets, count) = histogram?;
        let (total, total_is) = if has_total { (total?, TotalIs::Other) } else { (count, TotalIs::Count) };
        Some(Indicator::Latency { buckets, total, total_is, threshold_ms: threshold_ms? })
    };
    (indicator(), implied)
}

fn threshold(fields: &mut Fields<'_, '_, '_>, span: Span) -> (Option<i64>, Option<Implied>) {
    let mut given: Vec<(&'static str, Span)> = Vec::new();
    let mut threshold_ms = None;
    let mut implied = None;
    let keys = std::iter::once(("threshold", None)).chain(QUANTILES.map(|(key, percent)| (key, Some(percent))));
    for (key, percent) in keys {
        let Some(node) = fields.node(key) else { continue };
        let key_span = fields.key_span(key).unwrap_or(node.span);
        if let Some((first, _)) = given.first() {
            let message = format!("{first} has set the threshold already");
            fields.decoder.error_with_help(key_span, message, "write one of them; a second threshold is a second SLO");
        }
        given.push((key, key_span));
        threshold_ms = fields.decoder.positive_duration(node).and_then(|limit| i64::try_from(limit.as_millis()).ok());
        if let Some(objective) = percent.and_then(Objective::from_percent) {
            implied = Some((objective, key, key_span));
        }
    }
    if given.is_empty() {
        let help = "write `threshold: 300ms`, or `p95: 300ms` instead of the objective";
        fields.decoder.error_with_help(span, "the threshold of the latency is missing", help);
    }
    (threshold_ms, implied)
}

/// The selectors of the buckets and of `_count`.
fn read_histogram(decoder: &mut Decoder<'_>, node: &Node) -> Option<(Selector, Selector)> {
    let selector = selector::read(decoder, node)?;
    let name = selector.matchers.iter().find(|test| &*test.name == METRIC_NAME && test.op == MatchOp::Equal);
    let Some(name) = name.map(|test| test.value.to_string()) else {
        let help = "write a name first, such as `http_request_duration_seconds{job=\"api\"}`";
        decoder.error_with_help(node.span, "the histogram needs a metric name", help);
        return None;
    };
    if selector.matchers.iter().any(|test| &*test.name == BOUND) {
        decoder.error_with_help(
            node.span,
            "the histogram is selected with a bound",
            "leave out le: the threshold chooses the bucket",
        );
        return None;
    }
    let base = name.strip_suffix("_bucket").unwrap_or(&name);
    let part = |suffix: &str| {
        let full = format!("{base}{suffix}");
        let matchers = selector.matchers.iter().map(|test| match &*test.name {
            METRIC_NAME => Matcher::equal(METRIC_NAME, full.as_str()),
            _ => test.clone(),
        });
        Selector { text: selector.text.replacen(&name, &full, 1).into(), matchers: matchers.collect() }
    };
    Some((part("_bucket"), part("_count")))
}
