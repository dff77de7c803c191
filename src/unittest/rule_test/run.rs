//! One test group, from its first step to its last expression.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{ALERT_NAME, CounterResetHint, Labels, Timestamp, Value};
use crate::promql::Dialect;
use crate::promql::eval::QueryOptions;
use crate::promql::eval::native::is_reset;
use crate::promql::plan::Engine;
use crate::rules::{Environment, EvalContext, Evaluator, Group, GroupDefaults, Recorded, ReplaySlots};
use crate::source::{Diagnostic, Span};
use crate::store::{Refusal, Row, SeriesRef, Store, StoreOptions};
use crate::unittest::series::SeriesValue;

use super::alerts::{self, ShownAlert, Style};
use super::coverage::{Coverage, Watch};
use super::go_text::go_duration;
use super::rule_set::{ReachedGroup, RuleSet};
use super::samples::{self, Comparison};
use super::{AlertTest, TestFile, TestGroup, at_once, dump};

/// Nothing is ever expired.
const RETENTION: Duration = Duration::from_secs(1_000 * 365 * 86_400);
/// As in the daemon without flags; promtool has no flag for it.
pub(super) const LOOKBACK_DELTA: Duration = Duration::from_secs(300);
/// Alerts are not sent, so that this changes nothing.
const RESEND_DELAY: Duration = Duration::from_secs(60);

/// What a run does beside testing.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// The language of rules and expressions.
    pub dialect: Dialect,
    /// How differences of alerts are told.
    pub style: Style,
    /// Whether [`GroupReport::dump`] is made.
    pub dump: bool,
    /// Whether [`GroupReport::coverage`] is measured, which evaluates every comparison once more.
    pub coverage: bool,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What failed.
    pub kind: FailureKind,
    /// Of the test, or of the test group where a rule failed.
    pub line: usize,
    /// promtool's text, indented as it is printed.
    pub text: String,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Other alerts fire than expected.
    Alert,
    /// An expression gives something else, or fails.
    Expr,
    /// A rule cannot be evaluated; the test group ends there.
    Rule,
}

impl FailureKind {
    /// In machine-readable reports.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::Alert => "alert",
            FailureKind::Expr => "expr",
            FailureKind::Rule => "rule",
        }
    }
}

/// What became of a test group.
#[derive(Clone, Debug, Default)]
pub struct GroupReport {
    /// In the order in which promtool tells them; none is a pass.
    pub failures: Vec<Failure>,
    /// Tests that pass whatever the rules say.
    pub warnings: Vec<Diagnostic>,
    /// Every sample, where asked for.
    pub dump: Option<String>,
    /// What the rules were seen to do, where asked for.
    pub coverage: Coverage,
}

/// Runs the test group of that index.
pub fn run(file: &TestFile, index: usize, rules: &RuleSet, options: RunOptions) -> GroupReport {
    let test = &file.groups[index];
    let mut report = GroupReport { warnings: warnings(file, test, rules), ..GroupReport::default() };
    let mut stage = Stage::new(file, test, rules, options.dialect);
    let mut watch = options.coverage.then(|| Watch::new(&stage.groups));
    let is_at_once = !file.group_intervals && at_once::is_possible(&stage.groups, test);
    let is_played = is_at_once && stage.play_and_compare(options.style, &mut watch, &mut report.failures);
    if !is_played {
        if is_at_once {
            stage = Stage::new(file, test, rules, options.dialect);
        }
        stage.play(options.style, &mut watch, &mut report.failures);
    }
    let is_complete = report.failures.iter().all(|failure| failure.kind != FailureKind::Rule);
    if is_complete {
        stage.check_expressions(&mut report.failures);
        if options.dump {
            report.dump = Some(dump::of(&*stage.store, test.start, stage.until));
        }
    }
    report.coverage = watch.map(Watch::finish).unwrap_or_default();
    report
}

