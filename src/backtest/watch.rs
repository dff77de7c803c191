//! Follows the alerts of a group from slot to slot.
//!
//! **Cost.** A slot at which nothing begins, ends or changes its state costs a look at the names of what was recorded.

use std::collections::HashMap;

use crate::model::{Labels, Timestamp, format_float};
use crate::rules::{AlertState, AlertStatus, Group, Outcome};

use super::episode::{Episode, Failures};
use super::{EPISODES_MAX, feed::Own};
use crate::model::Value;

/// The metric that says which alerts live.
const ALERTS: &str = "ALERTS";

/// What was seen of a rule.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) episodes: Vec<Episode>,
    /// Further ones.
    pub(super) dropped: u64,
    pub(super) failures: Failures,
    /// Lives that go on: where they stand in `episodes`.
    open: HashMap<Labels, usize>,
}

/// What was seen of a group.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) rules: Vec<Seen>,
    /// Series `ALERTS` at the slot before.
    living: usize,
}

impl Watch {
    pub(super) fn new(rules: usize) -> Self {
        Watch { rules: (0..rules).map(|_| Seen::default()).collect(), living: 0 }
    }

    /// Looks at the group after its evaluation at `at`; keeps of what it recorded only what some rule reads.
    pub(super) fn look(&mut self, group: &Group, outcome: &mut Outcome, own: &Own, at: Timestamp) {
        let (mut living, mut is_changed) = (0, !outcome.failures.is_empty());
        outcome.recorded.retain(|recorded| {
            let name = recorded.labels.metric_name();
            if name == ALERTS {
                match recorded.value.is_stale() {
                    true => is_changed = true,
                    false => living += 1,
                }
            }
            own.is_read(name)
        });
        if !is_changed && living == self.living {
            return;
        }
        self.living = living;
        for (seen, rule) in self.rules.iter_mut().zip(group.status().rules) {
            if let Some(reason) = &rule.last_error {
                seen.failures.note(at, reason);
            }
            if let Some(alerting) = &rule.alerting {
                seen.update(&alerting.alerts, at);
            }
        }
    }
}

impl Seen {
    /// `alerts` are in order of labels.
    fn update(&mut self, alerts: &[AlertStatus], at: Timestamp) {
        let episodes = &mut self.episodes;
        self.open.retain(|labels, index| {
            let found = alerts.binary_search_by(|alert| alert.labels.cmp(labels));
            let lives = found.is_ok_and(|found| alerts[found].active_at == episodes[*index].active_at);
            if !lives {
                episodes[*index].ended_at = Some(at);
            }
            lives
        });
        for alert in alerts {
            let index = match self.open.get(&alert.labels) {
                Some(index) => *index,
                None if self.episodes.len() >= EPISODES_MAX => {
                    // Counted once: at the slot at which it began.
                    self.dropped += u64::from(alert.active_at == at);
                    continue;
                }
                None => {
                    self.open.insert(alert.labels.clone(), self.episodes.len());
                    self.episodes.push(begun(alert));
                    self.episodes.len() - 1
                }
            };
            let episode = &mut self.episodes[index];
            if alert.state == AlertState::Firing && episode.fired_at.is_none() {
                *episode = Episode { fired_at: Some(at), ..begun(alert) };
            }
        }
    }
}

fn begun(alert: &AlertStatus) -> Episode {
    let value = match &alert.value {
        Value::Float(value) => format_float(*value).to_string(),
        Value::Histogram(_) => "a histogram".to_owned(),
    };
    Episode {
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        value,
        active_at: alert.active_at,
        fired_at: None,
        ended_at: None,
    }
}
