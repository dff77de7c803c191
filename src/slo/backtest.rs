//! An objective and its tiers replayed over recorded samples: how much of the budget was left when, and when each tier would have fired.
//!
//! In the flow: `almenara slo backtest` reads specifications and a [`Recording`], and prints what [`backtest`] returns. It is the daemon's
//! accounting over another source, so that what it counts is what the daemon would have counted.
//!
//! Queries are asked at each instant of the grid, through the plans of the daemon over a store of the recorded samples.
//!
//! **Invariants.** The source is taken to hold everything that was scraped: a scrape without a series proves that it did not exist.
//! A tier's runs are raw conditions at the instants of the grid. What alerts make of them (guard, holding, suppressing) are the
//! notifications: the daemon's own alerts, stepped at the same instants. Of the one that it makes for a whole file each objective tells when it would
//! be named there; that says how much was recorded, not how the service did, so it is no notification.
//! **Cost.** One pass over all samples ([`super::witnesses`]), and for each objective one over those of its counters, in slices of [`SLICE_MS`]; then
//! two look-ups per window and instant, in a table of the grid where
//! window and step allow it. Alerts are stepped only where they have something to do.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, Matcher, Series, Timestamp};
use crate::promql::Dialect;
use crate::promql::plan::Engine;
use crate::rules::{Environment, EvalContext};

use super::accounting::{Accounting, Role};
use super::alerts::{Alerts, BURN_ALERT, LiveAlert, Surroundings};
use super::curve::Counts;
use super::demand::reads;
use super::entry::TargetKey;
use super::feed::sources;
use super::figures::Figures;
use super::fold::History;
use super::forecast::Forecast;
use super::group::excluded;
use super::guard::Verdict;
use super::partly::{self, Unseen};
use super::policy::{BudgetWhen, Severity, Since};
use super::query::Answers;
use super::recording::Recording;
use super::spec::{Copies, Indicator, Slo};
use super::texts::partly_seen;
use super::view::{Origin, View};
use super::witnesses::Witnesses;

/// The longest stretch of time fed at once, so that memory does not depend on the length of the recording.
const SLICE_MS: i64 = 6 * 3600 * 1000;

/// As the daemon has it by default (`--query.lookback-delta`).
const LOOKBACK_DELTA: Duration = Duration::from_secs(300);
/// Of subqueries that name no step, as the daemon has it by default (`global.evaluation_interval`).
const SUBQUERY_STEP: Duration = Duration::from_secs(60);

/// The instants: start, start + step, … up to and including end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// The first instant.
    pub start: Timestamp,
    /// No instant is after it.
    pub end: Timestamp,
    /// The distance, above zero.
    pub step: Duration,
}

impl Grid {
    fn instants(self) -> impl Iterator<Item = Timestamp> {
        let next = move |at: &Timestamp| Some(*at + self.step).filter(|at| *at <= self.end);
        std::iter::successors(Some(self.start).filter(|start| *start <= self.end), next)
    }
}

/// One group of one objective over the grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Backtest {
    /// The values of the grouping labels.
    pub group: Labels,
    /// One per instant.
    pub points: Vec<Point>,
    /// In order of start, then of the policy's tiers.
    pub runs: Vec<TierRun>,
    /// What would have been sent, in order of start.
    pub notifications: Vec<Notified>,
    /// Whether a target was scraped within five minutes of the last instant.
    pub is_measured_at_end: bool,
    /// Runs of tiers of which nobody was told, by their place in `runs`, with the reason.
    pub held_back: Vec<(usize, String)>,
    /// In order of time; empty where the policy does not tell of it.
    pub partly_measured: Vec<PartlyMeasured>,
}

/// The budget at an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The end of the window.
    pub at: Timestamp,
    /// What counts in the window.
    pub counts: Counts,
    /// `None` without events.
    pub error_ratio: Option<f64>,
    /// 1 is untouched, 0 is empty, negative is overspent; `None` without events.
    pub budget_remaining: Option<f64>,
    /// The share of the window that was measured; `None` of queries, which do not tell.
    pub coverage: Option<f64>,
}

/// An uninterrupted run of instants at which the condition of a tier held.
#[derive(Clone, Debug, PartialEq)]
pub struct TierRun {
    /// Its place in the policy.
    pub tier: usize,
    /// The first instant at which it held, and had for as long as the tier wants.
    pub start: Timestamp,
    /// The first instant at which it no longer held; `None` where it still does at the end.
    pub end: Option<Timestamp>,
    /// How much of the budget was spent at the start.
    pub budget_spent_at_start: Option<f64>,
}

