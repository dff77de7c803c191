//! Replicas of the same counters, of which one whole replica is followed at a time.
//!
//! In the flow: two Prometheuses or agents scrape the same targets and write both here; their series differ in a label such as
//! `prometheus_replica`, which the objective names. [`super::accounting`] asks [`Followed::judge`] of each scrape whether it counts.
//!
//! **Why whole replicas.** Adding copies up doubles events, and weighs a gap of one of them into every ratio. The highest of two buckets is no
//! bucket: it may exceed the count that was read with it. Merging copies by time makes false resets, since who began to read first need not have
//! read first. So of each target one copy is followed with all of its series.
//!
//! | a scrape | counts |
//! |---|---|
//! | of the copy that is followed | yes |
//! | of another one | no, but it is held, and shows that the target lives |
//! | of another one, when the followed one has been silent or without success for [`Replica::patience_ms`] | yes, after those of it that are held; it is followed from now on |
//! | that failed, while another copy's succeeded | no: one scraper's trouble is not the target's |
//!
//! Since both copies show the same counters, the new one goes on from the values of the old one: what happened in between is counted once, at
//! the instant of the change, and the scrapes that were held show resets, births and restarts within.
//! **Invariants.** A function of the samples in order of time, and nothing else. What is held is later than the last scrape that counted
//! by [`SKEW_MS`], so that clocks that differ and answers that are slow make no false reset.
//! **Limits.** [`REPLICAS_MAX`] copies of a target at once, [`HELD_MAX`] scrapes of each.
//! **Source.** Mimir's tracker of highly available pairs changes after 30 s as well, for a whole Prometheus at once; we do for each target, so that one
//! that a replica cannot reach is seen by the other.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::model::{Labels, Timestamp};

use super::entry::{Entry, Point, Source, TargetKey};
use super::fold::Kind;
use super::snapshot::{Reader, Writer};
use super::spec::Copies;

/// The copies of one target at once. Further ones are not looked at.
const REPLICAS_MAX: usize = 16;
/// A copy that has been silent for so long is forgotten: replicas may be named after pods.
const FORGOTTEN_MS: i64 = 10 * 60 * 1000;
/// Scrapes held of each copy; of more, the oldest are given up, so that what happened then is seen as one step.
const HELD_MAX: usize = 8;
/// How far two scrapers' timestamps may be out of the order in which they read the target: the usual time-out of a scrape.
const SKEW_MS: i64 = 10_000;
/// A copy is waited for so long, at least and at most.
const PATIENCE_MS: (i64, i64) = (30_000, 240_000);

/// Which copy of each target is followed.
#[derive(Clone, Debug, Default)]
pub(super) struct Followed {
    targets: HashMap<TargetKey, Replicas>,
    /// How often another copy has been followed.
    changes: u64,
    /// Scrapes of copies beyond [`REPLICAS_MAX`].
    refused: u64,
}

#[derive(Clone, Debug)]
struct Replicas {
    /// The name of the one that is followed.
    followed: Labels,
    /// Its last scrape that counted.
    counted_at: Timestamp,
    /// Not empty.
    all: Vec<Replica>,
}

#[derive(Clone, Debug)]
struct Replica {
    /// The labels that tell it apart.
    name: Labels,
    last_at: Timestamp,
    /// Since when it is waited for a success: the last one, or the first attempt.
    succeeded_at: Timestamp,
    /// The distance of its last two scrapes.
    interval_ms: i64,
    is_failing: bool,
    /// Whether it has ever shown a series of the indicator.
    has_own: bool,
    held: VecDeque<Arc<Held>>,
}

/// A scrape that has not been counted, and may have to be.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) at: Timestamp,
    points: Vec<(Entry, f64)>,
}

/// What a scrape of a copy is good for.
pub(super) enum Verdict {
    /// It counts, after those that were held.
    Counts(VecDeque<Arc<Held>>),
    /// The target lives.
    Lives,
    /// Nothing.
    Passed,
}

impl Held {
    fn of(at: Timestamp, points: &[Point<'_>]) -> Arc<Held> {
        Arc::new(Held { at, points: points.iter().map(|point| (point.entry.clone(), point.value)).collect() })
    }

    pub(super) fn points(&self) -> Vec<Point<'_>> {
        self.points.iter().map(|(entry, value)| Point { entry, value: *value }).collect()
    }
}

