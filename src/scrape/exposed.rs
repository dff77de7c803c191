//! What a sample is to a scrape, whichever format it came in.

use super::error::ScrapeError;
use crate::exposition::{LabelPair, Measured, ProtobufSample, Series};
use crate::model::{Exemplar, Labels, MetricKind, StartTime, Timestamp};

/// A sample that a target exposed.
pub(super) trait Exposed {
    /// What tells its series from the others of the target.
    fn key(&self) -> &[u8];
    fn kind(&self) -> MetricKind;
    fn timestamp_ms(&self) -> Option<i64>;
    fn start(&self) -> Option<StartTime>;
    fn labels(&self) -> Result<Vec<LabelPair<'_>>, ScrapeError>;
    /// In order of time; those without a time of their own have the sample's, `at`.
    fn exemplars(&self, at: Timestamp) -> Result<Vec<Exemplar>, ScrapeError>;
    fn measured(self) -> Measured;
}

impl Exposed for Series<'_> {
    fn key(&self) -> &[u8] {
        self.text
    }

    fn kind(&self) -> MetricKind {
        self.kind
    }

    fn timestamp_ms(&self) -> Option<i64> {
        self.timestamp_ms
    }

    fn start(&self) -> Option<StartTime> {
        None
    }

    fn labels(&self) -> Result<Vec<LabelPair<'_>>, ScrapeError> {
        Ok(Series::labels(self).collect())
    }

    fn exemplars(&self, at: Timestamp) -> Result<Vec<Exemplar>, ScrapeError> {
        let exemplar = self.exemplar.iter().map(|exemplar| Exemplar {
            labels: labels_of(exemplar.labels()),
            value: exemplar.value,
            at: exemplar.timestamp_ms.map_or(at, Timestamp::from_ms),
        });
        Ok(exemplar.collect())
    }

    fn measured(self) -> Measured {
        Measured::Float(self.value)
    }
}

impl Exposed for ProtobufSample<'_> {
    fn key(&self) -> &[u8] {
        self.key
    }

    fn kind(&self) -> MetricKind {
        self.kind
    }

    fn timestamp_ms(&self) -> Option<i64> {
        self.timestamp_ms
    }

    fn start(&self) -> Option<StartTime> {
        self.start_ms.map(Timestamp::from_ms).and_then(StartTime::new)
    }

    fn labels(&self) -> Result<Vec<LabelPair<'_>>, ScrapeError> {
        Ok(ProtobufSample::labels(self)?)
    }

    fn exemplars(&self, at: Timestamp) -> Result<Vec<Exemplar>, ScrapeError> {
        let read = ProtobufSample::exemplars(self)?;
        let mut exemplars: Vec<Exemplar> = read
            .into_iter()
            .map(|exemplar| Exemplar {
                labels: labels_of(exemplar.labels),
                value: exemplar.value,
                at: exemplar.timestamp_ms.map_or(at, Timestamp::from_ms),
            })
            .collect();
        sort(&mut exemplars);
        Ok(exemplars)
    }

    fn measured(self) -> Measured {
        self.value
    }
}

pub(super) fn labels_of<'a>(pairs: impl IntoIterator<Item = LabelPair<'a>>) -> Labels {
    Labels::from_pairs(pairs.into_iter().map(|pair| (pair.name.into_owned(), pair.value.into_owned())))
}

/// In the order in which the store takes them.
pub(super) fn sort(exemplars: &mut [Exemplar]) {
    exemplars.sort_by(|a, b| a.at.cmp(&b.at).then(a.value.total_cmp(&b.value)).then_with(|| a.labels.cmp(&b.labels)));
}