/// An alert from its first notification to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Notified {
    /// Its name: `SLOErrorBudgetBurn` and the like.
    pub name: &'static str,
    /// The tier or condition that raised it.
    pub tier: Option<String>,
    /// Page or ticket.
    pub severity: Severity,
    /// When it was raised.
    pub start: Timestamp,
    /// When it was resolved; `None` where it still fires at the end.
    pub end: Option<Timestamp>,
    /// How much of the budget was spent at the start.
    pub budget_spent_at_start: Option<f64>,
    /// Why, in words.
    pub reason: String,
}

/// A time in which tiers had windows of which a part was not seen, for reasons of the recorder's: the daemon tells of it once for a whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct PartlyMeasured {
    /// When the daemon would have begun to tell of it.
    pub start: Timestamp,
    /// When all windows were full; `None` where they are not by the end.
    pub end: Option<Timestamp>,
    /// Why, and which tiers.
    pub reason: String,
}

/// Replays all of `slos` over `recording`, composites with the counters of their members. One entry per objective and group, in order of `slos`,
/// then of groups; the number is the objective's place. An error is that of a query, with the objective and the instant.
pub fn backtest_all(slos: &[Slo], recording: &Recording, grid: Grid) -> Result<Vec<(usize, Backtest)>, String> {
    let reach = |slo: &Slo| {
        let of_composites = slos.iter().filter(|other| other.indicator.is_made_of(&slo.name));
        of_composites.map(|other| other.window.longest()).fold(slo.window.longest(), Duration::max)
    };
    let mut result = Vec::new();
    let needed = |slo: &Slo| slos.iter().any(|other| other.indicator.is_made_of(&slo.name));
    let witnesses = Witnessed::of(slos, recording);
    let account = |slo: &Slo| account(slo, recording, &witnesses, (grid, reach(slo)));
    let composites_exist = slos.iter().any(|slo| matches!(slo.indicator, Indicator::Composite { .. }));
    // Counters are kept only as long as somebody asks: those of a thousand objectives need not be there at once.
    let kept: Vec<Option<Accounting>> =
        slos.iter().map(|slo| (composites_exist && needed(slo)).then(|| account(slo))).collect();
    let engine = engine(slos, recording);
    let awake = recording.awake();
    for (index, slo) in slos.iter().enumerate() {
        let (own, answers);
        let origin = if let Some(asked) = engine.as_ref().and_then(|engine| ask(slo, engine, grid)) {
            answers = asked?;
            Origin::Asked(&answers)
        } else if let Some(kept) = &kept[index] {
            Origin::Counted(kept)
        } else {
            own = account(slo);
            Origin::Counted(&own)
        };
        let is_own = |group: &&Labels| group.is_empty() || origin.was_measured(group, grid.end);
        let from = recording.range().map_or(grid.start, |(first, _)| first.min(grid.start)) - slo.window.longest();
        let excluded_of = |slo: &Slo, group: &Labels| excluded(slo, group, from, grid.end);
        let unseen = match origin {
            Origin::Counted(accounting) => {
                partly::unseen(accounting, &awake, (grid.start - partly::reach(&slo.policy.tiers), grid.end))
            }
            Origin::Asked(_) => Vec::new(),
        };
        for group in origin.groups().into_iter().filter(is_own) {
            let member = |name: &str| {
                let place = slos.iter().position(|slo| &*slo.name == name)?;
                Some((&slos[place], kept[place].as_ref()?))
            };
            let excluded = excluded_of(slo, group);
            let mut view = View::of_composite(slo, group, excluded.clone(), member, excluded_of)
                .unwrap_or_else(|| View::of(slo, origin, group, excluded));
            view.tabulate(grid.start, grid.step, grid.end);
            result.push((index, Replay::new(&view, origin, grid).run(&unseen)));
        }
    }
    Ok(result)
}

/// Replays one objective that is no composite. One entry per group, in order.
pub fn backtest(slo: &Slo, recording: &Recording, grid: Grid) -> Result<Vec<Backtest>, String> {
    Ok(backtest_all(std::slice::from_ref(slo), recording, grid)?.into_iter().map(|(_, result)| result).collect())
}

