//! A group that runs: evaluated at the slots of its interval.
//!
//! In the flow: at each slot a walk of [`Beats`] evaluates the group off the async threads, its state stored, its alerts handed on, its samples
//! committed in one go (Prometheus's order), its status published for the API and the page.
//! **Invariants.** A slot at or before the last evaluated one is never evaluated again, also when the clock steps back. A panic
//! in one group costs that evaluation of that group, is logged and counted as a failure, and nothing else. A group that was
//! stopped evaluates nothing more, so that nothing is recorded after its staleness markers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::beat::{Beats, Member};
use crate::clock::{self, Latency, Stopwatch};
use crate::exposition::{Family, FamilyKind};
use crate::model::{Alert, Timestamp};
use crate::promql::plan::Engine;
use crate::rules::{Environment, EvalContext, Evaluator, ExpansionCounts, Recorded};
use crate::store::{Refusal, Row, Store};

use super::history::History;
use super::storage::Storage;

/// Where alerts go; never blocks.
pub(super) type SendAlerts = Arc<dyn Fn(Vec<Alert>, &Environment) + Send + Sync>;

/// What every loop shares.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) store: Arc<Store>,
    /// The plans of all rules of all groups, so that what several ask for is computed once.
    pub(super) engine: Arc<Engine>,
    pub(super) send_alerts: SendAlerts,
    /// What must survive us goes there before alerts are handed on.
    pub(super) storage: Arc<Storage>,
    /// What happened to alerts is noted there.
    pub(super) history: Arc<History>,
    /// Durations of evaluations of groups, all together.
    pub(super) latency: Arc<Latency>,
    /// What steps the groups.
    pub(super) beats: Beats,
    /// Labels and annotations that were rendered.
    pub(super) templates: Arc<TemplateCounts>,
    /// Durations of evaluations of single rules.
    pub(super) rule_latency: Arc<Latency>,
}

/// What is counted of the templates of all rules.
#[derive(Debug, Default)]
pub(super) struct TemplateCounts {
    expansions: AtomicU64,
    failures: AtomicU64,
}

impl TemplateCounts {
    fn add(&self, counts: ExpansionCounts) {
        self.expansions.fetch_add(counts.all, Ordering::Relaxed);
        self.failures.fetch_add(counts.failed, Ordering::Relaxed);
    }

    pub(super) fn collect(&self, families: &mut Vec<Family>) {
        let (name, help) =
            ("prometheus_template_text_expansions_total", "Labels and annotations of alerts that were rendered.");
        families.push(Family::single(name, help, FamilyKind::Counter, self.expansions.load(Ordering::Relaxed) as f64));
        let (name, help) = ("prometheus_template_text_expansion_failures_total", "Those whose template failed.");
        families.push(Family::single(name, help, FamilyKind::Counter, self.failures.load(Ordering::Relaxed) as f64));
    }
}

/// What is counted of one group.
#[derive(Debug, Default)]
pub(super) struct Counts {
    iterations: AtomicU64,
    missed: AtomicU64,
    failures: AtomicU64,
    last_duration_micros: AtomicU64,
    /// Of all rules together.
    last_rules_micros: AtomicU64,
    last_samples: AtomicU64,
    last_slot_ms: AtomicU64,
}

impl Counts {
    /// No slot up to `slot` is evaluated again.
    pub(super) fn resume(&self, slot: Timestamp) {
        self.last_slot_ms.fetch_max(slot.as_ms() as u64, Ordering::Relaxed);
    }
}

/// A group that runs. Dropping it ends that after the evaluation under way.
pub(super) struct Scheduled<E, S> {
    /// `file;name`, as Prometheus labels a group.
    pub(super) key: String,
    pub(super) interval: Duration,
    pub(super) counts: Arc<Counts>,
    run: Arc<Run<E, S>>,
}

impl<E, S> Drop for Scheduled<E, S> {
    fn drop(&mut self) {
        // Of a walk under way it may still be a part.
        self.run.is_stopped.store(true, Ordering::Relaxed);
    }
}

impl<E, S> Scheduled<E, S> {
    /// The group, once an evaluation under way is done. Blocks until then.
    pub(super) fn lock(&self) -> MutexGuard<'_, E> {
        self.run.group.lock()
    }

    /// Ends the evaluations and hands out the group, once an evaluation under way is done. Blocks until then.
    pub(super) fn stop(&self) -> MutexGuard<'_, E> {
        let group = self.lock();
        self.run.is_stopped.store(true, Ordering::Relaxed);
        group
    }

    /// As of the last evaluation.
    pub(super) fn status(&self) -> Arc<S> {
        self.run.published.read().clone()
    }
}

