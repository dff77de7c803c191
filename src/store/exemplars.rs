//! The newest exemplars: examples of what samples count, each with the trace that led to it.
//!
//! In the flow: scrapes and remote writes [`ExemplarStore::add`]; the exemplar API [`ExemplarStore::select`]s. Apart from samples: they are
//! neither evaluated nor kept for the retention time; the newest [`EXEMPLARS_MAX`] of all series are.
//!
//! **Invariants.** Those of a series are in order of time, then value, then labels.
//! **Source.** Prometheus 3.5 `tsdb/exemplar.go`.
//! **Differs:** exemplars are always kept; Prometheus needs `--enable-feature=exemplar-storage`. How many is fixed.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use parking_lot::RwLock;

use crate::model::{Exemplar, Labels, Matcher, Timestamp};

/// Exemplars kept. Prometheus's default of `storage.exemplars.max_exemplars`; about 200 bytes each.
pub(super) const EXEMPLARS_MAX: usize = 100_000;
/// Characters of all names and values of an exemplar. **Source.** OpenMetrics 1.0, exemplars.
const LABEL_CHARS_MAX: usize = 128;

/// Why an exemplar was not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExemplarRefusal {
    /// Before the newest of its series.
    OutOfOrder,
    /// More characters in its labels than the standard allows.
    LabelsTooLong,
}

/// See the module head.
#[derive(Debug, Default)]
pub struct ExemplarStore(RwLock<Held>);

#[derive(Debug, Default)]
struct Held {
    by_series: BTreeMap<Labels, VecDeque<Exemplar>>,
    /// The series of each exemplar in the order they came. The first names the one that has to go.
    order: VecDeque<Labels>,
}

impl ExemplarStore {
    /// An empty one.
    pub fn new() -> Self {
        ExemplarStore::default()
    }

    /// Keeps an exemplar of the series. One that is there already is fine.
    pub fn add(&self, series: &Labels, exemplar: Exemplar) -> Result<(), ExemplarRefusal> {
        let chars = |text: &str| text.chars().count();
        if exemplar.labels.iter().map(|label| chars(&label.name) + chars(&label.value)).sum::<usize>() > LABEL_CHARS_MAX
        {
            return Err(ExemplarRefusal::LabelsTooLong);
        }
        let mut held = self.0.write();
        if let Some(newest) = held.by_series.get(series).and_then(VecDeque::back) {
            match compare(&exemplar, newest) {
                Ordering::Less => return Err(ExemplarRefusal::OutOfOrder),
                Ordering::Equal => return Ok(()),
                Ordering::Greater => {}
            }
        }
        held.push(series, exemplar);
        Ok(())
    }

    /// The exemplars in `start..=end` of the series that pass all matchers of any set, in order of label set.
    pub fn select(&self, sets: &[Vec<Matcher>], start: Timestamp, end: Timestamp) -> Vec<(Labels, Vec<Exemplar>)> {
        let is_wanted =
            |labels: &Labels| sets.iter().any(|set| set.iter().all(|matcher| matcher.matches_labels(labels)));
        let held = self.0.read();
        let wanted = held.by_series.iter().filter(|(labels, _)| is_wanted(labels));
        wanted
            .map(|(labels, all)| {
                let inside = all.iter().filter(|exemplar| (start..=end).contains(&exemplar.at));
                (labels.clone(), inside.cloned().collect::<Vec<_>>())
            })
            .filter(|(_, inside)| !inside.is_empty())
            .collect()
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.0.read().order.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Held {
    fn push(&mut self, series: &Labels, exemplar: Exemplar) {
        if self.order.len() == EXEMPLARS_MAX {
            let oldest = self.order.pop_front().expect("BUG: a full ring is empty");
            let left = self.by_series.get_mut(&oldest).expect("BUG: the ring names a series without exemplars");
            left.pop_front();
            if left.is_empty() {
                self.by_series.remove(&oldest);
            }
        }
        // The key that is there already, so that the texts of a series are held once.
        let key = self.by_series.get_key_value(series).map_or_else(|| series.clone(), |(key, _)| key.clone());
        self.order.push_back(key.clone());
        self.by_series.entry(key).or_default().push_back(exemplar);
    }
}

fn compare(a: &Exemplar, b: &Exemplar) -> Ordering {
    let order = a.at.cmp(&b.at).then_with(|| a.value.total_cmp(&b.value));
    order.then_with(|| a.labels.cmp(&b.labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::METRIC_NAME;

    fn exemplar(at: i64, value: f64, trace: &str) -> Exemplar {
        Exemplar { labels: Labels::from_pairs([("trace_id", trace)]), value, at: Timestamp::from_ms(at) }
    }

    fn series(name: &str) -> Labels {
        Labels::from_pairs([(METRIC_NAME, name)])
    }

    fn select(store: &ExemplarStore, name: &str, start: i64, end: i64) -> Vec<i64> {
        let matcher = Matcher::equal(METRIC_NAME, name);
        let found = store.select(&[vec![matcher]], Timestamp::from_ms(start), Timestamp::from_ms(end));
        found.iter().flat_map(|(_, all)| all.iter().map(|exemplar| exemplar.at.as_ms())).collect()
    }

    #[test]
    fn keeps_order_and_takes_the_same_again() {
        let store = ExemplarStore::new();
        for (new, expected) in [
            (exemplar(10, 1.0, "a"), Ok(())),
            (exemplar(10, 1.0, "a"), Ok(())),
            (exemplar(10, 2.0, "a"), Ok(())),
            (exemplar(10, 1.0, "z"), Err(ExemplarRefusal::OutOfOrder)),
            (exemplar(9, 5.0, "a"), Err(ExemplarRefusal::OutOfOrder)),
            (exemplar(20, 0.0, &"x".repeat(120)), Ok(())),
            (exemplar(30, 0.0, &"x".repeat(121)), Err(ExemplarRefusal::LabelsTooLong)),
        ] {
            assert_eq!(store.add(&series("up"), new.clone()), expected, "{new:?}");
        }
        store.add(&series("down"), exemplar(5, 0.0, "b")).unwrap();
        assert_eq!(
            (store.len(), select(&store, "up", 0, 15), select(&store, "up", 11, 99)),
            (4, vec![10, 10], vec![20])
        );
    }

    #[test]
    fn the_oldest_make_room() {
        let store = ExemplarStore::new();
        store.add(&series("first"), exemplar(0, 0.0, "a")).unwrap();
        for at in 0..EXEMPLARS_MAX as i64 {
            store.add(&series("up"), exemplar(at, 0.0, "a")).unwrap();
        }
        assert_eq!(
            (store.len(), select(&store, "first", 0, 1), select(&store, "up", 0, 1)),
            (EXEMPLARS_MAX, vec![], vec![0, 1])
        );
        store.add(&series("up"), exemplar(1_000_000, 0.0, "a")).unwrap();
        assert_eq!(select(&store, "up", 0, 1), [1]);
    }
}
