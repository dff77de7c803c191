//! A group of rules, evaluated in order at one timestamp.
//!
//! In the flow: the driver steps it as an [`Evaluator`]; what its rules recorded is returned, not stored, and a later rule
//! sees what an earlier one recorded in the same slot.
//!
//! **Invariants.** A rule that fails leaves the others alone, writes nothing and ends no series. Each series that a rule wrote
//! before and does not write now gets one staleness marker.
//! **Source.** Prometheus 3.14 `rules/group.go`.
//! **Differs:** the samples of all rules of a slot are committed in one go, after all of them ran.

mod replay;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Alert, Labels, Timestamp, Value, stale_nan};
use crate::promql::plan::Overlay;
use crate::template::query_escape;

use super::alerting::{self, AlertState, Alerts, Moment};
use super::outputs::Outputs;
use super::query::{self, RulePlan, Source};
use super::reads::may_read;
use super::status::{AlertStatus, AlertingStatus, GroupStatus, Health, RuleStatus};
use super::{Entry, EvalContext, Evaluator, GroupConfig, Outcome, Recorded, RuleConfig, RuleKind, recording};

pub use replay::{ReplaySlots, Replayed};

/// What a group takes where it says nothing itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupDefaults {
    /// `global.evaluation_interval`.
    pub interval: Duration,
    /// `global.rule_query_offset`.
    pub query_offset: Duration,
}

/// Time that has passed since some fixed moment. The core has no clock; a driver may lend one.
pub type Elapsed = fn() -> Duration;

/// Rules that are evaluated together.
#[derive(Debug)]
pub struct Group {
    file: Arc<str>,
    name: Arc<str>,
    interval: Duration,
    query_offset: Duration,
    limit: u64,
    rules: Vec<Rule>,
    /// Series of rules that a reload removed; they end at the next slot.
    orphans: BTreeSet<Labels>,
    evaluated_at: Option<Timestamp>,
    evaluation_duration: Duration,
    elapsed: Option<Elapsed>,
}

/// A rule and what it remembers.
#[derive(Debug)]
struct Rule {
    config: RuleConfig,
    /// As the parser prints it.
    query: Arc<str>,
    /// As configured, not rendered.
    labels: Labels,
    /// Likewise.
    annotations: Labels,
    /// Empty for a recording rule.
    alerts: Alerts,
    plan: RulePlan,
    /// What it writes.
    outputs: Outputs,
    /// Whether a later rule of the group may read that.
    is_read_later: bool,
    health: Health,
    last_error: Option<Arc<str>>,
    evaluated_at: Option<Timestamp>,
    evaluation_duration: Duration,
}

/// What makes a rule the same after a reload: whether it alerts, its name and its labels.
type Identity = (bool, Arc<str>, Labels);

impl Group {
    /// A group that has not run yet.
    pub fn new(file: impl Into<Arc<str>>, config: &GroupConfig, defaults: GroupDefaults) -> Self {
        let mut rules: Vec<Rule> = config.rules.iter().cloned().map(Rule::new).collect();
        note_readers(&mut rules);
        Group {
            file: file.into(),
            name: config.name.clone(),
            interval: config.interval.unwrap_or(defaults.interval),
            query_offset: config.query_offset.unwrap_or(defaults.query_offset),
            limit: config.limit,
            rules,
            orphans: BTreeSet::new(),
            evaluated_at: None,
            evaluation_duration: Duration::ZERO,
            elapsed: None,
        }
    }

    /// Lends a clock, so that the duration of each rule is measured.
    pub fn measure_with(&mut self, elapsed: Elapsed) {
        self.elapsed = Some(elapsed);
    }

    /// Notes how long the last evaluation took.
    pub fn record_duration(&mut self, duration: Duration) {
        self.evaluation_duration = duration;
    }

    /// Whether `other` is configured alike, so that a reload may keep this one untouched.
    pub fn is_same(&self, other: &Group) -> bool {
        self.file == other.file
            && self.name == other.name
            && self.interval == other.interval
            && self.query_offset == other.query_offset
            && self.limit == other.limit
            && self.rules.len() == other.rules.len()
            && self.rules.iter().zip(&other.rules).all(|(a, b)| a.is_same(b))
    }

