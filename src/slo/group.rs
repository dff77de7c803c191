//! The objectives of one file, evaluated together: an [`Evaluator`] like a rule group.
//!
//! In the flow: a driver steps it; each slot counts the samples since the last one, computes the figures, and gives back series to
//! record and alerts to send. The series are a view for PromQL and Grafana; the counting itself never reads them.
//!
//! Every series has the labels of the specification (`service` among them), `slo` and the values of the grouping labels:
//!
//! | series | value |
//! |---|---|
//! | `almenara_slo_objective_ratio` | 0.999 |
//! | `almenara_slo_window_seconds` | the objective's window; of a calendar, as long as it is by now |
//! | `almenara_slo_events_total`, `almenara_slo_bad_events_total` | counters of events; a restart of ours resets them |
//! | `almenara_slo_error_ratio{window="1h"}` | bad / total, absent without events |
//! | `almenara_slo_burn_rate{window="1h"}` | error ratio / (1 - objective), absent without events |
//! | `almenara_slo_coverage_ratio` | the share of the objective's window that was measured |
//! | `almenara_slo_error_budget_remaining_ratio` | 1 untouched, 0 empty, negative overspent; absent without events |
//! | `almenara_slo_error_budget_remaining_with_excluded_ratio` | what would be left without exclusions; only where something is excluded |
//! | `almenara_slo_error_budget_exhaustion_timestamp_seconds{bound="expected"}` | when the budget is gone, also `earliest` and `latest`; absent where not in sight |
//! | `almenara_slo_state{state="met"}` | 1 for the present state, 0 for `at_risk`, `breached`, `not_measured` and the like |
//! | `ALERTS`, `ALERTS_FOR_STATE` | as rules record them |
//!
//! Of an indicator of queries (`query`) the series of events, coverage and exhaustion are absent.
//!
//! **Invariants.** A series that is not recorded again ends with a staleness marker. A source that cannot be read leaves the alerts and
//! series of its objective as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Alert, Labels, METRIC_NAME, Matcher, Timestamp, stale_nan};
use crate::promql::{Querier, QuerierError};
use crate::rules::{Environment, EvalContext, Evaluator, Outcome, Recorded};
use crate::source::format_duration;

use super::accounting::{Accounting, Sizes};
use super::alerts::{Alerts, LiveAlert, OUTAGE_TOLERANCE, Surroundings};
use super::coverage::Coverage;
use super::decode::SloFile;
use super::exclusion::Excluded;
use super::feed;
use super::figures::{Figures, State, tier_is_met};
use super::forecast::Forecast;
use super::levels::level_of;
use super::partly::{self, Notice, PartlySeen};
use super::policy::Since;
use super::query::Answers;
use super::snapshot::{self, Reader, Writer};
use super::spec::{Copies, PartIs, Slo};
use super::status::{SloAlert, SloStatus};
use super::trend::{TrendPoint, trend};
use super::view::{Origin, View};

/// A pause between slots of at least this (and two intervals) is a downtime of ours: what was not seen in it is no fault of the targets.
const AWAKE_GAP_MS: i64 = 5 * 60 * 1000;

/// The objectives of one file.
#[derive(Clone, Debug)]
pub struct SloGroup {
    file: String,
    interval: Duration,
    pub(super) objectives: Vec<Tracked>,
    /// How late samples may come.
    pub(super) late: Duration,
    alerts: Alerts,
    /// What the last slot recorded.
    recorded: BTreeSet<Labels>,
    last_slot: Option<Timestamp>,
    awake_since: Timestamp,
    /// When slots were evaluated, also by processes before this one.
    awake: Coverage,
    /// What tells that windows were seen in part only; `None` where no objective wants it.
    notice: Option<Notice>,
    is_notice_restored: bool,
    /// Whether the time before the first sample is taken as seen.
    has_full_windows: bool,
    /// How far amendments of the source have been looked at; `None` before the first slot, which reads all.
    amended: Option<u64>,
    /// Set where the configuration may have changed since the last slot: after this instant.
    changed_after: Option<Timestamp>,
    status: Vec<SloStatus>,
}

