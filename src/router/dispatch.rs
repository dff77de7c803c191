//! The router itself: what is known, stepped by time.
//!
//! In the flow: [`Router::ingest`] merges events into the state, [`Router::flush_due`] runs the timers that are due;
//! [`Router::step`] does both.
//!
//! **Invariants.** State is plain data: a clone continues exactly as the original. A group has at most one notification
//! under way per integration. Ended alerts leave a group only when every integration that must know has accepted the news.
//! A clock that is set back delays timers by no more than the time since the last step; one that is set forward makes them due.
//! **Cost.** A step is O(groups) to find what is due; an alert costs one walk of the route tree; a flush O(members × rules).
//! **Limits.** An end that cannot be delivered is given up after [`RETENTION`], so that a dead receiver costs bounded memory.
//! **Source.** Alertmanager 0.33 `dispatch/dispatch.go`, `notify/notify.go`.
//! **Differs:** a new configuration is applied as a diff: groups whose route stays keep their timers and log, and what is
//! under way is finished; upstream starts every group anew. Alerts that a reload leads elsewhere are still resolved at the
//! receiver that was told of them.
//! **Differs:** an ended alert whose firing was sent is passed through inhibition and silences, so that its end is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::alerts::{self, AlertStore, StoredAlert};
use super::config::RouterConfig;
use super::group::{AlertGroup, GroupId, Member};
use super::heartbeat::Pulses;
use super::inhibit::Inhibitor;
use super::log::{LogEntry, RETENTION, States};
use super::receiver::IntegrationId;
use super::saved::Changes;
use super::silence::Silences;
use super::{Event, Notification, NotificationId, Route};
use crate::model::{Alert, Fingerprint, Labels, Timestamp};

/// The key of the notification log: a group and one integration of its receiver.
pub(super) type LogKey = (GroupId, IntegrationId);

/// A notification that was handed out and not reported on yet.
#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    pub(super) key: LogKey,
    pub(super) at: Timestamp,
    pub(super) states: States,
}

/// Routes, groups and notifies alerts. See the module's head.
#[derive(Clone, Debug)]
pub struct Router {
    pub(super) config: Arc<RouterConfig>,
    pub(super) external_url: String,
    pub(super) alerts: AlertStore,
    pub(super) groups: BTreeMap<GroupId, AlertGroup>,
    pub(super) log: BTreeMap<LogKey, LogEntry>,
    pub(super) under_way: BTreeMap<NotificationId, UnderWay>,
    pub(super) next_id: u64,
    pub(super) silences: Silences,
    pub(super) pulses: Pulses,
    collected_at: Timestamp,
    /// The latest time seen.
    pub(super) seen_at: Timestamp,
    /// `None` where nobody keeps them.
    pub(super) changes: Option<Changes>,
}

impl Router {
    /// A router that knows nothing yet. `external_url` is where receivers are told to look.
    pub fn new(config: RouterConfig, external_url: impl Into<String>, now: Timestamp) -> Router {
        let mut pulses = Pulses::default();
        pulses.adopt(&config, now);
        Router {
            config: Arc::new(config),
            external_url: external_url.into(),
            alerts: AlertStore::default(),
            groups: BTreeMap::new(),
            log: BTreeMap::new(),
            under_way: BTreeMap::new(),
            next_id: 1,
            silences: Silences::default(),
            pulses,
            collected_at: now,
            seen_at: now,
            changes: None,
        }
    }

    /// Takes in what happened and answers with the notifications that are due at `now`.
    pub fn step(&mut self, now: Timestamp, events: Vec<Event>) -> Vec<Notification> {
        self.ingest(now, events);
        self.flush_due(now)
    }

