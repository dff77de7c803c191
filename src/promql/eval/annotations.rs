//! Warnings and infos: what there is to say about an answer besides the answer.
//!
//! Each text is said once however often it arises; the last place where it arose is shown.
//! **Source.** Prometheus `util/annotations/annotations.go`.

use std::fmt::Write;

use rustc_hash::FxHashMap;

use crate::model::Timestamp;
use crate::source::Span;

use super::number::{format_go_float, format_two_digits};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Warning,
    Info,
}

#[derive(Debug)]
struct Annotation {
    severity: Severity,
    text: String,
    span: Span,
    detail: Detail,
}

/// What grows when a text arises again.
#[derive(Clone, Copy, Debug)]
enum Detail {
    None,
    Forced(ForcedMonotonicity),
    /// How often it arose, shown where that was more than once.
    Occurrences(usize),
}

/// Where and by how much the buckets of classic histograms were not monotonic.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForcedMonotonicity {
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
    pub(super) lowest_bucket: f64,
    pub(super) highest_bucket: f64,
    pub(super) largest_difference: f64,
    pub(super) histograms: usize,
}

impl ForcedMonotonicity {
    fn merge(&mut self, other: ForcedMonotonicity) {
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
        self.lowest_bucket = self.lowest_bucket.min(other.lowest_bucket);
        self.highest_bucket = self.highest_bucket.max(other.highest_bucket);
        self.largest_difference = self.largest_difference.max(other.largest_difference);
        self.histograms += other.histograms;
    }
}

/// What was said so far, in order.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    said: Vec<Annotation>,
    by_text: FxHashMap<String, usize>,
}

impl Annotations {
    fn add(&mut self, severity: Severity, text: String, span: Span, detail: Detail) {
        let prefix = match severity {
            Severity::Warning => "PromQL warning",
            Severity::Info => "PromQL info",
        };
        let text = format!("{prefix}: {text}");
        match self.by_text.get(&text) {
            Some(&index) => {
                let said = &mut self.said[index];
                match (&mut said.detail, detail) {
                    (Detail::Forced(earlier), Detail::Forced(later)) => earlier.merge(later),
                    (Detail::Occurrences(earlier), Detail::Occurrences(later)) => *earlier += later,
                    _ => said.span = span,
                }
            }
            None => {
                self.by_text.insert(text.clone(), self.said.len());
                self.said.push(Annotation { severity, text, span, detail });
            }
        }
    }

    pub(super) fn warn(&mut self, span: Span, text: impl Into<String>) {
        self.add(Severity::Warning, text.into(), span, Detail::None);
    }

    pub(super) fn info(&mut self, span: Span, text: impl Into<String>) {
        self.add(Severity::Info, text.into(), span, Detail::None);
    }

    pub(super) fn forced_monotonicity(&mut self, span: Span, metric: &str, forced: ForcedMonotonicity) {
        let text = for_metric(
            "input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
            metric,
        );
        self.add(Severity::Info, text, span, Detail::Forced(forced));
    }

    pub(super) fn invalid_quantile(&mut self, span: Span, quantile: f64) {
        let quantile = format_go_float(quantile);
        self.warn(span, format!("quantile value should be between 0 and 1, got {quantile}"));
    }

    pub(super) fn mixed_samples(&mut self, span: Span, metric: &str) {
        self.warn(span, format!("encountered a mix of histograms and floats for metric name {metric:?}"));
    }

    pub(super) fn mixed_schemas(&mut self, span: Span, metric: &str) {
        let text = "vector contains a mix of histograms with exponential and custom buckets schemas for metric name";
        self.warn(span, format!("{text} {metric:?}"));
    }

    pub(super) fn not_a_counter(&mut self, span: Span, metric: &str) {
        self.warn(span, format!("this native histogram metric is not a counter: {metric:?}"));
    }

    pub(super) fn not_a_gauge(&mut self, span: Span, metric: &str) {
        self.warn(span, format!("this native histogram metric is not a gauge: {metric:?}"));
    }

    pub(super) fn reconciled_bounds(&mut self, span: Span, operation: &str) {
        self.info(span, format!("mismatched custom buckets were reconciled during {operation}"));
    }

    pub(super) fn overlapping_starts(&mut self, span: Span, metric: &str) {
        let text = format!("sample has start time that overlaps with previous sample timestamp for metric {metric:?}");
        self.add(Severity::Warning, text, span, Detail::Occurrences(1));
    }

    pub(super) fn reset_collision(&mut self, span: Span, operation: &str) {
        self.warn(span, format!("conflicting counter resets during histogram {operation}"));
    }

    pub(super) fn ignored_in_range(&mut self, span: Span, metric: &str) {
        let text = "ignored histograms in a range containing both floats and histograms for metric name";
        self.info(span, format!("{text} {metric:?}"));
    }

    pub(super) fn ignored_in_aggregation(&mut self, span: Span, aggregation: &str) {
        self.info(span, format!("ignored histogram in {aggregation} aggregation"));
    }

    /// Warnings and infos as the API shows them, with positions in `query` unless that is empty.
    pub(super) fn into_texts(self, query: &str) -> (Vec<String>, Vec<String>) {
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        for annotation in self.said {
            let severity = annotation.severity;
            let text = annotation.into_text(query);
            match severity {
                Severity::Warning => warnings.push(text),
                Severity::Info => infos.push(text),
            }
        }
        (warnings, infos)
    }
}

impl Annotation {
    fn into_text(self, query: &str) -> String {
        let mut text = self.text;
        if query.is_empty() {
            return text;
        }
        if let Detail::Forced(forced) = self.detail {
            let write = write!(
                text,
                ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                format_go_float(forced.lowest_bucket),
                format_go_float(forced.highest_bucket),
                format_two_digits(forced.largest_difference),
                forced.histograms,
                whole_seconds(forced.first_at),
                whole_seconds(forced.last_at),
            );
            write.expect("BUG: writing to a string failed");
        }
        if let Detail::Occurrences(count @ 2..) = self.detail {
            write!(text, " ({count} occurrences)").expect("BUG: writing to a string failed");
        }
        let (line, column) = line_and_column(query, self.span.start);
        write!(text, " ({line}:{column})").expect("BUG: writing to a string failed");
        text
    }
}

fn whole_seconds(at: Timestamp) -> String {
    Timestamp::from_ms(at.as_ms() / 1000 * 1000).to_rfc3339()
}

/// Upstream counts bytes, not characters.
fn line_and_column(query: &str, offset: usize) -> (usize, usize) {
    let before = &query.as_bytes()[..offset.min(query.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    (line, before.len() - line_start + 1)
}

/// `text`, and the metric's name unless it is unknown.
pub(super) fn for_metric(text: &str, metric: &str) -> String {
    if metric.is_empty() { text.to_owned() } else { format!("{text} for metric name {metric:?}") }
}
