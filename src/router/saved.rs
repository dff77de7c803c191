//! The router's state as bytes: alerts, groups with their timers, the notification log.
//!
//! In the flow: a driver that wants to keep the state asks for [`Router::take_changes`] after each step, stores them before it hands
//! on a notification, and gives everything back to [`Router::restore`] at the next start.
//!
//! ```text
//! router/clock           format, the last instant seen
//! router/alert/…         format, alert, when it arrived, whether its end is a timeout
//! router/group/…         format, route, labels, group (timers, members), log entry of each integration
//! ```
//!
//! **Invariants.** A notification that was under way when the process ended is made anew: its group is due at once, and the log knows it as not
//! accepted. Alerts that fired then have as much time left to be confirmed as they had.
//! **Cost.** What changed is written: an alert each time it arrives, a group with its log at each flush and report.
//! **Differs:** Alertmanager keeps its notification log and silences, and forgets alerts, groups and timers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::alerts::StoredAlert;
use super::dispatch::LogKey;
use super::group::{AlertGroup, GroupId, Member};
use super::log::{LogEntry, Sent, States};
use super::receiver::{IntegrationId, Kind};
use super::route::RouteOptions;
use super::{Router, RouterConfig};
use crate::model::wire::{Malformed, Read, Write};
use crate::model::{Alert, Fingerprint, Timestamp};

/// What all names begin with.
pub const PREFIX: &str = "router/";

const CLOCK: &str = "router/clock";
const ALERT: &str = "router/alert/";
const GROUP: &str = "router/group/";

/// Grows when the bytes change their meaning.
const FORMAT: u8 = 1;

/// A name under which something is stored, and what; `None` removes it.
pub type StateChange = (String, Option<Vec<u8>>);

/// What changed since it was last asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// Alerts of later versions have changed.
    alerts_through: u64,
    stored_alerts: BTreeSet<Fingerprint>,
    groups: BTreeSet<GroupId>,
    are_all: bool,
    stored_groups: BTreeMap<GroupId, String>,
}

impl Changes {
    /// Notes that a group or its log changed.
    pub(super) fn note(&mut self, id: GroupId) {
        if !self.are_all {
            self.groups.insert(id);
        }
    }
}

impl Router {
    /// Notes changes from now on, for [`Router::take_changes`].
    pub fn track_changes(&mut self) {
        self.changes = Some(Changes { are_all: true, ..Changes::default() });
    }

    /// Notes that a group or its log changed.
    pub(super) fn touch(&mut self, id: &GroupId) {
        if let Some(changes) = &mut self.changes {
            changes.note(id.clone());
        }
    }

    /// Notes that any group may have changed.
    pub(super) fn touch_all(&mut self) {
        if let Some(changes) = &mut self.changes {
            changes.are_all = true;
            changes.groups.clear();
        }
    }

    /// What to store after all that happened since the last call; nothing if nothing did.
    pub fn take_changes(&mut self) -> Vec<StateChange> {
        let Some(mut changes) = self.changes.take() else { return Vec::new() };
        let mut out = Vec::new();
        self.alert_changes(&mut changes, &mut out);
        self.group_changes(&mut changes, &mut out);
        if !out.is_empty() {
            let mut bytes = vec![FORMAT];
            bytes.instant(self.seen_at);
            out.push((CLOCK.to_owned(), Some(bytes)));
        }
        self.changes = Some(changes);
        out
    }

    fn alert_changes(&self, changes: &mut Changes, out: &mut Vec<StateChange>) {
        let name = |fingerprint: Fingerprint| format!("{ALERT}{fingerprint}");
        let through = self.alerts.version();
        if through != changes.alerts_through {
            for (fingerprint, stored) in
                self.alerts.iter().filter(|(_, stored)| stored.version > changes.alerts_through)
            {
                changes.stored_alerts.insert(fingerprint);
                out.push((name(fingerprint), Some(encode_alert(stored))));
            }
            changes.alerts_through = through;
        }
        if changes.stored_alerts.len() > self.alerts.len() {
            changes.stored_alerts.retain(|fingerprint| {
                let stays = self.alerts.get(*fingerprint).is_some();
                if !stays {
                    out.push((name(*fingerprint), None));
                }
                stays
            });
        }
    }

