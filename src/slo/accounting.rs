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

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, LabelsBuilder, Series, Timestamp};

use super::coverage::Coverage;
use super::curve::{Counts, Curve, Totals};
pub(super) use super::fold::TargetKey;
use super::fold::{Fold, History, Kind, Point, SCRAPE_COVERS_MS};
use super::latency::{Bounds, MissingBucket, Threshold};
use super::slices::Slices;
use super::spec::{Budgeting, Indicator, PartIs, Slo};

/// Kept beyond the window: the age of a check point and a scrape's reach.
pub const MARGIN_MS: i64 = 10 * 60 * 1000;

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
}

/// The counters of one objective, for all of its groups.
#[derive(Clone, Debug)]
pub struct Accounting {
    is_availability: bool,
    part_is: PartIs,
    budgeting: Budgeting,
    threshold: Option<Threshold>,
    group_by: Vec<Arc<str>>,
    keep_ms: i64,
    fold: Fold,
    checkpoint: Option<(Timestamp, Fold)>,
    fed_through: Option<Timestamp>,
    groups: BTreeMap<Labels, GroupCounters>,
    groups_refused: u64,
    disorder: Disorder,
}

/// Scrapes in which a bucket gained more than its total.
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
    /// Whether the total was ever there.
    is_measured: bool,
    /// The last failed scrape of a target.
    last_failed: Option<Timestamp>,
    /// Of a latency: the last instant at which a total had no bucket of the threshold.
    bucket_missed: Option<Timestamp>,
    /// Of a latency: the bounds next to the threshold.
    bounds: Bounds,
}

/// A series of a batch, resolved once.
struct Entry<'a> {
    series: &'a Series,
    kind: Kind,
    /// How often an event of this counter counts for the partial one, and for all.
    part: f64,
    total: f64,
    group: Labels,
    /// Of a latency: what buckets and their totals have in common.
    stem: Labels,
}

