//! A group of rules, evaluated in order at one timestamp.
//!
//! In the flow: the driver steps it as an [`Evaluator`]; what its rules recorded is returned, not stored, and a later rule
//! sees what an earlier one recorded in the same slot.
//!
//! **Invariants.** A rule that fails leaves the others alone, writes nothing and ends no series. Each series that a rule wrote
//! before and does not write now gets one staleness marker.
//! **Source.** Prometheus 3.14 `rules/group.go`.
//! **Differs:** the samples of all rules of a slot are committed in one go, after all of them ran.
//! **Differs:** the alerts of a rule that was removed are resolved at once; Prometheus leaves receivers to let them expire.

mod alerts;
mod replay;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Alert, Labels, Timestamp};
use crate::promql::Querier;
use crate::promql::plan::Overlay;

use super::alerting::{self, AlertState};
use super::expansion::Expansions;
use super::outcome::RuleOutcome;
use super::pause::{Outage, Pause};
use super::presence::{Look, widths_ms};
use super::query::{self, RulePlan, Source};
use super::reads::{asks_in_templates, exprs, may_read, written_by};
use super::state::{Identity, RuleState, SLOT_PREFIX, StateChange, slot_change};
use super::status::{AlertStatus, AlertingStatus, GroupStatus, Health, RuleStatus};
use super::{
    Entry, Environment, EvalContext, Evaluator, GroupConfig, Outcome, Recorded, RuleConfig, RuleKind, recording,
};

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
    all_or_nothing: bool,
    rules: Vec<Rule>,
    /// Series of rules that a reload removed; they end at the next slot.
    orphans: BTreeSet<Labels>,
    /// The last slot, of this process or an earlier one.
    evaluated_at: Option<Timestamp>,
    evaluation_duration: Duration,
    elapsed: Option<Elapsed>,
    outage: Outage,
    /// When this process took over from an earlier one, until the first slot.
    resumed_at: Option<Timestamp>,
    pause: Option<(Pause, Timestamp)>,
    /// The name under which its last slot is stored.
    slot_name: String,
}

/// A rule and what it remembers.
#[derive(Debug)]
struct Rule {
    config: RuleConfig,
    /// As the parser prints it.
    query: Arc<str>,
    /// Likewise.
    recover_query: Option<Arc<str>>,
    /// As configured, not rendered.
    annotations: Labels,
    plan: RulePlan,
    recover_plan: RulePlan,
    /// Whether a later rule of the group may read what it writes.
    is_read_later: bool,
    /// How many rules before it in the group have its identity.
    nth: usize,
    state: RuleState,
}

/// Which states a rule may adopt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kinship {
    /// Those of a rule of the same group and file.
    SameGroup,
    /// Those of a rule that stood elsewhere.
    Anywhere,
}

impl Group {
    /// A group that has not run yet.
    pub fn new(file: impl Into<Arc<str>>, config: &GroupConfig, defaults: GroupDefaults) -> Self {
        let (file, name) = (file.into(), config.name.clone());
        let place = format!("{file};{name}");
        let mut seen: BTreeMap<Identity, usize> = BTreeMap::new();
        let mut rules: Vec<Rule> = config.rules.iter().cloned().map(|config| Rule::new(config, &place)).collect();
        for rule in &mut rules {
            let count = seen.entry(rule.state.identity.clone()).or_default();
            rule.nth = *count;
            *count += 1;
        }
        note_readers(&mut rules);
        Group {
            file,
            name,
            interval: config.interval.unwrap_or(defaults.interval),
            query_offset: config.query_offset.unwrap_or(defaults.query_offset),
            limit: config.limit,
            all_or_nothing: config.all_or_nothing,
            rules,
            orphans: BTreeSet::new(),
            evaluated_at: None,
            evaluation_duration: Duration::ZERO,
            elapsed: None,
            outage: Outage::default(),
            resumed_at: None,
            pause: None,
            slot_name: format!("{SLOT_PREFIX}{place}"),
        }
    }