/// What evaluates the queries of `slos`, over the series that they read; `None` where there are none.
fn engine(slos: &[Slo], recording: &Recording) -> Option<Engine> {
    let reads = slos.iter().filter(|slo| slo.indicator.is_queried()).flat_map(|slo| reads(slo, LOOKBACK_DELTA));
    let selectors: Vec<Vec<Matcher>> = reads.map(|reads| reads.matchers).collect();
    let is_needed = slos.iter().any(|slo| slo.indicator.is_queried());
    is_needed.then(|| Engine::new(Arc::new(recording.store(&selectors))))
}

/// The answers at all instants of the grid; `None` where the indicator is counted.
fn ask(slo: &Slo, engine: &Engine, grid: Grid) -> Option<Result<Answers, String>> {
    let mut answers = Answers::of(slo)?;
    let environment = Environment {
        external_labels: Labels::empty(),
        external_url: "".into(),
        lookback_delta: LOOKBACK_DELTA,
        default_subquery_step: SUBQUERY_STEP,
        dialect: Dialect::default(),
        resend_delay: Duration::ZERO,
    };
    let context = EvalContext { querier: &**engine.store(), engine: Some(engine), environment: &environment };
    for at in grid.instants() {
        if let Err(error) = answers.ask(at, &context) {
            return Some(Err(format!("{} at {}: {error}", slo.name, at.to_rfc3339())));
        }
    }
    Some(Ok(answers))
}

/// What the counters of targets tell, for each way in which objectives tell targets apart: mostly there is one.
pub(super) struct Witnessed(Vec<(Copies, Witnesses)>);

impl Witnessed {
    pub(super) fn of(slos: &[Slo], recording: &Recording) -> Self {
        let mut all: Vec<(Copies, Witnesses)> = Vec::new();
        let counted = slos.iter().filter(|slo| !sources(&slo.indicator).is_empty());
        for copies in counted.map(|slo| &slo.copies).filter(|copies| copies.replica_labels.is_empty()) {
            if !all.iter().any(|(known, _)| known == copies) {
                all.push((copies.clone(), Witnesses::of(recording, copies)));
            }
        }
        Witnessed(all)
    }

    fn of_target(&self, slo: &Slo, target: &TargetKey) -> &[Series] {
        self.0.iter().find(|(copies, _)| *copies == slo.copies).map_or(&[], |(_, all)| all.of_target(target))
    }
}

/// Counts everything up to the end of the grid.
pub(super) fn account(
    slo: &Slo,
    recording: &Recording,
    witnessed: &Witnessed,
    (grid, reach): (Grid, Duration),
) -> Accounting {
    let Some((first, last)) = recording.range() else { return Accounting::new(slo) };
    let batch = batch(slo, recording, witnessed);
    let reach = reach + grid.end.max(last).since(first.min(grid.start));
    let mut accounting = Accounting::reaching(slo, reach);
    // Only slices with samples: a timestamp that is far off must not cost a slice for each hour up to it.
    let instants = batch.iter().flat_map(|(_, all)| *all).flat_map(|series| &series.samples).map(|sample| sample.at);
    let slices: BTreeSet<i64> =
        instants.filter(|at| *at < grid.end).map(|at| at.as_ms().div_euclid(SLICE_MS)).collect();
    for slice in slices {
        let through = Timestamp::from_ms(slice.saturating_add(1).saturating_mul(SLICE_MS)).min(grid.end);
        accounting.feed(&batch, through, History::Complete);
    }
    accounting.feed(&batch, grid.end, History::Complete);
    accounting
}

/// The indicator's series, and what else tells of scrapes and restarts of the same targets.
fn batch<'a>(slo: &Slo, recording: &'a Recording, witnessed: &'a Witnessed) -> Vec<(Role, &'a [Series])> {
    let (counted, others): (Vec<_>, Vec<_>) =
        sources(&slo.indicator).into_iter().partition(|(role, _)| !matches!(role, Role::Up | Role::StartTime));
    let passes = |tests: &[Matcher], series: &Series| tests.iter().all(|test| test.matches_labels(&series.labels));
    let none = Labels::empty();
    let target = |series: &Series| slo.copies.source(&series.labels, &none).target;
    let mut batch: Vec<(Role, &[Series])> = Vec::new();
    let mut targets: HashSet<TargetKey> = HashSet::new();
    for (role, tests) in &counted {
        for (series, _) in recording.series().filter(|(series, _)| passes(tests, series)) {
            targets.insert(target(series));
            batch.push((*role, std::slice::from_ref(series)));
        }
    }
    batch.extend(targets.iter().map(|target| (Role::Falls, witnessed.of_target(slo, target))));
    // Which samples of copies follow each other is not known before they are counted: then each counter tells for itself.
    let has_copies = !slo.copies.replica_labels.is_empty();
    for (series, role) in recording.series().filter_map(|(series, role)| Some((series, role?))) {
        // A scrape that failed altogether may be of a target that showed none of the counters yet.
        let is_source = || others.iter().any(|(of, tests)| *of == role && passes(tests, series));
        let tells = role == Role::Up || has_copies;
        if (tells && targets.contains(&target(series))) || role != Role::Witness && is_source() {
            batch.push((role, std::slice::from_ref(series)));
        }
    }
    batch
}

