//! `_created` lines of OpenMetrics as start times of the samples beside them (`--enable-feature=st-storage`).
//!
//! A metric's lines stand together: `requests_total{code="200"}`, `requests_created{code="200"}`; of a histogram all buckets,
//! `_sum`, `_count` and one `_created`. Its value, in seconds, is since when all of them have counted.
//! **Source.** OpenMetrics 1.0, "Counter", "Histogram"; Prometheus 3.14 `model/textparse/openmetricsparse.go`, `StartTimestamp`.

use crate::exposition::Series;
use crate::model::{Labels, METRIC_NAME, MetricKind, StartTime, Timestamp};
use crate::store::Row;

/// What `_created` lines of OpenMetrics are taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CreatedLines {
    /// Series like others, as in Prometheus without its flag.
    #[default]
    Series,
    /// The start times of the series beside them; they are not stored.
    StartTimes,
}

/// Suffixes of the lines of one metric.
const SUFFIXES: [&str; 5] = ["_created", "_total", "_bucket", "_sum", "_count"];

/// Finds the start times in the lines of one body.
#[derive(Default)]
pub(super) struct StartTimeReader {
    /// The metric that the last line belonged to: its name and labels without what tells its lines apart.
    metric: Option<Labels>,
    /// Its first row.
    first_row: usize,
    start: Option<StartTime>,
}

impl StartTimeReader {
    /// Looks at the next line, before its row is made. `true`: it is a `_created` line, which gets no row; the rows of its metric
    /// have their start time.
    pub(super) fn is_created(&mut self, series: &Series<'_>, rows: &mut [Row]) -> bool {
        if !matches!(series.kind, MetricKind::Counter | MetricKind::Histogram | MetricKind::Summary) {
            *self = StartTimeReader::default();
            return false;
        }
        let (metric, suffix) = metric_of(series);
        if self.metric.as_ref() != Some(&metric) {
            *self = StartTimeReader { metric: Some(metric), first_row: rows.len(), start: None };
        }
        if suffix != Some("_created") {
            return false;
        }
        self.start = StartTime::new(Timestamp::from_ms((series.value * 1000.0) as i64));
        rows[self.first_row..].iter_mut().for_each(|row| row.start = self.start);
        true
    }

    /// What is known of the line that was looked at last.
    pub(super) fn start(&self) -> Option<StartTime> {
        self.start
    }
}

/// The metric's labels, its name without suffix among them, and the suffix.
fn metric_of(series: &Series<'_>) -> (Labels, Option<&'static str>) {
    let mut suffix = None;
    let pairs = series.labels().filter_map(|pair| match &*pair.name {
        METRIC_NAME => {
            suffix = SUFFIXES.into_iter().find(|suffix| pair.value.ends_with(suffix));
            let base = pair.value.len() - suffix.map_or(0, str::len);
            Some((METRIC_NAME.to_owned(), pair.value[..base].to_owned()))
        }
        "le" | "quantile" => None,
        name => Some((name.to_owned(), pair.value.into_owned())),
    });
    let labels = Labels::from_pairs(pairs.collect::<Vec<_>>());
    (labels, suffix)
}