impl<E: Evaluator + 'static, S: Send + Sync + 'static> Scheduled<E, S> {
    /// Has `group` evaluated from its next slot on; `status` takes its snapshot and is told how long the evaluation took. `counts` are
    /// those of the group that this one replaces: they go on, and its slots are not evaluated again.
    pub(super) fn start(
        mut group: E,
        shared: Shared,
        environment: Arc<Environment>,
        counts: Arc<Counts>,
        status: fn(&mut E, Option<Duration>) -> S,
    ) -> Self {
        let key = super::groups::key(&group);
        let (interval, query_offset) = (group.interval(), group.query_offset());
        let published = RwLock::new(Arc::new(status(&mut group, None)));
        let run = Arc::new(Run {
            key: key.clone(),
            query_offset,
            group: Mutex::new(group),
            shared,
            environment,
            counts: counts.clone(),
            is_at_work: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            published,
            status,
        });
        run.shared.beats.join(interval, &(run.clone() as Arc<dyn Member>));
        Scheduled { key, interval, counts, run }
    }
}

struct Run<E, S> {
    key: String,
    query_offset: Duration,
    group: Mutex<E>,
    shared: Shared,
    environment: Arc<Environment>,
    counts: Arc<Counts>,
    is_at_work: AtomicBool,
    /// Read and written under the lock of `group`, or when nobody asks for the group any more.
    is_stopped: AtomicBool,
    /// As of the last evaluation.
    published: RwLock<Arc<S>>,
    status: fn(&mut E, Option<Duration>) -> S,
}

impl<E: Evaluator, S: Send + Sync> Member for Run<E, S> {
    fn place(&self) -> (Duration, &str) {
        (self.query_offset, &self.key)
    }

    fn take(&self, slot: Timestamp) -> bool {
        let last = Timestamp::from_ms(self.counts.last_slot_ms.load(Ordering::Relaxed) as i64);
        if slot <= last {
            self.shared.beats.clock.look(last, clock::now());
            return false;
        }
        if self.is_stopped.load(Ordering::Relaxed) {
            return false;
        }
        let is_free = !self.is_at_work.swap(true, Ordering::Acquire);
        if !is_free {
            self.count_missed(1);
        }
        is_free
    }

    fn evaluate(&self, slot: Timestamp) {
        self.evaluate_locked(slot);
        self.is_at_work.store(false, Ordering::Release);
    }

    fn panicked(&self) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        tracing::error!(group = self.key, "BUG: the evaluation of a group panicked; its state is as before");
        self.is_at_work.store(false, Ordering::Release);
    }

    fn miss(&self, slots: u64) {
        // One that has just come has missed nothing.
        if self.counts.last_slot_ms.load(Ordering::Relaxed) > 0 {
            self.count_missed(slots);
        }
    }
}

impl<E: Evaluator, S> Run<E, S> {
    fn count_missed(&self, slots: u64) {
        self.counts.missed.fetch_add(slots, Ordering::Relaxed);
        self.counts.iterations.fetch_add(slots, Ordering::Relaxed);
        tracing::warn!(group = self.key, missed = slots, "evaluation took longer than its interval");
    }

    fn evaluate_locked(&self, slot: Timestamp) {
        let mut group = self.group.lock();
        if self.is_stopped.load(Ordering::Relaxed) {
            return;
        }
        self.counts.iterations.fetch_add(1, Ordering::Relaxed);
        let stopwatch = Stopwatch::start();
        let context = EvalContext {
            querier: &*self.shared.store,
            engine: Some(&self.shared.engine),
            environment: &self.environment,
        };
        let outcome = group.eval(slot, &context);
        let took = stopwatch.elapsed();
        for (rule, error) in &outcome.failures {
            tracing::warn!(group = self.key, rule, error, "rule failed");
        }
        for (rule, warning) in &outcome.warnings {
            tracing::warn!(group = self.key, rule = &**rule, warning = &**warning, "template of a rule failed");
        }
        self.shared.templates.add(outcome.expansions);
        self.counts.failures.fetch_add(outcome.failures.len() as u64, Ordering::Relaxed);
        self.counts.last_duration_micros.store(took.as_micros() as u64, Ordering::Relaxed);
        self.counts.last_slot_ms.store(slot.as_ms() as u64, Ordering::Relaxed);
        self.shared.latency.record(took);
        self.shared.storage.put(outcome.states);
        self.shared.history.transitions(&self.key, slot, &outcome.transitions);
        let mut rules_took = Duration::ZERO;
        group.each_rule_duration(&mut |took| {
            self.shared.rule_latency.record(took);
            rules_took += took;
        });
        self.counts.last_rules_micros.store(rules_took.as_micros() as u64, Ordering::Relaxed);
        let samples = outcome.recorded.iter().filter(|recorded| !recorded.value.is_stale()).count();
        self.counts.last_samples.store(samples as u64, Ordering::Relaxed);
        if !outcome.alerts.is_empty() {
            (self.shared.send_alerts)(outcome.alerts, &self.environment);
        }
        commit(&self.shared.store, &outcome.recorded, &self.key);
        let status = (self.status)(&mut group, Some(took));
        *self.published.write() = Arc::new(status);
    }
}