/// What a scrape shows.
#[derive(Clone, Copy)]
struct Shown {
    at: Timestamp,
    succeeded: bool,
    /// Whether series of the indicator are in it.
    has_own: bool,
}

impl Shown {
    fn by(at: Timestamp, points: &[Point<'_>]) -> Shown {
        let is_failure = |point: &Point<'_>| {
            let is_up = point.entry.kind == Kind::Up || point.entry.labels.metric_name() == "up";
            is_up && point.value != 1.0
        };
        Shown { at, succeeded: !points.iter().all(is_failure), has_own: points.iter().any(Point::is_own) }
    }

    fn tells(self) -> bool {
        self.succeeded || self.has_own
    }
}

impl Replica {
    fn new(name: Labels, at: Timestamp) -> Self {
        Replica {
            name,
            last_at: at,
            succeeded_at: at,
            interval_ms: 0,
            is_failing: false,
            has_own: false,
            held: VecDeque::new(),
        }
    }

    /// So long it is waited for: two of its own intervals, within [`PATIENCE_MS`].
    fn patience_ms(&self) -> i64 {
        self.interval_ms.saturating_mul(2).clamp(PATIENCE_MS.0, PATIENCE_MS.1)
    }

    fn is_silent(&self, at: Timestamp) -> bool {
        at.ms_since(self.last_at) >= self.patience_ms()
    }

    fn note(&mut self, shown: Shown) {
        let distance_ms = shown.at.ms_since(self.last_at);
        if distance_ms > 0 {
            self.interval_ms = distance_ms;
        }
        self.last_at = self.last_at.max(shown.at);
        self.is_failing = !shown.succeeded;
        self.has_own |= shown.has_own;
        if shown.succeeded {
            self.succeeded_at = shown.at;
        }
    }

    /// Whether a scrape of another copy is to be followed instead.
    fn yields_to(&self, shown: Shown) -> bool {
        let is_unsuccessful = shown.at.ms_since(self.succeeded_at) >= self.patience_ms();
        shown.tells() && self.is_silent(shown.at)
            || shown.succeeded && is_unsuccessful
            || shown.has_own && !self.has_own
    }
}

impl Replicas {
    fn place(&self, name: &Labels) -> Option<usize> {
        self.all.iter().position(|replica| replica.name == *name)
    }

    fn followed(&self) -> &Replica {
        let place = self.place(&self.followed).expect("BUG: the copy that is followed is not known");
        &self.all[place]
    }

    /// The place of a copy, which may be new; `None` where there are too many.
    fn known(&mut self, name: &Labels, at: Timestamp) -> Option<usize> {
        if let Some(place) = self.place(name) {
            return Some(place);
        }
        let Replicas { followed, all, .. } = self;
        all.retain(|replica| replica.name == *followed || at.ms_since(replica.last_at) < FORGOTTEN_MS);
        if all.len() >= REPLICAS_MAX {
            return None;
        }
        all.push(Replica::new(name.clone(), at));
        Some(all.len() - 1)
    }

    fn other_succeeds(&self, place: usize, at: Timestamp) -> bool {
        let others = self.all.iter().enumerate().filter(|(index, _)| *index != place).map(|(_, other)| other);
        others.into_iter().any(|other| !other.is_failing && !other.is_silent(at))
    }
}

