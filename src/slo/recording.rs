//! Samples that were recorded elsewhere: a file in OpenMetrics text with timestamps.
//!
//! In the flow: `almenara slo backtest` hands in the bytes; [`super::backtest`] replays the samples.
//!
//! **Invariants.** The samples of a series strictly increase in time, and its lines stand together; anything else is an error with its
//! line, since figures from half a file would be wrong.
//! **Cost.** One pass; labels are built once per series. 32 bytes a sample.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::exposition::{Entry, Format, ParseError, Parser};
use crate::model::{Labels, METRIC_NAME, Matcher, MetricKind, Sample, Series, Timestamp};
use crate::store::{Row, Store, StoreOptions};

use super::accounting::Role;
use super::coverage::Coverage;
use super::fold::SCRAPE_COVERS_MS;

/// All samples of a file.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// In order of label set, each with what it tells of its target beside an indicator.
    series: Vec<(Series, Option<Role>)>,
}

/// Why a file is no recording.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordingError {
    /// It is not in the format, or does not end in `# EOF`, so that it may have been cut.
    Format(ParseError),
    /// A sample has no timestamp. The series.
    NoTimestamp(String),
    /// The samples of a series do not increase in time, or its lines do not stand together. The series.
    OutOfOrder(String),
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordingError::Format(error) => write!(f, "{error}"),
            RecordingError::NoTimestamp(series) => write!(f, "a sample of {series} has no timestamp"),
            RecordingError::OutOfOrder(series) => {
                write!(f, "the samples of {series} do not stand together in order of time")
            }
        }
    }
}

impl std::error::Error for RecordingError {}

impl Recording {
    /// Reads OpenMetrics text.
    pub fn parse(body: &[u8]) -> Result<Self, RecordingError> {
        let mut parser = Parser::new(body, Format::OpenMetrics);
        let mut all: HashMap<Labels, (Vec<Sample>, Option<Role>)> = HashMap::new();
        let mut open: Open<'_> = None;
        loop {
            let expected = open.as_ref().map_or(&[][..], |(text, ..)| *text);
            let Some(entry) = parser.next_expecting(expected) else { break };
            let series = match entry.map_err(RecordingError::Format)? {
                Entry::Series(series) => series,
                _ => continue,
            };
            let told = || String::from_utf8_lossy(series.text).into_owned();
            let at = series.timestamp_ms.map(Timestamp::from_ms).ok_or_else(|| RecordingError::NoTimestamp(told()))?;
            if open.as_ref().is_none_or(|(text, ..)| *text != series.text) {
                close(&mut all, open.take())?;
                let labels = Labels::from_pairs(series.labels().map(|pair| (pair.name, pair.value)));
                let role = role(&labels, series.kind);
                open = Some((series.text, labels, role, Vec::new()));
            }
            let samples = open.as_mut().map(|(.., samples)| samples).expect("BUG: a sample outside of a series");
            if samples.last().is_some_and(|last: &Sample| last.at >= at) {
                return Err(RecordingError::OutOfOrder(told()));
            }
            samples.push(Sample::float(at, series.value));
        }
        close(&mut all, open)?;
        let series = all.into_iter().map(|(labels, (samples, role))| (Series::new(labels, samples), role));
        let mut series: Vec<_> = series.collect();
        series.sort_unstable_by(|(a, _), (b, _)| a.labels.cmp(&b.labels));
        Ok(Recording { series })
    }

    /// All series, in order of label set, each with what it tells of its target.
    pub(super) fn series(&self) -> impl Iterator<Item = (&Series, Option<Role>)> {
        self.series.iter().map(|(series, role)| (series, *role))
    }

    /// The series that pass all tests of any selector, as a store that queries can be asked of.
    pub(super) fn store(&self, selectors: &[Vec<Matcher>]) -> Store {
        let store = Store::new(StoreOptions { retention: Duration::MAX });
        let passes = |labels: &Labels, tests: &Vec<Matcher>| tests.iter().all(|test| test.matches_labels(labels));
        for (series, _) in &self.series {
            if selectors.iter().any(|tests| passes(&series.labels, tests)) {
                let series_ref = store.series_ref(&series.labels);
                let row = |sample: &Sample| Row::new(series_ref, sample.at, sample.value.clone());
                store.commit(&series.samples.iter().map(row).collect::<Vec<_>>());
            }
        }
        store
    }

