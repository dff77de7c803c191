//! The notification log: what each receiver was told last, and whether it must be told something now.
//!
//! In the flow: a flush asks [`LogEntry::decide`]; a delivery report updates the entry.
//!
//! **Invariants.** [`LogEntry::sent`] grows only when a receiver accepted a message. [`LogEntry::owed`] holds every alert
//! that the receiver may believe to be firing: whatever left as firing, accepted or not, until its end was accepted.
//! **Limits.** An entry without a group is dropped [`RETENTION`] after it was written, or two repeat intervals if that is
//! sooner.
//! **Source.** Alertmanager 0.33 `notify/dedup_stage.go`, `nflog/nflog.go`.
//! **Differs:** an alert that left as firing is resolved at the receiver even if that message was never confirmed, was
//! overwritten by later ones, or if the alert is inhibited or routed elsewhere when it ends; upstream forgets it.
//! **Differs:** an alert whose end was sent and never confirmed counts as new when it fires again; upstream takes it for told,
//! and a receiver that did get the end learns nothing until the next repeat.
//! **Differs:** the repeat interval counts from the flush that sent to the flush that asks, and is over when it has passed
//! exactly; upstream counts from the receiver's answer, so that a repeat slips to the next group interval by chance.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{Fingerprint, Timestamp};

/// Longest life of an entry without a group; Alertmanager's `--data.retention`.
pub(crate) const RETENTION: Duration = Duration::from_secs(120 * 3600);

/// Why a notification is sent, or that none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    DoNotNotify,
    FirstNotification,
    NewAlerts,
    SomeResolved,
    AllResolved,
    RepeatInterval,
}

impl Reason {
    /// Alertmanager's words.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::DoNotNotify => "none",
            Reason::FirstNotification => "first notification",
            Reason::NewAlerts => "new alerts added",
            Reason::SomeResolved => "some alerts resolved",
            Reason::AllResolved => "all alerts resolved",
            Reason::RepeatInterval => "repeat interval elapsed",
        }
    }
}

/// The alerts of a message by state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct States {
    pub(crate) firing: BTreeSet<Fingerprint>,
    pub(crate) resolved: BTreeSet<Fingerprint>,
}

/// The last message that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    /// When its flush was.
    pub(crate) at: Timestamp,
    pub(crate) states: States,
}

/// What one integration knows of one group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LogEntry {
    pub(crate) sent: Option<Sent>,
    /// Not kept for integrations that are never told about ends.
    pub(crate) owed: BTreeSet<Fingerprint>,
    /// When the entry may be forgotten unless its group lives.
    pub(crate) expires_at: Timestamp,
}

/// How an integration wants to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) repeat_interval: Duration,
    pub(crate) send_resolved: bool,
}

impl LogEntry {
    /// Whether the receiver must be told that the group is now in `states`.
    pub(crate) fn decide(&self, states: &States, pace: Pace, now: Timestamp) -> Reason {
        match self.decide_as_upstream(states, pace, now) {
            Reason::DoNotNotify if pace.send_resolved && !self.owed.is_disjoint(&states.resolved) => {
                if states.firing.is_empty() { Reason::AllResolved } else { Reason::SomeResolved }
            }
            reason => reason,
        }
    }

    fn decide_as_upstream(&self, states: &States, pace: Pace, now: Timestamp) -> Reason {
        let Some(sent) = &self.sent else {
            return if states.firing.is_empty() { Reason::DoNotNotify } else { Reason::FirstNotification };
        };
        let was_firing = !sent.states.firing.is_empty();
        if !states.firing.is_subset(&sent.states.firing) {
            return if was_firing { Reason::NewAlerts } else { Reason::FirstNotification };
        }
        if states.firing.is_empty() {
            return if was_firing { Reason::AllResolved } else { Reason::DoNotNotify };
        }
        if pace.send_resolved && !states.resolved.is_subset(&sent.states.resolved) {
            return Reason::SomeResolved;
        }
        if now.since(sent.at) >= pace.repeat_interval { Reason::RepeatInterval } else { Reason::DoNotNotify }
    }

