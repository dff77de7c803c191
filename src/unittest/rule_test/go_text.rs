//! Texts as promtool prints them: label sets, numbers, durations, native histograms.

use std::fmt::Write;

use crate::model::{CounterResetHint, Histogram, HistogramSpan, Labels, is_legacy_name, quote};
use crate::promql::eval::format_go_float;
use crate::promql::eval::native::{CUSTOM_SCHEMA, compacted};

/// `{a="1", b="x"}`, the metric name among them as `__name__`.
pub(super) fn labels_text<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in labels.into_iter().enumerate() {
        text.push_str(if index == 0 { "" } else { ", " });
        if is_legacy_name(name) && !name.contains(':') {
            text.push_str(name);
        } else {
            text.push_str(&quote(name));
        }
        text.push('=');
        text.push_str(&quote(value));
    }
    text.push('}');
    text
}

/// As [`labels_text`], of a label set.
pub(super) fn series_text(labels: &Labels) -> String {
    labels_text(labels.iter().map(|label| (&*label.name, &*label.value)))
}

/// `1.5E+02`: Go's `strconv.FormatFloat(value, 'E', -1, 64)`.
pub(super) fn exponent_text(value: f64) -> String {
    if !value.is_finite() {
        return crate::model::format_float(value);
    }
    let text = format!("{value:E}");
    let (digits, exponent) = text.split_once('E').expect("BUG: no exponent in scientific notation");
    let exponent: i32 = exponent.parse().expect("BUG: an exponent that is no number");
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}E{sign}{:02}", exponent.abs())
}

/// `1h0m0s`, `1.5s`, `250ms`: Go's `time.Duration` of so many milliseconds.
pub(super) fn go_duration(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    if ms == 0 {
        return "0s".to_owned();
    }
    if ms < 1000 {
        return format!("{sign}{ms}ms");
    }
    let (secs, fraction) = (ms / 1000, ms % 1000);
    let mut text = String::from(sign);
    if secs >= 3600 {
        write!(text, "{}h", secs / 3600).expect("BUG: writing to a string failed");
    }
    if secs >= 60 {
        write!(text, "{}m", secs / 60 % 60).expect("BUG: writing to a string failed");
    }
    write!(text, "{}", secs % 60).expect("BUG: writing to a string failed");
    if fraction > 0 {
        let digits = format!(".{fraction:03}");
        text.push_str(digits.trim_end_matches('0'));
    }
    text.push('s');
    text
}

/// `{{schema:1 count:3 sum:5 buckets:[1 2]}}`, the notation in which tests write histograms.
pub(super) fn histogram_text(histogram: &Histogram) -> String {
    let compact = compacted(histogram);
    let mut parts = Vec::new();
    if compact.schema != 0 {
        parts.push(format!("schema:{}", compact.schema));
    }
    let numbers = [
        ("count", compact.count),
        ("sum", compact.sum),
        ("z_bucket", compact.zero_count),
        ("z_bucket_w", compact.zero_threshold),
    ];
    for (key, number) in numbers {
        if number != 0.0 {
            parts.push(format!("{key}:{}", format_go_float(number)));
        }
    }
    if compact.schema == CUSTOM_SCHEMA {
        parts.push(format!("custom_values:{}", list_text(&compact.custom_values)));
    }
    let hint = match compact.counter_reset_hint {
        CounterResetHint::Unknown => None,
        CounterResetHint::Reset => Some("reset"),
        CounterResetHint::NotReset => Some("not_reset"),
        CounterResetHint::Gauge => Some("gauge"),
    };
    parts.extend(hint.map(|hint| format!("counter_reset_hint:{hint}")));
    for (offset_key, key, spans, buckets) in [
        ("offset", "buckets", &compact.positive_spans, &compact.positive_buckets),
        ("n_offset", "n_buckets", &compact.negative_spans, &compact.negative_buckets),
    ] {
        let (offset, filled) = without_gaps(spans, buckets);
        if offset != 0 {
            parts.push(format!("{offset_key}:{offset}"));
        }
        if !filled.is_empty() {
            parts.push(format!("{key}:{}", list_text(&filled)));
        }
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

fn list_text(numbers: &[f64]) -> String {
    let texts: Vec<String> = numbers.iter().map(|number| format_go_float(*number)).collect();
    format!("[{}]", texts.join(" "))
}

/// The notation knows one span only: gaps become empty buckets.
fn without_gaps(spans: &[HistogramSpan], buckets: &[f64]) -> (i32, Vec<f64>) {
    let Some(first) = spans.first() else { return (0, Vec::new()) };
    let mut left = buckets.iter();
    let mut filled = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let gap = if index == 0 { 0 } else { usize::try_from(span.offset).unwrap_or(0) };
        filled.extend(std::iter::repeat_n(0.0, gap));
        filled.extend(left.by_ref().take(span.length as usize));
    }
    (first.offset, filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_go_s() {
        for (value, text) in [
            (0.0, "0E+00"),
            (-1.5, "-1.5E+00"),
            (1e15, "1E+15"),
            (0.05, "5E-02"),
            (1e-300, "1E-300"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(exponent_text(value), text);
        }
        assert_eq!(exponent_text(f64::NAN), "NaN");
        for (ms, text) in [
            (0, "0s"),
            (250, "250ms"),
            (1500, "1.5s"),
            (60_000, "1m0s"),
            (3_600_000, "1h0m0s"),
            (86_461_010, "24h1m1.01s"),
            (-90_000, "-1m30s"),
        ] {
            assert_eq!(go_duration(ms), text);
        }
    }

    #[test]
    fn label_sets_hold_the_name() {
        let labels = Labels::from_pairs([("__name__", "up"), ("a.b", "x\"y"), ("job", "a")]);
        assert_eq!(series_text(&labels), r#"{__name__="up", "a.b"="x\"y", job="a"}"#);
        assert_eq!(series_text(&Labels::empty()), "{}");
    }

    #[test]
    fn histograms_are_written_as_they_are_read() {
        for text in [
            "{{schema:1 count:3 sum:-0.5 z_bucket:1 z_bucket_w:0.001 offset:-2 buckets:[1 0 1]}}",
            "{{schema:-53 count:5 sum:4 custom_values:[1 2] buckets:[2 3]}}",
            "{{count:2 counter_reset_hint:gauge n_offset:3 n_buckets:[1 1]}}",
            "{{}}",
        ] {
            let values = crate::unittest::series::parse_values(text).unwrap();
            let crate::unittest::series::SeriesValue::Histogram { histogram, .. } = &values[0] else {
                panic!("{text}")
            };
            assert_eq!(histogram_text(histogram), text);
        }
    }
}