    /// Takes over the state of `old`, the group of this name before a reload: rule by rule, by kind, name and labels, equal ones in
    /// order. The series of rules that are gone end at the next slot. Alerts of such rules are forgotten, as in Prometheus.
    pub fn adopt_state(&mut self, old: &mut Group) {
        let mut left: BTreeMap<Identity, VecDeque<Rule>> = BTreeMap::new();
        for rule in std::mem::take(&mut old.rules) {
            left.entry(rule.identity()).or_default().push_back(rule);
        }
        for rule in &mut self.rules {
            if let Some(old) = left.get_mut(&rule.identity()).and_then(VecDeque::pop_front) {
                rule.adopt(old);
            }
        }
        self.orphans.append(&mut old.orphans);
        self.orphans.extend(left.into_values().flatten().flat_map(|mut rule| rule.outputs.take()));
        self.evaluated_at = old.evaluated_at;
        self.evaluation_duration = old.evaluation_duration;
    }

    /// A snapshot for the API and the pages.
    pub fn status(&self) -> GroupStatus {
        GroupStatus {
            name: self.name.clone(),
            file: self.file.clone(),
            interval: self.interval,
            limit: self.limit,
            evaluation_duration: self.evaluation_duration,
            evaluated_at: self.evaluated_at,
            rules: self.rules.iter().map(Rule::status).collect(),
        }
    }

    fn recorded_at(&self, slot: Timestamp) -> Timestamp {
        slot - self.query_offset
    }
}

impl Evaluator for Group {
    fn file(&self) -> &str {
        &self.file
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    fn eval(&mut self, slot: Timestamp, context: &EvalContext<'_>) -> Outcome {
        let at = self.recorded_at(slot);
        let step = Step {
            slot,
            at,
            limit: self.limit,
            validity: self.interval.max(context.environment.resend_delay),
            context,
        };
        let mut overlay = Overlay::default();
        let mut outcome = Outcome::default();
        let now = || self.elapsed.map_or(Duration::ZERO, |elapsed| elapsed());
        for rule in &mut self.rules {
            let started = now();
            match rule.eval(&step, &overlay) {
                Ok(alerts) => {
                    let recorded = rule.outputs.finish(at, query::engine_of(context).map(|engine| &**engine.store()));
                    if rule.is_read_later {
                        for sample in &recorded {
                            overlay.add(&sample.labels, sample.series, sample.at, sample.value.clone());
                        }
                    }
                    outcome.recorded.extend(recorded);
                    outcome.alerts.extend(alerts);
                }
                Err(reason) => outcome.failures.push((rule.config.name.to_string(), reason)),
            }
            rule.evaluation_duration = now().saturating_sub(started);
        }
        self.evaluated_at = Some(slot);
        if self.orphans.is_empty() {
            return outcome;
        }
        let orphans = std::mem::take(&mut self.orphans);
        let written: BTreeSet<&Labels> = outcome.recorded.iter().map(|recorded| &recorded.labels).collect();
        let ended: Vec<Labels> = orphans.into_iter().filter(|labels| !written.contains(labels)).collect();
        outcome.recorded.extend(ended.into_iter().map(|labels| end_of(labels, at)));
        outcome
    }

    fn retire(&mut self, at: Timestamp) -> Vec<Recorded> {
        let mut ended = std::mem::take(&mut self.orphans);
        ended.extend(self.rules.iter_mut().flat_map(|rule| rule.outputs.take()));
        let at = self.recorded_at(at);
        ended.into_iter().map(|labels| end_of(labels, at)).collect()
    }
}

/// What is the same for all rules of an evaluation.
struct Step<'a> {
    slot: Timestamp,
    /// When expressions are evaluated and samples written: the slot less the query offset.
    at: Timestamp,
    limit: u64,
    /// See [`alerting::take_due`].
    validity: Duration,
    context: &'a EvalContext<'a>,
}

impl Rule {
    fn new(config: RuleConfig) -> Self {
        let query = config.expr.to_string().into();
        Rule {
            labels: texts(&config.labels),
            annotations: texts(&config.annotations),
            config,
            query,
            alerts: Alerts::new(),
            plan: RulePlan::default(),
            outputs: Outputs::default(),
            is_read_later: false,
            health: Health::Unknown,
            last_error: None,
            evaluated_at: None,
            evaluation_duration: Duration::ZERO,
        }
    }

    /// Steps the rule; what it wrote is then to be finished in its outputs. Gives the alerts to send.
    fn eval(&mut self, step: &Step<'_>, overlay: &Overlay) -> Result<Vec<Alert>, String> {
        let result = self.make(step, overlay);
        self.evaluated_at = Some(step.slot);
        self.health = if result.is_ok() { Health::Ok } else { Health::Err };
        self.last_error = result.as_ref().err().map(|reason| Arc::from(reason.as_str()));
        result
    }