impl Entry<'_> {
    fn is_part(&self) -> bool {
        self.part != 0.0
    }

    fn is_total(&self) -> bool {
        self.total != 0.0
    }
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
            is_availability: matches!(indicator, Indicator::Availability(_)),
            part_is: indicator.part_is(),
            budgeting: slo.budgeting,
            threshold: Threshold::of(indicator),
            group_by: group_by.clone(),
            keep_ms: reach_ms + MARGIN_MS,
            fold: Fold::default(),
            checkpoint: None,
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
        let mut keys: Vec<TargetKey> = entries.iter().map(|entry| target_key(&entry.series.labels)).collect();
        let of_entry = keys.clone();
        keys.sort();
        keys.dedup();
        let rank: HashMap<&TargetKey, usize> = keys.iter().enumerate().map(|(rank, key)| (key, rank)).collect();

        let mut samples: Vec<(Timestamp, usize, usize, f64)> = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let target = rank[&of_entry[index]];
            let all = &entry.series.samples;
            let first = self.fed_through.map_or(0, |fed| all.partition_point(|sample| sample.at <= fed));
            let past = all.partition_point(|sample| sample.at <= through).max(first);
            let values = all[first..past].iter().filter_map(|sample| Some((sample.at, sample.value.as_float()?)));
            let finite = values.filter(|(_, value)| value.is_finite());
            samples.extend(finite.map(|(at, value)| (at, target, index, value)));
        }
        samples.sort_unstable_by_key(|(at, target, index, _)| (*at, *target, *index));
        for scrape in samples.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            self.step(&keys[scrape[0].1], &entries, scrape, history);
        }
        self.fed_through = self.fed_through.max(Some(through));
        self.disorder.seen_through = self.disorder.seen_through.max(self.fed_through);
        self.groups.values_mut().for_each(|group| group.slices.advance(&group.curve, through));
        for (group, bounds) in bounds {
            if let Some(group) = self.groups.get_mut(&group) {
                group.bounds = bounds;
            }
        }
        self.forget();
    }

    /// Joins what the roles say about each series, in order of label set. Of a histogram only the bucket of the threshold is an entry; the
    /// bounds of the others are told by group.
    fn entries<'a>(&self, batch: &[(Role, &'a [Series])]) -> (Vec<Entry<'a>>, BTreeMap<Labels, Bounds>) {
        let mut entries: BTreeMap<&'a Labels, Entry<'a>> = BTreeMap::new();
        let mut bounds: BTreeMap<Labels, Bounds> = BTreeMap::new();
        for (role, all) in batch {
            for series in *all {
                if let (Some(threshold), Role::Part) = (&self.threshold, role) {
                    let Some(bound) = threshold.bound(&series.labels) else { continue };
                    bounds.entry(group_labels(&self.group_by, &series.labels)).or_default().add(bound, threshold);
                    if !threshold.is_met_by(bound) {
                        continue;
                    }
                }
                let kind = match role {
                    Role::Total if self.is_availability => Kind::Gauge,
                    Role::Part | Role::PartLess | Role::Total | Role::TotalLess => Kind::Counter,
                    Role::Up => Kind::Up,
                    Role::StartTime => Kind::StartTime,
                    Role::Witness => Kind::Witness,
                };
                let entry = entries.entry(&series.labels).or_insert_with(|| {
                    let group = group_labels(&self.group_by, &series.labels);
                    let stem = self.threshold.as_ref().map(|threshold| threshold.stem(&series.labels, &group));
                    let stem = stem.unwrap_or_default();
                    Entry { series, kind, part: 0.0, total: 0.0, group, stem }
                });
                entry.kind = entry.kind.min(kind); // an indicator's own series is that first, whatever else it is
                match role {
                    Role::Part => entry.part += 1.0,
                    Role::PartLess => entry.part -= 1.0,
                    Role::Total => entry.total += 1.0,
                    Role::TotalLess => entry.total -= 1.0,
                    Role::Up | Role::StartTime | Role::Witness => {}
                }
            }
        }
        (entries.into_values().collect(), bounds)
    }

    /// All samples of one target at one instant.
    fn step(
        &mut self,
        key: &TargetKey,
        entries: &[Entry<'_>],
        scrape: &[(Timestamp, usize, usize, f64)],
        history: History,
    ) {
        let at = scrape[0].0;
        let points: Vec<Point<'_>> = scrape
            .iter()
            .map(|(_, _, index, value)| Point {
                labels: &entries[*index].series.labels,
                kind: entries[*index].kind,
                value: *value,
            })
            .collect();
        let pairs = self.threshold.as_ref().map(|_| Pairs::of(entries, scrape));
        let (increases, target) = self.fold.step(key, at, &points, history);
        if let Some(pairs) = &pairs
            && self.disorder.seen_through.is_none_or(|seen| at > seen)
            && pairs.has_disorder(entries, scrape, &increases)
        {
            self.disorder.scrapes += 1;
        }
        for ((_, _, index, value), increase) in scrape.iter().zip(increases) {
            let entry = &entries[*index];
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
                group.bucket_missed = if entry.is_total() { Some(at) } else { group.bucket_missed };
                continue;
            }
            let (part, total) = if self.is_availability {
                (if *value == 0.0 { 1.0 } else { 0.0 }, increase)
            } else {
                (entry.part * increase, entry.total * increase)
            };
            group.curve.add(at, part, total);
            if entry.is_total() {
                group.is_measured = true;
                if target.groups.insert(entry.group.clone()) {
                    // The target was scraped before its first event: that time was idle, not blind.
                    group.coverage.merge(&target.coverage);
                }
            }
        }
        let succeeded = target.coverage.end() == Some(at.plus_ms(SCRAPE_COVERS_MS));
        let is_blind = |group: &Labels| pairs.as_ref().is_some_and(|pairs| pairs.lack_all_of(group));
        for group in target.groups.iter().filter(|group| !is_blind(group)) {
            let Some(group) = self.groups.get_mut(group) else { continue };
            if succeeded {
                group.coverage.add(at, at.plus_ms(SCRAPE_COVERS_MS));
            } else {
                group.last_failed = group.last_failed.max(Some(at));
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
            let is_recent = group.curve.last_at().max(group.bucket_missed).is_some_and(|at| at >= horizon);
            !is_grouped || is_recent || !group.coverage.is_empty()
        });
    }

    /// Marks what has been fed as settled: [`Accounting::rewind`] returns here.
    pub fn settle(&mut self) {
        self.checkpoint = self.fed_through.map(|through| (through, self.fold.clone()));
    }

    /// Takes back what was fed since the last [`Accounting::settle`], to feed it again with samples that came late.
    /// (Covered time is not taken back: it is only ever added.)
    pub fn rewind(&mut self) {
        if let Some((through, fold)) = &self.checkpoint {
            self.fold = fold.clone();
            self.fed_through = Some(*through);
            for group in self.groups.values_mut() {
                group.curve.truncate_after(*through);
                group.slices.truncate_after(*through);
            }
        }
    }

    /// The instant up to which samples are settled, `None` before the first [`Accounting::settle`].
    pub fn settled_through(&self) -> Option<Timestamp> {
        self.checkpoint.as_ref().map(|(through, _)| *through)
    }

    /// Scrapes at or before `at` no longer prove that a series was absent: what is scraped or kept may have changed.
    pub fn distrust_through(&mut self, at: Timestamp) {
        self.fold.distrust_through(at);
        if let Some((_, fold)) = &mut self.checkpoint {
            fold.distrust_through(at);
        }
    }

    /// The groups, in order. Without `group_by` there is always one, with no labels.
    pub fn groups(&self) -> impl Iterator<Item = &Labels> {
        self.groups.keys()
    }

    /// Whether `group` is among [`Accounting::groups`].
    pub fn is_known(&self, group: &Labels) -> bool {
        self.groups.contains_key(group)
    }

    /// Whether the total of `group` was ever there.
    pub fn is_measured(&self, group: &Labels) -> bool {
        self.groups.get(group).is_some_and(|counters| counters.is_measured)
    }

    /// The bucket of a latency that a total of `group` lacked in the five minutes before `at`.
    pub fn missing_bucket(&self, group: &Labels, at: Timestamp) -> Option<MissingBucket> {
        let (threshold, counters) = (self.threshold.as_ref()?, self.groups.get(group)?);
        let is_recent = counters.bucket_missed.is_some_and(|missed| at.ms_since(missed) < SCRAPE_COVERS_MS);
        is_recent.then(|| threshold.missing(&counters.bounds))
    }

    /// The last successful scrape of a target of `group` (of availability: its last sample).
    pub fn last_measured(&self, group: &Labels) -> Option<Timestamp> {
        self.groups.get(group)?.coverage.end().map(|end| end.plus_ms(-SCRAPE_COVERS_MS))
    }

    /// The last scrape of a target of `group` that failed.
    pub fn last_failed(&self, group: &Labels) -> Option<Timestamp> {
        self.groups.get(group)?.last_failed
    }

    /// What counts of `group` in `(start, end]`: events, or slices of time.
    pub fn counts(&self, group: &Labels, start: Timestamp, end: Timestamp) -> Counts {
        let Some(counters) = self.groups.get(group) else { return Counts::default() };
        match self.budgeting {
            Budgeting::Occurrences => counters.curve.counts(start, end, self.part_is),
            Budgeting::TimeSlices { .. } | Budgeting::RatioTimeSlices { .. } => counters.slices.counts(start, end),
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
        let points = self.groups.values().map(|group| group.curve.len()).sum();
        Sizes { points, series, refused: series_refused + self.groups_refused, disordered: self.disorder.scrapes }
    }
}

