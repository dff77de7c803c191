//! What the API and the pages show of rules: a snapshot, detached from the running group.
//!
//! **Source.** Prometheus 3.14 `web/api/v1/api.go`, the answer of `/api/v1/rules`.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, Timestamp, Value};

use super::{AlertState, Held, Policy, RuleOutcomes};

/// A group.
#[derive(Clone, Debug)]
pub struct GroupStatus {
    /// Its name.
    pub name: Arc<str>,
    /// The file it comes from.
    pub file: Arc<str>,
    /// The distance of its slots.
    pub interval: Duration,
    /// See [`super::GroupConfig::limit`].
    pub limit: u64,
    /// How long its last evaluation took.
    pub evaluation_duration: Duration,
    /// The last slot, `None` before the first.
    pub evaluated_at: Option<Timestamp>,
    /// In file order.
    pub rules: Vec<RuleStatus>,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct RuleStatus {
    /// The metric recorded, or the alert's name.
    pub name: Arc<str>,
    /// The expression as the parser prints it.
    pub query: Arc<str>,
    /// As configured, not rendered.
    pub labels: Labels,
    /// How its last evaluation went.
    pub health: Health,
    /// Why the last evaluation failed.
    pub last_error: Option<Arc<str>>,
    /// Labels and annotations whose templates failed in the last evaluation, with what failed; the alerts carry that as their text.
    pub warnings: Vec<Arc<str>>,
    /// How long its last evaluation took; zero unless the driver measures it.
    pub evaluation_duration: Duration,
    /// The last slot, `None` before the first.
    pub evaluated_at: Option<Timestamp>,
    /// The last evaluations.
    pub outcomes: RuleOutcomes,
    /// Whether its expression has ever found a series to read.
    pub has_matched: bool,
    /// What only alerts have; `None` for a recording rule.
    pub alerting: Option<AlertingStatus>,
}

/// How the last evaluation of a rule went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// There was none.
    Unknown,
    /// Well.
    Ok,
    /// It failed.
    Err,
}

impl Health {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Ok => "ok",
            Health::Err => "err",
        }
    }
}

/// The alerting part of a rule.
#[derive(Clone, Debug)]
pub struct AlertingStatus {
    /// `for`.
    pub hold_duration: Duration,
    /// `keep_firing_for`.
    pub keep_firing_for: Duration,
    /// As configured, not rendered.
    pub annotations: Labels,
    /// What it does where Prometheus has no choice.
    pub policy: Policy,
    /// `recover_when` as the parser prints it.
    pub recover_when: Option<Arc<str>>,
    /// The worst state of its alerts; `None` before the first evaluation (the API's `unknown`).
    pub state: Option<AlertState>,
    /// Pending and firing ones, in order of labels.
    pub alerts: Vec<AlertStatus>,
}

/// An alert.
#[derive(Clone, Debug)]
pub struct AlertStatus {
    /// Its identity.
    pub labels: Labels,
    /// Rendered.
    pub annotations: Labels,
    /// Pending or firing.
    pub state: AlertState,
    /// Since when its condition holds.
    pub active_at: Timestamp,
    /// Since when it fires only because of `keep_firing_for`.
    pub keep_firing_since: Option<Timestamp>,
    /// Of the last evaluation in which the condition held.
    pub value: Value,
    /// The labels of the result's element, without the metric name.
    pub element: Labels,
    /// Since when it fires, if it does.
    pub fired_at: Option<Timestamp>,
    /// When it was last handed on to be sent.
    pub last_sent_at: Option<Timestamp>,
    /// Why it lives although the last result did not have it, besides `keep_firing_for`.
    pub held: Option<Held>,
}