    fn make(&mut self, step: &Step<'_>, overlay: &Overlay) -> Result<Vec<Alert>, String> {
        let environment = step.context.environment;
        let source = Source { context: step.context, overlay };
        let Rule { config, plan, outputs, .. } = self;
        if config.kind == RuleKind::Recording {
            recording::record(config, plan, outputs, (step.at, source), step.limit)?;
            return Ok(Vec::new());
        }
        let elements = plan.elements(&config.expr, step.at, source)?;
        // Templates look at the slot itself, whatever the query offset.
        let query = |text: &str| query::elements_of_text(text, step.slot, &source.querier(), environment);
        let moment = Moment { now: step.slot, environment, query: &query };
        let series = alerting::step(config, &mut self.alerts, elements, step.limit, &moment)?;
        outputs.begin();
        for (labels, value) in series {
            assert!(outputs.write(labels, value), "BUG: two alerts of a rule have the same labels");
        }
        if self.alerts.is_empty() {
            return Ok(Vec::new());
        }
        let url = format!("{}/graph?g0.expr={}&g0.tab=1", environment.external_url, query_escape(&self.query));
        Ok(alerting::take_due(&mut self.alerts, &moment, step.validity, &url))
    }

    fn identity(&self) -> Identity {
        (self.config.kind == RuleKind::Alerting, self.config.name.clone(), self.labels.clone())
    }

    fn is_same(&self, other: &Rule) -> bool {
        self.identity() == other.identity()
            && self.query == other.query
            && self.config.hold_duration == other.config.hold_duration
            && self.config.keep_firing_for == other.config.keep_firing_for
            && self.annotations == other.annotations
    }

    fn adopt(&mut self, old: Rule) {
        self.alerts = old.alerts;
        self.outputs = old.outputs;
        self.outputs.forget_slots();
        self.health = old.health;
        self.last_error = old.last_error;
        self.evaluated_at = old.evaluated_at;
        self.evaluation_duration = old.evaluation_duration;
    }

    fn status(&self) -> RuleStatus {
        let is_alerting = self.config.kind == RuleKind::Alerting;
        RuleStatus {
            name: self.config.name.clone(),
            query: self.query.clone(),
            labels: self.labels.clone(),
            health: self.health,
            last_error: self.last_error.clone(),
            evaluation_duration: self.evaluation_duration,
            evaluated_at: self.evaluated_at,
            alerting: is_alerting.then(|| self.alerting_status()),
        }
    }

    fn alerting_status(&self) -> AlertingStatus {
        let live = self.alerts.iter().filter(|(_, alert)| alert.state != AlertState::Inactive);
        let alerts: Vec<AlertStatus> = live
            .map(|(labels, alert)| AlertStatus {
                labels: labels.clone(),
                annotations: alert.annotations.clone(),
                state: alert.state,
                active_at: alert.active_at,
                keep_firing_since: alert.keep_firing_since,
                value: alert.value.clone(),
            })
            .collect();
        let worst = alerts.iter().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive);
        AlertingStatus {
            hold_duration: self.config.hold_duration,
            keep_firing_for: self.config.keep_firing_for,
            annotations: self.annotations.clone(),
            state: (self.health != Health::Unknown).then_some(worst),
            alerts,
        }
    }
}

fn texts(entries: &[Entry]) -> Labels {
    Labels::from_pairs(entries.iter().map(|entry| (entry.name.clone(), entry.value.clone())))
}

/// Finds the rules whose series a later rule may read.
fn note_readers(rules: &mut [Rule]) {
    for index in 0..rules.len() {
        let (rule, later) = (&rules[index].config, &rules[index + 1..]);
        let names: &[&str] = match rule.kind {
            RuleKind::Recording => &[&rule.name],
            RuleKind::Alerting => &["ALERTS", "ALERTS_FOR_STATE"],
        };
        // A template may ask for anything.
        let asks = |entry: &Entry| entry.template.is_some() && entry.value.contains("query");
        let reads = |later: &Rule| {
            names.iter().any(|name| may_read(&later.config.expr, name))
                || later.config.labels.iter().chain(&later.config.annotations).any(asks)
        };
        rules[index].is_read_later = later.iter().any(reads);
    }
}

fn end_of(labels: Labels, at: Timestamp) -> Recorded {
    Recorded { labels, series: None, at, value: Value::Float(stale_nan()) }
}
