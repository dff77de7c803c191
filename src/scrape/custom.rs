//! Classic histograms of a text become native ones with custom buckets: their series are collected as they come by.
//!
//! **Source.** Prometheus 3.5 `model/textparse/nhcbparse.go`. A histogram's series stand together; where others come between, it
//! is over.

use super::error::ScrapeError;
use super::exposed::{Exposed, labels_of, sort};
use crate::exposition::{ClassicHistogram, LabelPair, Measured, Series};
use crate::model::{Exemplar, Histogram, Labels, METRIC_NAME, MetricKind, StartTime, Timestamp};

/// No series of a text begins with this byte.
const KEY_START: u8 = 6;

/// What is known of the histogram whose series come by.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// That the last TYPE line named.
    family: String,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    /// The family's name, and all labels without the bound.
    labels: Labels,
    classic: ClassicHistogram,
    timestamp_ms: Option<i64>,
    exemplars: Vec<Exemplar>,
}

/// One that is whole.
#[derive(Debug)]
pub(super) struct Custom {
    key: Vec<u8>,
    labels: Labels,
    histogram: Histogram,
    timestamp_ms: Option<i64>,
    exemplars: Vec<Exemplar>,
}

/// Which series of a histogram.
enum Part {
    Bucket(f64),
    Count,
    Sum,
}

impl Collector {
    /// A TYPE line: what came before is over.
    pub(super) fn family(&mut self, name: &str) -> Option<Custom> {
        let finished = self.finish();
        self.family.clear();
        self.family.push_str(name);
        finished
    }

    /// A sample: the histogram that it ends, and whether it belongs to one itself.
    pub(super) fn series(&mut self, series: &Series<'_>) -> (Option<Custom>, bool) {
        let Some((part, labels)) = self.part(series) else { return (self.finish(), false) };
        let goes_on = self.pending.as_ref().is_some_and(|pending| pending.labels == labels);
        let finished = if goes_on { None } else { self.finish() };
        let pending = self.pending.get_or_insert_with(|| Pending {
            labels,
            classic: ClassicHistogram::default(),
            timestamp_ms: None,
            exemplars: Vec::new(),
        });
        match part {
            Part::Bucket(bound) => pending.classic.set_bucket(bound, series.value),
            Part::Count => pending.classic.set_count(series.value),
            Part::Sum => pending.classic.set_sum(series.value),
        }
        pending.timestamp_ms = series.timestamp_ms;
        // As those of every native histogram, they count only with a time of their own.
        let timed = series.exemplar.as_ref().and_then(|exemplar| Some((exemplar, exemplar.timestamp_ms?)));
        pending.exemplars.extend(timed.map(|(exemplar, ms)| Exemplar {
            labels: labels_of(exemplar.labels()),
            value: exemplar.value,
            at: Timestamp::from_ms(ms),
        }));
        (finished, true)
    }

    /// What came so far is over.
    pub(super) fn finish(&mut self) -> Option<Custom> {
        let Pending { labels, classic, timestamp_ms, mut exemplars } = self.pending.take()?;
        sort(&mut exemplars);
        let histogram = classic.convert(MetricKind::Histogram)?;
        let mut key = vec![KEY_START];
        for text in labels.iter().flat_map(|label| [&label.name, &label.value]) {
            key.extend_from_slice(&(text.len() as u64).to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        }
        Some(Custom { key, labels, histogram, timestamp_ms, exemplars })
    }

    fn part(&self, series: &Series<'_>) -> Option<(Part, Labels)> {
        if series.kind != MetricKind::Histogram {
            return None;
        }
        let mut exposed: Vec<LabelPair<'_>> = series.labels().collect();
        let name = exposed.iter_mut().find(|pair| pair.name == METRIC_NAME)?;
        let suffix = name.value.strip_prefix(self.family.as_str())?.to_owned();
        name.value = self.family.clone().into();
        let part = match suffix.as_str() {
            "_bucket" => {
                let bound = exposed.iter().find(|pair| pair.name == "le")?.value.parse::<f64>().ok()?;
                Part::Bucket(Some(bound).filter(|bound| !bound.is_nan())?)
            }
            "_count" => Part::Count,
            "_sum" => Part::Sum,
            _ => return None,
        };
        exposed.retain(|pair| pair.name != "le");
        Some((part, labels_of(exposed)))
    }
}

impl Exposed for Custom {
    fn key(&self) -> &[u8] {
        &self.key
    }

    fn kind(&self) -> MetricKind {
        MetricKind::Histogram
    }

    fn timestamp_ms(&self) -> Option<i64> {
        self.timestamp_ms
    }

    fn start(&self) -> Option<StartTime> {
        None
    }

    fn labels(&self) -> Result<Vec<LabelPair<'_>>, ScrapeError> {
        let pairs =
            self.labels.iter().map(|label| LabelPair { name: (&*label.name).into(), value: (&*label.value).into() });
        Ok(pairs.collect())
    }

    fn exemplars(&self, _: Timestamp) -> Result<Vec<Exemplar>, ScrapeError> {
        Ok(self.exemplars.clone())
    }

    fn measured(self) -> Measured {
        Measured::Custom(Box::new(self.histogram))
    }
}
