//! From a body to rows: what one target's scrapes mean for the store, without sockets and clocks.
//!
//! In the flow: the loop of a target fetches, calls [`TargetState::ingest`] or [`TargetState::fail`], then
//! [`TargetState::report`], and commits the rows of the [`Batch`] at once.
//! **Invariants.** A series of the last good scrape that is not in this one gets a staleness marker at this one's time; a
//! failed scrape marks all of them; series with timestamps of their own are left alone unless the job tracks them. A body
//! that fails half-way leaves none of its samples.
//! **Source.** Prometheus 3.5 `scrape/scrape.go` (`scrapeLoop.append`, `report`).
//! **Differs:** a line that fails marks every series of the last scrape stale; Prometheus spares those that stood before it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::cache::{Piece, SeriesCache, Visit};
use super::config::ScrapeConfig;
use super::created::{CreatedLines, StartTimeReader};
use super::custom::Collector;
use super::error::ScrapeError;
use super::exposed::Exposed;
use super::histogram;
use super::sample_labels;
use crate::exposition::{BodyFormat, Entry, Format, Item, Parser, read_protobuf};
use crate::model::{Exemplar, Labels, METRIC_NAME, Metadata, MetricKind, Timestamp, Value, stale_nan};
use crate::store::{Denial, Row, SeriesRef, Store};

/// A sample may lie this far ahead of its scrape.
pub const AHEAD_MAX: Duration = Duration::from_secs(600);
/// Metadata is told again after this many scrapes, so that the store does not forget it.
const METADATA_SCRAPES: u64 = 40;
/// Families of one target whose metadata is kept.
const FAMILIES_MAX: usize = 20_000;

/// The series that report on a scrape, in the order of [`Batch::report`].
const REPORT: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// What a target answered.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Decompressed.
    pub body: &'a [u8],
    /// Empty where the target sent none.
    pub content_type: &'a str,
    /// When it was asked; the time of samples without one of their own.
    pub at: Timestamp,
    /// What its `_created` lines are.
    pub created: CreatedLines,
}

/// What one scrape leaves for the store.
#[derive(Debug, Default)]
pub struct Batch {
    /// To be committed at once.
    pub rows: Vec<Row>,
    /// Examples beside samples, in order of the body.
    pub exemplars: Vec<(SeriesRef, Exemplar)>,
    /// Families whose metadata is new, changed or due again.
    pub metadata: Vec<(Arc<str>, Metadata)>,
    /// Samples of the body.
    pub scraped: u64,
    /// Of these, what relabelling left.
    pub kept: u64,
    /// Of these, series that the last scrape did not have.
    pub added: u64,
    /// Samples left out because their series stood in the body before.
    pub duplicates: u64,
    /// Samples left out because they lie too far ahead.
    pub out_of_bounds: u64,
    /// Samples left out because their series are new and over a limit of the store, and which one.
    pub denied: Option<(u64, Denial)>,
}

/// What is remembered of one target between its scrapes.
#[derive(Debug)]
pub struct TargetState {
    config: Arc<ScrapeConfig>,
    labels: Labels,
    cache: SeriesCache,
    /// Series of the last scrape that get a marker when they vanish, in the order of the body.
    tracked: Vec<SeriesRef>,
    /// Whether these are those that the cache has: the last scrape went well.
    tracks_cache: bool,
    report: Option<[SeriesRef; REPORT.len()]>,
    families: FxHashMap<Arc<str>, Metadata>,
    scrapes: u64,
    /// Of the store's demand when lines were last left out because nothing reads them.
    demand_version: u64,
}

impl TargetState {
    /// For a target whose samples get `labels`.
    pub fn new(config: Arc<ScrapeConfig>, labels: Labels) -> Self {
        TargetState {
            config,
            labels,
            cache: SeriesCache::default(),
            tracked: Vec::new(),
            tracks_cache: false,
            report: None,
            families: FxHashMap::default(),
            scrapes: 0,
            demand_version: 0,
        }
    }

    /// Goes on under a changed configuration: what the old one stored and the new one does not is marked stale by the next
    /// scrape.
    pub fn reconfigured(self, config: Arc<ScrapeConfig>) -> Self {
        let TargetState { labels, tracked, report, .. } = self;
        TargetState { tracked, report, ..TargetState::new(config, labels) }
    }

