//! An objective and its tiers replayed over recorded samples: how much of the budget was left when, and when each tier would have fired.
//!
//! In the flow: `almenara slo backtest` reads specifications and a [`Recording`], and prints what [`backtest`] returns. It is the daemon's
//! accounting over another source, so that what it counts is what the daemon would have counted.
//!
//! **Invariants.** The source is taken to hold everything that was scraped: a scrape without a series proves that it did not exist.
//! A tier's runs are raw conditions at the instants of the grid; what alerts make of them (holding, suppressing) is not among them.
//! **Cost.** One pass over the samples, in slices of [`SLICE_MS`]; then two look-ups per window and instant.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use crate::model::{Labels, Series, Timestamp};

use super::accounting::{Accounting, Role, TargetKey, target_key};
use super::curve::Counts;
use super::feed::sources;
use super::fold::History;
use super::policy::{Since, Tier};
use super::recording::Recording;
use super::spec::Slo;

/// The longest stretch of time fed at once, so that memory does not depend on the length of the recording.
const SLICE_MS: i64 = 6 * 3600 * 1000;

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
    /// The share of the window that was measured.
    pub coverage: f64,
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

/// Replays `slo` over `recording`. One entry per group, in order.
pub fn backtest(slo: &Slo, recording: &Recording, grid: Grid) -> Vec<Backtest> {
    let accounting = account(slo, recording, grid);
    let is_own = |group: &&Labels| group.is_empty() || accounting.is_measured(group);
    accounting.groups().filter(is_own).map(|group| replay(slo, &accounting, group, grid)).collect()
}

/// Counts everything up to the end of the grid.
fn account(slo: &Slo, recording: &Recording, grid: Grid) -> Accounting {
    let Some((first, last)) = recording.range() else { return Accounting::new(slo) };
    let batch = batch(slo, recording);
    let reach = slo.window.longest() + grid.end.max(last).since(first.min(grid.start));
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
fn batch<'a>(slo: &Slo, recording: &'a Recording) -> Vec<(Role, &'a [Series])> {
    let sources = sources(&slo.indicator);
    let is_counted = |role: &Role| !matches!(role, Role::Up | Role::StartTime | Role::Witness);
    let mut batch: Vec<(Role, &[Series])> = Vec::new();
    let mut targets: HashSet<TargetKey> = HashSet::new();
    for (role, matchers) in sources.iter().filter(|(role, _)| is_counted(role)) {
        for (series, _) in recording.series() {
            if matchers.iter().all(|test| test.matches_labels(&series.labels)) {
                targets.insert(target_key(&series.labels));
                batch.push((*role, std::slice::from_ref(series)));
            }
        }
    }
    for (series, role) in recording.series() {
        // A scrape that failed altogether may be of a target that showed none of the counters yet.
        let is_of_targets = targets.contains(&target_key(&series.labels));
        let is_source = |(of, tests): &(Role, Vec<_>)| {
            !is_counted(of) && tests.iter().all(|test: &crate::model::Matcher| test.matches_labels(&series.labels))
        };
        if let Some(role) = role.filter(|_| is_of_targets || sources.iter().any(is_source)) {
            batch.push((role, std::slice::from_ref(series)));
        }
    }
    batch
}

fn replay(slo: &Slo, accounting: &Accounting, group: &Labels, grid: Grid) -> Backtest {
    let budget = slo.objective.budget_ratio();
    let tiers = &slo.policy.tiers;
    let mut since = vec![Since::default(); tiers.len()];
    let mut open: Vec<Option<TierRun>> = vec![None; tiers.len()];
    let mut result = Backtest { group: group.clone(), points: Vec::new(), runs: Vec::new() };
    for at in grid.instants() {
        let start = slo.window.start(at);
        let counts = accounting.counts(group, start, at);
        let error_ratio = counts.error_ratio();
        let budget_remaining = error_ratio.map(|ratio| 1.0 - ratio / budget);
        let coverage = accounting.coverage_ratio(group, start, at);
        result.points.push(Point { at, counts, error_ratio, budget_remaining, coverage });
        let is_met = |tier: &Tier| {
            [tier.long, tier.short].into_iter().all(|window| {
                let ratio = accounting.counts(group, at - window, at).error_ratio();
                tier.is_met_by(ratio.map(|ratio| ratio / budget))
            })
        };
        for (index, tier) in tiers.iter().enumerate() {
            let holds = since[index].step(tier, is_met(tier), at);
            if holds && open[index].is_none() {
                let budget_spent_at_start = budget_remaining.map(|remaining| 1.0 - remaining);
                open[index] = Some(TierRun { tier: index, start: at, end: None, budget_spent_at_start });
            } else if !holds && let Some(run) = open[index].take() {
                result.runs.push(TierRun { end: Some(at), ..run });
            }
        }
    }
    result.runs.extend(open.into_iter().flatten());
    result.runs.sort_by_key(|run| (run.start, run.tier));
    result
}
