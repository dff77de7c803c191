//! `--debug`: every sample of a test, input and recorded.

use std::time::Duration;

use crate::model::{METRIC_NAME, MatchOp, Matcher, Timestamp, Value, format_float};
use crate::promql::Querier;
use crate::promql::eval::histogram_text;

use super::go_text::{go_duration, series_text};

/// promtool's dump up to the whole second after `until`, which the first instant itself is not part of.
pub(super) fn of(querier: &dyn Querier, start: Timestamp, until: Duration) -> String {
    let span_ms = i64::try_from(until.as_secs()).unwrap_or(i64::MAX / 2000).saturating_add(1) * 1000;
    let any = Matcher::new(MatchOp::Regex, METRIC_NAME, ".+").expect("BUG: a pattern of ours is wrong");
    let series = querier.select(&[any], start.plus_ms(1), start.plus_ms(span_ms)).unwrap_or_default();
    let mut text = format!("Dump of all data (input_series and rules) at {}:\n", go_duration(span_ms));
    let blocks: Vec<String> = series
        .iter()
        .filter_map(|series| {
            let live = series.samples.iter().filter(|sample| !sample.value.is_stale());
            let points = live.map(|sample| format!("{} @[{}]", value_text(&sample.value), sample.at.as_ms()));
            let points: Vec<String> = points.collect();
            (!points.is_empty()).then(|| format!("{} =>\n{}", series_text(&series.labels), points.join("\n")))
        })
        .collect();
    text.push_str(&blocks.join("\n"));
    text
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Float(value) => format_float(*value),
        Value::Histogram(histogram) => histogram_text(histogram),
    }
}