    /// Reads what the target answered.
    pub fn ingest(&mut self, store: &Store, answer: &Answer<'_>) -> (Batch, Result<(), ScrapeError>) {
        let at = answer.at;
        self.scrapes += 1;
        let mut batch = Batch::default();
        // As in Prometheus, an empty body is fine whatever it is said to be.
        if answer.body.is_empty() {
            self.mark_stale(&mut batch, Vec::new(), at);
            return (batch, Ok(()));
        }
        batch.rows.reserve_exact(self.cache.len() + REPORT.len());
        match self.read(store, answer, &mut Reading { batch: &mut batch, has_wide_histogram: false }) {
            Ok(()) => {
                if self.cache.finish() || !self.tracks_cache {
                    let current = self.cache.tracked().collect();
                    self.mark_stale(&mut batch, current, at);
                    self.tracks_cache = true;
                }
                (batch, Ok(()))
            }
            Err(error) => {
                batch.rows.clear();
                batch.exemplars.clear();
                self.cache.abandon();
                self.mark_stale(&mut batch, Vec::new(), at);
                (batch, Err(error))
            }
        }
    }

    /// A scrape without a body.
    pub fn fail(&mut self, at: Timestamp) -> Batch {
        let mut batch = Batch::default();
        self.mark_stale(&mut batch, Vec::new(), at);
        batch
    }

    /// Adds the series that report on the scrape.
    pub fn report(&mut self, store: &Store, batch: &mut Batch, at: Timestamp, outcome: Outcome) {
        let series = *self.report.get_or_insert_with(|| {
            REPORT.map(|name| store.series_ref(&self.labels.to_builder().set(METRIC_NAME, name).build()))
        });
        let values = [
            if outcome.up { 1.0 } else { 0.0 },
            outcome.duration.as_secs_f64(),
            batch.scraped as f64,
            batch.kept as f64,
            batch.added as f64,
        ];
        batch.rows.extend(series.into_iter().zip(values).map(|(series, value)| Row::new(series, at, value)));
    }

    /// Staleness markers for all that the target has left, its reports included: it is gone.
    pub fn end(mut self, at: Timestamp) -> Vec<Row> {
        let mut batch = self.fail(at);
        let marker = |series| Row::new(series, at, stale_nan());
        batch.rows.extend(self.report.into_iter().flatten().map(marker));
        batch.rows
    }

    /// Forgets handles that the store no longer knows.
    pub fn forget(&mut self, gone: &HashSet<SeriesRef>) {
        self.cache.forget(gone);
        self.tracked.retain(|series| !gone.contains(series));
        if self.report.is_some_and(|report| report.iter().any(|series| gone.contains(series))) {
            self.report = None;
        }
    }

    fn read(&mut self, store: &Store, answer: &Answer<'_>, reading: &mut Reading<'_>) -> Result<(), ScrapeError> {
        let fallback = self.config.fallback_scrape_protocol.map(|protocol| protocol.format());
        let format = BodyFormat::from_content_type(answer.content_type, fallback).map_err(ScrapeError::ContentType)?;
        // A line that nothing read is remembered as left out, until somebody may read it.
        let demand_version = store.demand_version();
        if std::mem::replace(&mut self.demand_version, demand_version) != demand_version {
            self.cache.forget_dropped();
        }
        self.cache.begin(format);
        match format {
            BodyFormat::Text(format) if self.config.histograms.makes_custom => {
                self.read_text_with_custom(store, answer, format, reading)?;
            }
            BodyFormat::Text(format) => self.read_text(store, answer, format, reading)?,
            BodyFormat::Protobuf => self.read_protobuf(store, answer, reading)?,
        }
        if self.scrapes.is_multiple_of(METADATA_SCRAPES) {
            let mut all: Vec<_> = self.families.iter().map(|(name, data)| (name.clone(), data.clone())).collect();
            all.sort_unstable();
            reading.batch.metadata = all;
        }
        let limit = self.config.limits.samples;
        if limit > 0 && reading.batch.kept > limit {
            return Err(ScrapeError::SampleLimit);
        }
        // Prometheus passes over samples that are refused, but for these.
        if store.has_too_late(&reading.batch.rows) {
            return Err(ScrapeError::TooLate);
        }
        if reading.has_wide_histogram { Err(ScrapeError::BucketLimit) } else { Ok(()) }
    }

    fn read_text(
        &mut self,
        store: &Store,
        answer: &Answer<'_>,
        format: Format,
        reading: &mut Reading<'_>,
    ) -> Result<(), ScrapeError> {
        let reads_start_times = answer.created == CreatedLines::StartTimes && format == Format::OpenMetrics;
        let mut starts = StartTimeReader::default();
        let mut parser = Parser::new(answer.body, format);
        // Where the piece of the next sample begins, and whether it has had a TYPE line so far.
        let (mut start, mut declares_kind) = (0, false);
        loop {
            if start == parser.position()
                && !reads_start_times
                && let Some(expected) = self.cache.expected()
                && let Some(repeated) = parser.repeat(&expected)
            {
                self.repeat(repeated, answer.at, reading);
                start = parser.position();
                continue;
            }
            let Some(entry) = parser.next_expecting(self.cache.expected_text()) else { return Ok(()) };
            let series = match entry.map_err(ScrapeError::Parse)? {
                Entry::Series(series) => series,
                entry => {
                    declares_kind |= matches!(entry, Entry::Type { .. });
                    self.declare_entry(&entry, reading);
                    continue;
                }
            };
            let bytes = &answer.body[start..parser.series_end()];
            let piece = Some(Piece { bytes, text_len: series.text.len(), kind: series.kind, declares_kind });
            (start, declares_kind) = (parser.position(), false);
            if !reads_start_times {
                self.sample(store, (series, piece), answer.at, reading)?;
            } else if !starts.is_created(&series, &mut reading.batch.rows) {
                let before = reading.batch.rows.len();
                self.sample(store, (series, piece), answer.at, reading)?;
                reading.batch.rows[before..].iter_mut().for_each(|row| row.start = starts.start());
            }
        }
    }

