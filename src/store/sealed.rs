//! The sealed samples of one series: blocks of floats and runs of histograms, and where its counter started anew.
//!
//! ```text
//! runs: Block │ Block │ Histograms │ Block …        shared, never changed
//! tail:                                     Block   takes further chunks
//! resets: (ordinal, value before) …
//! ```
//!
//! **Invariants.** Runs, tail and the open run follow each other in time. Ordinals count live samples of both kinds.
//! **Cost.** A sample by time: two binary searches and a look into one chunk, whatever the length of the series.

use std::sync::Arc;

use super::block::{Block, Place, last_begun};
use super::chunk;
use super::persist::{Piece, Unread};
use super::resets::{Resets, RunResets};
use super::selection::Window;
use super::series::Held;
use crate::model::{Histogram, Sample, Timestamp, Value, is_stale};

/// A histogram and its time.
pub(super) type TimedHistogram = (Timestamp, Arc<Histogram>);

/// See the module head.
#[derive(Default)]
pub(super) struct Sealed {
    runs: Vec<Run>,
    tail: Option<Box<Block>>,
    /// Most series have none.
    resets: Option<Box<Resets>>,
    /// The number of the next live sample.
    ordinal: u64,
    /// The newest live value, if the newest live sample is a float; `None` if it was not looked for.
    last_live: Option<Option<f64>>,
    /// Histograms among the runs.
    histogram_runs: usize,
}

/// Samples of one kind.
#[derive(Clone)]
pub(super) enum Run {
    Floats(Arc<Block>),
    Histograms(Arc<[TimedHistogram]>),
}

/// Where something was found, as a guess where the next thing is.
#[derive(Clone, Copy, Default)]
pub(super) struct Near {
    part: usize,
    chunk: usize,
}

/// A sample of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found {
    /// In the part with this number: runs, then the tail.
    Float(usize, Place),
    Histogram,
}

impl Sealed {
    /// Seals a run of floats, which comes after all that is here. Gives what it holds.
    pub(super) fn push_floats(&mut self, at: &[Timestamp], values: &[f64]) -> Held {
        self.push_columns(at, values, |bytes| chunk::seal(at, values, bytes))
    }

    /// As [`Sealed::push_floats`]; `seal` appends the columns.
    pub(super) fn push_columns(&mut self, at: &[Timestamp], values: &[f64], seal: impl FnOnce(&mut Vec<u8>)) -> Held {
        let live = values.iter().copied().filter(|value| !is_stale(*value));
        let before_run = self.last_live();
        let (mut newest, mut resets) = (before_run, 0);
        for value in live.clone() {
            resets += usize::from(newest.is_some_and(|newest| value < newest));
            newest = Some(value);
        }
        let mut held = Held { samples: at.len() as u64, chunks: 1, bytes: 0 };
        if resets > 0 {
            let noted = self.resets.get_or_insert_default();
            let before = noted.bytes();
            noted.note(self.ordinal, before_run, live);
            held.bytes += (noted.bytes() - before) as u64;
        }
        self.last_live = Some(newest);
        held.bytes += self.extend_tail(at[at.len() - 1], |tail| tail.push(at, values, seal));
        held
    }

    /// Takes a run as it was sealed, without looking at its samples.
    pub(super) fn push_unread(&mut self, run: &Unread<'_>) -> Held {
        let Unread { span, columns, resets } = *run;
        let mut held = Held { samples: span.len as u64, chunks: 1, bytes: 0 };
        if *resets != RunResets::Few(Vec::new()) {
            let noted = self.resets.get_or_insert_default();
            let before = noted.bytes();
            noted.note_run(self.ordinal, span.live as u64, resets);
            held.bytes += (noted.bytes() - before) as u64;
        }
        self.last_live = None;
        held.bytes += self.extend_tail(span.last, |tail| tail.push_unread(span, columns));
        held
    }

    /// Has the tail take a run that ends at `last`. Gives how many bytes that took.
    fn extend_tail(&mut self, last: Timestamp, push: impl FnOnce(&mut Block)) -> u64 {
        if self.tail.as_ref().is_some_and(|tail| !tail.takes(last)) {
            self.close_tail();
        }
        let ordinal = self.ordinal;
        let tail = self.tail.get_or_insert_with(|| Box::new(Block::new(ordinal)));
        let before = if tail.chunks() == 0 { 0 } else { tail.bytes() };
        push(tail);
        self.ordinal = tail.end_ordinal();
        (tail.bytes() - before) as u64
    }