/// What makes a test pass silently.
fn warnings(file: &TestFile, test: &TestGroup, rules: &RuleSet) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    let mut warn = |span: Span, text: String| warnings.push(Diagnostic::warning(&file.source, span, text));
    if test.alert_tests.is_empty() && test.expr_tests.is_empty() {
        warn(test.span, "nothing is asked: the test group has neither alert_rule_test nor promql_expr_test".to_owned());
    }
    for alert in test.alert_tests.iter().filter(|alert| !rules.has_alert(&alert.alertname)) {
        warn(alert.span, format!("no rule file has an alert {:?}", alert.alertname));
    }
    let longest = test.input.iter().filter_map(|series| {
        let last = series.values.iter().rposition(|value| *value != SeriesValue::Missing)?;
        Some(test.interval.saturating_mul(u32::try_from(last).unwrap_or(u32::MAX)))
    });
    let Some(data_until) = longest.max() else { return warnings };
    let evals = test.alert_tests.iter().map(|alert| (alert.eval_time, alert.span));
    for (eval_time, span) in evals.chain(test.expr_tests.iter().map(|expr| (expr.eval_time, expr.span))) {
        if eval_time >= data_until + LOOKBACK_DELTA {
            let [at, until] = [eval_time, data_until].map(crate::source::format_duration);
            warn(span, format!("evaluated at {at}, when all input series have ended: their last value is at {until}"));
        }
    }
    warnings
}

/// A group of rules on stage.
pub(super) struct Played {
    pub(super) reached: ReachedGroup,
    pub(super) group: Group,
    next: Timestamp,
    interval: Duration,
}

pub(super) struct Stage<'a> {
    file: &'a TestFile,
    test: &'a TestGroup,
    /// What reads the store for the groups; it holds the store.
    engine: Engine,
    pub(super) store: Arc<Store>,
    pub(super) environment: Environment,
    pub(super) groups: Vec<Played>,
    input: Vec<Input<'a>>,
    /// The last instant asked about, since the start.
    until: Duration,
}

/// A series that is fed step by step.
struct Input<'a> {
    series: SeriesRef,
    left: std::iter::Enumerate<std::slice::Iter<'a, SeriesValue>>,
    pending: Option<Row>,
    last: Option<Value>,
}

impl<'a> Stage<'a> {
    fn new(file: &'a TestFile, test: &'a TestGroup, rules: &RuleSet, dialect: Dialect) -> Self {
        let store = Arc::new(Store::new(StoreOptions { retention: RETENTION }));
        // Of two of the same series the last one counts.
        let input: BTreeMap<&Labels, &Vec<SeriesValue>> =
            test.input.iter().map(|series| (&series.labels, &series.values)).collect();
        let input = input.into_iter().map(|(labels, values)| Input {
            series: store.series_ref(labels),
            left: values.iter().enumerate(),
            pending: None,
            last: None,
        });
        let input = input.collect();
        let defaults = GroupDefaults { interval: file.evaluation_interval, query_offset: Duration::ZERO };
        let play = |reached: ReachedGroup| {
            let own = reached.config.interval.filter(|_| file.group_intervals);
            let group = Group::new(reached.file_name.clone(), &reached.config, defaults);
            Played { group, next: test.start, interval: own.unwrap_or(file.evaluation_interval), reached }
        };
        let evals = test.alert_tests.iter().map(|alert| alert.eval_time);
        let until = evals.chain(test.expr_tests.iter().map(|expr| expr.eval_time)).max().unwrap_or_default();
        Stage {
            file,
            test,
            groups: rules.reached(test).into_iter().map(play).collect(),
            environment: Environment {
                external_labels: test.external_labels.clone(),
                external_url: Arc::from(test.external_url.as_str()),
                lookback_delta: LOOKBACK_DELTA,
                default_subquery_step: file.evaluation_interval,
                dialect,
                resend_delay: RESEND_DELAY,
            },
            engine: Engine::of_dialect(store.clone(), &dialect),
            store,
            input,
            until,
        }
    }