    /// As [`Self::read_text`], with the series of each classic histogram as one custom histogram after them, or instead of them.
    fn read_text_with_custom(
        &mut self,
        store: &Store,
        answer: &Answer<'_>,
        format: Format,
        reading: &mut Reading<'_>,
    ) -> Result<(), ScrapeError> {
        let mut collector = Collector::default();
        for entry in Parser::new(answer.body, format) {
            let entry = entry.map_err(ScrapeError::Parse)?;
            let (finished, is_part) = match &entry {
                Entry::Series(series) => collector.series(series),
                Entry::Type { name, .. } => (collector.family(name), false),
                _ => (collector.finish(), false),
            };
            if let Some(custom) = finished {
                self.sample(store, (custom, None), answer.at, reading)?;
            }
            match entry {
                Entry::Series(_) if is_part && !self.config.histograms.keeps_classic => {}
                Entry::Series(series) => self.sample(store, (series, None), answer.at, reading)?,
                entry => self.declare_entry(&entry, reading),
            }
        }
        match collector.finish() {
            Some(custom) => self.sample(store, (custom, None), answer.at, reading),
            None => Ok(()),
        }
    }

    fn read_protobuf(
        &mut self,
        store: &Store,
        answer: &Answer<'_>,
        reading: &mut Reading<'_>,
    ) -> Result<(), ScrapeError> {
        read_protobuf(answer.body, self.config.histograms, &mut |item| match item {
            Item::Sample(sample) => self.sample(store, (sample, None), answer.at, reading),
            Item::Family(family) => {
                let all = |metadata: &mut Metadata| {
                    metadata.kind = family.kind;
                    set(&mut metadata.help, family.help);
                    set(&mut metadata.unit, family.unit);
                };
                self.declare(family.name, all, reading);
                Ok(())
            }
        })
    }

    /// A sample that is what the cache expects.
    #[inline]
    fn repeat(&mut self, (value, timestamp_ms): (f64, Option<i64>), at: Timestamp, reading: &mut Reading<'_>) {
        let own_time = self.own_time(timestamp_ms);
        let visit = self.cache.accept(self.is_tracked(own_time));
        if let Some((series, at)) = reading.admit(visit, own_time, at) {
            reading.batch.rows.push(Row { series, at, value: Value::Float(value), start: None });
        }
    }

