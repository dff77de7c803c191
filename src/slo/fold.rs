//! What is remembered of each series and target, and what a new sample of theirs counts.
//!
//! In the flow: [`super::accounting`] hands in all samples of one target at one instant; out comes the increase of each counter.
//! The rules, for counters (contract "Counting events"):
//!
//! | the series | counts |
//! |---|---|
//! | goes on, not lower | the difference |
//! | is lower than before (a reset) | the new value in full |
//! | appears together with its target | nothing: a base line |
//! | appears at a target whose earlier scrape succeeded without it | the first value in full |
//! | was missing from a scrape of its target, not lower, restart witnessed in between | the new value in full |
//! | was missing from a scrape of its target, not lower, no witness | the difference |
//!
//! A restart is witnessed when another counter of the target fell, or its `process_start_time_seconds` changed, between two of its
//! own samples that both lie within the absence. A target that was not scraped at all says nothing: what its counters gained
//! meanwhile is counted at the next scrape.
//!
//! **Differs:** start timestamps of stored samples are not read, and the daemon looks for witnesses among the counters of the
//! indicator and `process_start_time_seconds`; a backtest looks at every counter of the target ([`super::witnesses`]).

use std::collections::{BTreeSet, HashMap};

use crate::model::{Labels, Timestamp};

use super::coverage::Coverage;
use super::entry::{Point, TargetKey};
use super::replicas::Followed;
use super::snapshot::{Reader, Writer};
use super::spec::Copies;

/// What the fed samples prove about what is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// Everything that was scraped is there: a scrape without a series proves that it did not exist.
    Complete,
    /// Retention may have removed the beginning of any series, so that only a sample of the indicator's own series proves
    /// that an earlier scrape of its target would have shown the others.
    Retained,
}

/// What a series is to the indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A counter of events.
    Counter,
    /// A boolean gauge: each sample is an event.
    Gauge,
    /// `up`: a scrape that succeeded or failed.
    Up,
    /// `process_start_time_seconds`: a change shows a restart.
    StartTime,
    /// A counter that is not of the indicator: a fall shows a restart.
    Witness,
    /// What such counters tell together ([`super::Role::Falls`]).
    Falls,
}

impl Kind {
    /// The kind of that number, as it is saved.
    pub(super) fn from_number(number: u64) -> Option<Kind> {
        let all = [Kind::Counter, Kind::Gauge, Kind::Up, Kind::StartTime, Kind::Witness, Kind::Falls];
        all.into_iter().find(|kind| *kind as u64 == number)
    }
}