    /// All steps at once. Gives false where something fails: then nothing is told, and the stage is of no more use.
    fn play_and_compare(&mut self, style: Style, watch: &mut Option<Watch>, failures: &mut Vec<Failure>) -> bool {
        let step = self.file.evaluation_interval;
        let step_at = |eval_time: Duration| {
            let count = eval_time.as_millis() / step.as_millis().max(1);
            self.test.start.plus_ms(i64::try_from(count * step.as_millis()).unwrap_or(i64::MAX))
        };
        let mut tests: Vec<(Timestamp, &AlertTest)> =
            self.test.alert_tests.iter().map(|test| (step_at(test.eval_time), test)).collect();
        tests.sort_by_key(|(_, test)| test.eval_time);
        let mut asked: Vec<Timestamp> = tests.iter().map(|(at, _)| *at).collect();
        asked.dedup();
        let slots = ReplaySlots { start: self.test.start, end: step_at(self.until), step };
        let Some(alerts) = self.play_at_once(slots, &asked) else { return false };
        if let Some(watch) = watch {
            let mut at = slots.start;
            while at <= slots.end {
                watch.look(&self.groups, &*self.store, at, &self.query_options());
                at = at + step;
            }
        }
        for (at, test) in tests {
            let mut firing = Vec::new();
            for played in &self.groups {
                for (config, id) in played.reached.config.rules.iter().zip(&played.reached.ids) {
                    let Some(alerts) = alerts.get(&(*id, at)).filter(|_| *config.name == *test.alertname) else {
                        continue;
                    };
                    let before = firing.len();
                    firing.extend(alerts::firing(alerts, config));
                    if let Some(watch) = watch {
                        watch.asked(*id, firing.len() > before);
                    }
                }
            }
            let text = alerts::difference(test, &self.test.name, firing, style);
            failures.extend(text.map(|text| self.failure(FailureKind::Alert, test.span, text)));
        }
        true
    }

    /// All steps: samples, rules, alerts asked about. Ends at the first step at which a rule fails.
    fn play(&mut self, style: Style, watch: &mut Option<Watch>, failures: &mut Vec<Failure>) {
        let mut asked: Vec<&AlertTest> = self.test.alert_tests.iter().collect();
        asked.sort_by_key(|test| test.eval_time);
        let mut asked = asked.into_iter().peekable();
        let end = self.test.start + self.until;
        let mut at = self.test.start;
        while at <= end {
            self.feed(at);
            let failed = self.evaluate(at);
            if let Some(watch) = watch {
                watch.look(&self.groups, &*self.store, at, &self.query_options());
            }
            if !failed.is_empty() {
                failures.extend(failed);
                return;
            }
            let next = self.next_step(at);
            while let Some(test) = asked.next_if(|test| self.test.start + test.eval_time < next) {
                let firing = self.firing(&test.alertname, watch);
                let text = alerts::difference(test, &self.test.name, firing, style);
                failures.extend(text.map(|text| self.failure(FailureKind::Alert, test.span, text)));
            }
            at = next;
        }
    }

    /// Steps lie `evaluation_interval` apart; where groups have their own intervals, at each instant of one of them as well.
    fn next_step(&self, at: Timestamp) -> Timestamp {
        let elapsed = at.since(self.test.start).as_millis();
        let own = self.file.evaluation_interval.as_millis().max(1);
        let grid = self.test.start.plus_ms(i64::try_from((elapsed / own + 1) * own).unwrap_or(i64::MAX));
        if !self.file.group_intervals {
            return grid;
        }
        self.groups.iter().map(|played| played.next).fold(grid, Timestamp::min)
    }

    /// Commits the input up to `until`.
    pub(super) fn feed(&mut self, until: Timestamp) {
        let mut rows = Vec::new();
        for input in &mut self.input {
            while let Some(row) = input.next_until(until, self.test) {
                rows.push(row);
            }
        }
        self.store.commit(&rows);
    }

    /// Evaluates the groups that are due, in order; gives what failed.
    fn evaluate(&mut self, at: Timestamp) -> Vec<Failure> {
        let mut failures = Vec::new();
        let line = self.file.source.position(self.test.span.start).line;
        for played in &mut self.groups {
            if played.next > at {
                continue;
            }
            played.next = at + played.interval.max(Duration::from_millis(1));
            let context =
                EvalContext { querier: &*self.store, engine: Some(&self.engine), environment: &self.environment };
            let outcome = played.group.eval(at, &context);
            let refused = commit(&self.store, &outcome.recorded);
            let refused = refused.into_iter().filter(|failure| !outcome.failures.contains(failure)).collect::<Vec<_>>();
            for (rule, reason) in outcome.failures.into_iter().chain(refused) {
                let time = go_duration(at.as_ms());
                let text = format!("    rule: {rule}, time: {time}, err: {reason}");
                failures.push(Failure { kind: FailureKind::Rule, line, text });
            }
        }
        failures
    }