    /// Lends a clock, so that the duration of each rule is measured.
    pub fn measure_with(&mut self, elapsed: Elapsed) {
        self.elapsed = Some(elapsed);
    }

    /// Says how pauses are to be borne.
    pub fn bear_outages(&mut self, outage: Outage) {
        self.outage = outage;
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
            && self.all_or_nothing == other.all_or_nothing
            && self.rules.len() == other.rules.len()
            && self.rules.iter().zip(&other.rules).all(|(a, b)| a.is_same(b))
    }

    /// Hands out the states of all rules: they are for others from now on.
    pub fn take_states(&mut self) -> Vec<RuleState> {
        std::mem::take(&mut self.rules).into_iter().map(|rule| rule.state).collect()
    }

    /// Takes from `left` the states of its own rules, by kind, name and labels, equal ones in order. Gives what to store for those that stood
    /// elsewhere.
    pub fn adopt(&mut self, left: &mut Vec<RuleState>, kinship: Kinship) -> Vec<StateChange> {
        let place = self.place();
        let mut changes = Vec::new();
        for rule in self.rules.iter_mut().filter(|rule| !rule.is_adopted()) {
            let fits = |state: &RuleState| {
                state.identity == rule.state.identity && (kinship == Kinship::Anywhere || state.place == place)
            };
            if let Some(index) = left.iter().position(fits) {
                changes.extend(rule.adopt(left.remove(index)));
            }
        }
        changes
    }

    /// Takes up slots where `old`, the group of this name before a reload, ended.
    pub fn go_on_from(&mut self, old: &mut Group) {
        self.orphans.append(&mut old.orphans);
        self.evaluated_at = self.evaluated_at.max(old.evaluated_at);
        self.evaluation_duration = old.evaluation_duration;
        (self.resumed_at, self.pause) = (old.resumed_at, old.pause);
    }

    /// Ends the series of a rule that is gone, at the next slot, unless another rule goes on with them.
    pub fn end_series_of(&mut self, gone: &mut RuleState) {
        self.orphans.extend(gone.outputs.take());
    }

    /// Takes up slots where an earlier process ended, `now`: no slot up to `last` is evaluated again. Alerts of then are unconfirmed.
    pub fn resume(&mut self, last: Option<Timestamp>, now: Timestamp) {
        self.evaluated_at = self.evaluated_at.max(last);
        self.resumed_at = Some(now);
    }

    /// What was told and must be told again after a restart, before anything else; nothing after one that took too long to be believed.
    pub fn remind(&mut self, now: Timestamp, environment: &Environment) -> Vec<Alert> {
        if self.evaluated_at.is_none_or(|last| now.since(last) > self.outage.tolerance) {
            return Vec::new();
        }
        let validity = self.interval.max(environment.resend_delay);
        let rules = self.rules.iter_mut();
        rules.flat_map(|rule| rule.state.remind(now, validity, &environment.external_url)).collect()
    }

    /// Whether a live alert of one of its rules has these labels.
    pub fn has_live(&self, labels: &Labels) -> bool {
        self.rules.iter().any(|rule| rule.state.is_live(labels))
    }

    /// `file;group`, as Prometheus labels a group.
    pub fn place(&self) -> String {
        format!("{};{}", self.file, self.name)
    }

    /// The name under which its last slot is stored.
    pub fn slot_name(&self) -> &str {
        &self.slot_name
    }

    /// A snapshot for the API and the pages.
    pub fn status(&self) -> GroupStatus {
        GroupStatus {
            name: self.name.clone(),
            file: self.file.clone(),
            interval: self.interval,
            limit: self.limit,
            evaluation_duration: self.evaluation_duration,
            // Of an earlier process nothing is shown: its rules have not been evaluated here.
            evaluated_at: self.evaluated_at.filter(|_| self.resumed_at.is_none()),
            rules: self.rules.iter().map(Rule::status).collect(),
        }
    }