    /// Moves every instant `by` earlier.
    pub(crate) fn shift_back(&mut self, by: Duration) {
        self.expires_at = self.expires_at - by;
        if let Some(sent) = &mut self.sent {
            sent.at = sent.at - by;
        }
    }

    /// Notes that a message with `states` leaves, to arrive or not: from here on its firing alerts may be believed to fire,
    /// and its ended ones may be believed to have ended.
    pub(crate) fn expect(&mut self, states: &States) {
        self.owed.extend(&states.firing);
        if let Some(sent) = &mut self.sent {
            sent.states.firing.retain(|fingerprint| !states.resolved.contains(fingerprint));
        }
    }

    /// Records that a message with `states`, flushed at `at`, was accepted.
    pub(crate) fn record(&mut self, at: Timestamp, states: States, repeat_interval: Duration) {
        self.owed.retain(|fingerprint| !states.resolved.contains(fingerprint));
        self.sent = Some(Sent { at, states });
        self.expires_at = at + RETENTION.min(repeat_interval * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(firing: &[u64], resolved: &[u64]) -> States {
        let set = |ids: &[u64]| ids.iter().map(|id| Fingerprint(*id)).collect();
        States { firing: set(firing), resolved: set(resolved) }
    }

    /// What an integration with `send_resolved` hears of `now_states`, `secs` after it was told of `sent`.
    fn check(sent: Option<States>, owed: &[u64], now_states: States, secs: i64, text: &str) {
        assert_eq!(decide(sent, owed, &now_states, secs, true), text);
    }

    fn decide(sent: Option<States>, owed: &[u64], states: &States, secs: i64, send_resolved: bool) -> &'static str {
        let sent = sent.map(|states| Sent { at: Timestamp::from_ms(0), states });
        let owed = owed.iter().map(|id| Fingerprint(*id)).collect();
        let entry = LogEntry { sent, owed, expires_at: Timestamp::MAX };
        let pace = Pace { repeat_interval: Duration::from_secs(100), send_resolved };
        entry.decide(states, pace, Timestamp::from_ms(secs * 1000)).as_str()
    }

    #[test]
    fn the_table_of_upstream() {
        check(None, &[], states(&[1], &[]), 0, "first notification");
        check(None, &[], states(&[], &[1]), 0, "none");
        check(Some(states(&[1], &[])), &[1], states(&[1, 2], &[]), 0, "new alerts added");
        check(Some(states(&[], &[1])), &[], states(&[1], &[]), 0, "first notification");
        check(Some(states(&[1], &[])), &[1], states(&[], &[1]), 0, "all alerts resolved");
        assert_eq!(decide(Some(states(&[1], &[])), &[], &states(&[], &[1]), 0, false), "all alerts resolved");
        check(Some(states(&[], &[1])), &[], states(&[], &[1, 2]), 0, "none");
        check(Some(states(&[1, 2], &[])), &[1, 2], states(&[1], &[2]), 0, "some alerts resolved");
        assert_eq!(decide(Some(states(&[1, 2], &[])), &[], &states(&[1], &[2]), 0, false), "none");
        check(Some(states(&[1], &[])), &[1], states(&[1], &[]), 99, "none");
        check(Some(states(&[1], &[])), &[1], states(&[1], &[]), 100, "repeat interval elapsed");
    }

    #[test]
    fn what_is_owed_is_told() {
        // Left as firing but never confirmed.
        check(None, &[1], states(&[], &[1]), 0, "all alerts resolved");
        // Was inhibited while others were told about.
        check(Some(states(&[], &[2])), &[1], states(&[], &[1]), 0, "all alerts resolved");
        check(Some(states(&[3], &[1])), &[1, 3], states(&[3], &[1]), 0, "some alerts resolved");
        assert_eq!(decide(None, &[1], &states(&[], &[1]), 0, false), "none");
    }
}