    /// The alerts of that name that fire now, of all groups.
    fn firing(&self, name: &str, watch: &mut Option<Watch>) -> Vec<ShownAlert> {
        let mut firing = Vec::new();
        for played in &self.groups {
            let configs = &played.reached.config.rules;
            if !configs.iter().any(|config| *config.name == *name) {
                continue;
            }
            let status = played.group.status();
            for ((rule, config), id) in status.rules.iter().zip(configs).zip(&played.reached.ids) {
                let Some(alerting) = rule.alerting.as_ref().filter(|_| *rule.name == *name) else { continue };
                let before = firing.len();
                firing.extend(alerts::firing(&alerting.alerts, config));
                if let Some(watch) = watch {
                    watch.asked(*id, firing.len() > before);
                }
            }
        }
        firing
    }

    fn check_expressions(&self, failures: &mut Vec<Failure>) {
        let comparison = if self.file.fuzzy_compare { Comparison::Fuzzy } else { Comparison::Exact };
        for test in &self.test.expr_tests {
            let at = self.test.start + test.eval_time;
            let text = samples::difference(
                test,
                at,
                &*self.store,
                (&self.query_options(), self.environment.dialect.features),
                comparison,
            );
            failures.extend(text.map(|text| self.failure(FailureKind::Expr, test.span, text)));
        }
    }

    fn failure(&self, kind: FailureKind, span: Span, text: String) -> Failure {
        Failure { kind, line: self.file.source.position(span.start).line, text }
    }

    fn query_options(&self) -> QueryOptions<'static> {
        self.environment.dialect.applied(QueryOptions {
            lookback_delta: LOOKBACK_DELTA,
            default_subquery_step: self.file.evaluation_interval,
            ..QueryOptions::default()
        })
    }
}

impl Input<'_> {
    /// The next sample if it is not after `until`.
    fn next_until(&mut self, until: Timestamp, test: &TestGroup) -> Option<Row> {
        if self.pending.is_none() {
            let (index, value) = self.left.find(|(_, value)| **value != SeriesValue::Missing)?;
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let value = self.value(value);
            self.pending = Some(Row::new(self.series, test.start + test.interval * index, value));
        }
        self.pending.take_if(|row| row.at <= until)
    }

    /// A store that compares histograms as they arrive knows that one continues the one before it.
    fn value(&mut self, value: &SeriesValue) -> Value {
        let value = match value {
            SeriesValue::Float(value) => Value::Float(*value),
            SeriesValue::Histogram { histogram, .. } => Value::Histogram(histogram.clone()),
            SeriesValue::Missing => unreachable!("BUG: a missing value is no sample"),
        };
        let previous = self.last.replace(value.clone());
        let (Some(Value::Histogram(previous)), Value::Histogram(histogram)) = (previous, &value) else { return value };
        let is_counter = previous.counter_reset_hint != CounterResetHint::Gauge;
        if is_counter && histogram.counter_reset_hint == CounterResetHint::Unknown && !is_reset(histogram, &previous) {
            let mut histogram = (**histogram).clone();
            histogram.counter_reset_hint = CounterResetHint::NotReset;
            return Value::Histogram(Arc::new(histogram));
        }
        value
    }
}

/// Stores what was recorded; gives the rules whose samples the store refuses, and why.
pub(super) fn commit(store: &Store, recorded: &[Recorded]) -> Vec<(String, String)> {
    let mut refused = Vec::new();
    let mut last: Option<(&Labels, SeriesRef)> = None;
    let rows: Vec<Row> = recorded
        .iter()
        .map(|recorded| {
            // Samples of one series mostly follow each other.
            let known = last.filter(|(labels, _)| **labels == recorded.labels).map(|(_, series)| series);
            let series = recorded.series.or(known).unwrap_or_else(|| store.series_ref(&recorded.labels));
            last = Some((&recorded.labels, series));
            Row::new(series, recorded.at, recorded.value.clone())
        })
        .collect();
    for (index, refusal) in store.commit(&rows).refused {
        let reason = match refusal {
            // Ends of series are no samples of the rule: Prometheus passes over those it cannot write.
            _ if rows[index].value.is_stale() => continue,
            Refusal::OutOfOrder | Refusal::TooLate => "out of order sample",
            Refusal::Duplicate => "duplicate sample for timestamp",
            Refusal::TooOld | Refusal::Gone => continue,
        };
        let labels = &recorded[index].labels;
        let rule = labels.get(ALERT_NAME).filter(|_| labels.metric_name().starts_with("ALERTS"));
        let failure = (rule.unwrap_or(labels.metric_name()).to_owned(), reason.to_owned());
        if !refused.contains(&failure) {
            refused.push(failure);
        }
    }
    refused
}