    /// Seals a run of histograms, likewise.
    pub(super) fn push_histograms(&mut self, samples: &[TimedHistogram]) -> Held {
        self.close_tail();
        self.ordinal += samples.iter().filter(|(_, histogram)| !is_stale(histogram.sum)).count() as u64;
        self.last_live = Some(None);
        self.histogram_runs += 1;
        let run = Run::Histograms(samples.into());
        let held = run.held();
        self.runs.push(run);
        held
    }

    fn close_tail(&mut self) {
        if let Some(mut tail) = self.tail.take() {
            tail.shrink();
            self.runs.push(Run::Floats(Arc::from(tail)));
        }
    }

    /// Drops what ends before `before`: whole runs, and chunks of the oldest block once they are half of it. Gives what that held.
    pub(super) fn truncate(&mut self, before: Timestamp) -> Held {
        let mut freed = Held::default();
        let gone = self.runs.partition_point(|run| run.last() < before);
        for run in self.runs.drain(..gone) {
            self.histogram_runs -= usize::from(matches!(run, Run::Histograms(_)));
            freed += run.held();
        }
        match self.runs.first_mut() {
            Some(Run::Floats(block)) => {
                if let Some(shorter) = shortened(block, before, &mut freed) {
                    *block = Arc::new(shorter);
                }
            }
            Some(Run::Histograms(_)) => {}
            None => {
                if let Some(tail) = self.tail.take_if(|tail| tail.last() < before) {
                    freed += held_by(&tail);
                }
                if let Some(tail) = &mut self.tail
                    && let Some(shorter) = shortened(tail, before, &mut freed)
                {
                    **tail = shorter;
                }
            }
        }
        if let Some(resets) = &mut self.resets {
            let bytes = resets.bytes();
            let oldest = match (self.runs.first(), &self.tail) {
                (Some(Run::Floats(block)), _) => block.ordinal(),
                // A run of histograms does not know. Its series has few resets of floats, if any.
                (Some(Run::Histograms(_)), _) => 0,
                (None, Some(tail)) => tail.ordinal(),
                (None, None) => self.ordinal,
            };
            resets.truncate(oldest);
            freed.bytes += (bytes - resets.bytes()) as u64;
        }
        freed
    }

    /// Takes out the chunks and runs that end at or after `from`, and appends their samples to `samples`. Gives what that held.
    pub(super) fn cut(&mut self, from: Timestamp, samples: &mut Vec<Sample>) -> Held {
        let mut freed = Held::default();
        let resets_before = self.resets.as_ref().map_or(0, |resets| resets.bytes());
        let kept = self.runs.partition_point(|run| run.last() < from);
        let tail = self.tail.take_if(|tail| tail.last() >= from).map(|tail| Run::Floats(Arc::from(tail)));
        let cut: Vec<Run> = self.runs.drain(kept..).chain(tail).collect();
        let at = samples.len();
        for run in &cut {
            freed += run.held();
            self.histogram_runs -= usize::from(matches!(run, Run::Histograms(_)));
            run.read(Timestamp::MIN, Timestamp::MAX, samples);
        }
        if let Some(Run::Floats(block)) = cut.first() {
            let whole = block.ending_before(from);
            if whole.chunks() > 0 {
                samples.drain(at..at + whole.len());
                freed -= held_by(&whole);
                self.tail = Some(Box::new(whole));
            }
        }
        self.ordinal -= samples[at..].iter().filter(|sample| !sample.value.is_stale()).count() as u64;
        if let Some(resets) = &mut self.resets {
            resets.cut(self.ordinal);
            freed.bytes += (resets_before - resets.bytes()) as u64;
        }
        self.last_live = None;
        freed
    }

    /// The number of the next live sample.
    pub(super) fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// The newest live value, if the newest live sample is a float.
    pub(super) fn last_live(&self) -> Option<f64> {
        self.last_live.unwrap_or_else(|| match self.newest_live(Timestamp::MAX) {
            Some(Found::Float(_, place)) => Some(place.value),
            Some(Found::Histogram) | None => None,
        })
    }

    pub(super) fn resets(&self) -> Option<&Resets> {
        self.resets.as_deref()
    }

    /// Runs and tail.
    pub(super) fn parts(&self) -> usize {
        self.runs.len() + usize::from(self.tail.is_some())
    }

    /// The block that is part `index`, unless that is a run of histograms or the open run.
    pub(super) fn block(&self, index: usize) -> Option<&Block> {
        match self.runs.get(index) {
            Some(Run::Floats(block)) => Some(block),
            Some(Run::Histograms(_)) => None,
            None => self.tail.as_deref().filter(|_| index == self.runs.len()),
        }
    }