#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub(super) slo: Slo,
    /// Without anything where the indicator is made of queries.
    pub(super) accounting: Accounting,
    /// Whether its history is being read elsewhere, and until when it is not evaluated for that.
    pub(super) wants_history: bool,
    pub(super) waits_until: Option<Timestamp>,
    /// What the queries gave, where it is.
    answers: Option<Answers>,
    /// The first slot: what lies before it was stored before we counted, maybe with retention.
    warm_through: Option<Timestamp>,
    /// Whether the alerts from before a restart have been looked for.
    is_restored: bool,
    pub(super) groups: BTreeMap<Labels, GroupState>,
}

/// What is remembered of one group between slots, besides its counters.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupState {
    /// Since when each tier's condition is met.
    since: Vec<Since>,
    forecast: Option<Forecast>,
    /// How the budget went since the window began; made with the forecast.
    trend: Arc<[TrendPoint]>,
    trend_at: Option<Timestamp>,
    /// What does not count, and until when that is known.
    excluded: Excluded,
    excluded_through: Option<Timestamp>,
}

/// A forecast is made anew when it is this old.
const FORECAST_EVERY_MS: i64 = 5 * 60 * 1000;
/// Exclusions are laid out this far ahead.
const EXCLUDED_AHEAD_MS: i64 = 24 * 3600 * 1000;

impl SloGroup {
    /// The objectives of a checked file; `interval_default` holds where the file names no interval.
    pub fn new(file: SloFile, interval_default: Duration) -> Self {
        let reach = |slo: &Slo| {
            let of_composites = file.slos.iter().filter(|other| other.indicator.is_made_of(&slo.name));
            of_composites.map(|other| other.window.longest()).fold(slo.window.longest(), Duration::max)
        };
        let reaches: Vec<Duration> = file.slos.iter().map(reach).collect();
        let track = |(slo, reach): (Slo, Duration)| Tracked {
            accounting: Accounting::reaching(&slo, reach),
            answers: Answers::of(&slo),
            wants_history: false,
            waits_until: None,
            warm_through: None,
            is_restored: false,
            groups: BTreeMap::new(),
            slo,
        };
        SloGroup {
            file: file.path.to_string(),
            interval: file.interval.unwrap_or(interval_default),
            awake: Coverage::default(),
            notice: Notice::of(&file.path, file.slos.iter()),
            is_notice_restored: false,
            has_full_windows: false,
            objectives: file.slos.into_iter().zip(reaches).map(track).collect(),
            late: Duration::ZERO,
            alerts: Alerts::default(),
            recorded: BTreeSet::new(),
            last_slot: None,
            awake_since: Timestamp::MIN,
            amended: None,
            changed_after: None,
            status: Vec::new(),
        }
    }

