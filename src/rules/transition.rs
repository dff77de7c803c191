//! What happened to alerts, for the history.
//!
//! In the flow: a step of the alerts of a rule gives its transitions; the driver keeps them.

use std::sync::Arc;

use crate::model::{Labels, Timestamp, Value};

use super::alerting::ActiveAlert;

/// Why an alert lives although the last result did not have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// Its data are gone, and `no_data` keeps it.
    NoData,
    /// Its data are gone, and `no_data: fire` takes that for its condition.
    NoDataFires,
    /// The expression cannot be evaluated, and `error` keeps it.
    Error,
    /// The expression cannot be evaluated, and `error: fire` takes that for its condition.
    ErrorFires,
    /// `recover_when` does not hold yet.
    NotRecovered,
    /// We were away, and the data are not back yet.
    Pause,
}

impl Held {
    /// All, in the order of their numbers on disk.
    pub(super) const ALL: [Held; 6] =
        [Held::NoData, Held::NoDataFires, Held::Error, Held::ErrorFires, Held::NotRecovered, Held::Pause];

    /// As the API and the history write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Held::NoData => "no data, kept",
            Held::NoDataFires => "no data, taken for the condition",
            Held::Error => "error, kept",
            Held::ErrorFires => "error, taken for the condition",
            Held::NotRecovered => "recover_when does not hold",
            Held::Pause => "data not back after a pause",
        }
    }

    /// Whether an alert that waits for its `for` goes on waiting for it.
    pub(super) fn counts_as_present(self) -> bool {
        matches!(self, Held::NoDataFires | Held::ErrorFires)
    }
}

/// What an alert has become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Its condition holds, and it waits.
    Pending,
    /// It fires.
    Firing,
    /// Its condition does not hold; it fires on because of `keep_firing_for`.
    Kept,
    /// It is not in the result and stays all the same.
    Held(Held),
    /// It fired and waits again, since `for` became longer.
    Demoted,
    /// It waited, and its condition does not hold any more.
    Ended,
    /// It fired and has ended.
    Resolved,
    /// It fired, and its rule was removed.
    Removed,
    /// Over the limit, all alerts of its rule were forgotten.
    Forgotten,
}

impl Change {
    /// As the history writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::Pending => "pending",
            Change::Firing => "firing",
            Change::Kept => "kept",
            Change::Held(_) => "held",
            Change::Demoted => "demoted",
            Change::Ended => "ended",
            Change::Resolved => "resolved",
            Change::Removed => "removed",
            Change::Forgotten => "forgotten",
        }
    }
}

/// One change of one alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The rule's name.
    pub rule: Arc<str>,
    /// The alert's identity.
    pub labels: Labels,
    /// Its texts then.
    pub annotations: Labels,
    /// What it has become.
    pub change: Change,
    /// Since when its condition held.
    pub active_at: Timestamp,
    /// Of the last evaluation in which its condition held.
    pub value: Value,
}

impl Transition {
    pub(super) fn new(labels: &Labels, alert: &ActiveAlert, change: Change) -> Transition {
        Transition {
            rule: Arc::from(labels.get(crate::model::ALERT_NAME).unwrap_or_default()),
            labels: labels.clone(),
            annotations: alert.annotations.clone(),
            change,
            active_at: alert.active_at,
            value: alert.value.clone(),
        }
    }
}