    fn recorded_at(&self, slot: Timestamp) -> Timestamp {
        slot - self.query_offset
    }

    /// Notes whether nobody looked for long before `slot`, and what that means for the alerts of then.
    fn wake(&mut self, slot: Timestamp, environment: &Environment) {
        let resumed_at = self.resumed_at.take();
        let Some(last) = self.evaluated_at else { return };
        let resumed = resumed_at.map(|until| Pause { from: last, until: until.max(last), is_restart: true });
        let Some(pause) = resumed.or_else(|| Pause::between(last, slot, self.interval)) else { return };
        let exprs = self.rules.iter().map(|rule| &rule.config.expr);
        self.pause = Some((pause, pause.settles_at(exprs, self.outage)));
        let seamless = environment.lookback_delta.max(self.interval * 2);
        for rule in &mut self.rules {
            rule.wake(pause, (slot, seamless), self.outage);
        }
    }

    /// Undoes what the recording rules wrote at this slot, since one failed.
    fn take_back(&mut self, before: Vec<Vec<u32>>, recorded: &mut Vec<(usize, Vec<Recorded>)>) {
        recorded.retain(|(index, _)| self.rules[*index].config.kind == RuleKind::Alerting);
        for (rule, before) in self.rules.iter_mut().zip(before) {
            if rule.config.kind == RuleKind::Recording && rule.state.health == Health::Ok {
                rule.state.outputs.go_back(before);
            }
        }
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

    fn last_slot(&self) -> Option<Timestamp> {
        self.evaluated_at
    }

    fn query_offset(&self) -> Duration {
        self.query_offset
    }

    fn eval(&mut self, slot: Timestamp, context: &EvalContext<'_>) -> Outcome {
        self.wake(slot, context.environment);
        let at = self.recorded_at(slot);
        let step = Step {
            slot,
            at,
            limit: self.limit,
            validity: self.interval.max(context.environment.resend_delay),
            group: self.name.clone(),
            pause: self.pause,
            expansions: Expansions::default(),
            context,
        };
        let mut overlay = Overlay::default();
        let mut outcome = Outcome::default();
        let mut recorded: Vec<(usize, Vec<Recorded>)> = Vec::with_capacity(self.rules.len());
        let mut has_failed_recording = false;
        let now = || self.elapsed.map_or(Duration::ZERO, |elapsed| elapsed());
        let before: Vec<Vec<u32>> = match self.all_or_nothing {
            true => self.rules.iter().map(|rule| rule.state.outputs.written_last()).collect(),
            false => Vec::new(),
        };
        for (index, rule) in self.rules.iter_mut().enumerate() {
            let started = now();
            let made = rule.eval(&step, &overlay, &mut outcome);
            if made == Made::Series {
                let store = query::engine_of(context).map(|engine| &**engine.store());
                let series = rule.state.outputs.finish(at, store);
                if rule.is_read_later {
                    for sample in &series {
                        overlay.add(&sample.labels, sample.series, sample.at, sample.value.clone());
                    }
                }
                recorded.push((index, series));
            }
            has_failed_recording |= rule.config.kind == RuleKind::Recording && rule.state.health == Health::Err;
            rule.finish(slot, now().saturating_sub(started));
        }
        if self.all_or_nothing && has_failed_recording {
            self.take_back(before, &mut recorded);
        }
        outcome.recorded.extend(recorded.into_iter().flat_map(|(_, series)| series));
        self.evaluated_at = Some(slot);
        outcome.states.push(slot_change(&self.slot_name, slot));
        self.end_orphans(at, &mut outcome.recorded);
        outcome
    }

    fn each_rule_duration(&self, look: &mut dyn FnMut(Duration)) {
        self.rules.iter().for_each(|rule| look(rule.state.evaluation_duration));
    }

    fn retire(&mut self, at: Timestamp) -> Vec<Recorded> {
        let mut ended = std::mem::take(&mut self.orphans);
        ended.extend(self.rules.iter_mut().flat_map(|rule| rule.state.outputs.take()));
        let at = self.recorded_at(at);
        ended.into_iter().map(|labels| Recorded::end_of(labels, at)).collect()
    }
}

impl Group {
    fn end_orphans(&mut self, at: Timestamp, recorded: &mut Vec<Recorded>) {
        if self.orphans.is_empty() {
            return;
        }
        let orphans = std::mem::take(&mut self.orphans);
        let written: BTreeSet<&Labels> = recorded.iter().map(|recorded| &recorded.labels).collect();
        let ended: Vec<Labels> = orphans.into_iter().filter(|labels| !written.contains(labels)).collect();
        recorded.extend(ended.into_iter().map(|labels| Recorded::end_of(labels, at)));
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
    group: Arc<str>,
    /// The last pause, and when what was away is back.
    pause: Option<(Pause, Timestamp)>,
    /// Of the rule that is evaluated.
    expansions: Expansions,
    context: &'a EvalContext<'a>,
}

/// What an evaluation of a rule left in its outputs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    /// A pass to be finished.
    Series,
    /// Nothing: the series go on.
    Nothing,
}

impl Rule {
    fn new(config: RuleConfig, place: &str) -> Self {
        let query: Arc<str> = config.expr.to_string().into();
        let identity = Identity {
            is_alerting: config.kind == RuleKind::Alerting,
            name: config.name.clone(),
            labels: texts(&config.labels),
        };
        Rule {
            annotations: texts(&config.annotations),
            recover_query: config.recover_when.as_ref().map(|expr| expr.to_string().into()),
            state: RuleState::new(place.to_owned(), identity, query.clone()),
            config,
            query,
            plan: RulePlan::default(),
            recover_plan: RulePlan::default(),
            is_read_later: false,
            nth: 0,
        }
    }

