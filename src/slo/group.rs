//! The objectives of one file, evaluated together: an [`Evaluator`] like a rule group.
//!
//! In the flow: a driver steps it; each slot counts the samples since the last one, computes the figures, and gives back series to
//! record and alerts to send. The series are a view for PromQL and Grafana; the counting itself never reads them.
//!
//! Every series has the labels of the specification (`service` among them), `slo` and the values of the grouping labels:
//!
//! | series | value |
//! |---|---|
//! | `slo_objective_ratio` | 0.999 |
//! | `slo_window_seconds` | the objective's window; of a calendar, as long as it is by now |
//! | `slo_events_total`, `slo_bad_events_total` | counters of events; a restart of ours resets them |
//! | `slo_error_ratio{window="1h"}` | bad / total, absent without events |
//! | `slo_burn_rate{window="1h"}` | error ratio / (1 - objective), absent without events |
//! | `slo_coverage_ratio` | the share of the objective's window that was measured |
//! | `slo_error_budget_remaining_ratio` | 1 untouched, 0 empty, negative overspent; absent without events |
//! | `slo_state{state="met"}` | 1 for the present state, 0 for `at_risk`, `breached`, `not_measured` and the like |
//! | `ALERTS`, `ALERTS_FOR_STATE` | as rules record them |
//!
//! **Invariants.** A series that is not recorded again ends with a staleness marker. A source that cannot be read leaves the alerts and
//! series of its objective as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{Labels, METRIC_NAME, Matcher, Timestamp, stale_nan};
use crate::promql::{Querier, QuerierError};
use crate::rules::{EvalContext, Evaluator, Outcome, Recorded};
use crate::source::format_duration;

use super::accounting::{Accounting, Sizes};
use super::alerts::{Alerts, OUTAGE_TOLERANCE, Surroundings};
use super::decode::SloFile;
use super::feed;
use super::figures::{Figures, SCRAPE_COVERS, State};
use super::policy::Since;
use super::spec::{PartIs, Slo};
use super::status::{SloAlert, SloStatus};

/// A pause between slots of at least this (and two intervals) is a downtime of ours: what was not seen in it is no fault of the targets.
const AWAKE_GAP_MS: i64 = 5 * 60 * 1000;

/// The objectives of one file.
#[derive(Clone, Debug)]
pub struct SloGroup {
    file: String,
    interval: Duration,
    objectives: Vec<Tracked>,
    alerts: Alerts,
    /// What the last slot recorded.
    recorded: BTreeSet<Labels>,
    last_slot: Option<Timestamp>,
    awake_since: Timestamp,
    /// Whether the configuration has changed since the last slot.
    is_adopted: bool,
    status: Vec<SloStatus>,
}

#[derive(Clone, Debug)]
struct Tracked {
    slo: Slo,
    accounting: Accounting,
    /// The first slot: what lies before it was stored before we counted, maybe with retention.
    warm_through: Option<Timestamp>,
    /// Whether the alerts from before a restart have been looked for.
    is_restored: bool,
    /// By group: since when each tier's condition is met.
    since: BTreeMap<Labels, Vec<Since>>,
}

impl SloGroup {
    /// The objectives of a checked file; `interval_default` holds where the file names no interval.
    pub fn new(file: SloFile, interval_default: Duration) -> Self {
        let track = |slo: Slo| Tracked {
            accounting: Accounting::new(&slo),
            warm_through: None,
            is_restored: false,
            since: BTreeMap::new(),
            slo,
        };
        SloGroup {
            file: file.path.to_string(),
            interval: file.interval.unwrap_or(interval_default),
            objectives: file.slos.into_iter().map(track).collect(),
            alerts: Alerts::default(),
            recorded: BTreeSet::new(),
            last_slot: None,
            awake_since: Timestamp::MIN,
            is_adopted: false,
            status: Vec::new(),
        }
    }

