//! What figures are computed from: the counters of one group of one objective, or those of a composite's members, less the time that does
//! not count.
//!
//! In the flow: [`super::SloGroup`] and the backtest make a [`View`]; [`super::Figures`] and the forecast ask it for windows.
//!
//! **Invariants.** Without exclusions a window is one difference of counters; with them it is the sum over what is left of it. A composite
//! has no counters of its own: over each window its members' error ratios are joined, so that "bad" and "total" are weights there. Queries have
//! answered for certain windows at certain instants; of others nothing is known.

use std::time::Duration;

use crate::model::{Labels, Timestamp};

use super::accounting::Accounting;
use super::curve::{Counts, Totals};
use super::exclusion::Excluded;
use super::figures::SCRAPE_COVERS;
use super::latency::MissingBucket;
use super::query::Answers;
use super::spec::{Indicator, JoinedBy, PartIs, Slo};

/// One group of one objective.
pub struct View<'a> {
    pub(super) slo: &'a Slo,
    pub(super) group: &'a Labels,
    excluded: Excluded,
    basis: Basis<'a>,
    table: Option<Table>,
}

/// The counters at regular instants: a backtest asks for every window at each of them, and nearly all windows are whole steps long.
struct Table {
    first: Timestamp,
    step_ms: i64,
    totals: Vec<Totals>,
    part_is: PartIs,
}

impl Table {
    fn at(&self, at: Timestamp) -> Option<Totals> {
        let offset_ms = at.ms_since(self.first);
        let index = usize::try_from(offset_ms / self.step_ms).ok()?;
        (offset_ms >= 0 && offset_ms % self.step_ms == 0).then(|| self.totals.get(index).copied()).flatten()
    }

    fn counts(&self, start: Timestamp, end: Timestamp) -> Option<Counts> {
        let (then, now) = (self.at(start)?, self.at(end)?);
        Some(Counts::of(now.part - then.part, now.total - then.total, self.part_is))
    }
}

/// More entries than this in a table are not worth their memory: 90 days by the minute and as many before.
const TABLE_LEN_MAX: i64 = 300_000;