    /// Steps the rule; what it wrote is then to be finished in its outputs.
    fn eval(&mut self, step: &Step<'_>, overlay: &Overlay, outcome: &mut Outcome) -> Made {
        let source = Source { context: step.context, overlay };
        let (made, result) = match self.config.kind {
            RuleKind::Recording => {
                let Rule { config, plan, state, .. } = self;
                let result = recording::record(config, plan, &mut state.outputs, (step.at, source), step.limit);
                (if result.is_ok() { Made::Series } else { Made::Nothing }, result)
            }
            RuleKind::Alerting => self.eval_alerts(step, source, outcome),
        };
        self.state.evaluated_at = Some(step.slot);
        self.state.health = if result.is_ok() { Health::Ok } else { Health::Err };
        self.state.last_error = result.as_ref().err().map(|reason| Arc::from(reason.as_str()));
        if let Err(reason) = result {
            outcome.failures.push((self.config.name.to_string(), reason));
        }
        let (counts, warnings) = step.expansions.take();
        outcome.expansions.all += counts.all;
        outcome.expansions.failed += counts.failed;
        outcome.warnings.extend(warnings.iter().map(|text| (self.config.name.clone(), text.clone())));
        self.state.warnings = warnings;
        if !self.state.has_matched {
            self.state.has_matched = self.matches_now(step, source);
        }
        made
    }

    /// Notes what the evaluation at `slot` was like.
    fn finish(&mut self, slot: Timestamp, duration: Duration) {
        self.state.evaluation_duration = duration;
        let series_out = match self.config.kind {
            RuleKind::Recording => self.state.outputs.written_last_len(),
            RuleKind::Alerting => self.plan.elements_len(),
        };
        self.state.outcomes.push(RuleOutcome {
            slot,
            duration,
            series_in: self.plan.series_read() as u64,
            series_out: if self.state.health == Health::Ok { series_out as u64 } else { 0 },
            error: self.state.last_error.clone(),
        });
    }

