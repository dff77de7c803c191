//! What the drivers step: anything that is evaluated on a grid of instants.
//!
//! A rule group is one, a group of SLOs is another. Daemon, unit test and backtest all call [`Evaluator::eval`] with the slot's
//! instant and do with its [`Outcome`] what they must: commit the samples, send the alerts.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Alert, Labels, Timestamp, Value, stale_nan};
use crate::promql::plan::Engine;
use crate::promql::{Dialect, Querier};
use crate::store::SeriesRef;

use super::{ExpansionCounts, StateChange, Transition};

/// What is the same for every evaluation of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// Added to alerts (where absent) by the notifier; visible to templates.
    pub external_labels: Labels,
    /// Our own address as users reach it, without a trailing slash.
    pub external_url: Arc<str>,
    /// How far back an instant selector looks (`--query.lookback-delta`, default 5m).
    pub lookback_delta: Duration,
    /// The step of subqueries that name none (`global.evaluation_interval`).
    pub default_subquery_step: Duration,
    /// Which parts of the language are on (`--enable-feature`); rule files are parsed by the same.
    pub dialect: Dialect,
    /// The least time between two sends of the same alert (`--rules.alert.resend-delay`, default 1m).
    pub resend_delay: Duration,
}

/// What one evaluation may read.
#[derive(Clone, Copy)]
pub struct EvalContext<'a> {
    /// The stored samples.
    pub querier: &'a dyn Querier,
    /// The prepared plans over these samples, if the querier is their store; without it everything is evaluated plainly.
    pub engine: Option<&'a Engine>,
    /// See [`Environment`].
    pub environment: &'a Environment,
}

/// A sample that an evaluation recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The series, metric name included.
    pub labels: Labels,
    /// Its handle in the store, where that is known. Retention may have removed the series since.
    pub series: Option<SeriesRef>,
    /// When: the slot, less the group's `query_offset`.
    pub at: Timestamp,
    /// What; the staleness marker ends the series.
    pub value: Value,
}

impl Recorded {
    /// The staleness marker that ends a series.
    pub(super) fn end_of(labels: Labels, at: Timestamp) -> Recorded {
        Recorded { labels, series: None, at, value: Value::Float(stale_nan()) }
    }
}

/// What one evaluation produced.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// To commit in one go, after the alerts are handed on (Prometheus's order).
    pub recorded: Vec<Recorded>,
    /// To send now: firing ones that are due, and those that ended.
    pub alerts: Vec<Alert>,
    /// The failures of this evaluation, for the log: rule name and text.
    pub failures: Vec<(String, String)>,
    /// Templates that failed, for the log: rule name and text.
    pub warnings: Vec<(Arc<str>, Arc<str>)>,
    /// Labels and annotations that were rendered.
    pub expansions: ExpansionCounts,
    /// What alerts have become.
    pub transitions: Vec<Transition>,
    /// What must survive the process, to be stored before the alerts are handed on.
    pub states: Vec<StateChange>,
}

/// Something evaluated at each slot of a grid.
pub trait Evaluator: Send {
    /// The file it comes from, as configured.
    fn file(&self) -> &str;
    /// Its name, unique in its file.
    fn name(&self) -> &str;
    /// The distance of slots.
    fn interval(&self) -> Duration;
    /// How long before its slot the instant lies that it asks for.
    fn query_offset(&self) -> Duration;
    /// Evaluates at `slot`. Slots strictly increase; some may be missing.
    fn eval(&mut self, slot: Timestamp, context: &EvalContext<'_>) -> Outcome;
    /// The last slot that was evaluated, by this process or an earlier one.
    fn last_slot(&self) -> Option<Timestamp>;
    /// How long each of its rules took in the last evaluation, where that is measured.
    fn each_rule_duration(&self, _look: &mut dyn FnMut(Duration)) {}
    /// The staleness markers of everything it records, for when it has been removed from the configuration.
    fn retire(&mut self, at: Timestamp) -> Vec<Recorded>;
}
