//! From a group whose timer ran out to the messages that its receiver must get.
//!
//! In the flow: [`Router::flush_due`] takes each due group through: mute, compare with the log, render, hand out.
//! **Source.** Alertmanager 0.33 `dispatch/dispatch.go` (`flush`), `notify/` (mute, dedup, retry stages).
//! **Differs:** where an attempt outlives the timer (intervals under ten seconds), the next flush follows as soon as all
//! reports are in, or at the deadline, and supersedes what is missing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::dispatch::{LogKey, UnderWay};
use super::group::{AlertGroup, FLUSH_TIMEOUT_MIN, Flush, GroupId, Member, show_order};
use super::inhibit::Inhibitor;
use super::log::{LogEntry, Pace, Reason, States};
use super::message::Envelope;
use super::receiver::Integration;
use super::{Notification, NotificationId, Router, Silencer};
use crate::model::{Alert, Fingerprint, Labels, Timestamp};

/// A member at the instant of a flush.
struct Candidate {
    fingerprint: Fingerprint,
    alert: Alert,
    version: u64,
    is_resolved: bool,
    /// Neither inhibited nor silenced nor led elsewhere.
    is_open: bool,
}

/// What keeps alerts quiet at the instant of a flush.
struct Muters<'a> {
    inhibitor: Inhibitor<'a>,
    silencer: Silencer<'a>,
}

impl Muters<'_> {
    fn mute(&self, labels: &Labels) -> bool {
        self.silencer.mutes(labels) || self.inhibitor.inhibited_by(labels).is_some()
    }
}

impl Router {
    /// Runs the timers that are due at `now`: those of groups, the longest overdue first, then heartbeats.
    pub fn flush_due(&mut self, now: Timestamp) -> Vec<Notification> {
        self.follow_clock(now);
        let mut notifications = self.flush_groups(now);
        notifications.extend(self.beat(now));
        notifications
    }

    fn flush_groups(&mut self, now: Timestamp) -> Vec<Notification> {
        let mut due: Vec<(Timestamp, GroupId)> = self
            .groups
            .iter()
            .filter(|(_, group)| group.next_flush <= now)
            .map(|(id, group)| (group.next_flush, id.clone()))
            .collect();
        if due.is_empty() {
            return Vec::new();
        }
        due.sort();
        due.iter().for_each(|(_, id)| self.give_up_old_ends(id, now));
        let mut notifications = Vec::new();
        let flushed: Vec<(GroupId, Vec<Candidate>)> = {
            let muters = Muters { inhibitor: self.inhibitor(now), silencer: self.silences.silencer(now) };
            let candidates = |id: &GroupId| self.groups.get(id).map(|group| self.candidates(group, &muters, now));
            due.into_iter().filter_map(|(_, id)| candidates(&id).map(|candidates| (id, candidates))).collect()
        };
        for (id, candidates) in flushed {
            if self.begin_flush(&id, &candidates, now) {
                self.notify(&id, &candidates, now, &mut notifications);
            }
        }
        notifications
    }

    fn candidates(&self, group: &AlertGroup, muters: &Muters<'_>, now: Timestamp) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = group
            .members
            .iter()
            .filter_map(|(fingerprint, member)| {
                let stored = self.alerts.get(*fingerprint)?;
                Some(Candidate {
                    fingerprint: *fingerprint,
                    alert: stored.alert.clone(),
                    version: stored.version,
                    is_resolved: stored.alert.is_resolved_at(now),
                    is_open: *member == Member::Here && !muters.mute(&stored.alert.labels),
                })
            })
            .collect();
        candidates.sort_by(|a, b| show_order(&a.alert, &b.alert));
        candidates
    }