    fn group_changes(&self, changes: &mut Changes, out: &mut Vec<StateChange>) {
        if std::mem::take(&mut changes.are_all) {
            changes.groups.extend(self.groups.keys().cloned());
            changes.groups.extend(self.log.keys().map(|(id, _)| id.clone()));
            changes.groups.extend(changes.stored_groups.keys().cloned());
        }
        for id in std::mem::take(&mut changes.groups) {
            let entries: Vec<_> = self.log_of(&id).collect();
            match self.groups.get(&id) {
                None if entries.is_empty() => {
                    out.extend(changes.stored_groups.remove(&id).map(|name| (name, None)));
                }
                group => {
                    let bytes = encode_group(&id, group, &entries);
                    let name = changes.stored_groups.entry(id).or_insert_with_key(group_name);
                    out.push((name.clone(), Some(bytes)));
                }
            }
        }
    }

    pub(super) fn log_of(&self, id: &GroupId) -> impl Iterator<Item = (&LogKey, &LogEntry)> {
        self.log.range((id.clone(), IntegrationId::MIN)..=(id.clone(), IntegrationId::MAX))
    }

    /// Takes up what was stored, under the configuration that is now in force. Gives the names of what cannot be read.
    pub fn restore(&mut self, states: &[(String, Vec<u8>)], now: Timestamp) -> Vec<String> {
        let config = Arc::clone(&self.config);
        let clock = states.iter().find(|(name, _)| name == CLOCK);
        let down_at = clock.and_then(|(_, bytes)| decode_clock(bytes).ok()).unwrap_or(now).min(now);
        let mut unreadable = Vec::new();
        for (name, bytes) in states {
            let outcome = if name.starts_with(ALERT) {
                decode_alert(bytes).map(|stored| self.restore_alert(stored, down_at, now))
            } else if name.starts_with(GROUP) {
                decode_group(bytes).map(|saved| self.restore_group(saved, &config, now))
            } else {
                continue;
            };
            if outcome.is_err() {
                unreadable.push(name.clone());
            }
        }
        self.seen_at = down_at;
        self.apply_again(now);
        unreadable
    }

    fn restore_alert(&mut self, mut stored: StoredAlert, down_at: Timestamp, now: Timestamp) {
        if stored.alert.ends_at > down_at {
            stored.alert.ends_at = stored.alert.ends_at + now.since(down_at);
        }
        self.alerts.restore(stored);
    }

    fn restore_group(&mut self, saved: SavedGroup, config: &RouterConfig, now: Timestamp) {
        let SavedGroup { id, group, log } = saved;
        for (integration, entry) in log {
            self.log.insert((id.clone(), integration), entry);
        }
        let Some(saved) = group else { return };
        let mut options = None;
        config.route.walk(&mut |route| {
            if route.id == id.route {
                options = Some(route.options.clone());
            }
        });
        // Of a route that is gone the group only tells its receiver of ends.
        let options = options
            .unwrap_or_else(|| RouteOptions { receiver: id.receiver().to_owned(), ..config.route.options.clone() });
        let group = AlertGroup {
            options,
            key: saved.key,
            members: saved.members,
            created_at: saved.created_at,
            last_flush: saved.last_flush,
            next_flush: if saved.is_under_way { saved.next_flush.min(now) } else { saved.next_flush },
            flush: None,
        };
        self.groups.insert(id, group);
    }
}

fn group_name(id: &GroupId) -> String {
    let all = id.labels.to_builder().set("__route__", id.route.clone()).build();
    format!("{GROUP}{}", Fingerprint::of(&all))
}

fn encode_alert(stored: &StoredAlert) -> Vec<u8> {
    let mut out = vec![FORMAT];
    stored.alert.write(&mut out);
    out.instant(stored.updated_at);
    out.push(u8::from(stored.is_timeout));
    out
}

/// Begins to read; refuses what another version wrote.
fn begin(bytes: &[u8]) -> Result<Read<'_>, Malformed> {
    let mut read = Read(bytes);
    if read.byte()? == FORMAT { Ok(read) } else { Err(Malformed) }
}

fn end<T>(read: Read<'_>, value: T) -> Result<T, Malformed> {
    if read.is_empty() { Ok(value) } else { Err(Malformed) }
}

fn decode_clock(bytes: &[u8]) -> Result<Timestamp, Malformed> {
    let mut read = begin(bytes)?;
    let at = read.instant()?;
    end(read, at)
}

