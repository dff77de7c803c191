//! Three counters per group: bad events, total events, covered time, as functions of raw samples.
//!
//! In the flow: [`super::feed`] hands in samples in order of time; [`super::figures`] asks for windows. Daemon, unit test and backtest
//! feed the same function, so that they count the same events.
//!
//! **Invariants.** `C` gets a point at the timestamp of each scrape that changes it, never at an evaluation. Feeding in slices gives what
//! feeding at once gives. What happens before the last [`Accounting::settle`] can be fed again after [`Accounting::rewind`].
//! **Memory.** Points, series and targets older than the window and [`MARGIN_MS`] are forgotten, but the last point before; see
//! [`super::curve`] for sizes.
//! **Differs:** a series or target that returns after more than that is a new one.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, Series, Timestamp};

use super::coverage::Coverage;
use super::curve::{Counts, Curve, Totals};
use super::entry::{Entry, Instant, Pairs, Point, Source, TargetKey, has_excess, labels_of};
use super::fold::{Fold, History, Kind, SCRAPE_COVERS_MS, TargetState};
use super::latency::{Bounds, MissingBucket, Threshold};
use super::outage::Outages;
use super::query::Adjusted;
use super::replicas::{Followed, Verdict};
use super::slices::Slices;
use super::snapshot::{Reader, Writer};
use super::spec::{Budgeting, Copies, Indicator, PartIs, Slo};

/// Kept beyond the window: the age of a check point and a scrape's reach.
pub const MARGIN_MS: i64 = 10 * 60 * 1000;

/// Into so many parts anchors divide the time by which samples may come late: where some always do, an eighth of it more than they are late is
/// read again at each slot.
const ANCHORS: i64 = 8;

/// One objective has at most this many groups; events of further ones are not counted.
pub const GROUPS_MAX: usize = 2_000;

/// What a batch of series is to the indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The partial counter (bad or good events) of an indicator of errors.
    Part,
    /// A counter taken off the partial one.
    PartLess,
    /// The counter of all events; of an indicator of availability, the gauge.
    Total,
    /// A counter taken off that of all events.
    TotalLess,
    /// `up`.
    Up,
    /// `process_start_time_seconds`.
    StartTime,
    /// Other counters of the same targets: their falls show restarts.
    Witness,
    /// What such counters tell together: at each instant, since when one had fallen (Unix ms, far below zero where none had).
    Falls,
}

/// The counters of one objective, for all of its groups.
#[derive(Clone, Debug)]
pub struct Accounting {
    gauge: Option<Gauge>,
    part_is: PartIs,
    budgeting: Budgeting,
    threshold: Option<Threshold>,
    group_by: Vec<Arc<str>>,
    copies: Copies,
    keep_ms: i64,
    fold: Fold,
    checkpoint: Option<(Timestamp, Fold)>,
    /// How late samples may come.
    late_ms: i64,
    /// Earlier checkpoints to return to for samples that came late, oldest first: one of them is older than that, once so much is counted.
    anchors: VecDeque<(Timestamp, Fold)>,
    fed_through: Option<Timestamp>,
    groups: BTreeMap<Labels, GroupCounters>,
    groups_refused: u64,
    disorder: Disorder,
}

/// Which samples of a gauge are bad events.
#[derive(Clone, Copy, Debug)]
enum Gauge {
    /// Those of 0.
    Zero,
    /// Those of a Unix time longer ago than this.
    OlderThanMs(i64),
}

impl Gauge {
    fn of(indicator: &Indicator) -> Option<Gauge> {
        match indicator {
            Indicator::Availability(_) => Some(Gauge::Zero),
            Indicator::Freshness { age_max_ms, .. } => Some(Gauge::OlderThanMs(*age_max_ms)),
            _ => None,
        }
    }

    fn is_bad(self, at: Timestamp, value: f64) -> bool {
        match self {
            Gauge::Zero => value == 0.0,
            Gauge::OlderThanMs(age_max_ms) => at.as_ms() as f64 - 1000.0 * value > age_max_ms as f64,
        }
    }
}