    /// When it was recorded at all: five minutes from each sample of any `up`, or of any series where there is none.
    pub(super) fn awake(&self) -> Coverage {
        let has_up = self.series.iter().any(|(_, role)| *role == Some(Role::Up));
        let mut awake = Coverage::default();
        for (series, _) in self.series.iter().filter(|(_, role)| !has_up || *role == Some(Role::Up)) {
            let mut run: Option<(Timestamp, Timestamp)> = None;
            for at in series.samples.iter().map(|sample| sample.at) {
                let end = at.plus_ms(SCRAPE_COVERS_MS);
                match &mut run {
                    Some((_, covered)) if at <= *covered => *covered = end,
                    _ => run.replace((at, end)).into_iter().for_each(|(start, end)| awake.add(start, end)),
                }
            }
            run.into_iter().for_each(|(start, end)| awake.add(start, end));
        }
        awake
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.series.iter().map(|(series, _)| series.samples.len()).sum()
    }

    /// The first and the last instant.
    pub fn range(&self) -> Option<(Timestamp, Timestamp)> {
        let of = |(series, _): &(Series, Option<Role>)| Some((series.samples.first()?.at, series.samples.last()?.at));
        self.series.iter().filter_map(of).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}

/// The series whose lines are being read: as written, its labels, what it tells, its samples.
type Open<'a> = Option<(&'a [u8], Labels, Option<Role>, Vec<Sample>)>;

fn close(all: &mut HashMap<Labels, (Vec<Sample>, Option<Role>)>, open: Open<'_>) -> Result<(), RecordingError> {
    let Some((text, labels, role, samples)) = open else { return Ok(()) };
    match all.insert(labels, (samples, role)) {
        None => Ok(()),
        Some(_) => Err(RecordingError::OutOfOrder(String::from_utf8_lossy(text).into_owned())),
    }
}

/// What a series tells of its target: that it was scraped, that it was restarted. A gauge tells nothing when it falls.
fn role(labels: &Labels, kind: MetricKind) -> Option<Role> {
    let name = labels.get(METRIC_NAME).unwrap_or_default();
    let is_cumulative = match kind {
        MetricKind::Counter | MetricKind::Histogram => true,
        MetricKind::Summary => name.ends_with("_count") || name.ends_with("_created"),
        MetricKind::Unknown => ["_total", "_bucket", "_count"].iter().any(|suffix| name.ends_with(suffix)),
        _ => false,
    };
    match name {
        "up" => Some(Role::Up),
        "process_start_time_seconds" => Some(Role::StartTime),
        _ if is_cumulative && name.ends_with("_created") => Some(Role::StartTime),
        _ => is_cumulative.then_some(Role::Witness),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, usize, Option<Role>)>, String> {
        let recording = Recording::parse(text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(recording.series().map(|(series, role)| (series.labels.to_string(), series.samples.len(), role)).collect())
    }

    #[test]
    fn series_are_read_with_what_they_tell() {
        let text = "# TYPE b counter\nb_total{x=\"1\"} 1 10\nb_total{x=\"1\"} 2 20\nb_created{x=\"1\"} 5 20\n# TYPE up gauge\nup 1 10\n# EOF\n";
        let expected = [
            ("b_created{x=\"1\"}", 1, Some(Role::StartTime)),
            ("b_total{x=\"1\"}", 2, Some(Role::Witness)),
            ("up", 1, Some(Role::Up)),
        ];
        let found = read(text).unwrap();
        let found: Vec<_> = found.iter().map(|(labels, count, role)| (labels.as_str(), *count, *role)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn half_a_file_is_an_error() {
        for (text, error) in [
            ("a 1 10\n", "data does not end with # EOF"),
            ("a 1\n# EOF\n", "a sample of a has no timestamp"),
            ("a 1 10\na 1 10\n# EOF\n", "the samples of a do not stand together in order of time"),
            ("a 1 10\nb 1 10\na 1 20\n# EOF\n", "the samples of a do not stand together in order of time"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(error), "{text:?}: {found}");
        }
    }
}
