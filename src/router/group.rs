//! A group of alerts: the members, the timer, and the flush that is under way.
//!
//! In the flow: [`super::Router`] keeps groups by [`GroupId`]; a flush turns a group into notifications.
//!
//! **Invariants.** A group has at least one member. Its next flush is always scheduled.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::NotificationId;
use super::route::{self, Route, RouteOptions};
use crate::model::{Alert, Fingerprint, Labels, Timestamp};

/// An attempt may take this long even if the group flushes more often; as in Alertmanager.
pub(crate) const FLUSH_TIMEOUT_MIN: Duration = Duration::from_secs(10);

/// Identity of a group: its route and the values of the labels it is grouped by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupId {
    /// See [`Route::id`].
    pub route: Arc<str>,
    /// The labels that all members share because the route groups by them.
    pub labels: Labels,
}

impl GroupId {
    /// The receiver, which is part of the route's identity.
    pub fn receiver(&self) -> &str {
        self.route.split(route::ID_SEPARATOR).nth(1).unwrap_or_default()
    }
}

/// Whether a member belongs here for all purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// The route leads here.
    Here,
    /// A reload leads it elsewhere; it stays until the receiver that was told of it knows its end.
    Moved,
}

/// Alerts that are notified together.
#[derive(Clone, Debug)]
pub struct AlertGroup {
    pub(crate) options: RouteOptions,
    pub(crate) key: Arc<str>,
    pub(crate) members: BTreeMap<Fingerprint, Member>,
    pub(crate) created_at: Timestamp,
    pub(crate) last_flush: Option<Timestamp>,
    pub(crate) next_flush: Timestamp,
    pub(crate) flush: Option<Flush>,
}

/// A flush whose notifications are under way, or were.
#[derive(Clone, Debug)]
pub(crate) struct Flush {
    /// Notifications without a report yet.
    pub(crate) outstanding: BTreeSet<NotificationId>,
    /// Whether one was given up: then the ended alerts stay for the next flush.
    pub(crate) is_failed: bool,
    /// When those without a report are superseded.
    pub(crate) deadline: Timestamp,
    /// Whether the timer ran out meanwhile, so that the next flush follows at once.
    pub(crate) is_next_due: bool,
    /// The ended alerts handed over, each with its version.
    pub(crate) resolved: Vec<(Fingerprint, u64)>,
}

impl AlertGroup {
    pub(crate) fn new(route: &Route, labels: &Labels, now: Timestamp) -> AlertGroup {
        AlertGroup {
            options: route.options.clone(),
            key: group_key(route, labels).into(),
            members: BTreeMap::new(),
            created_at: now,
            last_flush: None,
            next_flush: now + route.options.group_wait,
            flush: None,
        }
    }

    /// The receiver it notifies.
    pub fn receiver(&self) -> &str {
        &self.options.receiver
    }

    /// Alertmanager's text form of the group.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// When it flushed last.
    pub fn last_flush(&self) -> Option<Timestamp> {
        self.last_flush
    }

    /// When it flushes next.
    pub fn next_flush(&self) -> Timestamp {
        self.next_flush
    }

    /// The alerts that the route leads here, in order of fingerprint.
    pub fn members(&self) -> impl Iterator<Item = Fingerprint> {
        self.members.iter().filter(|(_, member)| **member == Member::Here).map(|(fingerprint, _)| *fingerprint)
    }

    /// Moves every instant `by` earlier.
    pub(crate) fn shift_back(&mut self, by: Duration) {
        self.created_at = self.created_at - by;
        self.last_flush = self.last_flush.map(|at| at - by);
        self.next_flush = self.next_flush - by;
        if let Some(flush) = &mut self.flush {
            flush.deadline = flush.deadline - by;
        }
    }

    /// Takes the options of a new configuration. A timer that would be due by them is due at `now`; others are untouched.
    pub(crate) fn adopt(&mut self, options: &RouteOptions, now: Timestamp) {
        let is_paced_alike =
            self.options.group_wait == options.group_wait && self.options.group_interval == options.group_interval;
        self.options = options.clone();
        if is_paced_alike || self.flush.as_ref().is_some_and(|flush| !flush.outstanding.is_empty()) {
            return;
        }
        let due = match self.last_flush {
            None => self.created_at + self.options.group_wait,
            Some(last) => last + self.options.group_interval,
        };
        self.next_flush = due.max(now);
    }
}

fn group_key(route: &Route, labels: &Labels) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|label| format!("{}={}", label.name, crate::model::quote(&label.value))).collect();
    format!("{}:{{{}}}", route.key, pairs.join(", "))
}

/// Orders alerts as messages show them: by job, instance, then all labels. What lacks a job or instance comes last.
pub fn show_order(a: &Alert, b: &Alert) -> Ordering {
    for name in ["job", "instance"] {
        let order = match (a.labels.get(name), b.labels.get(name)) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        if order.is_ne() {
            return order;
        }
    }
    label_order(&a.labels, &b.labels)
}

/// Alertmanager's order of label sets: fewer labels first; then, at the first name that only one side has, the other side.
pub fn label_order(a: &Labels, b: &Labels) -> Ordering {
    let by_pairs = a.iter().zip(b).map(|(a, b)| b.name.cmp(&a.name).then_with(|| a.value.cmp(&b.value)));
    a.len().cmp(&b.len()).then_with(|| by_pairs.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_label_sets_as_alertmanager() {
        let labels = |pairs: &[(&'static str, &'static str)]| Labels::from_pairs(pairs.iter().copied());
        let sets = [
            labels(&[("z", "9")]),
            labels(&[("b", "1"), ("c", "0")]),
            labels(&[("a", "1"), ("c", "0")]),
            labels(&[("a", "1"), ("b", "0")]),
            labels(&[("a", "1"), ("b", "1")]),
        ];
        assert!(sets.is_sorted_by(|a, b| label_order(a, b) == Ordering::Less));
    }
}
