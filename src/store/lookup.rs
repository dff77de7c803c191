//! What windows and look-backs need of one series, found without reading what lies between.
//!
//! In the flow: a [`Reader`](super::Reader) asks here for each series of a prepared selection.
//!
//! **Edges.** The rate of a window depends on its first and last sample, their number, and the counter resets between them. The samples are
//! found by time (a binary search over runs, one over chunks, a look into a chunk), their ordinals give the number, and the list of
//! [`resets`](super::resets) the rest: added up in order of time, so that the sum has the same bits as Prometheus's.
//!
//! **Summaries.** Other functions join summaries of whole chunks and blocks, and decode the two chunks at the edges of the window. The
//! first question that covers a chunk whole makes the [`Table`](super::summary::Table) of its block; sealing keeps it up to date. So only
//! series that are asked pay for summaries.
//!
//! **Cost.** The same for five minutes and for months: two points and as many additions as there are resets; of a summary two chunks and
//! at most 126 joins more than there are blocks. 500 series of 30 days at 30 s over HTTP, less the time of `vector(1)`, on a busy
//! virtual machine: error ratio over 30 d of one service (50 series) 0.3 ms, of all five 0.5 ms, the 99th percentile of 250 series
//! 0.3 ms, mean of 10 series 0.1 ms; reading the samples takes 140, 680, 590 and 10 ms. All in all such a process holds 1.5 bytes a sample.
//!
//! **Invariants.** Windows and look-backs are open on the left and closed on the right. Staleness markers are not in windows, but end a
//! look-back. Neighbours are neighbours among live samples: a marker between two of them does not hide a reset.
//! **Limits.** What is answered with "scan": windows with histograms, or with [`late`] samples that are not merged yet; rates over runs
//! that reset so often that they are no counter; sums over values so large, or not numbers, that PromQL's own rules for overflow decide.
//! **Not here.** Windows of native histograms are read: a plan keeps numbers in its slots, and what limits such windows first is memory, since
//! a histogram is held as it is, some hundred bytes each. Compressed runs of one schema come before edges of them.

use super::block::Place;
use super::chunk::Columns;
use super::late;
use super::open::Open;
use super::sealed::{Found, Near};
use super::selection::{Edges, Point, Window};
use super::series::StoredSeries;
use super::summary::Summary;
use crate::model::{Histogram, Sample, Timestamp, Value, is_stale};

/// A number and its time.
pub(super) type TimedFloat = (Timestamp, f64);

/// What is known of a window from its summary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Windowed<T> {
    /// No sample lies in it.
    Empty,
    /// Only numbers lie in it.
    Floats {
        /// How many; at least 1.
        count: u64,
        /// What was asked for.
        value: T,
    },
    /// It must be read: histograms or samples that came late lie in it.
    Scan,
}

impl StoredSeries {
    /// The last sample after `start` and not after `end`.
    pub(super) fn last_in(&self, start: Timestamp, end: Timestamp) -> Point {
        let newest = match &self.open {
            Open::Floats { at, values, .. } => {
                let newest = at.count_through(end).checked_sub(1).map(|index| (at.get(index), values[index]));
                newest.map(|(at, value)| (at, Point::Float(at, value)))
            }
            Open::Histograms(samples) => {
                let newest = samples.partition_point(|(at, _)| *at <= end).checked_sub(1).map(|index| &samples[index]);
                newest.map(|(at, histogram)| (*at, histogram_point(histogram)))
            }
        };
        let newest = newest.or_else(|| match self.open.first() {
            // What is sealed is older than `start` too.
            Some(first) if first <= start => None,
            _ => self.sealed.newest(end).map(|sample| (sample.at, point_of(&sample))),
        });
        let late = self.late_in(start, end).last().map(|late| (late.sample.at, point_of(&late.sample)));
        let newest = match (newest, late) {
            (Some(newest), Some(late)) if newest.0 > late.0 => Some(newest),
            (newest, late) => late.or(newest),
        };
        match newest {
            Some((_, Point::Float(_, value))) if is_stale(value) => Point::Absent,
            Some((at, point)) if at > start => point,
            _ => Point::Absent,
        }
    }