    /// Whether a run of histograms stands between the parts `from` and `to`, both included.
    pub(super) fn has_histograms(&self, from: usize, to: usize) -> bool {
        let runs = || self.runs.iter().take(to + 1).skip(from);
        self.histogram_runs > 0 && runs().any(|run| matches!(run, Run::Histograms(_)))
    }

    /// The newest sample at or before `at`, a staleness marker as well.
    pub(super) fn newest(&self, at: Timestamp) -> Option<Sample> {
        if let Some((at, value)) = self.tail.as_ref().and_then(|tail| tail.newest(at)) {
            return Some(Sample::float(at, value));
        }
        let index = self.runs.partition_point(|run| run.first() <= at).checked_sub(1)?;
        match &self.runs[index] {
            Run::Floats(block) => block.newest(at).map(|(at, value)| Sample::float(at, value)),
            Run::Histograms(samples) => {
                let (at, histogram) = samples.iter().rfind(|(time, _)| *time <= at)?;
                Some(Sample { at: *at, value: Value::Histogram(histogram.clone()) })
            }
        }
    }

    /// The newest live sample at or before `at`.
    pub(super) fn newest_live(&self, at: Timestamp) -> Option<Found> {
        if let Some(place) = self.tail.as_ref().and_then(|tail| tail.newest_live(at)) {
            return Some(Found::Float(self.runs.len(), place));
        }
        let end = self.runs.partition_point(|run| run.first() <= at);
        (0..end).rev().find_map(|index| match &self.runs[index] {
            Run::Floats(block) => block.newest_live(at).map(|place| Found::Float(index, place)),
            Run::Histograms(samples) => {
                let is_live = |(time, histogram): &TimedHistogram| *time <= at && !is_stale(histogram.sum);
                samples.iter().any(is_live).then_some(Found::Histogram)
            }
        })
    }

    /// The oldest live sample after `after`.
    pub(super) fn oldest_live(&self, after: Timestamp) -> Option<Found> {
        let from = self.runs.partition_point(|run| run.last() <= after);
        let in_runs = (from..self.runs.len()).find_map(|index| match &self.runs[index] {
            Run::Floats(block) => block.oldest_live(after).map(|place| Found::Float(index, place)),
            Run::Histograms(samples) => {
                let is_live = |(time, histogram): &TimedHistogram| *time > after && !is_stale(histogram.sum);
                samples.iter().any(is_live).then_some(Found::Histogram)
            }
        });
        in_runs.or_else(|| {
            let place = self.tail.as_ref()?.oldest_live(after)?;
            Some(Found::Float(self.runs.len(), place))
        })
    }

    /// The newest live sample at or before `at` and the oldest after it, with the number of their part, if both are in one chunk without
    /// staleness markers.
    pub(super) fn around(&self, at: Timestamp, near: &mut Near) -> Option<(usize, [Place; 2])> {
        let has_begun = |part: usize| match (self.runs.get(part), &self.tail) {
            (Some(run), _) => run.first() <= at,
            (None, tail) => tail.as_ref().is_some_and(|tail| tail.first() <= at),
        };
        let part = last_begun(self.parts(), near.part, has_begun)?;
        if part != near.part {
            *near = Near { part, chunk: 0 };
        }
        Some((part, self.block(part)?.around(at, &mut near.chunk)?))
    }

    /// Whether all of it is floats.
    pub(super) fn is_of_floats(&self) -> bool {
        self.histogram_runs == 0
    }

    /// Whether a run of samples overlaps `start..=end`.
    pub(super) fn overlaps(&self, start: Timestamp, end: Timestamp) -> bool {
        self.tail.as_ref().is_some_and(|tail| tail.overlaps(start, end))
            || self.touched(start, end).iter().any(|run| match run {
                Run::Floats(block) => block.overlaps(start, end),
                Run::Histograms(_) => true,
            })
    }

    /// Shares the runs that `start..=end` touches; of the tail, a copy.
    pub(super) fn take(&self, start: Timestamp, end: Timestamp) -> Vec<Run> {
        let mut runs = self.touched(start, end).to_vec();
        if let Some(tail) = self.tail.as_ref().filter(|tail| tail.overlaps(start, end)) {
            runs.push(Run::Floats(Arc::new(tail.overlapping(start, end))));
        }
        runs
    }