/// How much an [`Accounting`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Points of all groups' curves.
    pub points: usize,
    /// Series remembered.
    pub series: usize,
    /// Samples not counted because of [`super::SERIES_MAX`] or [`GROUPS_MAX`].
    pub refused: u64,
    /// Scrapes of a target in which a latency's bucket gained more events than its total; the figures take the total then.
    pub disordered: u64,
}

/// Which buckets of the threshold stand beside their totals in one scrape of a target.
struct Pairs<'a> {
    /// By stem: the group, whether the bucket is there, whether the total is.
    by_stem: BTreeMap<&'a Labels, (&'a Labels, bool, bool)>,
}

impl<'a> Pairs<'a> {
    fn of(entries: &'a [Entry<'_>], scrape: &[(Timestamp, usize, usize, f64)]) -> Self {
        let mut by_stem = BTreeMap::new();
        let own =
            scrape.iter().map(|(_, _, index, _)| &entries[*index]).filter(|entry| entry.is_part() || entry.is_total());
        for entry in own {
            let (_, has_bucket, has_total) = by_stem.entry(&entry.stem).or_insert((&entry.group, false, false));
            *has_bucket |= entry.is_part();
            *has_total |= entry.is_total();
        }
        Pairs { by_stem }
    }

    fn is_complete(&self, stem: &Labels) -> bool {
        self.by_stem.get(stem).is_some_and(|(_, has_bucket, has_total)| *has_bucket && *has_total)
    }

    /// Whether totals of `group` are there and none has its bucket.
    fn lack_all_of(&self, group: &Labels) -> bool {
        let totals = || self.by_stem.values().filter(|(of, _, has_total)| *of == group && *has_total);
        totals().count() > 0 && totals().all(|(_, has_bucket, _)| !has_bucket)
    }

    /// Whether the bucket of a pair gained more than its total.
    fn has_disorder(
        &self,
        entries: &[Entry<'_>],
        scrape: &[(Timestamp, usize, usize, f64)],
        increases: &[f64],
    ) -> bool {
        let mut excess: BTreeMap<&Labels, f64> = BTreeMap::new();
        for ((_, _, index, _), increase) in scrape.iter().zip(increases) {
            let entry = &entries[*index];
            *excess.entry(&entry.stem).or_default() += (entry.part - entry.total) * increase;
        }
        excess.iter().any(|(stem, excess)| *excess > 0.0 && self.is_complete(stem))
    }
}

pub(super) fn target_key(labels: &Labels) -> TargetKey {
    let value = |name| labels.get_arc(name).cloned().unwrap_or_default();
    (value("job"), value("instance"))
}

fn group_labels(group_by: &[Arc<str>], labels: &Labels) -> Labels {
    let mut group = LabelsBuilder::default();
    for name in group_by {
        if let Some(value) = labels.get_arc(name) {
            group.set(name.clone(), value.clone());
        }
    }
    group.build()
}
