//! Timelines under virtual time, and the counting rules against a naive model.

mod backtest;
mod closed_form;
mod counting;
mod event_log;
mod forecasts;
mod late;
mod latency;
mod measured;
mod partly;
mod peak_hour;
mod policies;
mod queries;
mod replicas;
mod specs;
mod timelines;
mod warm;
mod witnesses;

use std::time::Duration;

use crate::model::{Labels, METRIC_NAME, Matcher, Sample, Series, Timestamp};
use crate::promql::{Dialect, Querier, QuerierError};
use crate::rules::Environment;
use crate::source::SourceFile;

use super::{Accounting, Excluded, Figures, Slo, SloFile, View, parse_file};

/// A source that cannot be read.
struct Broken;

impl Querier for Broken {
    fn select(&self, _: &[Matcher], _: Timestamp, _: Timestamp) -> Result<Vec<Series>, QuerierError> {
        Err(QuerierError("no route to host".to_owned()))
    }
}

/// Stored samples, as far as they have been committed.
#[derive(Default)]
struct Tape {
    series: Vec<Series>,
}

impl Tape {
    /// Appends a sample; series are made as they are named.
    fn push(&mut self, labels: &Labels, at: Timestamp, value: f64) {
        let sample = Sample::float(at, value);
        match self.series.iter_mut().find(|series| series.labels == *labels) {
            Some(series) => series.samples.push(sample),
            None => self.series.push(Series::new(labels.clone(), vec![sample])),
        }
    }
}

impl Querier for Tape {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QuerierError> {
        let found = self.series.iter().filter(|series| matchers.iter().all(|test| test.matches_labels(&series.labels)));
        let mut cut: Vec<Series> = found
            .map(|series| {
                let first = series.samples.partition_point(|sample| sample.at < start);
                let past = series.samples.partition_point(|sample| sample.at <= end);
                Series::new(series.labels.clone(), series.samples[first..past.max(first)].to_vec())
            })
            .filter(|series| !series.samples.is_empty())
            .collect();
        cut.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(cut)
    }
}

fn labels(name: &str, pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied().chain([(METRIC_NAME, name)]))
}

/// What the counters gained in the window: the partial one, and all.
fn events(accounting: &Accounting, group: &Labels, end: Timestamp, window: Duration) -> (f64, f64) {
    let (now, then) = (accounting.events_total(group, end), accounting.events_total(group, end - window));
    (now.0 - then.0, now.1 - then.1)
}

/// The figures of an objective that is not grouped.
fn figures(slo: &Slo, accounting: &Accounting, at: Timestamp) -> Figures {
    Figures::compute(&View::new(slo, accounting, &Labels::empty(), Excluded::default()), at, None)
}

fn secs(secs: i64) -> Timestamp {
    Timestamp::from_ms(secs * 1000)
}

/// As the daemon has it by default.
fn environment() -> Environment {
    Environment {
        external_labels: Labels::empty(),
        external_url: "http://almenara".into(),
        lookback_delta: Duration::from_secs(300),
        default_subquery_step: Duration::from_secs(60),
        dialect: Dialect::default(),
        resend_delay: Duration::from_secs(60),
    }
}

/// A file that must be right.
fn file(text: &str) -> SloFile {
    let (file, diagnostics) = parse_file(&SourceFile::new("slo.yml", text));
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    file.expect("BUG: no file and no error")
}