    /// Takes over from the group that this one replaces after a reload: alerts, the series to end, and the counters of every
    /// objective whose indicator and grouping are the same and whose window is not longer. Another target or policy keeps its counters;
    /// another indicator starts anew from what is stored.
    pub fn adopt_state(&mut self, old: SloGroup) {
        let mut old_objectives = old.objectives;
        for new in &mut self.objectives {
            let same = |old: &Tracked| {
                old.slo.name == new.slo.name
                    && old.slo.indicator == new.slo.indicator
                    && old.slo.group_by == new.slo.group_by
                    && old.slo.budgeting == new.slo.budgeting
                    && old.slo.window.longest() >= new.slo.window.longest()
            };
            if let Some(index) = old_objectives.iter().position(same) {
                let old = old_objectives.swap_remove(index);
                (new.accounting, new.warm_through) = (old.accounting, old.warm_through);
                if old.slo.policy.tiers == new.slo.policy.tiers {
                    new.since = old.since;
                }
            }
        }
        // What fired is known; looking for it again would bring back what has been resolved at this very moment.
        self.objectives.iter_mut().for_each(|tracked| tracked.is_restored = true);
        self.alerts = old.alerts;
        self.recorded = old.recorded;
        self.last_slot = old.last_slot;
        self.awake_since = old.awake_since;
        self.status = old.status;
        self.is_adopted = true;
    }

    /// How each group of each objective stood at the last slot, in order of the file, then of groups.
    pub fn status(&self) -> Vec<SloStatus> {
        self.status.clone()
    }

    /// The objectives, in order of the file.
    pub fn slos(&self) -> impl Iterator<Item = &Slo> {
        self.objectives.iter().map(|tracked| &tracked.slo)
    }

    /// How much each objective's accounting holds, in order of the file.
    pub fn sizes(&self) -> impl Iterator<Item = (&Slo, Sizes)> {
        self.objectives.iter().map(|tracked| (&tracked.slo, tracked.accounting.sizes()))
    }

    fn wake(&mut self, slot: Timestamp) {
        let gap_ms = AWAKE_GAP_MS.max(2 * i64::try_from(self.interval.as_millis()).unwrap_or(0));
        if self.last_slot.is_none_or(|last| slot.ms_since(last) > gap_ms) {
            self.awake_since = slot;
        }
        self.last_slot = Some(slot);
        if std::mem::take(&mut self.is_adopted) {
            self.objectives.iter_mut().for_each(|tracked| tracked.accounting.distrust_through(slot));
        }
    }

    /// Ends the series that were recorded before and are not now.
    fn mark_stale(&mut self, slot: Timestamp, kept: BTreeSet<Labels>, recorded: &mut Vec<Recorded>) {
        let mut now: BTreeSet<Labels> = recorded.iter().map(|sample| sample.labels.clone()).collect();
        now.extend(kept);
        let gone = self.recorded.difference(&now);
        recorded.extend(gone.map(|labels| Recorded {
            labels: labels.clone(),
            series: None,
            at: slot,
            value: stale_nan().into(),
        }));
        self.recorded = now;
    }

    fn attach_alerts(&mut self) {
        for status in &mut self.status {
            let of_group =
                self.alerts.firing().filter(|(_, alert)| alert.slo == status.name && alert.group == status.group);
            status.alerts = of_group
                .map(|(labels, alert)| SloAlert {
                    name: alert.name,
                    severity: alert.severity,
                    tier: alert.tier.as_ref().map(|tier| tier.name.clone()),
                    labels: labels.clone(),
                    annotations: alert.annotations.clone(),
                    active_at: alert.active_at,
                })
                .collect();
        }
    }
}

impl Evaluator for SloGroup {
    fn file(&self) -> &str {
        &self.file
    }