    /// When to call [`Router::step`] again if nothing happens before; `None` while there is neither group nor heartbeat.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        self.groups.values().map(AlertGroup::next_flush).chain(self.pulses.next()).min()
    }

    /// The configuration in force.
    pub fn config(&self) -> &Arc<RouterConfig> {
        &self.config
    }

    /// All alerts, ended ones included until they are forgotten, in order of fingerprint.
    pub fn alerts(&self) -> impl Iterator<Item = (Fingerprint, &StoredAlert)> + Clone {
        self.alerts.iter()
    }

    /// The alert of that identity.
    pub fn alert(&self, fingerprint: Fingerprint) -> Option<&StoredAlert> {
        self.alerts.get(fingerprint)
    }

    /// All groups, by route and labels.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupId, &AlertGroup)> {
        self.groups.iter()
    }

    /// All silences.
    pub fn silences(&self) -> &Silences {
        &self.silences
    }

    /// Puts `silences` in the place of those there are. Flushes heed them from now on.
    pub fn set_silences(&mut self, silences: Silences) {
        self.silences = silences;
    }

    /// For each of `labels`: an active alert that inhibits it at `now`.
    pub fn inhibited_by<'a>(
        &self,
        now: Timestamp,
        labels: impl IntoIterator<Item = &'a Labels>,
    ) -> Vec<Option<Fingerprint>> {
        let inhibitor = self.inhibitor(now);
        labels.into_iter().map(|labels| inhibitor.inhibited_by(labels)).collect()
    }

    pub(super) fn inhibitor(&self, now: Timestamp) -> Inhibitor<'_> {
        let active = self.alerts.iter().filter(move |(_, stored)| !stored.alert.is_resolved_at(now));
        Inhibitor::new(&self.config.inhibit_rules, active.map(|(fingerprint, stored)| (fingerprint, &stored.alert)))
    }

    /// Takes in what happened without running timers; for callers that must answer before notifications are sent.
    pub fn ingest(&mut self, now: Timestamp, events: Vec<Event>) {
        self.follow_clock(now);
        let config = Arc::clone(&self.config);
        for event in events {
            match event {
                Event::Alerts(alerts) => {
                    alerts.into_iter().for_each(|alert| self.take(&config.route, (alert, false), now));
                }
                Event::Posted(alerts) => {
                    for posted in alerts {
                        let completed = alerts::complete(posted, now, config.resolve_timeout);
                        self.take(&config.route, completed, now);
                    }
                }
                Event::Delivered(id) => self.report(id, now, Outcome::Accepted),
                Event::Failed(id, _) => self.report(id, now, Outcome::GivenUp),
                Event::Jumped { from, by } => self.alerts.prolong(from, by),
            }
        }
        if now.since(self.collected_at) >= alerts::GC_INTERVAL {
            self.collect_garbage(now);
        }
    }

    fn take(&mut self, root: &Route, (alert, is_timeout): (Alert, bool), now: Timestamp) {
        let (fingerprint, alert) = self.alerts.put(alert, is_timeout, now);
        for route in root.matching(&alert.labels) {
            let labels = route.options.group_by.group_labels(alert);
            let id = join(&mut self.groups, route, labels, (fingerprint, alert), now);
            if let Some((id, changes)) = id.zip(self.changes.as_mut()) {
                changes.note(id);
            }
        }
    }

    fn report(&mut self, id: NotificationId, now: Timestamp, outcome: Outcome) {
        // A report on something superseded or from a former configuration has no one to inform.
        let Some(UnderWay { key, at, states }) = self.under_way.remove(&id) else { return };
        self.touch(&key.0);
        let Some(group) = self.groups.get_mut(&key.0) else { return };
        if outcome == Outcome::Accepted {
            let repeat_interval = group.options.repeat_interval;
            self.log.entry(key.clone()).or_default().record(at, states, repeat_interval);
        }
        let Some(flush) = &mut group.flush else { return };
        flush.outstanding.remove(&id);
        flush.is_failed |= outcome == Outcome::GivenUp;
        if flush.outstanding.is_empty() {
            if flush.is_next_due {
                group.next_flush = now;
            }
            self.finish_flush(&key.0);
        }
    }

    /// Lets go of the ended alerts of a flush that everyone accepted, unless they changed meanwhile.
    pub(super) fn finish_flush(&mut self, id: &GroupId) {
        self.touch(id);
        let Some(group) = self.groups.get_mut(id) else { return };
        let Some(flush) = group.flush.take().filter(|flush| !flush.is_failed) else { return };
        for (fingerprint, version) in flush.resolved {
            if self.alerts.get(fingerprint).is_none_or(|stored| stored.version == version) {
                group.members.remove(&fingerprint);
            }
        }
        self.drop_if_empty(id);
    }

    pub(super) fn drop_if_empty(&mut self, id: &GroupId) {
        if self.groups.get(id).is_some_and(|group| group.members.is_empty()) {
            let flush = self.groups.remove(id).and_then(|group| group.flush);
            flush.iter().flat_map(|flush| &flush.outstanding).for_each(|notification| {
                self.under_way.remove(notification);
            });
        }
    }

    /// Moves all timers with a clock that was set back, so that none of them runs longer for it.
    pub(super) fn follow_clock(&mut self, now: Timestamp) {
        let back = self.seen_at.since(now);
        self.seen_at = now;
        if back.is_zero() {
            return;
        }
        self.touch_all();
        self.collected_at = self.collected_at - back;
        self.groups.values_mut().for_each(|group| group.shift_back(back));
        self.pulses.shift_back(back);
        self.log.values_mut().for_each(|entry| entry.shift_back(back));
        self.under_way.values_mut().for_each(|under_way| under_way.at = under_way.at - back);
    }

    /// Puts a new configuration in force.
    pub fn apply(&mut self, config: RouterConfig, now: Timestamp) {
        self.follow_clock(now);
        self.config = Arc::new(config);
        self.apply_again(now);
    }

    /// Brings everything in line with the configuration.
    pub(super) fn apply_again(&mut self, now: Timestamp) {
        self.touch_all();
        let config = Arc::clone(&self.config);
        self.pulses.adopt(&config, now);
        self.forget_missing_integrations(&config);
        let mut options = BTreeMap::new();
        config.route.walk(&mut |route| {
            options.insert(Arc::clone(&route.id), &route.options);
        });
        for (id, group) in &mut self.groups {
            if let Some(options) = options.get(&id.route) {
                group.adopt(options, now);
            }
            group.members.values_mut().for_each(|member| *member = Member::Moved);
        }
        let mut places = Vec::new();
        for (fingerprint, stored) in self.alerts.iter() {
            for route in config.route.matching(&stored.alert.labels) {
                let labels = route.options.group_by.group_labels(&stored.alert);
                places.push((route, labels, fingerprint));
            }
        }
        for (route, labels, fingerprint) in places {
            let Some(stored) = self.alerts.get(fingerprint) else { continue };
            let id = GroupId { route: Arc::clone(&route.id), labels: labels.clone() };
            let is_member = self.groups.get(&id).is_some_and(|group| group.members.contains_key(&fingerprint));
            if is_member || !stored.alert.is_resolved_at(now) {
                join(&mut self.groups, route, labels, (fingerprint, &stored.alert), now);
            }
        }
        self.let_go_of_moved();
    }

    /// Drops the log, groups and reports of receivers and integrations that the configuration no longer has.
    fn forget_missing_integrations(&mut self, config: &RouterConfig) {
        let is_configured = |(group, integration): &LogKey| {
            let receiver = config.receiver(group.receiver());
            receiver.is_some_and(|receiver| receiver.integrations.iter().any(|other| other.id() == *integration))
        };
        self.log.retain(|key, _| is_configured(key));
        let gone: Vec<NotificationId> =
            self.under_way.iter().filter(|(_, under_way)| !is_configured(&under_way.key)).map(|(id, _)| *id).collect();
        for id in gone {
            let Some(under_way) = self.under_way.remove(&id) else { continue };
            let Some(group) = self.groups.get_mut(&under_way.key.0) else { continue };
            if let Some(flush) = &mut group.flush {
                flush.outstanding.remove(&id);
                flush.is_failed = true;
            }
        }
    }

    /// Members that were led elsewhere stay only while a receiver must still learn of their end.
    fn let_go_of_moved(&mut self) {
        let log = &self.log;
        for (id, group) in &mut self.groups {
            let is_owed = |fingerprint: &Fingerprint| {
                log.range((id.clone(), IntegrationId::MIN)..=(id.clone(), IntegrationId::MAX))
                    .any(|(_, entry)| entry.owed.contains(fingerprint))
            };
            group.members.retain(|fingerprint, member| *member == Member::Here || is_owed(fingerprint));
        }
        let empty: Vec<GroupId> =
            self.groups.iter().filter(|(_, group)| group.members.is_empty()).map(|(id, _)| id.clone()).collect();
        empty.iter().for_each(|id| self.drop_if_empty(id));
    }

    fn collect_garbage(&mut self, now: Timestamp) {
        self.collected_at = now;
        self.touch_all();
        self.silences.collect_garbage(now);
        let groups = &self.groups;
        let held: BTreeSet<Fingerprint> = groups.values().flat_map(|group| group.members.keys().copied()).collect();
        self.alerts.collect_garbage(now, |fingerprint| held.contains(&fingerprint));
        self.log.retain(|(id, _), entry| entry.expires_at > now || groups.contains_key(id));
    }

    /// Ends that nobody would take for [`RETENTION`] are given up.
    pub(super) fn give_up_old_ends(&mut self, id: &GroupId, now: Timestamp) {
        self.touch(id);
        let Some(group) = self.groups.get_mut(id) else { return };
        let alerts = &self.alerts;
        let is_old = |fingerprint: Fingerprint| {
            alerts.get(fingerprint).is_none_or(|stored| now.since(stored.alert.ends_at) > RETENTION)
        };
        let old: Vec<Fingerprint> = group.members.keys().copied().filter(|member| is_old(*member)).collect();
        for fingerprint in old {
            group.members.remove(&fingerprint);
            for (_, entry) in self.log.range_mut((id.clone(), IntegrationId::MIN)..=(id.clone(), IntegrationId::MAX)) {
                entry.owed.remove(&fingerprint);
            }
        }
        self.drop_if_empty(id);
    }
}

/// What became of a notification.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Accepted,
    GivenUp,
}

/// Puts an alert into its group, creating it if need be. An alert that is older than the route's wait does not wait again. Gives the
/// group, if that is new or the alert is new in it.
fn join(
    groups: &mut BTreeMap<GroupId, AlertGroup>,
    route: &Route,
    labels: Labels,
    (fingerprint, alert): (Fingerprint, &Alert),
    now: Timestamp,
) -> Option<GroupId> {
    let id = GroupId { route: Arc::clone(&route.id), labels };
    let group = groups.entry(id.clone()).or_insert_with_key(|id| {
        let mut group = AlertGroup::new(route, &id.labels, now);
        if alert.starts_at + route.options.group_wait < now {
            group.next_flush = now;
        }
        group
    });
    let before = group.members.insert(fingerprint, Member::Here);
    (before != Some(Member::Here)).then_some(id)
}