    /// Appends the samples after `start` and not after `end` to `window`, staleness markers included.
    pub(super) fn read_window(&self, start: Timestamp, end: Timestamp, window: &mut Window) {
        let first = start.plus_ms(1);
        let mut read = |block: &Block| {
            block.each(first, end, |at, values| {
                window.at.extend(at.iter().map(|at| Timestamp::from_ms(*at)));
                window.values.extend_from_slice(values);
            });
        };
        let runs = self.touched(first, end);
        runs.iter().for_each(|run| match run {
            Run::Floats(block) => read(block),
            Run::Histograms(_) => {}
        });
        if let Some(tail) = &self.tail {
            read(tail);
        }
        for run in runs {
            if let Run::Histograms(samples) = run {
                window.note_histograms(samples, start, end);
            }
        }
    }

    fn touched(&self, start: Timestamp, end: Timestamp) -> &[Run] {
        let from = self.runs.partition_point(|run| run.last() < start);
        let to = self.runs.partition_point(|run| run.first() <= end);
        self.runs.get(from..to).unwrap_or(&[])
    }

    /// The time of the newest sealed sample.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.tail.as_deref().map(Block::last).or_else(|| self.runs.last().map(Run::last))
    }

    /// The chunks and runs that end after `after`.
    pub(super) fn export(&self, after: Timestamp) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let from = self.runs.partition_point(|run| run.last() <= after);
        for run in &self.runs[from..] {
            match run {
                Run::Floats(block) => block.export(after, self.resets(), &mut pieces),
                Run::Histograms(samples) => pieces.push(Piece::Histograms(samples.to_vec())),
            }
        }
        if let Some(tail) = &self.tail {
            tail.export(after, self.resets(), &mut pieces);
        }
        pieces
    }

    /// What it holds.
    pub(super) fn held(&self) -> Held {
        let mut held = Held::default();
        self.runs.iter().for_each(|run| held += run.held());
        if let Some(tail) = &self.tail {
            held += held_by(tail);
        }
        held.bytes += self.resets.as_ref().map_or(0, |resets| resets.bytes() as u64);
        held
    }

    /// Bytes of the tables of summaries made so far.
    pub(super) fn table_bytes(&self) -> usize {
        (0..self.parts()).filter_map(|part| self.block(part)).map(Block::table_bytes).sum()
    }
}

fn held_by(block: &Block) -> Held {
    Held { samples: block.len() as u64, chunks: block.chunks() as u64, bytes: block.bytes() as u64 }
}

/// `block` without its chunks before `before`, if these are half of it: copying more often would cost more than it frees.
fn shortened(block: &Block, before: Timestamp, freed: &mut Held) -> Option<Block> {
    let gone = block.chunks_before(before);
    if gone == 0 || gone * 2 < block.chunks() {
        return None;
    }
    let shorter = block.without_before(before);
    let (old, new) = (held_by(block), held_by(&shorter));
    *freed +=
        Held { samples: old.samples - new.samples, chunks: old.chunks - new.chunks, bytes: old.bytes - new.bytes };
    Some(shorter)
}

impl Run {
    fn first(&self) -> Timestamp {
        match self {
            Run::Floats(block) => block.first(),
            Run::Histograms(samples) => samples[0].0,
        }
    }

    fn last(&self) -> Timestamp {
        match self {
            Run::Floats(block) => block.last(),
            Run::Histograms(samples) => samples[samples.len() - 1].0,
        }
    }

    fn held(&self) -> Held {
        match self {
            Run::Floats(block) => held_by(block),
            Run::Histograms(samples) => {
                let bytes: usize = samples.iter().map(|(_, histogram)| chunk::bytes_of(histogram)).sum();
                Held { samples: samples.len() as u64, chunks: 1, bytes: bytes as u64 }
            }
        }
    }

    /// Upper bound of the samples that [`Run::read`] gives.
    pub(super) fn len(&self) -> usize {
        match self {
            Run::Floats(block) => block.len(),
            Run::Histograms(samples) => samples.len(),
        }
    }

    /// Appends its samples in `start..=end` to `samples`.
    pub(super) fn read(&self, start: Timestamp, end: Timestamp, samples: &mut Vec<Sample>) {
        match self {
            Run::Floats(block) => block.each(start, end, |at, values| {
                let inside = at.iter().zip(values);
                samples.extend(inside.map(|(at, value)| Sample::float(Timestamp::from_ms(*at), *value)));
            }),
            Run::Histograms(run) => {
                let inside = run.iter().filter(|(at, _)| (start..=end).contains(at));
                samples.extend(
                    inside.map(|(at, histogram)| Sample { at: *at, value: Value::Histogram(histogram.clone()) }),
                );
            }
        }
    }
}