    fn name(&self) -> &str {
        "slos"
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    fn last_slot(&self) -> Option<Timestamp> {
        self.last_slot
    }

    fn eval(&mut self, slot: Timestamp, context: &EvalContext<'_>) -> Outcome {
        self.wake(slot);
        let mut outcome = Outcome::default();
        let mut kept = BTreeSet::new();
        let mut status = Vec::new();
        for Tracked { slo, accounting, warm_through, is_restored, since } in &mut self.objectives {
            let warm_through = *warm_through.get_or_insert(slot);
            let mut read = feed::advance(slo, accounting, context.querier, slot, warm_through);
            if read.is_ok() && !*is_restored {
                read = restore(&mut self.alerts, slo, context.querier, slot);
                *is_restored = read.is_ok();
            }
            if let Err(error) = read {
                outcome.failures.push((slo.name.to_string(), error.to_string()));
                self.alerts.hold(&slo.name, slot);
                kept.extend(self.recorded.iter().filter(|labels| labels.get("slo") == Some(&slo.name)).cloned());
                status.extend(self.status.iter().filter(|status| status.name == slo.name).cloned());
                continue;
            }
            let is_measured_now =
                |group: &&Labels| accounting.last_measured(group).is_some_and(|last| slot.since(last) < SCRAPE_COVERS);
            let measured_groups = accounting.groups().filter(is_measured_now).count();
            since.retain(|group, _| accounting.is_known(group));
            let around = Surroundings { awake_since: self.awake_since, measured_groups };
            for group in accounting.groups() {
                let mut figures = Figures::compute(slo, accounting, group, slot);
                let since = since.entry(group.clone()).or_default();
                since.resize(slo.policy.tiers.len(), Since::default());
                figures.hold(slo, since);
                if !figures.is_measured && figures.missing_bucket.is_none() && !group.is_empty() {
                    continue; // bad events whose total has other labels: not a group of this objective
                }
                self.alerts.step(slo, group, &figures, around);
                record(slo, group, &figures, accounting.events_total(group, slot), &mut outcome.recorded);
                status.push(new_status(slo, group, figures));
            }
        }
        outcome.alerts = self.alerts.finish(slot, self.interval, context.environment);
        self.alerts.record(slot, &mut outcome.recorded);
        self.mark_stale(slot, kept, &mut outcome.recorded);
        self.status = status;
        self.attach_alerts();
        outcome
    }

    fn retire(&mut self, at: Timestamp) -> Vec<Recorded> {
        let mut ended = Vec::new();
        self.mark_stale(at, BTreeSet::new(), &mut ended);
        self.recorded.clear();
        ended
    }
}

/// What fired when we went down, as it was recorded.
fn restore(alerts: &mut Alerts, slo: &Slo, querier: &dyn Querier, slot: Timestamp) -> Result<(), QuerierError> {
    let matchers = [Matcher::equal(METRIC_NAME, "ALERTS_FOR_STATE"), Matcher::equal("slo", slo.name.clone())];
    let series = querier.select(&matchers, slot - OUTAGE_TOLERANCE, slot)?;
    alerts.restore(slo, &series);
    Ok(())
}

fn new_status(slo: &Slo, group: &Labels, figures: Figures) -> SloStatus {
    SloStatus {
        name: slo.name.clone(),
        group: group.clone(),
        labels: slo.labels.clone(),
        about: slo.about.clone(),
        objective_percent: slo.objective.percent(),
        window: slo.window.clone(),
        budgeting: slo.budgeting,
        tiers: slo.policy.tiers.clone(),
        figures,
        alerts: Vec::new(),
    }
}

/// The series of one group at one slot; see the table at the head of this file.
fn record(slo: &Slo, group: &Labels, figures: &Figures, events: (f64, f64), recorded: &mut Vec<Recorded>) {
    let mut identity = slo.labels.to_builder();
    group.iter().for_each(|label| {
        identity.set(label.name.clone(), label.value.clone());
    });
    identity.set("slo", slo.name.clone());
    let mut push = |name: &str, extra: Option<(&str, String)>, value: f64| {
        let mut labels = identity.clone();
        labels.set(METRIC_NAME, name);
        if let Some((name, value)) = extra {
            labels.set(name, value);
        }
        recorded.push(Recorded { labels: labels.build(), series: None, at: figures.at, value: value.into() });
    };

    let (part, total) = events;
    let counts_good = slo.indicator.part_is() == PartIs::Good;
    push("slo_objective_ratio", None, slo.objective.ratio());
    push("slo_window_seconds", None, figures.whole.window.as_secs_f64());
    push("slo_events_total", None, total);
    push("slo_bad_events_total", None, if counts_good { total - part } else { part });
    let lookbacks = figures.windows.iter().map(|window| (window, format_duration(window.window)));
    for (window, length) in lookbacks.chain([(&figures.whole, slo.window.to_string())]) {
        let length = || Some(("window", length.clone()));
        if let (Some(error_ratio), Some(burn_rate)) = (window.error_ratio, window.burn_rate) {
            push("slo_error_ratio", length(), error_ratio);
            push("slo_burn_rate", length(), burn_rate);
        }
    }
    push("slo_coverage_ratio", None, figures.whole.coverage_ratio);
    if let Some(remaining) = figures.budget_remaining_ratio {
        push("slo_error_budget_remaining_ratio", None, remaining);
    }
    for state in State::ALL {
        let value = if state == figures.state { 1.0 } else { 0.0 };
        push("slo_state", Some(("state", state.as_str().to_owned())), value);
    }
}
