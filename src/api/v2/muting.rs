//! Why an alert is not notified: what inhibits it and what silences it.

use serde_json::{Value, json};

use super::params::Filter;
use crate::model::{Fingerprint, Labels, Timestamp};
use crate::router::{Router, SilenceId};

/// What keeps one alert quiet.
pub(super) struct Muting {
    inhibited_by: Option<Fingerprint>,
    silenced_by: Vec<SilenceId>,
}

/// What keeps alerts with these `labels` quiet at `now`, one answer for each.
pub(super) fn muting<'a>(
    router: &Router,
    now: Timestamp,
    labels: impl Iterator<Item = &'a Labels> + Clone,
) -> Vec<Muting> {
    let silencer = router.silences().silencer(now);
    let inhibited_by = router.inhibited_by(now, labels.clone());
    labels
        .zip(inhibited_by)
        .map(|(labels, inhibited_by)| Muting { inhibited_by, silenced_by: silencer.silenced_by(labels) })
        .collect()
}

impl Muting {
    /// Whether alerts of this state are asked for.
    pub(super) fn passes(&self, filter: &Filter) -> bool {
        (filter.silenced || self.silenced_by.is_empty())
            && (filter.inhibited || self.inhibited_by.is_none())
            && (filter.active || self.is_suppressed())
    }

    /// The `status` of an alert.
    pub(super) fn status(&self) -> Value {
        let inhibited_by: Vec<String> = self.inhibited_by.iter().map(Fingerprint::to_string).collect();
        let silenced_by: Vec<String> = self.silenced_by.iter().map(SilenceId::to_string).collect();
        json!({
            "inhibitedBy": inhibited_by,
            "mutedBy": [],
            "silencedBy": silenced_by,
            "state": if self.is_suppressed() { "suppressed" } else { "active" },
        })
    }

    fn is_suppressed(&self) -> bool {
        self.inhibited_by.is_some() || !self.silenced_by.is_empty()
    }
}