/// Scrapes in which bad or good events, or a bucket, gained more than their total.
#[derive(Clone, Debug, Default)]
struct Disorder {
    scrapes: u64,
    /// What is fed again up to here has been counted.
    seen_through: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
struct GroupCounters {
    curve: Curve,
    slices: Slices,
    coverage: Coverage,
    /// When the total was first there.
    measured_since: Option<Timestamp>,
    /// Five minutes from each failed scrape of a target.
    failing: Coverage,
    /// The last successful scrape of a target.
    last_success: Option<Timestamp>,
    outages: Outages,
    /// Of a latency: five minutes from each instant at which a total had no bucket of the threshold.
    bucket_missing: Coverage,
    /// Of a latency: the bounds next to the threshold.
    bounds: Bounds,
}

impl Accounting {
    /// Counters that have seen nothing. Look-ups may reach as far back from the newest sample as the objective's window at its longest.
    pub fn new(slo: &Slo) -> Self {
        Accounting::reaching(slo, slo.window.longest())
    }

    /// As [`Accounting::new`], for look-ups that reach back `reach`.
    pub fn reaching(slo: &Slo, reach: Duration) -> Self {
        let reach_ms = i64::try_from(reach.as_millis()).unwrap_or(i64::MAX / 2);
        let (indicator, group_by) = (&slo.indicator, &slo.group_by);
        let mut groups = BTreeMap::new();
        if group_by.is_empty() {
            let slices = Slices::new(slo.budgeting, indicator.part_is());
            groups.insert(Labels::empty(), GroupCounters { slices, ..GroupCounters::default() });
        }
        Accounting {
            gauge: Gauge::of(indicator),
            part_is: indicator.part_is(),
            budgeting: slo.budgeting,
            threshold: Threshold::of(indicator),
            group_by: group_by.clone(),
            copies: slo.copies.clone(),
            keep_ms: reach_ms + MARGIN_MS,
            fold: Fold::default(),
            checkpoint: None,
            late_ms: 0,
            anchors: VecDeque::new(),
            fed_through: None,
            groups,
            groups_refused: 0,
            disorder: Disorder::default(),
        }
    }

    /// Takes the samples after those fed before, up to and including `through`. Series may come in any order and stand
    /// in several roles; staleness markers, NaN, infinities and histograms count nothing.
    pub fn feed(&mut self, batch: &[(Role, &[Series])], through: Timestamp, history: History) {
        let (entries, bounds) = self.entries(batch);
        let none = Labels::empty();
        let of_entry: Vec<Source> =
            entries.iter().map(|(series, _)| self.copies.source(&series.labels, &none)).collect();
        let sources: Vec<&Source> = of_entry.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let rank: HashMap<&Source, usize> = sources.iter().enumerate().map(|(rank, source)| (*source, rank)).collect();

        let mut samples: Vec<(Timestamp, usize, usize, f64)> = Vec::new();
        for (index, (series, _)) in entries.iter().enumerate() {
            let source = rank[&of_entry[index]];
            let all = &series.samples;
            let first = self.fed_through.map_or(0, |fed| all.partition_point(|sample| sample.at <= fed));
            let past = all.partition_point(|sample| sample.at <= through).max(first);
            let values = all[first..past].iter().filter_map(|sample| Some((sample.at, sample.value.as_float()?)));
            let finite = values.filter(|(_, value)| value.is_finite());
            samples.extend(finite.map(|(at, value)| (at, source, index, value)));
        }
        samples.sort_unstable_by_key(|(at, source, index, _)| (*at, *source, *index));
        for scrape in samples.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (at, source, ..) = scrape[0];
            let point = |(_, _, index, value): &(_, _, usize, f64)| Point { entry: &entries[*index].1, value: *value };
            let points: Vec<Point<'_>> = scrape.iter().map(point).collect();
            self.take(sources[source], at, &points, history);
        }
        self.fed_through = self.fed_through.max(Some(through));
        self.disorder.seen_through = self.disorder.seen_through.max(self.fed_through);
        self.groups.values_mut().for_each(|group| group.slices.advance(&group.curve, &group.coverage, through));
        for (group, bounds) in bounds {
            if let Some(group) = self.groups.get_mut(&group) {
                group.bounds = bounds;
            }
        }
        self.forget();
    }