/// Commits what an evaluation recorded, in one go. A series that retention removed meanwhile is looked up again; other refusals
/// are logged.
pub(super) fn commit(store: &Store, recorded: &[Recorded], group: &str) {
    let row = |recorded: &Recorded| Row::new(store.series_ref(&recorded.labels), recorded.at, recorded.value.clone());
    let known = |recorded: &Recorded| match recorded.series {
        Some(series) => Row::new(series, recorded.at, recorded.value.clone()),
        None => row(recorded),
    };
    let rows: Vec<Row> = recorded.iter().map(known).collect();
    let mut refused = store.commit(&rows).refused;
    if refused.iter().any(|(_, refusal)| *refusal == Refusal::Gone) {
        let again: Vec<usize> =
            refused.iter().filter(|(_, why)| *why == Refusal::Gone).map(|(index, _)| *index).collect();
        let rows: Vec<Row> = again.iter().map(|index| row(&recorded[*index])).collect();
        refused.retain(|(_, refusal)| *refusal != Refusal::Gone);
        refused.extend(store.commit(&rows).refused.into_iter().map(|(index, refusal)| (again[index], refusal)));
    }
    if let Some((index, refusal)) = refused.first() {
        let series = recorded[*index].labels.to_string();
        tracing::warn!(group, count = refused.len(), series, ?refusal, "recorded samples were refused");
    }
}

/// The metrics of groups, under Prometheus's names.
pub(super) fn collect<'a>(
    groups: impl Iterator<Item = (&'a str, Duration, usize, &'a Counts)>,
    (latency, rule_latency): (&Latency, &Latency),
    families: &mut Vec<Family>,
) {
    use FamilyKind::{Counter, Gauge};
    let mut iterations =
        Family::new("prometheus_rule_group_iterations_total", "Slots of the group, missed ones included.", Counter);
    let mut missed =
        Family::new("prometheus_rule_group_iterations_missed_total", "Slots missed by slow evaluation.", Counter);
    let mut evaluations = Family::new("prometheus_rule_evaluations_total", "Rule evaluations.", Counter);
    let mut failures =
        Family::new("prometheus_rule_evaluation_failures_total", "Rule evaluations that failed.", Counter);
    let mut interval = Family::new("prometheus_rule_group_interval_seconds", "The group's interval.", Gauge);
    let mut duration =
        Family::new("prometheus_rule_group_last_duration_seconds", "How long the last evaluation took.", Gauge);
    let mut last =
        Family::new("prometheus_rule_group_last_evaluation_timestamp_seconds", "When it was last evaluated.", Gauge);
    let mut rules = Family::new("prometheus_rule_group_rules", "Rules in the group.", Gauge);
    let name = "prometheus_rule_group_last_rule_duration_sum_seconds";
    let mut rules_took = Family::new(name, "How long the rules took in the last evaluation, all together.", Gauge);
    let name = "prometheus_rule_group_last_evaluation_samples";
    let mut samples = Family::new(name, "Samples that the last evaluation gave.", Gauge);
    let mut keys = Vec::new();
    for (key, every, rule_count, counts) in groups {
        keys.push(key.to_owned());
        let label = || vec![("rule_group", key.to_owned())];
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let evaluated = get(&counts.iterations) - get(&counts.missed);
        iterations.point(label(), get(&counts.iterations));
        missed.point(label(), get(&counts.missed));
        evaluations.point(label(), evaluated * rule_count as f64);
        failures.point(label(), get(&counts.failures));
        interval.point(label(), every.as_secs_f64());
        duration.point(label(), get(&counts.last_duration_micros) / 1e6);
        last.point(label(), get(&counts.last_slot_ms) / 1000.0);
        rules.point(label(), rule_count as f64);
        rules_took.point(label(), get(&counts.last_rules_micros) / 1e6);
        samples.point(label(), get(&counts.last_samples));
    }
    families.extend([iterations, missed, evaluations, failures, interval, duration, last, rules, rules_took, samples]);
    let help = "How long the evaluation of a group takes.";
    families.push(latency.family("prometheus_rule_group_duration_seconds", help, Vec::new()));
    // Durable state is read once, before the first evaluation, and not by a query of each group: that takes no time here.
    let name = "prometheus_rule_group_last_restore_duration_seconds";
    let mut restored = Family::new(name, "Queries for the state of alerts after a start; there are none.", Gauge);
    for key in keys {
        restored.point(vec![("rule_group", key)], 0.0);
    }
    families.push(restored);
    let help = "How long the evaluation of a rule takes.";
    families.push(rule_latency.family("prometheus_rule_evaluation_duration_seconds", help, Vec::new()));
}