impl Followed {
    /// Takes a scrape of a copy of a target, in order of time.
    pub(super) fn judge(&mut self, source: &Source, at: Timestamp, points: &[Point<'_>]) -> Verdict {
        let name = &source.replica;
        let shown = Shown::by(at, points);
        let copies = self.targets.entry(source.target.clone()).or_insert_with(|| Replicas {
            followed: name.clone(),
            counted_at: at,
            all: vec![Replica::new(name.clone(), at)],
        });
        let Some(place) = copies.known(name, at) else {
            self.refused += 1;
            return Verdict::Passed;
        };
        let changes = copies.followed != *name && copies.followed().yields_to(shown);
        copies.all[place].note(shown);
        if changes {
            copies.followed = name.clone();
            self.changes += 1;
        }
        if !shown.tells() {
            let is_scrapers_trouble = copies.other_succeeds(place, at);
            return if is_scrapers_trouble { Verdict::Passed } else { Verdict::Counts(VecDeque::new()) };
        }
        if copies.followed == *name {
            let before = std::mem::take(&mut copies.all[place].held);
            copies.all.iter_mut().for_each(|replica| replica.held.clear());
            copies.counted_at = at;
            return Verdict::Counts(before);
        }
        if at.ms_since(copies.counted_at) >= SKEW_MS {
            let held = &mut copies.all[place].held;
            held.push_back(Held::of(at, points));
            if held.len() > HELD_MAX {
                held.pop_front();
            }
        }
        if shown.succeeded { Verdict::Lives } else { Verdict::Passed }
    }

    /// How often another copy has been followed, and how many scrapes were not looked at.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.changes, self.refused)
    }

    /// Forgets targets without a sample since `at`.
    pub(super) fn drop_before(&mut self, at: Timestamp) {
        self.targets.retain(|_, copies| copies.all.iter().any(|replica| replica.last_at >= at));
    }

    /// Writes what is remembered.
    pub(super) fn save(&self, copies: &Copies, out: &mut Writer) {
        out.unsigned(self.changes);
        let mut targets: Vec<(&TargetKey, &Replicas)> = self.targets.iter().collect();
        targets.sort_by_key(|(key, _)| *key);
        out.unsigned(targets.len() as u64);
        for (key, replicas) in targets {
            key.save(copies, out);
            out.labels(&replicas.followed);
            out.signed(replicas.counted_at.as_ms());
            out.unsigned(replicas.all.len() as u64);
            replicas.all.iter().for_each(|replica| replica.save(out));
        }
    }

    /// Reads what [`Followed::save`] wrote; `entry` resolves the labels of a series anew.
    pub(super) fn load(copies: &Copies, input: &mut Reader<'_>, entry: &dyn Fn(Labels) -> Entry) -> Option<Followed> {
        let mut followed = Followed { changes: input.unsigned()?, ..Followed::default() };
        for _ in 0..input.count()? {
            let key = TargetKey::load(copies, input)?;
            let (name, counted_at) = (input.labels()?, Timestamp::from_ms(input.signed()?));
            let all: Option<Vec<Replica>> = (0..input.count()?).map(|_| Replica::load(input, entry)).collect();
            let replicas = Replicas { followed: name, counted_at, all: all? };
            replicas.place(&replicas.followed)?;
            followed.targets.insert(key, replicas);
        }
        Some(followed)
    }
}

impl Replica {
    fn save(&self, out: &mut Writer) {
        out.labels(&self.name);
        out.signed(self.last_at.as_ms());
        out.signed(self.succeeded_at.as_ms());
        out.signed(self.interval_ms);
        out.unsigned(u64::from(self.is_failing));
        out.unsigned(u64::from(self.has_own));
        out.unsigned(self.held.len() as u64);
        for held in &self.held {
            out.signed(held.at.as_ms());
            out.unsigned(held.points.len() as u64);
            for (entry, value) in &held.points {
                out.labels(&entry.labels);
                out.unsigned(entry.kind as u64);
                out.float(entry.part);
                out.float(entry.total);
                out.float(*value);
            }
        }
    }

    fn load(input: &mut Reader<'_>, entry: &dyn Fn(Labels) -> Entry) -> Option<Replica> {
        let mut replica = Replica::new(input.labels()?, Timestamp::from_ms(input.signed()?));
        replica.succeeded_at = Timestamp::from_ms(input.signed()?);
        replica.interval_ms = input.signed()?;
        replica.is_failing = input.unsigned()? == 1;
        replica.has_own = input.unsigned()? == 1;
        for _ in 0..input.count()? {
            let at = Timestamp::from_ms(input.signed()?);
            let mut points = Vec::new();
            for _ in 0..input.count()? {
                let entry = entry(input.labels()?);
                let kind = Kind::from_number(input.unsigned()?)?;
                points.push((Entry { kind, part: input.float()?, total: input.float()?, ..entry }, input.float()?));
            }
            replica.held.push_back(Arc::new(Held { at, points }));
        }
        Some(replica)
    }
}