    /// Appends the samples after `start` and not after `end` to `window`, staleness markers included.
    pub(super) fn read_window(&self, start: Timestamp, end: Timestamp, window: &mut Window) {
        if self.open.first().is_none_or(|first| first > start) {
            self.sealed.read_window(start, end, window);
        }
        match &self.open {
            Open::Floats { at, values, .. } => {
                let from = at.count_through(start);
                let inside = from..at.count_through(end).max(from);
                window.at.extend(at.range(inside.clone()));
                window.values.extend_from_slice(&values[inside]);
            }
            Open::Histograms(samples) => window.note_histograms(samples, start, end),
        }
        late::add_to_window(self.late_in(start, end), window);
    }

    /// See [`super::Reader::edges`].
    pub(super) fn edges(&self, start: Timestamp, end: Timestamp, scratch: &mut Window) -> Option<Edges> {
        if let Some(edges) = self.edges_in_open(start, end) {
            return edges;
        }
        match self.live_range(start, end) {
            Windowed::Empty => None,
            Windowed::Floats { value: (first, last), .. } => {
                self.edges_between(&first, &last).or_else(|| self.scanned_edges(start, end, scratch))
            }
            Windowed::Scan => self.scanned_edges(start, end, scratch),
        }
    }

    /// The newest live sample at or before `at`, and the oldest after it, each with the number of its part, of a series without histograms.
    /// Where it looks first `near` says, which follows.
    pub(super) fn around(&self, at: Timestamp, near: &mut Near) -> [Option<(usize, Place)>; 2] {
        if self.open.first().is_none_or(|first| first > at)
            && let Some((part, [before, after])) = self.sealed.around(at, near)
        {
            return [Some((part, before)), Some((part, after))];
        }
        let before = self.newest_open(at).or_else(|| self.sealed.newest_live(at));
        let after = self.sealed.oldest_live(at).or_else(|| self.oldest_open(at));
        [before, after].map(|found| match found {
            Some(Found::Float(part, place)) => Some((part, place)),
            Some(Found::Histogram) => unreachable!("BUG: a histogram in a series of floats"),
            None => None,
        })
    }

    /// Whether all samples are floats, and none in a window is late and not merged yet.
    pub(super) fn is_plain(&self, start: Timestamp, end: Timestamp) -> bool {
        self.sealed.is_of_floats() && matches!(self.open, Open::Floats { .. }) && self.late_in(start, end).is_empty()
    }

    /// The edges between two live samples, unless a window must be read for them.
    pub(super) fn edges_between(&self, first: &(usize, Place), last: &(usize, Place)) -> Option<Edges> {
        let increase = self.increase(first, last)?;
        let (first, last) = (&first.1, &last.1);
        let count = (last.ordinal - first.ordinal + 1) as usize;
        Some(Edges { count, first: (first.at, first.value), last: (last.at, last.value), increase })
    }

    /// The summary of the samples after `start` and not after `end`.
    pub(super) fn summary<S: Summary>(&self, start: Timestamp, end: Timestamp) -> Windowed<S> {
        match self.live_range(start, end) {
            Windowed::Empty => Windowed::Empty,
            Windowed::Scan => Windowed::Scan,
            Windowed::Floats { count, value: (first, last) } => {
                Windowed::Floats { count, value: self.fold(&first, &last) }
            }
        }
    }

    /// Those of a window that lies in the open run, if no staleness marker and no late sample is in it. `None`: elsewhere, `Some(None)`: it
    /// is empty.
    fn edges_in_open(&self, start: Timestamp, end: Timestamp) -> Option<Option<Edges>> {
        let Open::Floats { at, values, rises } = &self.open else { return None };
        let has_sealed = at.first().is_none_or(|first| first > start) && self.sealed.parts() > 0;
        if has_sealed || !self.late_in(start, end).is_empty() {
            return None;
        }
        let inside = at.count_through(start)..at.count_through(end);
        if inside.is_empty() {
            return Some(None);
        }
        let ends = (at.get(inside.start), at.get(inside.end - 1));
        let values = &values[inside];
        if *rises {
            return Some(Some(Edges::of_rising(ends, values)));
        }
        (!values.iter().any(|value| is_stale(*value))).then(|| Some(Edges::between(ends, values)))
    }