/// One group being replayed.
struct Replay<'a> {
    view: &'a View<'a>,
    origin: Origin<'a>,
    grid: Grid,
    /// Of the raw conditions, and of those that the guard lets through.
    raw_since: Vec<Since>,
    since: Vec<Since>,
    open: Vec<Option<TierRun>>,
    alerts: Alerts,
    /// Alerts that fire: labels and their place among the notifications.
    firing: Vec<(Labels, usize)>,
    result: Backtest,
    /// By tier: why the run that is open was not told, until it is.
    untold: Vec<Option<String>>,
}

impl<'a> Replay<'a> {
    fn new(view: &'a View<'a>, origin: Origin<'a>, grid: Grid) -> Self {
        let tiers = view.slo.policy.tiers.len();
        Replay {
            view,
            origin,
            grid,
            raw_since: vec![Since::default(); tiers],
            since: vec![Since::default(); tiers],
            open: vec![None; tiers],
            alerts: Alerts::default(),
            firing: Vec::new(),
            result: Backtest {
                group: view.group.clone(),
                points: Vec::new(),
                runs: Vec::new(),
                notifications: Vec::new(),
                is_measured_at_end: false,
                held_back: Vec::new(),
                partly_measured: Vec::new(),
            },
            untold: vec![None; tiers],
        }
    }

    fn run(mut self, unseen: &[Unseen]) -> Backtest {
        for at in self.grid.instants() {
            let point = self.point(at);
            self.result.points.push(point);
            self.step_partly(at, unseen);
            let are_met = self.step_tiers(at, point);
            if are_met || !self.firing.is_empty() || !self.is_quiet(at) {
                self.step_alerts(at, point);
            }
        }
        for index in 0..self.open.len() {
            if let Some(run) = self.open[index].take() {
                self.close(index, run);
            }
        }
        let last = self.result.points.last().map(|point| point.at);
        self.result.is_measured_at_end = last.is_some_and(|at| self.is_measured(at));
        self.result.sort();
        self.result
    }

    /// Whether the daemon's one alert for the file would name this objective.
    fn step_partly(&mut self, at: Timestamp, unseen: &[Unseen]) {
        let slo = self.view.slo;
        let wants = slo.policy.tells_partly_measured && self.view.is_measured(at);
        let concerned = if wants { partly::concerned(slo, unseen, at) } else { Vec::new() };
        let open = self.result.partly_measured.last_mut().filter(|last| last.end.is_none());
        match open {
            None if !concerned.is_empty() => {
                let reason = partly_seen(&[(slo.name.clone(), concerned.into())]);
                self.result.partly_measured.push(PartlyMeasured { start: at, end: None, reason });
            }
            Some(open) if concerned.is_empty() => open.end = Some(at),
            _ => {}
        }
    }

    fn point(&self, at: Timestamp) -> Point {
        let start = self.view.slo.window.start(at);
        let counts = self.view.counts(start, at);
        let error_ratio = counts.error_ratio();
        let budget_remaining = error_ratio.map(|ratio| 1.0 - ratio / self.view.slo.objective.budget_ratio());
        Point { at, counts, error_ratio, budget_remaining, coverage: self.view.coverage_ratio(start, at) }
    }