    /// The same in a scripted test, which begins where it begins: nobody is told that windows are still filling.
    pub fn with_full_windows(self) -> Self {
        SloGroup { has_full_windows: true, ..self }
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
                    && old.slo.copies == new.slo.copies
                    && old.slo.budgeting == new.slo.budgeting
                    && old.accounting.reach() >= new.accounting.reach()
            };
            if let Some(index) = old_objectives.iter().position(same) {
                let old = old_objectives.swap_remove(index);
                (new.accounting, new.warm_through) = (old.accounting, old.warm_through);
                (new.wants_history, new.waits_until) = (old.wants_history, old.waits_until);
                let has_same_tiers =
                    old.slo.policy.tiers == new.slo.policy.tiers && old.slo.policy.guard == new.slo.policy.guard;
                match (&mut new.answers, old.answers) {
                    (new_answers, Some(old_answers)) if has_same_tiers && new.slo.window == old.slo.window => {
                        *new_answers = Some(old_answers);
                    }
                    (Some(new_answers), Some(old_answers)) => new_answers.adopt(old_answers),
                    _ => {}
                }
                if has_same_tiers {
                    new.groups = old.groups;
                }
                // Exclusions may be other ones.
                new.groups.values_mut().for_each(|state| (state.excluded_through, state.trend_at) = (None, None));
            }
        }
        // What fired is known; looking for it again would bring back what has been resolved at this very moment.
        self.objectives.iter_mut().for_each(|tracked| tracked.is_restored = true);
        self.is_notice_restored = true;
        self.alerts = old.alerts;
        self.recorded = old.recorded;
        self.last_slot = old.last_slot;
        self.amended = old.amended;
        (self.awake, self.awake_since) = (old.awake, old.awake_since);
        self.status = old.status;
        self.changed_after = Some(old.last_slot.unwrap_or(Timestamp::MIN));
    }

    /// The counters as bytes, for [`SloGroup::restore`]. What is not settled yet is not among them: it is in the stored samples.
    pub fn save(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.unsigned(snapshot::VERSION);
        self.awake.save(&mut out);
        let counted = self.objectives.iter().filter(|tracked| tracked.accounting.settled_through().is_some());
        out.unsigned(counted.clone().count() as u64);
        for tracked in counted {
            out.bytes(tracked.slo.name.as_bytes());
            out.unsigned(tracked.counted());
            let mut own = Writer::default();
            tracked.accounting.save(&mut own);
            out.bytes(&own.0);
        }
        out.0
    }

    /// Takes over the counters of a process before, as saved by [`SloGroup::save`]; `now` is before the first scrape of this one. What is counted
    /// otherwise, or cannot be read, is counted anew from the stored samples. Gives how many objectives were taken over.
    pub fn restore(&mut self, bytes: &[u8], now: Timestamp) -> usize {
        let mut input = Reader(bytes);
        let mut taken = 0;
        let mut one = |input: &mut Reader<'_>, objectives: &mut [Tracked]| {
            let (name, counted, own) = (input.text()?, input.unsigned()?, input.bytes()?);
            let same = |tracked: &&mut Tracked| tracked.slo.name == name && tracked.counted() == counted;
            if let Some(tracked) = objectives.iter_mut().find(same)
                && tracked.accounting.load(&mut Reader(own)).is_some()
            {
                // All samples after the settled instant are stored: nothing of them is lost to retention.
                tracked.warm_through = tracked.accounting.settled_through();
                taken += 1;
            }
            Some(())
        };
        let awake = match input.unsigned() {
            Some(1) => Some(Coverage::default()),
            Some(snapshot::VERSION) => Coverage::load(&mut input),
            _ => None,
        };
        if let Some(awake) = awake {
            self.awake = awake;
            for _ in 0..input.count().unwrap_or(0) {
                if one(&mut input, &mut self.objectives).is_none() {
                    break;
                }
            }
        }
        if taken > 0 {
            self.changed_after = Some(now);
        }
        taken
    }

    /// Samples may come late by `window` (`out_of_order_time_window`), and count where they belong.
    pub fn bear_late(&mut self, window: Duration) {
        self.late = window;
        self.objectives.iter_mut().for_each(|tracked| tracked.accounting.bear_late(window));
    }

    /// What fired when an earlier process ended, to be told again at the start `now`, before anything else. What cannot be read yet is looked
    /// for again at the first slot.
    pub fn remind(&mut self, now: Timestamp, querier: &dyn Querier, environment: &Environment) -> Vec<Alert> {
        for tracked in self.objectives.iter_mut().filter(|tracked| !tracked.is_restored) {
            tracked.is_restored = restore(&mut self.alerts, &tracked.slo, querier, now).is_ok();
        }
        let _ = self.restore_notice(querier, now); // else at the first slot
        self.alerts.remind(now, self.interval, environment)
    }

    /// Makes known how each objective stands before it is first evaluated here: as of what was durable, or not measured. `now` is the start of a process
    /// or of a configuration.
    pub fn announce(&mut self, now: Timestamp) {
        let known = std::mem::take(&mut self.status);
        self.status = self.complete(known, now);
        self.attach_alerts();
    }

    /// With the objectives that are missing in `status`, in order of the file: those that have not been evaluated, and those of which no group is
    /// known.
    fn complete(&self, status: Vec<SloStatus>, at: Timestamp) -> Vec<SloStatus> {
        let mut by_name: BTreeMap<Arc<str>, Vec<SloStatus>> = BTreeMap::new();
        for status in status {
            by_name.entry(status.name.clone()).or_default().push(status);
        }
        let known = |tracked: &Tracked| by_name.remove(&tracked.slo.name).unwrap_or_else(|| self.unjudged(tracked, at));
        self.objectives.iter().flat_map(known).collect()
    }

    fn unjudged(&self, tracked: &Tracked, at: Timestamp) -> Vec<SloStatus> {
        let (slo, origin, none) = (&tracked.slo, tracked.origin(), Labels::empty());
        let at = tracked.accounting.settled_through().unwrap_or(at);
        let mut groups: Vec<&Labels> =
            origin.groups().into_iter().filter(|group| group.is_empty() || origin.was_measured(group, at)).collect();
        if groups.is_empty() {
            groups.push(&none);
        }
        let of_group = |group: &Labels| {
            let excluded = excluded(slo, group, at - tracked.accounting.reach(), at.plus_ms(1));
            let figures = Figures::compute(&self.view(slo, origin, group, &excluded), at, None);
            SloStatus { is_evaluated: false, ..new_status(slo, group, figures) }
        };
        groups.into_iter().map(of_group).collect()
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
        self.objectives.iter().map(|tracked| (&tracked.slo, tracked.sizes()))
    }

    fn wake(&mut self, slot: Timestamp) {
        let gap_ms = AWAKE_GAP_MS.max(2 * i64::try_from(self.interval.as_millis()).unwrap_or(0));
        let last_slot = self.last_slot.filter(|last| slot.ms_since(*last) <= gap_ms);
        if last_slot.is_none() {
            self.awake_since = slot;
        }
        self.last_slot = Some(slot);
        self.awake.add(last_slot.unwrap_or(slot), slot);
        let reach = self.objectives.iter().map(|tracked| partly::reach(&tracked.slo.policy.tiers)).max();
        self.awake.drop_before(slot - reach.unwrap_or_default());
        if let Some(after) = self.changed_after.take() {
            self.objectives.iter_mut().for_each(|tracked| tracked.accounting.distrust(after, slot));
        }
    }

    /// Counts what is new for all objectives. Gives the places of those that could not be read, and of composites of them.
    fn count(&mut self, slot: Timestamp, context: &EvalContext<'_>, outcome: &mut Outcome) -> BTreeSet<usize> {
        self.take_back(context.querier);
        let mut unread = BTreeSet::new();
        for (index, tracked) in self.objectives.iter_mut().enumerate() {
            tracked.waits_until = tracked.waits_until.filter(|until| slot < *until);
            if tracked.waits_until.is_some() {
                unread.insert(index);
                continue;
            }
            if let Err(error) = tracked.read(slot, self.interval, context, &mut self.alerts) {
                outcome.failures.push((tracked.slo.name.to_string(), error));
                unread.insert(index);
            }
        }
        let is_made_of_unread = |composite: &Tracked| {
            unread.iter().any(|member| composite.slo.indicator.is_made_of(&self.objectives[*member].slo.name))
        };
        let composites: Vec<usize> =
            (0..self.objectives.len()).filter(|index| is_made_of_unread(&self.objectives[*index])).collect();
        unread.extend(composites);
        unread
    }

    /// Takes back what was counted before samples of then came.
    fn take_back(&mut self, querier: &dyn Querier) {
        let is_first = self.amended.is_none();
        let amended = querier.amended(self.amended.get_or_insert(0));
        if !is_first {
            for Tracked { slo, accounting, .. } in &mut self.objectives {
                feed::take_back(slo, accounting, amended.as_deref());
            }
        }
    }

    /// Computes the figures of all groups of an objective, steps its alerts, records its series.
    fn judge(&mut self, index: usize, slot: Timestamp, recorded: &mut Vec<Recorded>, status: &mut Vec<SloStatus>) {
        let (partly_seen, sizes) = (self.partly_seen(index, slot), self.objectives[index].sizes());
        // Taken out while views look at the rest.
        let mut states = std::mem::take(&mut self.objectives[index].groups);
        let mut alerts = std::mem::take(&mut self.alerts);
        let Tracked { slo, accounting, .. } = &self.objectives[index];
        let origin = self.objectives[index].origin();
        states.retain(|group, _| origin.is_known(group));
        let around = Surroundings { awake_since: self.awake_since, measured_groups: origin.measured_groups(slot) };
        for group in origin.groups() {
            let is_new = !states.contains_key(group);
            let state = states.entry(group.clone()).or_default();
            state.lay_out(slo, group, accounting.reach(), slot);
            let view = self.view(slo, origin, group, &state.excluded);
            if is_new && slo.policy.tiers.iter().any(|tier| !tier.hold.is_zero()) {
                state.since = held_since(&view, slot, self.interval);
            }
            state.since.resize(slo.policy.tiers.len(), Since::default());
            if state.trend_at.is_none_or(|made| slot.ms_since(made) >= FORECAST_EVERY_MS) {
                (state.forecast, state.trend) = (Forecast::make(&view, slot), trend(&view, slot).into());
                state.trend_at = Some(slot);
            }
            let mut figures = Figures::compute(&view, slot, state.forecast);
            figures.hold(slo, &mut state.since);
            let is_counted = !slo.indicator.is_queried();
            if is_counted && !figures.is_measured && figures.missing_bucket.is_none() && !group.is_empty() {
                continue; // bad events whose total has other labels: not a group of this objective
            }
            alerts.step(slo, group, &figures, around);
            record(slo, group, &figures, view.events_total(slot), recorded);
            let trend = state.trend.clone();
            status.push(SloStatus {
                trend,
                sizes,
                partly_seen: partly_seen.clone(),
                ..new_status(slo, group, figures)
            });
        }
        self.objectives[index].groups = states;
        self.alerts = alerts;
    }

    /// The tiers of an objective whose windows we saw in part only.
    fn partly_seen(&self, index: usize, slot: Timestamp) -> Arc<[PartlySeen]> {
        let Tracked { slo, accounting, .. } = &self.objectives[index];
        let from = slot - partly::reach(&slo.policy.tiers);
        let mut stretches = partly::unseen(accounting, &self.awake, (from, slot));
        stretches.retain(|stretch| stretch.since.is_some() || !self.has_full_windows);
        partly::concerned(slo, &stretches, slot).into()
    }

    /// One alert for all objectives whose windows we saw in part only. `unread` are those that could not be read.
    fn notify(&mut self, slot: Timestamp, unread: &BTreeSet<usize>, status: &[SloStatus], querier: &dyn Querier) {
        let is_restored = self.restore_notice(querier, slot).is_ok();
        let Some(notice) = &self.notice else { return };
        let mut concerned: Vec<(Arc<str>, Arc<[PartlySeen]>)> = Vec::new();
        for tracked in self.objectives.iter().filter(|tracked| tracked.slo.policy.tells_partly_measured) {
            let name = &tracked.slo.name;
            let seen = status.iter().find(|status| status.name == *name).map(|status| status.partly_seen.clone());
            concerned.extend(seen.filter(|seen| !seen.is_empty()).map(|seen| (name.clone(), seen)));
        }
        self.alerts.step_partly(notice, &concerned, unread.is_empty() && is_restored, slot);
    }

    /// Finds what fired before a restart, if that has not been looked for yet.
    fn restore_notice(&mut self, querier: &dyn Querier, slot: Timestamp) -> Result<(), QuerierError> {
        if !self.is_notice_restored {
            let matchers = partly::fired(&self.file);
            self.alerts.restore_partly(&querier.select(&matchers, slot - OUTAGE_TOLERANCE, slot)?);
            self.is_notice_restored = true;
        }
        Ok(())
    }

    fn view<'a>(&'a self, slo: &'a Slo, origin: Origin<'a>, group: &'a Labels, excluded: &Excluded) -> View<'a> {
        let member = |name: &str| {
            let found = self.objectives.iter().find(|tracked| &*tracked.slo.name == name)?;
            Some((&found.slo, &found.accounting))
        };
        let excluded_of = |slo: &Slo, group: &Labels| {
            let found = self.objectives.iter().find(|tracked| tracked.slo.name == slo.name);
            found.and_then(|tracked| tracked.groups.get(group)).map(|state| state.excluded.clone()).unwrap_or_default()
        };
        View::of_composite(slo, group, excluded.clone(), member, excluded_of)
            .unwrap_or_else(|| View::of(slo, origin, group, excluded.clone()))
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
            let is_own = |alert: &LiveAlert| match &*alert.slo {
                "" => {
                    !status.partly_seen.is_empty()
                        && self.notice.as_ref().is_some_and(|notice| notice.tells(&status.name))
                }
                slo => *slo == *status.name && alert.group == status.group,
            };
            let of_group = self.alerts.firing().filter(|(_, alert)| is_own(alert));
            status.alerts = of_group
                .map(|(labels, alert)| SloAlert {
                    name: alert.name,
                    severity: alert.severity,
                    tier: alert.tier.clone(),
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

    fn query_offset(&self) -> Duration {
        Duration::ZERO
    }

    fn eval(&mut self, slot: Timestamp, context: &EvalContext<'_>) -> Outcome {
        self.wake(slot);
        let mut outcome = Outcome::default();
        let unread = self.count(slot, context, &mut outcome);
        let mut kept = BTreeSet::new();
        let mut status = Vec::new();
        for index in 0..self.objectives.len() {
            let name = self.objectives[index].slo.name.clone();
            if unread.contains(&index) {
                self.alerts.hold(&name, slot);
                kept.extend(self.recorded.iter().filter(|labels| labels.get("slo") == Some(&name)).cloned());
                status.extend(self.status.iter().filter(|status| status.name == name).cloned());
                continue;
            }
            self.judge(index, slot, &mut outcome.recorded, &mut status);
        }
        self.notify(slot, &unread, &status, context.querier);
        (outcome.alerts, outcome.transitions) = self.alerts.finish(slot, self.interval, context.environment);
        self.alerts.record(slot, &mut outcome.recorded);
        self.mark_stale(slot, kept, &mut outcome.recorded);
        self.status = self.complete(status, slot);
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

impl Tracked {
    /// What its groups are known from.
    fn origin(&self) -> Origin<'_> {
        self.answers.as_ref().map_or(Origin::Counted(&self.accounting), Origin::Asked)
    }

    /// Counts what is new, or asks; and finds what fired before a restart.
    fn read(
        &mut self,
        slot: Timestamp,
        interval: Duration,
        context: &EvalContext<'_>,
        alerts: &mut Alerts,
    ) -> Result<(), String> {
        let warm_through = *self.warm_through.get_or_insert(slot);
        let is_first = self.answers.as_ref().is_some_and(Answers::is_new);
        match &mut self.answers {
            Some(answers) => answers.look(slot, interval, context)?,
            None => feed::advance(&self.slo, &mut self.accounting, context.querier, slot, warm_through)
                .map_err(|error| error.to_string())?,
        }
        if !self.is_restored {
            restore(alerts, &self.slo, context.querier, slot).map_err(|error| error.to_string())?;
            self.is_restored = true;
        }
        if let Some(answers) = self.answers.as_mut().filter(|_| is_first) {
            // What fired and cannot be seen now has not ended.
            let own = alerts.firing().filter(|(_, alert)| alert.slo == self.slo.name);
            own.for_each(|(_, alert)| answers.know(&alert.group, slot));
        }
        Ok(())
    }

    fn sizes(&self) -> Sizes {
        let sizes = self.accounting.sizes();
        let Some(answers) = &self.answers else { return sizes };
        Sizes { refused: sizes.refused + answers.refused(), adjusted: answers.adjusted(), ..sizes }
    }

    /// Tells what is counted, and how: another indicator or grouping is another generation.
    fn counted(&self) -> u64 {
        let Slo { indicator, group_by, budgeting, copies, .. } = &self.slo;
        let told_apart = if *copies == Copies::default() { String::new() } else { format!("{copies:?}") };
        snapshot::hash(&(format!("{:?}", (indicator, group_by, budgeting)) + &told_apart))
    }
}

impl GroupState {
    /// Lays out anew what does not count, where the last layout has run out.
    fn lay_out(&mut self, slo: &Slo, group: &Labels, reach: Duration, slot: Timestamp) {
        if slo.exclusions.is_empty() || self.excluded_through > Some(slot) {
            return;
        }
        let through = slot.plus_ms(EXCLUDED_AHEAD_MS);
        self.excluded = excluded(slo, group, slot - reach, through);
        self.excluded_through = Some(through);
    }
}

/// What does not count for a group of an objective in `from..to`.
pub(super) fn excluded(slo: &Slo, group: &Labels, from: Timestamp, to: Timestamp) -> Excluded {
    Excluded::of(slo.exclusions.iter().filter(|exclusion| exclusion.is_for(slo, group)), from, to)
}

/// Since when the conditions of tiers with a holding time are met, found from the counters themselves, or from queries at instants before: a
/// restart of ours does not make it start anew. `step` is the distance of the slots before.
fn held_since(view: &View<'_>, slot: Timestamp, step: Duration) -> Vec<Since> {
    let tiers = &view.slo.policy.tiers;
    let mut since = vec![Since::default(); tiers.len()];
    let longest = tiers.iter().map(|tier| tier.hold).max().unwrap_or_default();
    let steps = u32::try_from(longest.as_nanos().div_ceil(step.as_nanos().max(1))).unwrap_or(0);
    let instants: Vec<Timestamp> = match view.instants() {
        Some(asked) => asked.iter().copied().filter(|at| *at < slot).collect(),
        None => (1..=steps).rev().map(|back| slot - step * back).collect(),
    };
    for at in instants {
        for (tier, since) in tiers.iter().zip(&mut since).filter(|(tier, _)| !tier.hold.is_zero()) {
            since.step(tier, tier_is_met(view, tier, at), at);
        }
    }
    since
}

/// What fired when we went down, as it was recorded.
fn restore(alerts: &mut Alerts, slo: &Slo, querier: &dyn Querier, slot: Timestamp) -> Result<(), QuerierError> {
    let matchers = [Matcher::equal(METRIC_NAME, "ALERTS_FOR_STATE"), Matcher::equal("slo", slo.name.clone())];
    let series = querier.select(&matchers, slot - OUTAGE_TOLERANCE, slot)?;
    alerts.restore(slo, &series);
    Ok(())
}

/// Without what is made from time to time, and without alerts.
fn new_status(slo: &Slo, group: &Labels, figures: Figures) -> SloStatus {
    SloStatus {
        name: slo.name.clone(),
        group: group.clone(),
        labels: slo.labels.clone(),
        about: slo.about.clone(),
        objective_percent: slo.objective.percent(),
        window: slo.window.clone(),
        budgeting: slo.budgeting,
        is_event_exact: !slo.indicator.is_queried(),
        is_evaluated: true,
        tiers: slo.policy.tiers.clone(),
        guard: slo.policy.guard,
        trend: Arc::default(),
        partly_seen: Arc::default(),
        sizes: Sizes::default(),
        level: level_of(&slo.levels, figures.budget_remaining_ratio),
        exclusions: slo.exclusions.iter().filter(|exclusion| exclusion.is_for(slo, group)).cloned().collect(),
        figures,
        alerts: Vec::new(),
    }
}

/// The series of one group at one slot; see the table at the head of this file.
fn record(slo: &Slo, group: &Labels, figures: &Figures, events: Option<(f64, f64)>, recorded: &mut Vec<Recorded>) {
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

    push("almenara_slo_objective_ratio", None, slo.objective.ratio());
    push("almenara_slo_window_seconds", None, figures.whole.window.as_secs_f64());
    if let Some((part, total)) = events {
        let counts_good = slo.indicator.part_is() == PartIs::Good;
        push("almenara_slo_events_total", None, total);
        push("almenara_slo_bad_events_total", None, if counts_good { total - part } else { part });
    }
    let lookbacks = figures.windows.iter().map(|window| (window, format_duration(window.window)));
    for (window, length) in lookbacks.chain([(&figures.whole, slo.window.to_string())]) {
        let length = || Some(("window", length.clone()));
        if let (Some(error_ratio), Some(burn_rate)) = (window.error_ratio, window.burn_rate) {
            push("almenara_slo_error_ratio", length(), error_ratio);
            push("almenara_slo_burn_rate", length(), burn_rate);
        }
    }
    if let Some(coverage) = figures.whole.coverage_ratio {
        push("almenara_slo_coverage_ratio", None, coverage);
    }
    if let Some(remaining) = figures.budget_remaining_ratio {
        push("almenara_slo_error_budget_remaining_ratio", None, remaining);
    }
    if let Some(burn_rate) = figures.with_excluded.and_then(|window| window.burn_rate) {
        push("almenara_slo_error_budget_remaining_with_excluded_ratio", None, 1.0 - burn_rate);
    }
    for (bound, exhaustion) in figures.forecast.iter().flat_map(Forecast::bounds) {
        if let Some(at) = exhaustion.instant(figures.at) {
            push(
                "almenara_slo_error_budget_exhaustion_timestamp_seconds",
                Some(("bound", bound.to_owned())),
                at.as_secs_f64(),
            );
        }
    }
    for state in State::ALL {
        let value = if state == figures.state { 1.0 } else { 0.0 };
        push("almenara_slo_state", Some(("state", state.as_str().to_owned())), value);
    }
}