    /// Sets the timer and supersedes what is under way. `false` when that still has time: then the flush waits for it.
    fn begin_flush(&mut self, id: &GroupId, candidates: &[Candidate], now: Timestamp) -> bool {
        self.touch(id);
        let Some(group) = self.groups.get_mut(id) else { return false };
        if let Some(flush) = &mut group.flush {
            if !flush.outstanding.is_empty() && now < flush.deadline {
                flush.is_next_due = true;
                group.next_flush = flush.deadline;
                return false;
            }
            flush.outstanding.iter().for_each(|notification| {
                self.under_way.remove(notification);
            });
        }
        group.last_flush = Some(now);
        group.next_flush = now + group.options.group_interval;
        group.flush = Some(Flush {
            outstanding: BTreeSet::new(),
            is_failed: false,
            deadline: now + group.options.group_interval.max(FLUSH_TIMEOUT_MIN),
            is_next_due: false,
            resolved: candidates.iter().filter(|c| c.is_resolved).map(|c| (c.fingerprint, c.version)).collect(),
        });
        true
    }

    fn notify(&mut self, id: &GroupId, candidates: &[Candidate], now: Timestamp, out: &mut Vec<Notification>) {
        let config = Arc::clone(&self.config);
        let receiver = self.groups.get(id).and_then(|group| config.receiver(&group.options.receiver));
        for integration in receiver.map_or(&[][..], |receiver| &receiver.integrations) {
            let key = (id.clone(), integration.id());
            if let Some(decision) = self.decide(&key, integration, candidates, now) {
                out.extend(self.hand_out(key, integration, decision, now));
            }
        }
        let flush = self.groups.get(id).and_then(|group| group.flush.as_ref());
        if flush.is_some_and(|flush| flush.outstanding.is_empty()) {
            self.finish_flush(id);
        }
    }

    /// What one integration must be told, if anything.
    fn decide(
        &self,
        key: &LogKey,
        integration: &Integration,
        candidates: &[Candidate],
        now: Timestamp,
    ) -> Option<Decision> {
        let group = self.groups.get(&key.0)?;
        let nothing_told = LogEntry::default();
        let entry = self.log.get(key).unwrap_or(&nothing_told);
        let is_told = |c: &&Candidate| c.is_open || (c.is_resolved && entry.owed.contains(&c.fingerprint));
        let mut states = States::default();
        let mut alerts = Vec::new();
        for candidate in candidates.iter().filter(is_told) {
            let set = if candidate.is_resolved { &mut states.resolved } else { &mut states.firing };
            set.insert(candidate.fingerprint);
            if integration.send_resolved || !candidate.is_resolved {
                alerts.push(candidate.alert.clone());
            }
        }
        let repeat_interval = group.options.repeat_interval;
        let reason = entry.decide(&states, Pace { repeat_interval, send_resolved: integration.send_resolved }, now);
        (reason != Reason::DoNotNotify && states != States::default()).then_some(Decision { reason, states, alerts })
    }

    /// Renders a decision and remembers that it is under way. `None` where the receiver does not want to hear of it; then
    /// it counts as told.
    fn hand_out(
        &mut self,
        key: LogKey,
        integration: &Integration,
        decision: Decision,
        now: Timestamp,
    ) -> Option<Notification> {
        let Decision { reason, states, alerts } = decision;
        let group = self.groups.get_mut(&key.0)?;
        let entry = self.log.entry(key.clone()).or_default();
        if alerts.is_empty() {
            entry.record(now, states, group.options.repeat_interval);
            return None;
        }
        if integration.send_resolved {
            entry.expect(&states);
        }
        let id = NotificationId(self.next_id);
        self.next_id += 1;
        let flush = group.flush.as_mut().expect("BUG: a notification outside a flush");
        flush.outstanding.insert(id);
        let envelope = Envelope {
            receiver: &group.options.receiver,
            reason: reason.as_str(),
            group_key: &group.key,
            group_labels: &key.0.labels,
            external_url: &self.external_url,
            now,
        };
        let notification = Notification {
            id,
            receiver: group.options.receiver.clone(),
            integration: (key.1.kind.as_str(), key.1.index),
            group_key: group.key.to_string(),
            reason: reason.as_str(),
            at: now,
            deadline: flush.deadline,
            message: integration.message(&envelope, &alerts),
            alerts,
        };
        self.under_way.insert(id, UnderWay { key, at: now, states });
        Some(notification)
    }
}

/// That an integration must be told, why, and of what.
struct Decision {
    reason: Reason,
    states: States,
    /// Those to show, in order.
    alerts: Vec<Alert>,
}