    /// Whether its expression finds a series to read.
    fn matches_now(&self, step: &Step<'_>, source: Source<'_>) -> bool {
        if self.plan.series_read() > 0 || self.state.health == Health::Err {
            return self.plan.series_read() > 0;
        }
        let querier = source.querier();
        let mut widths = Vec::new();
        widths_ms(&self.config.expr, 0, &mut widths);
        widths.is_empty() || self.look(step, &querier).has_data(&self.config.expr, &Labels::empty()).unwrap_or(false)
    }

    fn look<'q>(&self, step: &Step<'_>, querier: &'q dyn Querier) -> Look<'q> {
        let lookback = step.context.environment.lookback_delta;
        Look {
            querier,
            at: step.at,
            lookback_ms: i64::try_from(lookback.as_millis()).unwrap_or(i64::MAX),
            after: Timestamp::from_ms(i64::MIN / 2),
        }
    }

    fn is_same(&self, other: &Rule) -> bool {
        self.state.identity == other.state.identity
            && self.query == other.query
            && self.recover_query == other.recover_query
            && self.config.policy == other.config.policy
            && self.config.hold_duration == other.config.hold_duration
            && self.config.keep_firing_for == other.config.keep_firing_for
            && self.annotations == other.annotations
    }

    /// Whether it has a state of another rule already.
    fn is_adopted(&self) -> bool {
        self.state.evaluated_at.is_some() || self.state.stored_as.is_some()
    }

    /// Gives what to store, if it stood elsewhere.
    fn adopt(&mut self, old: RuleState) -> Vec<StateChange> {
        let new = std::mem::replace(&mut self.state, old);
        let moved = self.state.place != new.place;
        (self.state.place, self.state.query) = (new.place, new.query);
        self.state.outputs.forget_slots();
        let mut changes = Vec::new();
        if moved {
            changes.extend(self.state.change_to_forget());
            changes.extend(self.state.change_to_store(self.nth));
        }
        changes
    }

    fn status(&self) -> RuleStatus {
        let is_alerting = self.config.kind == RuleKind::Alerting;
        let state = &self.state;
        RuleStatus {
            name: self.config.name.clone(),
            query: self.query.clone(),
            labels: state.identity.labels.clone(),
            health: state.health,
            last_error: state.last_error.clone(),
            warnings: state.warnings.clone(),
            evaluation_duration: state.evaluation_duration,
            evaluated_at: state.evaluated_at,
            outcomes: state.outcomes.clone(),
            has_matched: state.has_matched,
            alerting: is_alerting.then(|| self.alerting_status()),
        }
    }

    fn alerting_status(&self) -> AlertingStatus {
        let live = alerting::live(&self.state.alerts).chain(alerting::live(&self.state.complaints));
        let alerts: Vec<AlertStatus> = live
            .map(|(labels, alert)| AlertStatus {
                labels: labels.clone(),
                annotations: alert.annotations.clone(),
                state: alert.state,
                active_at: alert.active_at,
                keep_firing_since: alert.keep_firing_since,
                value: alert.value.clone(),
                element: alert.element.clone(),
                fired_at: (alert.state == AlertState::Firing).then_some(alert.fired_at),
                last_sent_at: alert.last_sent_at,
                held: alert.held,
            })
            .collect();
        let worst = alerts.iter().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive);
        AlertingStatus {
            hold_duration: self.config.hold_duration,
            keep_firing_for: self.config.keep_firing_for,
            annotations: self.annotations.clone(),
            policy: self.config.policy,
            recover_when: self.recover_query.clone(),
            state: (self.state.health != Health::Unknown).then_some(worst),
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
        let names = written_by(rule);
        let reads = |later: &Rule| {
            exprs(&later.config).any(|expr| names.iter().any(|name| may_read(expr, name)))
                || asks_in_templates(&later.config)
        };
        rules[index].is_read_later = later.iter().any(reads);
    }
}