    pub(super) fn scanned_edges(&self, start: Timestamp, end: Timestamp, scratch: &mut Window) -> Option<Edges> {
        self.read_window(start, end, scratch);
        scratch.remove_stale();
        Edges::of(&scratch.at, &scratch.values)
    }

    /// The first and the last live sample of a window, each with the number of its part, and how many there are.
    pub(super) fn live_range(&self, start: Timestamp, end: Timestamp) -> Windowed<((usize, Place), (usize, Place))> {
        if !self.late_in(start, end).is_empty() {
            return Windowed::Scan;
        }
        let open = self.sealed.parts();
        let first = match self.open.first() {
            Some(first) if first <= start => None,
            _ => self.sealed.oldest_live(start),
        };
        let Some(first) = first.or_else(|| self.oldest_open(start)) else { return Windowed::Empty };
        let Some(last) = self.newest_open(end).or_else(|| self.sealed.newest_live(end)) else { return Windowed::Empty };
        let (Found::Float(from, first), Found::Float(to, last)) = (first, last) else {
            // Whether it is inside does not matter: reading the window will tell.
            return Windowed::Scan;
        };
        if first.at > end || last.at <= start {
            return Windowed::Empty;
        }
        let is_mixed = self.sealed.has_histograms(from, to) || to == open && matches!(self.open, Open::Histograms(_));
        if is_mixed {
            return Windowed::Scan;
        }
        Windowed::Floats { count: last.ordinal - first.ordinal + 1, value: ((from, first), (to, last)) }
    }

    /// The difference of two samples plus, in order, what each reset between them took away. `None`: scan.
    fn increase(&self, first: &(usize, Place), last: &(usize, Place)) -> Option<f64> {
        let mut increase = last.1.value - first.1.value;
        self.each_reset(first, last, |before| increase += before)?;
        Some(increase)
    }

    /// Takes the value before each reset between two samples, in order. `None`: scan.
    pub(super) fn each_reset(
        &self,
        first: &(usize, Place),
        last: &(usize, Place),
        mut take: impl FnMut(f64),
    ) -> Option<()> {
        let sealed_end = self.sealed.ordinal();
        if let Some(resets) = self.sealed.resets().filter(|_| first.1.ordinal < sealed_end) {
            resets.between(first.1.ordinal, last.1.ordinal.min(sealed_end - 1))?.for_each(&mut take);
        }
        let Open::Floats { values, .. } = &self.open else { return Some(()) };
        if last.0 < self.sealed.parts() {
            return Some(());
        }
        let (from, mut before) =
            if first.0 == last.0 { (first.1.index + 1, first.1.value) } else { (0, self.sealed.last_live()?) };
        for value in values[from..=last.1.index].iter().filter(|value| !is_stale(**value)) {
            if *value < before {
                take(before);
            }
            before = *value;
        }
        Some(())
    }

    /// Joins what lies from one sample to another, both included.
    fn fold<S: Summary>(&self, first: &(usize, Place), last: &(usize, Place)) -> S {
        let ((from, first), (to, last)) = (first, last);
        let mut columns = Columns::default();
        let mut summary = S::default();
        if (from, first.chunk) == (to, last.chunk) {
            return self.of_piece(*from, first.chunk, first.index..last.index + 1, &mut columns);
        }
        for part in *from..=*to {
            let (is_first, is_last) = (part == *from, part == *to);
            let Some(block) = self.sealed.block(part) else {
                summary.join(&self.of_piece(part, 0, 0..last.index + 1, &mut columns));
                continue;
            };
            if !is_first && !is_last {
                summary.join(block.table::<S>().total());
                continue;
            }
            if is_first {
                summary.join(&self.of_piece(part, first.chunk, first.index..usize::MAX, &mut columns));
            }
            let whole = if is_first { first.chunk + 1 } else { 0 }..if is_last { last.chunk } else { block.chunks() };
            if !whole.is_empty() {
                block.table::<S>().chunks()[whole].iter().for_each(|chunk| summary.join(chunk));
            }
            if is_last {
                summary.join(&self.of_piece(part, last.chunk, 0..last.index + 1, &mut columns));
            }
        }
        summary
    }