    /// Steps the raw conditions; says whether any is met.
    fn step_tiers(&mut self, at: Timestamp, point: Point) -> bool {
        let view = self.view;
        let budget = view.slo.objective.budget_ratio();
        let burn = |window: Duration| view.counts(at - window, at).error_ratio().map(|ratio| ratio / budget);
        let mut are_met = false;
        for (index, tier) in view.slo.policy.tiers.iter().enumerate() {
            let is_met = tier.is_met_by(burn(tier.long)) && tier.is_met_by(burn(tier.short));
            are_met |= is_met;
            let holds = self.raw_since[index].step(tier, is_met, at);
            if holds && self.open[index].is_none() {
                let budget_spent_at_start = point.budget_remaining.map(|remaining| 1.0 - remaining);
                self.open[index] = Some(TierRun { tier: index, start: at, end: None, budget_spent_at_start });
                self.untold[index] = Some("nobody was told".to_owned());
            } else if !holds && let Some(run) = self.open[index].take() {
                self.close(index, TierRun { end: Some(at), ..run });
            }
        }
        are_met
    }

    fn close(&mut self, index: usize, run: TierRun) {
        if let Some(why) = self.untold[index].take() {
            self.result.held_back.push((self.result.runs.len(), why));
        }
        self.result.runs.push(run);
    }

    /// Whether the alerts have nothing to do: measured, and no condition on the budget near.
    fn is_quiet(&self, at: Timestamp) -> bool {
        let view = self.view;
        self.is_measured(at)
            && view.outage_since(at).is_none()
            && view.missing_bucket(at).is_none()
            && view.slo.policy.budget.is_empty()
    }

    fn is_measured(&self, at: Timestamp) -> bool {
        self.view.is_measured_now(at)
    }

    /// The alerts of the daemon, stepped at `at`.
    fn step_alerts(&mut self, at: Timestamp, point: Point) {
        let slo = self.view.slo;
        let wants_forecast =
            slo.policy.budget.iter().any(|condition| matches!(condition.when, BudgetWhen::ExhaustedWithin(_)));
        let forecast = if wants_forecast { Forecast::make(self.view, at) } else { None };
        let mut figures = Figures::compute(self.view, at, forecast);
        figures.hold(slo, &mut self.since);
        // The recording begins where it begins: before, nobody was awake.
        let around = Surroundings { awake_since: self.grid.start, measured_groups: self.origin.measured_groups(at) };
        self.alerts.step(slo, self.view.group, &figures, around);
        self.alerts.resolve(at);
        let firing: Vec<(Labels, LiveAlert)> =
            self.alerts.firing().map(|(labels, alert)| (labels.clone(), alert.clone())).collect();
        self.firing.retain(|(labels, place)| {
            let goes_on = firing.iter().any(|(still, _)| still == labels);
            if !goes_on {
                self.result.notifications[*place].end = Some(at);
            }
            goes_on
        });
        for (labels, alert) in &firing {
            if self.firing.iter().any(|(known, _)| known == labels) {
                continue;
            }
            self.firing.push((labels.clone(), self.result.notifications.len()));
            let texts = ["description", "guard"].into_iter().filter_map(|name| alert.annotations.get(name));
            self.result.notifications.push(Notified {
                name: alert.name,
                tier: alert.tier.clone(),
                severity: alert.severity,
                start: at,
                end: None,
                budget_spent_at_start: point.budget_remaining.map(|remaining| 1.0 - remaining),
                reason: texts.collect::<Vec<_>>().join(" "),
            });
        }
        self.note_untold(&figures, &firing);
    }

    /// Why the runs that are open have not been told.
    fn note_untold(&mut self, figures: &Figures, firing: &[(Labels, LiveAlert)]) {
        for (index, tier) in self.view.slo.policy.tiers.iter().enumerate() {
            if self.untold[index].is_none() {
                continue;
            }
            let is_told =
                |severity| firing.iter().any(|(_, alert)| alert.name == BURN_ALERT && alert.severity == severity);
            self.untold[index] = if is_told(tier.severity) {
                None
            } else if let Some(verdict) = figures.verdicts[index].filter(|verdict| *verdict != Verdict::Enough) {
                Some(verdict.to_string())
            } else if is_told(Severity::Page) {
                Some("kept silent beside the page".to_owned())
            } else {
                self.untold[index].take()
            };
        }
    }
}

impl Backtest {
    fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.runs.len()).collect();
        order.sort_by_key(|index| (self.runs[*index].start, self.runs[*index].tier));
        let place = |old: usize| order.iter().position(|index| *index == old).unwrap_or(old);
        self.held_back.iter_mut().for_each(|(run, _)| *run = place(*run));
        self.held_back.sort();
        self.runs = order.iter().map(|index| self.runs[*index].clone()).collect();
    }
}
