//! The alerts that are known, by identity.
//!
//! In the flow: events are merged in here; groups and the API read from here.
//!
//! **Invariants.** One entry per label set. [`StoredAlert::version`] grows with every change, so that a flush can tell
//! whether an alert is still the one it sent.
//! **Limits.** Ended alerts that no group holds are dropped every [`GC_INTERVAL`].
//! **Source.** Alertmanager 0.33 `provider/mem/mem.go`, `alert/alert.go` (`Merge`, `Validate`), `api/v2/api.go`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::PostedAlert;
use crate::model::{Alert, Fingerprint, Timestamp};

/// How often ended alerts are dropped; Alertmanager's `--alerts.gc-interval`.
pub(crate) const GC_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// An alert and what is known of its arrival.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAlert {
    /// The alert as merged so far.
    pub alert: Alert,
    /// When it arrived last.
    pub updated_at: Timestamp,
    /// Whether its end was not given but is the resolve timeout.
    pub is_timeout: bool,
    /// Counts changes of all alerts of the store.
    pub version: u64,
}

/// All alerts, in order of fingerprint.
#[derive(Clone, Debug, Default)]
pub(crate) struct AlertStore {
    alerts: BTreeMap<Fingerprint, StoredAlert>,
    version: u64,
}

impl AlertStore {
    /// Merges in an alert that arrived at `now` and says what it is now.
    pub(crate) fn put(&mut self, alert: Alert, is_timeout: bool, now: Timestamp) -> (Fingerprint, &Alert) {
        let fingerprint = alert.fingerprint();
        self.version += 1;
        let mut new = StoredAlert { alert, updated_at: now, is_timeout, version: self.version };
        if let Some(old) = self.alerts.get(&fingerprint).filter(|old| overlaps(&old.alert, &new.alert)) {
            merge(old, &mut new, now);
        }
        let stored = self.alerts.entry(fingerprint).insert_entry(new).into_mut();
        (fingerprint, &stored.alert)
    }

    /// Takes up an alert of an earlier life.
    pub(crate) fn restore(&mut self, stored: StoredAlert) {
        self.version += 1;
        self.alerts.insert(stored.alert.fingerprint(), StoredAlert { version: self.version, ..stored });
    }

    /// What fired at `from` and has not arrived since fires for `by` longer.
    pub(crate) fn prolong(&mut self, from: Timestamp, by: Duration) {
        let fired = |stored: &&mut StoredAlert| stored.updated_at <= from && stored.alert.ends_at > from;
        for stored in self.alerts.values_mut().filter(fired) {
            self.version += 1;
            stored.version = self.version;
            stored.alert.ends_at = stored.alert.ends_at + by;
        }
    }

    /// The version of the last change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn len(&self) -> usize {
        self.alerts.len()
    }

    pub(crate) fn get(&self, fingerprint: Fingerprint) -> Option<&StoredAlert> {
        self.alerts.get(&fingerprint)
    }

    /// In order of fingerprint.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Fingerprint, &StoredAlert)> + Clone {
        self.alerts.iter().map(|(fingerprint, stored)| (*fingerprint, stored))
    }

    /// Drops what has ended at `now` and is not `held` by a group.
    pub(crate) fn collect_garbage(&mut self, now: Timestamp, held: impl Fn(Fingerprint) -> bool) {
        self.alerts.retain(|fingerprint, stored| !stored.alert.is_resolved_at(now) || held(*fingerprint));
    }
}

/// Whether the new alert begins or ends strictly inside the old one. A plain repetition does neither and replaces it.
fn overlaps(old: &Alert, new: &Alert) -> bool {
    (new.ends_at > old.starts_at && new.ends_at < old.ends_at)
        || (new.starts_at > old.starts_at && new.starts_at < old.ends_at)
}

/// The younger one gives annotations and link; the earliest start counts; an end that was really given outlives a timeout.
fn merge(old: &StoredAlert, new: &mut StoredAlert, now: Timestamp) {
    new.alert.starts_at = new.alert.starts_at.min(old.alert.starts_at);
    let is_old_later = old.alert.ends_at > new.alert.ends_at;
    let keeps_old_end = if new.alert.is_resolved_at(now) { old.alert.is_resolved_at(now) } else { !old.is_timeout };
    if is_old_later && keeps_old_end {
        new.alert.ends_at = old.alert.ends_at;
    }
}