    /// Any sample. `piece`: as it stands in the body, unless its key is all that tells it from others.
    fn sample(
        &mut self,
        store: &Store,
        (sample, piece): (impl Exposed, Option<Piece<'_>>),
        at: Timestamp,
        reading: &mut Reading<'_>,
    ) -> Result<(), ScrapeError> {
        let own_time = self.own_time(sample.timestamp_ms());
        let is_tracked = self.is_tracked(own_time);
        let piece = piece.unwrap_or_else(|| Piece::of_text(sample.key(), sample.kind()));
        let known = self.cache.find(sample.key(), sample.kind());
        let visit = match known {
            Some(id) => self.cache.visit(id, &piece, is_tracked),
            None => {
                let labels = sample_labels::resolve(&sample.labels()?, &self.labels, &self.config)?;
                let limit = self.config.limits.samples;
                // Over the limit nothing is stored, so nothing may be made in the store either.
                if labels.is_some() && limit > 0 && reading.batch.kept >= limit {
                    reading.leave_out();
                    return Ok(());
                }
                let series = match labels.map(|labels| store.admit(&labels)).transpose() {
                    Ok(series) => series,
                    // For good, until demand changes: the line costs no more than one that relabelling drops.
                    Err(Denial::Unread) => None,
                    // The line is not remembered: there may be room the next time, and memory is what is short.
                    Err(denial) => {
                        reading.leave_out();
                        let (count, _) = reading.batch.denied.unwrap_or((0, denial));
                        reading.batch.denied = Some((count + 1, denial));
                        return Ok(());
                    }
                };
                self.cache.insert(&piece, series, is_tracked);
                Visit { series, repeated: false }
            }
        };
        let Some((series, time)) = reading.admit(visit, own_time, at) else { return Ok(()) };
        let exemplars = sample.exemplars(time)?;
        reading.batch.exemplars.extend(exemplars.into_iter().map(|exemplar| (series, exemplar)));
        let start = sample.start();
        let value = match histogram::value(sample.measured(), &self.config) {
            Err(ScrapeError::BucketLimit) => {
                reading.has_wide_histogram = true;
                return Ok(());
            }
            value => value?,
        };
        reading.batch.added += u64::from(known.is_none());
        reading.batch.rows.push(Row { series, at: time, value, start });
        Ok(())
    }

    fn own_time(&self, timestamp_ms: Option<i64>) -> Option<Timestamp> {
        timestamp_ms.filter(|_| self.config.honor_timestamps).map(Timestamp::from_ms)
    }

    /// Whether a series with samples of such times gets a marker when it vanishes.
    fn is_tracked(&self, own_time: Option<Timestamp>) -> bool {
        own_time.is_none() || self.config.track_timestamps_staleness
    }

    fn declare_entry(&mut self, entry: &Entry<'_>, reading: &mut Reading<'_>) {
        match entry {
            Entry::Type { name, kind } => self.declare(name, |metadata| metadata.kind = *kind, reading),
            Entry::Help { name, text } => self.declare(name, |metadata| set(&mut metadata.help, text), reading),
            Entry::Unit { name, unit } => self.declare(name, |metadata| set(&mut metadata.unit, unit), reading),
            Entry::Series(_) | Entry::Comment(_) | Entry::Eof => {}
        }
    }

    /// Notes a line of metadata; new or changed ones go to the batch.
    fn declare(&mut self, name: &str, change: impl FnOnce(&mut Metadata), reading: &mut Reading<'_>) {
        let Some((key, known)) = self.families.get_key_value(name) else {
            if self.families.len() < FAMILIES_MAX {
                let mut metadata = Metadata { kind: MetricKind::Unknown, help: Arc::from(""), unit: Arc::from("") };
                change(&mut metadata);
                let name: Arc<str> = Arc::from(name);
                self.families.insert(name.clone(), metadata.clone());
                reading.tell(name, metadata);
            }
            return;
        };
        let (key, mut changed) = (key.clone(), known.clone());
        change(&mut changed);
        if changed != *known {
            self.families.insert(key.clone(), changed.clone());
            reading.tell(key, changed);
        }
    }

    /// Marks what was there before and is not among `current`, which is what is there now.
    fn mark_stale(&mut self, batch: &mut Batch, current: Vec<SeriesRef>, at: Timestamp) {
        self.tracks_cache = false;
        let previous = std::mem::replace(&mut self.tracked, current);
        if previous == self.tracked {
            return;
        }
        let mut still_there: FxHashSet<SeriesRef> = self.tracked.iter().copied().collect();
        // `insert` also says whether a series that vanished was marked already: a body may hold it twice.
        let vanished = previous.into_iter().filter(|series| still_there.insert(*series));
        batch.rows.extend(vanished.map(|series| Row::new(series, at, stale_nan())));
    }
}

/// How a scrape went.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Whether the target answered with what could be read.
    pub up: bool,
    /// From the request to the stored sample.
    pub duration: Duration,
}

/// What a body brings while it is read.
struct Reading<'a> {
    batch: &'a mut Batch,
    /// A native histogram was over the limit of buckets.
    has_wide_histogram: bool,
}

impl Reading<'_> {
    /// Counts a sample; gives its series and its time if it is to be stored.
    #[inline]
    fn admit(&mut self, visit: Visit, own_time: Option<Timestamp>, at: Timestamp) -> Option<(SeriesRef, Timestamp)> {
        self.batch.scraped += 1;
        let series = visit.series?;
        self.batch.kept += 1;
        if visit.repeated && own_time.is_none() {
            self.batch.duplicates += 1;
            return None;
        }
        if own_time.is_some_and(|time| time > at + AHEAD_MAX) {
            self.batch.out_of_bounds += 1;
            return None;
        }
        Some((series, own_time.unwrap_or(at)))
    }

    /// Counts a sample that would be stored but for a limit.
    fn leave_out(&mut self) {
        self.batch.scraped += 1;
        self.batch.kept += 1;
    }

    /// The type and the help of a new family come one after the other: one entry for both.
    fn tell(&mut self, name: Arc<str>, metadata: Metadata) {
        match self.batch.metadata.last_mut().filter(|(last, _)| *last == name) {
            Some((_, last)) => *last = metadata,
            None => self.batch.metadata.push((name, metadata)),
        }
    }
}

/// Keeps the shared text where it says the same.
fn set(text: &mut Arc<str>, new: &str) {
    if **text != *new {
        *text = Arc::from(new);
    }
}