    /// The summary of a range of one chunk, or of the open run.
    fn of_piece<S: Summary>(
        &self,
        part: usize,
        chunk: usize,
        range: std::ops::Range<usize>,
        columns: &mut Columns,
    ) -> S {
        let (from, len) = (range.start, range.len());
        match (self.sealed.block(part), &self.open) {
            (Some(block), _) => {
                block.decode(chunk, columns);
                S::of(columns.samples().skip(from).take(len))
            }
            (None, Open::Floats { at, values, .. }) => {
                let samples = at.range(0..at.len()).map(|at| at.as_ms()).zip(values.iter().copied());
                S::of(samples.skip(from).take(len))
            }
            (None, Open::Histograms(_)) => unreachable!("BUG: a summary of histograms"),
        }
    }

    /// The last two samples of a window, older first; the older one is `None` if it is before the window.
    pub(super) fn last_two(&self, start: Timestamp, end: Timestamp) -> Windowed<(Option<TimedFloat>, TimedFloat)> {
        let (first, last) = match self.live_range(start, end) {
            Windowed::Empty => return Windowed::Empty,
            Windowed::Scan => return Windowed::Scan,
            Windowed::Floats { value: ((_, first), (_, last)), .. } => (first, last),
        };
        let count = last.ordinal - first.ordinal + 1;
        let before = || {
            let through = last.at.plus_ms(-1);
            match self.newest_open(through).or_else(|| self.sealed.newest_live(through)) {
                Some(Found::Float(_, place)) => Some((place.at, place.value)),
                Some(Found::Histogram) | None => None,
            }
        };
        let earlier = if count > 1 { before() } else { None };
        Windowed::Floats { count, value: (earlier, (last.at, last.value)) }
    }

    /// The oldest live sample of the open run after `after`.
    fn oldest_open(&self, after: Timestamp) -> Option<Found> {
        match &self.open {
            Open::Floats { at, values, .. } => {
                let from = at.count_through(after);
                let index = (from..at.len()).find(|&index| !is_stale(values[index]))?;
                Some(self.open_place(at.get(index), values, index))
            }
            Open::Histograms(samples) => {
                let is_live = samples.iter().any(|(at, histogram)| *at > after && !is_stale(histogram.sum));
                is_live.then_some(Found::Histogram)
            }
        }
    }

    /// The newest live sample of the open run at or before `at`.
    fn newest_open(&self, through: Timestamp) -> Option<Found> {
        match &self.open {
            Open::Floats { at, values, .. } => {
                let end = at.count_through(through);
                let index = (0..end).rev().find(|&index| !is_stale(values[index]))?;
                Some(self.open_place(at.get(index), values, index))
            }
            Open::Histograms(samples) => {
                let is_live = samples.iter().any(|(at, histogram)| *at <= through && !is_stale(histogram.sum));
                is_live.then_some(Found::Histogram)
            }
        }
    }

    fn open_place(&self, at: Timestamp, values: &[f64], index: usize) -> Found {
        let before = match self.open {
            Open::Floats { rises: true, .. } => index,
            _ => values[..index].iter().filter(|value| !is_stale(**value)).count(),
        };
        let ordinal = self.sealed.ordinal() + before as u64;
        Found::Float(self.sealed.parts(), Place { ordinal, at, value: values[index], chunk: 0, index })
    }
}

fn point_of(sample: &Sample) -> Point {
    match &sample.value {
        Value::Float(value) => Point::Float(sample.at, *value),
        Value::Histogram(histogram) => histogram_point(histogram),
    }
}

fn histogram_point(histogram: &Histogram) -> Point {
    if is_stale(histogram.sum) { Point::Absent } else { Point::Histogram }
}

#[cfg(test)]
mod tests;