#[derive(Clone, Debug)]
struct SeriesState {
    last: f64,
    last_at: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct TargetState {
    /// The last scrape that is known to have succeeded.
    pub(super) last_scrape: Option<Timestamp>,
    /// Whether a series of the indicator was ever seen here.
    has_own: bool,
    /// The latest "before" of a fall: some counter was at its old height then and lower at its next sample.
    fell_from: Option<Timestamp>,
    /// The last sample of any kind.
    pub(super) last_at: Timestamp,
    /// How many scrapes have failed since the last success.
    pub(super) failures: u32,
    /// When it was being scraped.
    pub(super) coverage: Coverage,
    /// The groups that it has totals in.
    pub(super) groups: BTreeSet<Labels>,
}

/// Everything remembered of the series that an indicator reads. Cloned at each check point: 100 bytes a series and its share of a map.
#[derive(Clone, Debug, Default)]
pub(super) struct Fold {
    series: HashMap<Labels, SeriesState>,
    targets: HashMap<TargetKey, TargetState>,
    /// Which copies of targets count; nothing where none are told apart.
    pub(super) followed: Followed,
    /// After the first of these instants, scrapes at or before the second prove nothing about what was not in them: the selection may have changed.
    distrusted: Option<(Timestamp, Timestamp)>,
    /// Samples of series refused because there were too many.
    refused: u64,
}

/// More series than this for one objective are not counted; a selector that finds more is a mistake.
pub const SERIES_MAX: usize = 200_000;

/// A successful scrape covers this much time after it (contract, "coverage").
pub(super) const SCRAPE_COVERS_MS: i64 = 5 * 60 * 1000;

impl Fold {
    /// Takes all samples of one target at one instant, later than all before of that target. Returns what each counts, in order.
    pub(super) fn step(
        &mut self,
        key: &TargetKey,
        at: Timestamp,
        points: &[Point<'_>],
        history: History,
    ) -> (Vec<f64>, &mut TargetState) {
        self.witness(key, at, points);
        let increases = points.iter().map(|point| self.count(key, at, *point)).collect();
        let target = self.targets.get_mut(key).expect("BUG: a target vanished within a step");
        target.has_own |= points.iter().any(Point::is_own);
        let succeeded = points.iter().any(|point| point.entry.kind != Kind::Up || point.value == 1.0);
        if succeeded && (target.has_own || history == History::Complete) {
            target.last_scrape = Some(at);
            target.coverage.add(at, at.plus_ms(SCRAPE_COVERS_MS));
        }
        target.failures = if succeeded { 0 } else { target.failures.saturating_add(1) };
        target.last_at = at;
        (increases, target)
    }

    /// First pass over an instant: falls must be known before comebacks are judged.
    fn witness(&mut self, key: &TargetKey, at: Timestamp, points: &[Point<'_>]) {
        let target = self.targets.entry(key.clone()).or_insert_with(|| TargetState {
            last_scrape: None,
            has_own: false,
            fell_from: None,
            last_at: at,
            failures: 0,
            coverage: Coverage::default(),
            groups: BTreeSet::new(),
        });
        for point in points {
            if point.entry.kind == Kind::Falls {
                target.fell_from = target.fell_from.max(Some(Timestamp::from_ms(point.value as i64)));
                continue;
            }
            let Some(state) = self.series.get(&point.entry.labels) else { continue };
            let shows_restart = match point.entry.kind {
                Kind::Counter | Kind::Witness => point.value < state.last,
                Kind::StartTime => point.value != state.last,
                Kind::Gauge | Kind::Up | Kind::Falls => false,
            };
            if shows_restart {
                target.fell_from = target.fell_from.max(Some(state.last_at));
            }
        }
    }

    fn count(&mut self, key: &TargetKey, at: Timestamp, point: Point<'_>) -> f64 {
        match point.entry.kind {
            Kind::Gauge => return 1.0,
            Kind::Up | Kind::Falls => return 0.0,
            Kind::Counter | Kind::StartTime | Kind::Witness => {}
        }
        let target = &self.targets[key];
        let is_full = self.series.len() >= SERIES_MAX;
        match self.series.get_mut(&point.entry.labels) {
            Some(state) => {
                let was_missing = target.last_scrape > Some(state.last_at);
                let restarted = was_missing && target.fell_from >= Some(state.last_at);
                let increase =
                    if point.value < state.last || restarted { point.value } else { point.value - state.last };
                *state = SeriesState { last: point.value, last_at: at };
                increase
            }
            None if is_full => {
                self.refused += 1;
                0.0
            }
            None => {
                self.series.insert(point.entry.labels.clone(), SeriesState { last: point.value, last_at: at });
                let is_distrusted =
                    self.distrusted.is_some_and(|(after, through)| at > after && target.last_scrape <= Some(through));
                if target.last_scrape.is_some() && !is_distrusted { point.value } else { 0.0 }
            }
        }
    }

    /// A scrape of a copy that does not count shows that the target lives, and nothing of its series.
    pub(super) fn live(&mut self, key: &TargetKey, at: Timestamp, history: History) -> Option<&TargetState> {
        let target = self.targets.get_mut(key)?;
        if target.has_own || history == History::Complete {
            target.coverage.add(at, at.plus_ms(SCRAPE_COVERS_MS));
        }
        target.failures = 0;
        target.last_at = at;
        Some(target)
    }

    /// The last sample of any kind of a target.
    pub(super) fn last_at(&self, key: &TargetKey) -> Option<Timestamp> {
        self.targets.get(key).map(|target| target.last_at)
    }

    /// What is remembered of the targets.
    pub(super) fn targets(&self) -> impl Iterator<Item = &TargetState> {
        self.targets.values()
    }

    /// What appears after `after` was not there before only if a scrape after `through` says so.
    pub(super) fn distrust(&mut self, after: Timestamp, through: Timestamp) {
        self.distrusted = Some((after, through));
    }

    /// Writes what is remembered, but for the copies that are followed.
    pub(super) fn save(&self, copies: &Copies, out: &mut Writer) {
        out.instant(self.distrusted.map(|(after, _)| after));
        out.instant(self.distrusted.map(|(_, through)| through));
        let mut series: Vec<(&Labels, &SeriesState)> = self.series.iter().collect();
        series.sort_by_key(|(labels, _)| *labels);
        out.unsigned(series.len() as u64);
        for (labels, state) in series {
            out.labels(labels);
            out.float(state.last);
            out.signed(state.last_at.as_ms());
        }
        let mut targets: Vec<(&TargetKey, &TargetState)> = self.targets.iter().collect();
        targets.sort_by_key(|(key, _)| *key);
        out.unsigned(targets.len() as u64);
        for (key, target) in targets {
            key.save(copies, out);
            out.instant(target.last_scrape);
            out.unsigned(u64::from(target.has_own));
            out.instant(target.fell_from);
            out.signed(target.last_at.as_ms());
            out.unsigned(u64::from(target.failures));
            target.coverage.save(out);
            out.unsigned(target.groups.len() as u64);
            target.groups.iter().for_each(|group| out.labels(group));
        }
    }

    /// Reads what [`Fold::save`] wrote.
    pub(super) fn load(copies: &Copies, input: &mut Reader<'_>) -> Option<Fold> {
        let (after, through) = (input.instant()?, input.instant()?);
        let mut fold = Fold { distrusted: after.zip(through), ..Fold::default() };
        for _ in 0..input.count()? {
            let labels = input.labels()?;
            let state = SeriesState { last: input.float()?, last_at: Timestamp::from_ms(input.signed()?) };
            fold.series.insert(labels, state);
        }
        for _ in 0..input.count()? {
            let key = TargetKey::load(copies, input)?;
            let mut target = TargetState {
                last_scrape: input.instant()?,
                has_own: input.unsigned()? == 1,
                fell_from: input.instant()?,
                last_at: Timestamp::from_ms(input.signed()?),
                failures: u32::try_from(input.unsigned()?).ok()?,
                coverage: Coverage::load(input)?,
                groups: BTreeSet::new(),
            };
            for _ in 0..input.count()? {
                target.groups.insert(input.labels()?);
            }
            fold.targets.insert(key, target);
        }
        Some(fold)
    }

    /// Forgets series and targets without a sample since `at`.
    pub(super) fn drop_before(&mut self, at: Timestamp) {
        self.series.retain(|_, state| state.last_at >= at);
        self.targets.retain(|_, target| target.last_at >= at);
        self.followed.drop_before(at);
        self.targets.values_mut().for_each(|target| target.coverage.drop_before(at));
    }

    /// How many series are remembered, and how many samples were refused beyond [`SERIES_MAX`].
    pub(super) fn series_counts(&self) -> (usize, u64) {
        (self.series.len(), self.refused)
    }
}