/// Completes an alert that came through the API. The second value: whether its end is the resolve timeout.
pub(crate) fn complete(posted: PostedAlert, now: Timestamp, resolve_timeout: Duration) -> (Alert, bool) {
    let starts_at = posted.starts_at.or(posted.ends_at).unwrap_or(now);
    let alert = Alert {
        labels: posted.labels,
        annotations: posted.annotations,
        starts_at,
        ends_at: posted.ends_at.unwrap_or(now + resolve_timeout),
        generator_url: posted.generator_url,
    };
    (alert, posted.ends_at.is_none())
}

impl PostedAlert {
    /// Whether it can be taken in at `now`; Alertmanager's words if not.
    pub fn check(&self, now: Timestamp, resolve_timeout: Duration) -> Result<(), String> {
        let (alert, _) = complete(self.clone(), now, resolve_timeout);
        if alert.ends_at < alert.starts_at {
            return Err("start time must be before end time".to_owned());
        }
        if alert.labels.is_empty() {
            return Err("at least one label pair required".to_owned());
        }
        for (labels, what) in [(&alert.labels, "label set"), (&alert.annotations, "annotations")] {
            if labels.get("").is_some() {
                return Err(format!("invalid {what}: invalid name \"\""));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;

    fn alert(starts_at: i64, ends_at: i64, text: &str) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", "A")]),
            annotations: Labels::from_pairs([("text", text)]),
            starts_at: Timestamp::from_ms(starts_at),
            ends_at: Timestamp::from_ms(ends_at),
            generator_url: String::new(),
        }
    }

    /// Puts `first` at 10 and `second` at `now`; each is (start, end, is_timeout). Expects start and end.
    fn check(first: (i64, i64, bool), second: (i64, i64, bool), now: i64, expected: (i64, i64)) {
        let mut store = AlertStore::default();
        store.put(alert(first.0, first.1, "old"), first.2, Timestamp::from_ms(10));
        let (_, merged) = store.put(alert(second.0, second.1, "new"), second.2, Timestamp::from_ms(now));
        assert_eq!((merged.starts_at.as_ms(), merged.ends_at.as_ms()), expected);
        assert_eq!(merged.annotations.get("text"), Some("new"));
        assert_eq!(store.iter().count(), 1);
    }

    #[test]
    fn merges_as_alertmanager() {
        // A repetition replaces.
        check((5, 100, false), (5, 120, false), 20, (5, 120));
        // A later start inside keeps the earlier one.
        check((5, 100, false), (50, 120, false), 60, (5, 120));
        // Resolved now: its end counts although the old one lay later.
        check((5, 100, false), (5, 30, false), 40, (5, 30));
        // Still firing with an earlier end: the old end counts if it was given, not if it was a timeout.
        check((5, 100, false), (5, 80, false), 40, (5, 100));
        check((5, 100, true), (5, 80, false), 40, (5, 80));
        // Both resolved: the later end.
        check((5, 30, false), (6, 20, false), 40, (5, 30));
        // No overlap: replaced.
        check((5, 30, false), (50, 100, false), 60, (50, 100));
    }

    #[test]
    fn completes_missing_times() {
        let now = Timestamp::from_ms(1_000_000);
        let timeout = Duration::from_secs(300);
        let posted = |starts_at: Option<i64>, ends_at: Option<i64>| PostedAlert {
            labels: Labels::empty(),
            annotations: Labels::empty(),
            starts_at: starts_at.map(Timestamp::from_ms),
            ends_at: ends_at.map(Timestamp::from_ms),
            generator_url: String::new(),
        };
        for (given, expected) in [
            ((None, None), (1_000_000, 1_300_000, true)),
            ((None, Some(7)), (7, 7, false)),
            ((Some(5), None), (5, 1_300_000, true)),
            ((Some(5), Some(7)), (5, 7, false)),
        ] {
            let (alert, is_timeout) = complete(posted(given.0, given.1), now, timeout);
            assert_eq!((alert.starts_at.as_ms(), alert.ends_at.as_ms(), is_timeout), expected);
        }
    }
}