enum Basis<'a> {
    Own(&'a Accounting),
    Joined(JoinedBy, Vec<Part<'a>>),
    Asked(&'a Answers),
}

/// What an objective's groups are known from.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// Its counters.
    Counted(&'a Accounting),
    /// The answers to its queries.
    Asked(&'a Answers),
}

impl<'a> Origin<'a> {
    /// The groups, in order.
    pub(super) fn groups(self) -> Vec<&'a Labels> {
        match self {
            Origin::Counted(accounting) => accounting.groups().collect(),
            Origin::Asked(answers) => answers.groups().collect(),
        }
    }

    /// Whether `group` is one of them.
    pub(super) fn is_known(self, group: &Labels) -> bool {
        match self {
            Origin::Counted(accounting) => accounting.is_known(group),
            Origin::Asked(answers) => answers.is_known(group),
        }
    }

    /// Whether the total of `group` was there by `at`.
    pub(super) fn was_measured(self, group: &Labels, at: Timestamp) -> bool {
        match self {
            Origin::Counted(accounting) => accounting.was_measured(group),
            Origin::Asked(answers) => answers.is_measured(group, at),
        }
    }

    /// Whether `group` is being measured at `at`: a scrape covers some minutes, an answer its instant.
    pub(super) fn is_measured_now(self, group: &Labels, at: Timestamp) -> bool {
        match self {
            Origin::Counted(accounting) => {
                accounting.last_measured(group, at).is_some_and(|last| at.since(last) < SCRAPE_COVERS)
            }
            Origin::Asked(answers) => answers.last_measured(group, at) == Some(at),
        }
    }

    /// How many groups are.
    pub(super) fn measured_groups(self, at: Timestamp) -> usize {
        self.groups().into_iter().filter(|group| self.is_measured_now(group, at)).count()
    }
}

/// A member of a composite: its groups together.
struct Part<'a> {
    weight: f64,
    groups: Vec<View<'a>>,
}

impl<'a> View<'a> {
    /// A view of `group`'s own counters, less `excluded`.
    pub fn new(slo: &'a Slo, accounting: &'a Accounting, group: &'a Labels, excluded: Excluded) -> Self {
        View { slo, group, excluded, basis: Basis::Own(accounting), table: None }
    }

    /// A view of `group`, whatever it is known from.
    pub(super) fn of(slo: &'a Slo, origin: Origin<'a>, group: &'a Labels, excluded: Excluded) -> Self {
        match origin {
            Origin::Counted(accounting) => View::new(slo, accounting, group, excluded),
            Origin::Asked(answers) => View { slo, group, excluded, basis: Basis::Asked(answers), table: None },
        }
    }

    /// A view of a composite; `None` for other objectives. `member` finds an objective of the file with its counters. What is excluded for
    /// the composite is excluded for its members in it.
    pub fn of_composite(
        slo: &'a Slo,
        group: &'a Labels,
        excluded: Excluded,
        member: impl Fn(&str) -> Option<(&'a Slo, &'a Accounting)>,
        excluded_of: impl Fn(&'a Slo, &Labels) -> Excluded,
    ) -> Option<Self> {
        let Indicator::Composite { members, joined_by } = &slo.indicator else { return None };
        let part = |of: &super::spec::Member| {
            let (slo_of, accounting) = member(&of.slo)?;
            let is_same_group = |name: &&Labels| group.is_empty() || *name == group;
            let groups = accounting.groups().filter(is_same_group);
            let view =
                |name: &'a Labels| View::new(slo_of, accounting, name, excluded.union(&excluded_of(slo_of, name)));
            Some(Part { weight: of.weight, groups: groups.map(view).collect() })
        };
        let parts = members.iter().filter_map(part).collect();
        Some(View { slo, group, excluded, basis: Basis::Joined(*joined_by, parts), table: None })
    }

    /// Looks up the counters at `start`, `start + step`, … up to `end` at once, and as far before as the longest window reaches.
    pub(super) fn tabulate(&mut self, start: Timestamp, step: Duration, end: Timestamp) {
        if let Basis::Joined(_, parts) = &mut self.basis {
            parts.iter_mut().flat_map(|part| &mut part.groups).for_each(|view| view.tabulate(start, step, end));
            return;
        }
        let Basis::Own(accounting) = &self.basis else { return };
        let step_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
        let longest = self.slo.policy.tiers.iter().map(|tier| tier.long).fold(self.slo.window.longest(), Duration::max);
        let before = i64::try_from(longest.as_millis()).unwrap_or(i64::MAX) / step_ms + 1;
        let len = end.ms_since(start) / step_ms + 1 + before;
        if self.slo.budgeting.is_of_slices() || len > TABLE_LEN_MAX {
            return;
        }
        let first = start.plus_ms(-before * step_ms);
        let totals = accounting.sampled(self.group, (0..len).map(|index| first.plus_ms(index * step_ms)));
        self.table = Some(Table { first, step_ms, totals, part_is: self.slo.indicator.part_is() });
    }

    /// What counts in `(start, end]`.
    pub fn counts(&self, start: Timestamp, end: Timestamp) -> Counts {
        if self.excluded.is_empty()
            && let Some(counts) = self.table.as_ref().and_then(|table| table.counts(start, end))
        {
            return counts;
        }
        match &self.basis {
            Basis::Own(accounting) if self.excluded.is_empty() => accounting.counts(self.group, start, end),
            Basis::Own(accounting) => {
                self.excluded.kept(start, end).map(|(start, end)| accounting.counts(self.group, start, end)).sum()
            }
            Basis::Joined(joined_by, parts) => join(*joined_by, parts, |view| view.counts(start, end)),
            Basis::Asked(answers) => answers.counts(self.group, start, end).unwrap_or_default(),
        }
    }

    /// Whether nothing can be known of `(start, end]`: a query gave nothing for it. How far counters saw is told by their coverage.
    pub(super) fn is_blind(&self, start: Timestamp, end: Timestamp) -> bool {
        match &self.basis {
            Basis::Asked(answers) => answers.counts(self.group, start, end).is_none(),
            Basis::Own(_) | Basis::Joined(..) => false,
        }
    }

    /// What would count without exclusions.
    pub fn counts_with_excluded(&self, start: Timestamp, end: Timestamp) -> Counts {
        match &self.basis {
            Basis::Own(accounting) => accounting.counts(self.group, start, end),
            Basis::Joined(joined_by, parts) => join(*joined_by, parts, |view| view.counts_with_excluded(start, end)),
            Basis::Asked(_) => self.counts(start, end),
        }
    }

    /// Whether it has no counters of its own.
    pub fn is_composite(&self) -> bool {
        matches!(self.basis, Basis::Joined(..))
    }

    /// Whether it is known from queries, for certain windows only.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self.basis, Basis::Asked(_))
    }

    /// The instants at which queries were asked; `None` of counters, which know of every instant.
    pub(super) fn instants(&self) -> Option<&'a [Timestamp]> {
        match self.basis {
            Basis::Asked(answers) => Some(answers.instants()),
            Basis::Own(_) | Basis::Joined(..) => None,
        }
    }

    /// Whether anything is excluded at all, for this group or for a member.
    pub fn has_exclusions(&self) -> bool {
        let of_parts = match &self.basis {
            Basis::Own(_) | Basis::Asked(_) => false,
            Basis::Joined(_, parts) => parts.iter().flat_map(|part| &part.groups).any(View::has_exclusions),
        };
        !self.excluded.is_empty() || of_parts
    }

    /// The time that does not count.
    pub fn excluded(&self) -> &Excluded {
        &self.excluded
    }

    /// The share of `(start, end]`, less what is excluded, in which the total was being measured; of a composite, of the member least measured.
    /// `None` of queries: what they read was scraped when it was.
    pub fn coverage_ratio(&self, start: Timestamp, end: Timestamp) -> Option<f64> {
        match &self.basis {
            Basis::Own(accounting) if self.excluded.is_empty() => {
                Some(accounting.coverage_ratio(self.group, start, end))
            }
            Basis::Own(accounting) => {
                let mut kept_ms = 0;
                let mut covered_ms = 0.0;
                for (start, end) in self.excluded.kept(start, end) {
                    kept_ms += end.ms_since(start);
                    covered_ms += accounting.coverage_ratio(self.group, start, end) * end.ms_since(start) as f64;
                }
                Some(covered_ms / kept_ms.max(1) as f64)
            }
            Basis::Joined(_, parts) => {
                let least = |part: &Part<'_>| {
                    part.groups
                        .iter()
                        .filter_map(|view| view.coverage_ratio(start, end))
                        .reduce(f64::min)
                        .unwrap_or(0.0)
                };
                Some(parts.iter().map(least).reduce(f64::min).unwrap_or(0.0))
            }
            Basis::Asked(_) => None,
        }
    }

    /// The last successful scrape at or before `at`; of a composite, that of the member last seen; of queries, the last instant at which that of
    /// the shortest window gave something.
    pub fn last_measured(&self, at: Timestamp) -> Option<Timestamp> {
        if let Basis::Asked(answers) = &self.basis {
            return answers.last_measured(self.group, at);
        }
        self.latest(|accounting, group| accounting.last_measured(group, at))
    }

    /// The last failed scrape, likewise.
    pub fn last_failed(&self, at: Timestamp) -> Option<Timestamp> {
        self.latest(|accounting, group| accounting.last_failed(group, at))
    }

    fn latest(&self, of: impl Fn(&Accounting, &Labels) -> Option<Timestamp> + Copy) -> Option<Timestamp> {
        match &self.basis {
            Basis::Own(accounting) => of(accounting, self.group),
            Basis::Joined(_, parts) => {
                parts.iter().flat_map(|part| &part.groups).filter_map(|view| view.latest(of)).max()
            }
            Basis::Asked(_) => None,
        }
    }

    /// Whether it is being measured at `at`: a scrape covers some minutes, an answer its instant.
    pub(super) fn is_measured_now(&self, at: Timestamp) -> bool {
        let covers = if self.is_asked() { Duration::from_millis(1) } else { SCRAPE_COVERS };
        self.last_measured(at).is_some_and(|last| at.since(last) < covers)
    }

    /// Whether the total was there by `at`.
    pub fn is_measured(&self, at: Timestamp) -> bool {
        match &self.basis {
            Basis::Own(accounting) => accounting.is_measured(self.group, at),
            Basis::Joined(_, parts) => parts.iter().flat_map(|part| &part.groups).any(|view| view.is_measured(at)),
            Basis::Asked(answers) => answers.is_measured(self.group, at),
        }
    }

    /// Since when all targets are down; a composite leaves that to its members.
    pub fn outage_since(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.basis {
            Basis::Own(accounting) => accounting.outage_since(self.group, at),
            Basis::Joined(..) | Basis::Asked(_) => None,
        }
    }

    /// The bucket that a latency lacks.
    pub fn missing_bucket(&self, at: Timestamp) -> Option<MissingBucket> {
        match &self.basis {
            Basis::Own(accounting) => accounting.missing_bucket(self.group, at),
            Basis::Joined(..) | Basis::Asked(_) => None,
        }
    }

    /// Events since the beginning of what is kept: those of the partial counter, and all. None of a composite, unknown of queries.
    pub fn events_total(&self, at: Timestamp) -> Option<(f64, f64)> {
        match &self.basis {
            Basis::Own(accounting) => Some(accounting.events_total(self.group, at)),
            Basis::Joined(..) => Some((0.0, 0.0)),
            Basis::Asked(_) => None,
        }
    }
}

fn join(joined_by: JoinedBy, parts: &[Part<'_>], counts: impl Fn(&View<'_>) -> Counts) -> Counts {
    let ratios = parts.iter().filter_map(|part| {
        let of_part: Counts = part.groups.iter().map(&counts).sum();
        Some((part.weight, of_part.error_ratio()?))
    });
    match joined_by {
        JoinedBy::Weights => ratios
            .map(|(weight, ratio)| Counts { good: weight * (1.0 - ratio), bad: weight * ratio, total: weight })
            .sum(),
        JoinedBy::Worst => {
            let worst = ratios.map(|(_, ratio)| ratio).reduce(f64::max);
            worst.map_or(Counts::default(), |ratio| Counts { good: 1.0 - ratio, bad: ratio, total: 1.0 })
        }
    }
}