fn decode_alert(bytes: &[u8]) -> Result<StoredAlert, Malformed> {
    let mut read = begin(bytes)?;
    let alert = Alert::read(&mut read)?;
    let (updated_at, is_timeout) = (read.instant()?, read.byte()? == 1);
    end(read, StoredAlert { alert, updated_at, is_timeout, version: 0 })
}

/// A group as stored, if it lived, and its log.
struct SavedGroup {
    id: GroupId,
    group: Option<Saved>,
    log: Vec<(IntegrationId, LogEntry)>,
}

struct Saved {
    key: Arc<str>,
    members: BTreeMap<Fingerprint, Member>,
    created_at: Timestamp,
    last_flush: Option<Timestamp>,
    next_flush: Timestamp,
    /// Whether a notification of it was under way.
    is_under_way: bool,
}

/// The number of a kind is its place.
const KINDS: [Kind; 4] = [Kind::Webhook, Kind::Email, Kind::PagerDuty, Kind::Slack];

fn encode_group(id: &GroupId, group: Option<&AlertGroup>, log: &[(&LogKey, &LogEntry)]) -> Vec<u8> {
    let mut out = vec![FORMAT];
    out.text(&id.route);
    out.labels(&id.labels);
    out.option(group, |out, group| {
        out.text(&group.key);
        out.list(group.members.iter(), |out, (fingerprint, member)| {
            out.extend_from_slice(&fingerprint.0.to_le_bytes());
            out.push(u8::from(*member == Member::Moved));
        });
        out.instant(group.created_at);
        out.option(group.last_flush, Vec::instant);
        out.instant(group.next_flush);
        out.push(u8::from(group.flush.as_ref().is_some_and(|flush| !flush.outstanding.is_empty())));
    });
    out.list(log.iter(), |out, ((_, integration), entry)| {
        let kind = KINDS.iter().position(|kind| *kind == integration.kind).expect("BUG: a kind without a number");
        out.varint(kind as u64);
        out.varint(integration.index as u64);
        out.option(entry.sent.as_ref(), |out, sent| {
            out.instant(sent.at);
            write_fingerprints(out, &sent.states.firing);
            write_fingerprints(out, &sent.states.resolved);
        });
        write_fingerprints(out, &entry.owed);
        out.instant(entry.expires_at);
    });
    out
}

fn decode_group(bytes: &[u8]) -> Result<SavedGroup, Malformed> {
    let mut read = begin(bytes)?;
    let id = GroupId { route: read.text()?.into(), labels: read.labels()? };
    let group = read.option(|read| {
        Ok(Saved {
            key: read.text()?.into(),
            members: read.list(read_member)?.into_iter().collect(),
            created_at: read.instant()?,
            last_flush: read.option(Read::instant)?,
            next_flush: read.instant()?,
            is_under_way: read.byte()? == 1,
        })
    })?;
    let log = read.list(|read| {
        let kind = *usize::try_from(read.varint()?).ok().and_then(|kind| KINDS.get(kind)).ok_or(Malformed)?;
        let index = usize::try_from(read.varint()?).map_err(|_| Malformed)?;
        let sent = read.option(|read| {
            let at = read.instant()?;
            Ok(Sent { at, states: States { firing: read_fingerprints(read)?, resolved: read_fingerprints(read)? } })
        })?;
        let entry = LogEntry { sent, owed: read_fingerprints(read)?, expires_at: read.instant()? };
        Ok((IntegrationId { kind, index }, entry))
    })?;
    end(read, SavedGroup { id, group, log })
}

fn read_member(read: &mut Read<'_>) -> Result<(Fingerprint, Member), Malformed> {
    let fingerprint = read_fingerprint(read)?;
    Ok((fingerprint, if read.byte()? == 1 { Member::Moved } else { Member::Here }))
}

fn write_fingerprints(out: &mut Vec<u8>, fingerprints: &BTreeSet<Fingerprint>) {
    out.list(fingerprints.iter(), |out, fingerprint| out.extend_from_slice(&fingerprint.0.to_le_bytes()));
}

fn read_fingerprints(read: &mut Read<'_>) -> Result<BTreeSet<Fingerprint>, Malformed> {
    Ok(read.list(read_fingerprint)?.into_iter().collect())
}

fn read_fingerprint(read: &mut Read<'_>) -> Result<Fingerprint, Malformed> {
    let mut bytes = [0; 8];
    for byte in &mut bytes {
        *byte = read.byte()?;
    }
    Ok(Fingerprint(u64::from_le_bytes(bytes)))
}
