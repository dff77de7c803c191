//! What an earlier process left of alerts: read once at the start, handed to the groups that come.
//!
//! ```text
//! rule/…      alerts of a rule              src/rules/state.rs
//! slot/…      the last slot of a group
//! router/…    alerts, groups and log of the router   src/router/saved.rs
//! departed    ends of alerts whose rules were removed, as long as they are repeated
//! ```
//!
//! **Invariant.** What cannot be read is told, removed, and never keeps the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::storage::Storage;
use crate::api::v2::RouterHandle;
use crate::model::wire::{Malformed, Read, Write};
use crate::model::{Alert, Timestamp};
use crate::router::STATE_PREFIX;
use crate::rules::{RESOLVED_RETENTION, RULE_PREFIX, RuleState, SLOT_PREFIX, StateChange, decode_slot};

const DEPARTED: &str = "departed";

/// Ends that are remembered: a reload that removes more alerts than this has the rest expire at their receivers.
const DEPARTED_MAX: usize = 10_000;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Kept {
    pub(super) rules: Vec<RuleState>,
    /// By the name under which they are stored.
    pub(super) slots: BTreeMap<String, Timestamp>,
    pub(super) departed: Departed,
}

impl Kept {
    pub(super) fn read(storage: &Storage) -> Kept {
        let mut kept = Kept::default();
        let mut unreadable = Vec::new();
        for (name, bytes) in storage.states(RULE_PREFIX) {
            match RuleState::decode(&name, &bytes) {
                Ok(state) => kept.rules.push(state),
                Err(Malformed) => unreadable.push(name),
            }
        }
        for (name, bytes) in storage.states(SLOT_PREFIX) {
            match decode_slot(&bytes) {
                Ok(slot) => {
                    kept.slots.insert(name, slot);
                }
                Err(Malformed) => unreadable.push(name),
            }
        }
        for (name, bytes) in storage.states(DEPARTED) {
            match Departed::decode(&bytes) {
                Ok(departed) => kept.departed = departed,
                Err(Malformed) => unreadable.push(name),
            }
        }
        if !unreadable.is_empty() {
            tracing::error!(names = unreadable.join(", "), "stored alerts cannot be read, another version wrote them");
            storage.put(unreadable.into_iter().map(|name| (name, None)).collect());
        }
        kept
    }
}

/// Gives the router what an earlier process left, and keeps what it becomes.
pub(super) fn take_up_router(router: &RouterHandle, storage: &Arc<Storage>) {
    let keep = storage.clone();
    let unreadable = router.keep_state(&storage.states(STATE_PREFIX), Box::new(move |changes| keep.put(changes)));
    if !unreadable.is_empty() {
        tracing::error!(names = unreadable.join(", "), "stored groups cannot be read, another version wrote them");
    }
}

/// The ends of alerts whose rules were removed.
#[derive(Clone, Default)]
pub(super) struct Departed(Vec<Alert>);

impl Departed {
    /// Adds ends, and forgets those that are no longer repeated at `now`. Gives what to store.
    pub(super) fn add(&mut self, ended: &[Alert], now: Timestamp) -> Option<StateChange> {
        let count = self.0.len();
        self.0.retain(|alert| now.since(alert.ends_at) <= RESOLVED_RETENTION);
        if ended.is_empty() && self.0.len() == count {
            return None;
        }
        let room = DEPARTED_MAX.saturating_sub(self.0.len());
        if ended.len() > room {
            tracing::warn!(count = ended.len() - room, "ends of removed alerts are told once and not repeated");
        }
        self.0.extend(ended.iter().take(room).cloned());
        let bytes = (!self.0.is_empty()).then(|| self.encode());
        Some((DEPARTED.to_owned(), bytes))
    }

    /// Those to be told again after a restart.
    pub(super) fn alerts(&self) -> &[Alert] {
        &self.0
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.list(self.0.iter(), |out, alert| alert.write(out));
        out
    }

    fn decode(bytes: &[u8]) -> Result<Departed, Malformed> {
        let mut read = Read(bytes);
        let alerts = read.list(Alert::read)?;
        if read.is_empty() { Ok(Departed(alerts)) } else { Err(Malformed) }
    }
}
