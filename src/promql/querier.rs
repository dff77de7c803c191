//! Where evaluation reads its samples from.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::{Labels, Matcher, Series, Timestamp};
use crate::store::{Amendment, SeriesRef, Store};

/// A source of series. The store is one; so are a rule group's uncommitted overlay and a test's series.
pub trait Querier: Sync {
    /// The series that pass all `matchers`, each with its samples in `start..=end`, staleness markers included, in order of
    /// label set. A series without a sample in the range may be left out.
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QuerierError>;

    /// The series that have got samples since the last call with this `cursor`, which begins at 0, when newer ones had been there for a while, each
    /// with the time of the oldest of these. `None`: there were more than is remembered. A source to which nothing is added has none.
    fn amended(&self, _cursor: &mut u64) -> Option<Vec<(Labels, Timestamp)>> {
        Some(Vec::new())
    }
}

/// A source that could not be read (a remote one, say). The text is the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuerierError(pub String);

impl fmt::Display for QuerierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for QuerierError {}

impl Querier for Store {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QuerierError> {
        Ok(Store::select(self, matchers, start, end))
    }

    fn amended(&self, cursor: &mut u64) -> Option<Vec<(Labels, Timestamp)>> {
        let mut oldest: BTreeMap<SeriesRef, Timestamp> = BTreeMap::new();
        for Amendment { series, at } in self.amendments(cursor)? {
            oldest.entry(series).and_modify(|oldest| *oldest = at.min(*oldest)).or_insert(at);
        }
        let reader = self.reader();
        Some(oldest.into_iter().filter_map(|(series, at)| Some((reader.labels(series)?, at))).collect())
    }
}
