//! Where evaluation reads its samples from.

use std::fmt;

use crate::model::{Matcher, Series, Timestamp};
use crate::store::Store;

/// A source of series. The store is one; so are a rule group's uncommitted overlay and a test's series.
pub trait Querier: Sync {
    /// The series that pass all `matchers`, each with its samples in `start..=end`, staleness markers included, in order of
    /// label set. A series without a sample in the range may be left out.
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QuerierError>;
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
}