    /// Joins what the roles say about each series, in order of label set. Of a histogram only the bucket of the threshold is an entry; the
    /// bounds of the others are told by group.
    fn entries<'a>(&self, batch: &[(Role, &'a [Series])]) -> (Vec<(&'a Series, Entry)>, BTreeMap<Labels, Bounds>) {
        let mut entries: BTreeMap<&'a Labels, (&'a Series, Entry)> = BTreeMap::new();
        let mut bounds: BTreeMap<Labels, Bounds> = BTreeMap::new();
        for (role, all) in batch {
            for series in *all {
                if let (Some(threshold), Role::Part) = (&self.threshold, role) {
                    let Some(bound) = threshold.bound(&series.labels) else { continue };
                    bounds.entry(labels_of(&self.group_by, &series.labels)).or_default().add(bound, threshold);
                    if !threshold.is_met_by(bound) {
                        continue;
                    }
                }
                let kind = match role {
                    Role::Total if self.gauge.is_some() => Kind::Gauge,
                    Role::Part | Role::PartLess | Role::Total | Role::TotalLess => Kind::Counter,
                    Role::Up => Kind::Up,
                    Role::StartTime => Kind::StartTime,
                    Role::Witness => Kind::Witness,
                    Role::Falls => Kind::Falls,
                };
                let new = || (series, self.entry(self.copies.merged(&series.labels)));
                let (_, entry) = entries.entry(&series.labels).or_insert_with(new);
                entry.kind = entry.kind.min(kind); // an indicator's own series is that first, whatever else it is
                match role {
                    Role::Part => entry.part += 1.0,
                    Role::PartLess => entry.part -= 1.0,
                    Role::Total => entry.total += 1.0,
                    Role::TotalLess => entry.total -= 1.0,
                    Role::Up | Role::StartTime | Role::Witness | Role::Falls => {}
                }
            }
        }
        (entries.into_values().collect(), bounds)
    }

    /// The entry of a series of which nothing is known but its labels.
    fn entry(&self, labels: Labels) -> Entry {
        let group = labels_of(&self.group_by, &labels);
        let stem = self.threshold.as_ref().map(|threshold| threshold.stem(&labels, &group)).unwrap_or_default();
        Entry { labels, kind: Kind::Falls, part: 0.0, total: 0.0, group, stem } // any other kind comes first
    }

    /// All samples of one copy of a target at one instant.
    fn take(&mut self, source: &Source, at: Timestamp, points: &[Point<'_>], history: History) {
        let (key, now) = (&source.target, Instant { at, counted_at: at });
        if self.copies.replica_labels.is_empty() {
            return self.step(key, now, points, history);
        }
        match self.fold.followed.judge(source, at, points) {
            Verdict::Counts(before) => {
                for held in before {
                    self.step(key, Instant { at: held.at, ..now }, &held.points(), history);
                }
                self.step(key, now, points, history);
            }
            Verdict::Lives => self.live(key, at, points, history),
            Verdict::Passed => {}
        }
    }

    /// A scrape of a target that does not count, but shows that the target lives.
    fn live(&mut self, key: &TargetKey, at: Timestamp, points: &[Point<'_>], history: History) {
        let pairs = self.threshold.as_ref().map(|_| Pairs::of(points));
        let before = self.fold.last_at(key);
        let Some(target) = self.fold.live(key, at, history) else { return };
        let seen = seen_groups(target, pairs.as_ref());
        self.note_scrape(&seen, at, 0, before);
    }

    /// All samples of one target at one instant.
    fn step(&mut self, key: &TargetKey, now: Instant, points: &[Point<'_>], history: History) {
        let Instant { at, counted_at } = now;
        let pairs = self.threshold.as_ref().map(|_| Pairs::of(points));
        let before = self.fold.last_at(key);
        let (increases, target) = self.fold.step(key, at, points, history);
        if self.disorder.seen_through.is_none_or(|seen| at > seen) {
            let is_disordered = match &pairs {
                Some(pairs) => pairs.has_disorder(points, &increases),
                None => has_excess(points, &increases),
            };
            self.disorder.scrapes += u64::from(is_disordered);
        }
        for (Point { entry, value }, increase) in points.iter().zip(increases) {
            if !entry.is_part() && !entry.is_total() {
                continue;
            }
            if !self.groups.contains_key(&entry.group) {
                if self.groups.len() >= GROUPS_MAX {
                    self.groups_refused += 1;
                    continue;
                }
                let slices = Slices::new(self.budgeting, self.part_is);
                self.groups.insert(entry.group.clone(), GroupCounters { slices, ..GroupCounters::default() });
            }
            let group = self.groups.get_mut(&entry.group).expect("BUG: a group vanished within a step");
            if let Some(pairs) = &pairs
                && !pairs.is_complete(&entry.stem)
            {
                if entry.is_total() {
                    group.bucket_missing.add(at, at.plus_ms(SCRAPE_COVERS_MS));
                }
                continue;
            }
            let (part, total) = match self.gauge {
                Some(gauge) => (f64::from(u8::from(gauge.is_bad(at, *value))), increase),
                None => (entry.part * increase, entry.total * increase),
            };
            group.curve.add(counted_at, part, total);
            if entry.is_total() {
                group.measured_since = Some(group.measured_since.map_or(at, |since| since.min(at)));
                if target.groups.insert(entry.group.clone()) {
                    // The target was scraped before its first event: that time was idle, not blind.
                    group.coverage.merge(&target.coverage);
                }
            }
        }
        let (failures, seen) = (target.failures, seen_groups(target, pairs.as_ref()));
        self.note_scrape(&seen, at, failures, before);
    }

    /// Notes for the groups of a target how its scrape at `at` went: how many have failed in a row, and when the one before was.
    fn note_scrape(&mut self, groups: &[Labels], at: Timestamp, failures: u32, before: Option<Timestamp>) {
        for name in groups {
            let Some(group) = self.groups.get_mut(name) else { continue };
            if failures == 0 {
                group.coverage.add(at, at.plus_ms(SCRAPE_COVERS_MS));
                group.last_success = group.last_success.max(Some(at));
                group.outages.end(at);
                continue;
            }
            group.failing.add(at, at.plus_ms(SCRAPE_COVERS_MS));
            // Whoever succeeded since this target was tried last is alive: only a total outage looks at all targets.
            let others_live = before.is_none_or(|before| group.last_success > Some(before));
            if !others_live && group.outages.is_over() && is_total_outage(&self.fold, name, at) {
                group.outages.begin(group.last_success.unwrap_or(at), at);
            }
        }
    }

    fn forget(&mut self) {
        let Some(fed_through) = self.fed_through else { return };
        let horizon = fed_through.plus_ms(-self.keep_ms);
        self.fold.drop_before(horizon);
        let is_grouped = !self.group_by.is_empty();
        self.groups.retain(|_, group| {
            group.curve.drop_before(horizon);
            group.slices.drop_before(horizon);
            group.coverage.drop_before(horizon);
            group.failing.drop_before(horizon);
            group.bucket_missing.drop_before(horizon);
            group.outages.drop_before(horizon);
            let is_recent = group.curve.last_at().max(group.bucket_missing.end()).is_some_and(|at| at >= horizon);
            !is_grouped || is_recent || !group.coverage.is_empty()
        });
    }

    /// How far back look-ups may reach from the newest sample.
    pub fn reach(&self) -> Duration {
        Duration::from_millis((self.keep_ms - MARGIN_MS).unsigned_abs())
    }

    /// Marks what has been fed as settled: [`Accounting::rewind`] returns here.
    pub fn settle(&mut self) {
        self.checkpoint = self.fed_through.map(|through| (through, self.fold.clone()));
        if let Some((through, fold)) = self.checkpoint.as_ref().filter(|_| self.late_ms > 0) {
            let is_older = |(anchored, _): &(Timestamp, Fold), than_ms| through.ms_since(*anchored) >= than_ms;
            if self.anchors.back().is_none_or(|last| is_older(last, self.late_ms / ANCHORS)) {
                self.anchors.push_back((*through, fold.clone()));
            }
            while self.anchors.get(1).is_some_and(|next| is_older(next, self.late_ms)) {
                self.anchors.pop_front();
            }
        }
    }

    /// From now on samples may come late by `window`: so far back [`Accounting::return_before`] can go. Each anchor costs the memory of series.
    pub(super) fn bear_late(&mut self, window: Duration) {
        self.late_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        if self.late_ms == 0 {
            self.anchors.clear();
        }
    }

    /// Takes back what was counted from `at` on, where that was settled, to feed it again with a sample of then that came late. Of one that is
    /// older than can be gone back to nothing is taken back: since counters accumulate, the next one counts what it would have.
    pub(super) fn return_before(&mut self, at: Timestamp) {
        if self.settled_through().is_some_and(|settled| settled < at) {
            return;
        }
        if let Some(index) = self.anchors.iter().rposition(|(anchored, _)| *anchored < at) {
            self.anchors.truncate(index + 1);
            self.checkpoint = self.anchors.back().cloned();
        }
    }

    /// As [`Accounting::return_before`] as far back as it can go.
    pub(super) fn return_far(&mut self) {
        if let Some((anchored, _)) = self.anchors.front() {
            self.return_before(anchored.plus_ms(1));
        }
    }

    /// Takes back what was fed since the last [`Accounting::settle`], to feed it again with samples that came late.
    /// (Covered time is not taken back: it is only ever added.)
    pub fn rewind(&mut self) {
        if let Some((through, fold)) = &self.checkpoint {
            self.fold = fold.clone();
            self.fed_through = Some(*through);
            for (name, group) in &mut self.groups {
                group.curve.truncate_after(*through);
                group.slices.truncate_after(*through);
                group.outages.truncate_after(*through);
                if group.last_success > Some(*through) {
                    let of_group = fold.targets().filter(|target| target.groups.contains(name));
                    group.last_success = of_group.filter_map(|target| target.last_scrape).max();
                }
            }
        }
    }

    /// The instant up to which samples are settled, `None` before the first [`Accounting::settle`].
    pub fn settled_through(&self) -> Option<Timestamp> {
        self.checkpoint.as_ref().map(|(through, _)| *through)
    }

    /// What appears after `after` counts from zero only if a scrape after `through` did not show it: what is scraped or kept may have changed
    /// between the two.
    pub fn distrust(&mut self, after: Timestamp, through: Timestamp) {
        self.fold.distrust(after, through);
        if let Some((_, fold)) = &mut self.checkpoint {
            fold.distrust(after, through);
        }
    }

    /// Writes what is settled.
    pub(super) fn save(&self, out: &mut Writer) {
        out.unsigned(self.reach().as_millis() as u64);
        out.instant(self.settled_through());
        let Some((through, fold)) = &self.checkpoint else { return };
        fold.save(&self.copies, out);
        if !self.copies.replica_labels.is_empty() {
            fold.followed.save(&self.copies, out);
        }
        out.unsigned(self.groups.len() as u64);
        for (name, group) in &self.groups {
            out.labels(name);
            group.curve.save(*through, out);
            group.slices.save(*through, out);
            group.coverage.save(out);
            group.failing.save(out);
            out.instant(group.measured_since);
            out.instant(group.last_success);
        }
    }

    /// Takes over what [`Accounting::save`] wrote, if it can be read and reaches back as far. Nothing is changed where not.
    pub(super) fn load(&mut self, input: &mut Reader<'_>) -> Option<()> {
        let reach_ms = u128::from(input.unsigned()?);
        let through = input.instant()??;
        let mut fold = Fold::load(&self.copies, input)?;
        if !self.copies.replica_labels.is_empty() {
            fold.followed = Followed::load(&self.copies, input, &|labels| self.entry(labels))?;
        }
        let mut groups = BTreeMap::new();
        for _ in 0..input.count()? {
            let name = input.labels()?;
            let group = GroupCounters {
                curve: Curve::load(input)?,
                slices: Slices::load(self.budgeting, self.part_is, input)?,
                coverage: Coverage::load(input)?,
                failing: Coverage::load(input)?,
                measured_since: input.instant()?,
                last_success: input.instant()?,
                ..GroupCounters::default()
            };
            groups.insert(name, group);
        }
        if reach_ms < self.reach().as_millis() || groups.len() > GROUPS_MAX {
            return None;
        }
        (self.fold, self.groups, self.fed_through) = (fold.clone(), groups, Some(through));
        self.checkpoint = Some((through, fold));
        self.disorder.seen_through = Some(through);
        Some(())
    }

    /// The groups, in order. Without `group_by` there is always one, with no labels.
    pub fn groups(&self) -> impl Iterator<Item = &Labels> {
        self.groups.keys()
    }

    /// Whether `group` is among [`Accounting::groups`].
    pub fn is_known(&self, group: &Labels) -> bool {
        self.groups.contains_key(group)
    }

    /// Whether the total of `group` was there by `at`.
    pub fn is_measured(&self, group: &Labels, at: Timestamp) -> bool {
        self.groups.get(group).and_then(|counters| counters.measured_since).is_some_and(|since| since <= at)
    }

    /// Whether the total of `group` was ever there.
    pub fn was_measured(&self, group: &Labels) -> bool {
        self.groups.get(group).is_some_and(|counters| counters.measured_since.is_some())
    }

    /// The bucket of a latency that a total of `group` lacked in the five minutes before `at`.
    pub fn missing_bucket(&self, group: &Labels, at: Timestamp) -> Option<MissingBucket> {
        let (threshold, counters) = (self.threshold.as_ref()?, self.groups.get(group)?);
        counters.bucket_missing.covers(at).then(|| threshold.missing(&counters.bounds))
    }

    /// The last successful scrape of a target of `group` at or before `at` (of availability: its last sample). Within five minutes after
    /// one it may be told as `at`.
    pub fn last_measured(&self, group: &Labels, at: Timestamp) -> Option<Timestamp> {
        self.groups.get(group)?.coverage.last_before(at, SCRAPE_COVERS_MS)
    }

    /// The last scrape of a target of `group` that failed, likewise.
    pub fn last_failed(&self, group: &Labels, at: Timestamp) -> Option<Timestamp> {
        self.groups.get(group)?.failing.last_before(at, SCRAPE_COVERS_MS)
    }

    /// Since when every target of `group` is down at `at`: the last success before the outage.
    pub fn outage_since(&self, group: &Labels, at: Timestamp) -> Option<Timestamp> {
        self.groups.get(group)?.outages.at(at)
    }

    /// The first instant at which anything of any group was seen.
    pub(super) fn first_seen(&self) -> Option<Timestamp> {
        let of = |group: &GroupCounters| group.measured_since.into_iter().chain(group.coverage.start()).min();
        self.groups.values().filter_map(of).min()
    }

    /// The parts of `spans` in which no target of any group was tried.
    pub(super) fn untried(&self, mut spans: Vec<(Timestamp, Timestamp)>) -> Vec<(Timestamp, Timestamp)> {
        for tried in self.groups.values().flat_map(|group| [&group.coverage, &group.failing]) {
            if spans.is_empty() {
                break;
            }
            spans = spans.into_iter().flat_map(|(start, end)| tried.gaps(start, end)).collect();
        }
        spans
    }

    /// What counts of `group` in `(start, end]`: events, or slices of time.
    pub fn counts(&self, group: &Labels, start: Timestamp, end: Timestamp) -> Counts {
        let Some(counters) = self.groups.get(group) else { return Counts::default() };
        match self.budgeting {
            Budgeting::Occurrences => counters.curve.counts(start, end, self.part_is),
            _ => counters.slices.counts(start, end),
        }
    }

    /// The counters of `group` at instants in increasing order.
    pub(super) fn sampled(&self, group: &Labels, instants: impl Iterator<Item = Timestamp>) -> Vec<Totals> {
        match self.groups.get(group) {
            Some(counters) => counters.curve.sampled(instants),
            None => instants.map(|_| Totals::default()).collect(),
        }
    }

    /// Events of `group` since the beginning of what is kept, as a counter: those of the partial counter, and all.
    pub fn events_total(&self, group: &Labels, at: Timestamp) -> (f64, f64) {
        let Totals { part, total } = self.groups.get(group).map_or(Totals::default(), |counters| counters.curve.at(at));
        (part, total)
    }

    /// The share of `(start, end]` in which the total of `group` was being measured.
    pub fn coverage_ratio(&self, group: &Labels, start: Timestamp, end: Timestamp) -> f64 {
        let covered_ms = self.groups.get(group).map_or(0, |counters| counters.coverage.covered_ms(start, end));
        covered_ms as f64 / (end.ms_since(start).max(1)) as f64
    }

    /// Facts for limits and our own metrics: points kept, series remembered, samples refused beyond a limit.
    pub fn sizes(&self) -> Sizes {
        let (series, series_refused) = self.fold.series_counts();
        let (replica_changes, replicas_refused) = self.fold.followed.counts();
        let points = self.groups.values().map(|group| group.curve.len()).sum();
        let refused = series_refused + replicas_refused + self.groups_refused;
        Sizes {
            points,
            series,
            refused,
            disordered: self.disorder.scrapes,
            replica_changes,
            adjusted: Adjusted::default(),
        }
    }
}

/// How much an [`Accounting`] holds, and what of an objective could not be taken as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Points of all groups' curves.
    pub points: usize,
    /// Series remembered.
    pub series: usize,
    /// Samples not counted because of [`super::SERIES_MAX`] or [`GROUPS_MAX`], scrapes not looked at because of too many replicas.
    pub refused: u64,
    /// Scrapes of a target in which the bad (or good) events, or a latency's bucket, gained more than the total; a window's figures take the
    /// total then, if all of it did.
    pub disordered: u64,
    /// How often another replica of a target has been followed.
    pub replica_changes: u64,
    /// Answers of queries likewise.
    pub adjusted: Adjusted,
}

/// Whether every target of the group that was tried in the last five minutes failed; a target alone, twice.
fn is_total_outage(fold: &Fold, group: &Labels, at: Timestamp) -> bool {
    let mut count = 0;
    let mut failures_max = 0;
    for target in fold.targets().filter(|target| target.groups.contains(group)) {
        if at.ms_since(target.last_at) >= SCRAPE_COVERS_MS {
            continue;
        }
        if target.failures == 0 {
            return false;
        }
        count += 1;
        failures_max = failures_max.max(target.failures);
    }
    count > 1 || failures_max > 1
}

/// The groups that a target has totals in, without those that its scrape is blind for.
fn seen_groups(target: &TargetState, pairs: Option<&Pairs<'_>>) -> Vec<Labels> {
    let is_blind = |group: &Labels| pairs.is_some_and(|pairs| pairs.lack_all_of(group));
    target.groups.iter().filter(|group| !is_blind(group)).cloned().collect()
}
