//! What a target's last scrape was: its text without the numbers, and what each series in it was resolved to.
//!
//! A scrape is nearly always the same lines in the same order. So the cache keeps the *page*, in pieces, one for each sample: what stands
//! between the line before and the number.
//!
//! ```text
//! body    # TYPE a counter ⏎ a{b="1"} 17 ⏎ a{b="2"} 4 ⏎
//! page   [# TYPE a counter ⏎ a{b="1"}]   [a{b="2"}]        lines: where the piece ends, how long the series' text is, its handle …
//! ```
//!
//! A piece that is as expected costs a comparison of bytes: neither comments nor labels are read, nothing is hashed or looked up or
//! allocated, and the cache is not written to. With the first piece that differs the page of this scrape is put together beside the old
//! one, and takes its place at the end; what has moved is found a few lines ahead, or else by the hash of its text.
//!
//! **Invariants.** A text is resolved once as long as good scrapes have it. After a scrape that failed, comments are read again.
//! **Cost.** The text of the page once and 32 bytes a sample.
//! **Why a keyed hash.** The texts come from the target; a fast hash without a key could be flooded.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use rustc_hash::FxHashMap;

use crate::exposition::{BodyFormat, Repeat};
use crate::model::MetricKind;
use crate::store::SeriesRef;

/// Where lines were taken out of a page, the next one is found among so many; beyond, all of them are indexed.
const AHEAD_MAX: usize = 16;

/// In place of the handle of a series that relabelling drops.
const DROPPED: SeriesRef = SeriesRef(u64::MAX);

/// A sample of a body as it is told from others: see the [module](self).
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    /// Up to the number.
    pub(super) bytes: &'a [u8],
    /// Bytes of the series' text, which the piece ends with.
    pub(super) text_len: usize,
    /// The type in force.
    pub(super) kind: MetricKind,
    /// Whether the piece itself says so.
    pub(super) declares_kind: bool,
}

impl<'a> Piece<'a> {
    /// Of a series that stands alone.
    pub(super) fn of_text(text: &'a [u8], kind: MetricKind) -> Self {
        Piece { bytes: text, text_len: text.len(), kind, declares_kind: false }
    }

    fn text(&self) -> &'a [u8] {
        &self.bytes[self.bytes.len() - self.text_len..]
    }
}

/// A line of the page, or of the one that is being put together.
#[derive(Clone, Copy, Debug)]
pub(super) enum LineId {
    /// The text was in the last good scrape.
    Old(usize),
    /// The text was not there, and was met before in this scrape.
    Fresh(usize),
}

/// What is known of a sample's series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Visit {
    /// `None` when relabelling drops it.
    pub(super) series: Option<SeriesRef>,
    /// The same text stood in this scrape before.
    pub(super) repeated: bool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct SeriesCache {
    page: Page,
    hashes: RandomState,
    format: Option<BodyFormat>,
    /// The line that should come next, and where its piece begins.
    next: usize,
    next_start: usize,
    /// How this scrape differs from the page, from the first difference on.
    change: Option<Box<Change>>,
    /// The last scrape was in another format, or failed, perhaps after it had told something else about a family.
    is_doubtful: bool,
}

#[derive(Debug, Default)]
struct Page {
    /// All pieces.
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    /// Of its text.
    hash: u64,
    series: SeriesRef,
    /// Where its piece ends.
    end: u32,
    text_len: u32,
    kind: MetricKind,
    declares_kind: bool,
    /// The text stands in the page before.
    repeats: bool,
    /// It gets a marker when it vanishes.
    tracked: bool,
}

/// The page of a scrape that differs from the last one.
#[derive(Debug)]
struct Change {
    page: Page,
    /// Lines of the old page that this scrape has.
    visited: Vec<bool>,
    /// Lines whose text is not in the old page.
    fresh: FxHashMap<u64, u32>,
    /// All lines of the old page, once it is needed.
    index: Option<FxHashMap<u64, u32>>,
}

impl Page {
    fn start(&self, line: usize) -> usize {
        line.checked_sub(1).map_or(0, |before| self.lines[before].end as usize)
    }

    fn text(&self, line: usize) -> &[u8] {
        let Line { end, text_len, .. } = self.lines[line];
        &self.bytes[(end - text_len) as usize..end as usize]
    }

    fn push(&mut self, piece: &[u8], line: Line) {
        self.bytes.extend_from_slice(piece);
        let end = u32::try_from(self.bytes.len()).expect("BUG: a page is longer than all bodies together may be");
        self.lines.push(Line { end, ..line });
    }
}

impl SeriesCache {
    /// Begins a scrape that answers in `format`.
    pub(super) fn begin(&mut self, format: BodyFormat) {
        (self.next, self.next_start) = (0, 0);
        self.change = None;
        // What is a text in one format need not be one in another.
        self.is_doubtful |= self.format.replace(format) != Some(format);
    }

    /// How many samples the last good scrape had.
    pub(super) fn len(&self) -> usize {
        self.page.lines.len()
    }

    /// The piece that should come next, if it may be taken for read.
    #[inline]
    pub(super) fn expected(&self) -> Option<Repeat<'_>> {
        let line = self.page.lines.get(self.next)?;
        // Whether a text repeats one before is known only while everything before is as it was.
        if self.is_doubtful || (line.repeats && self.change.is_some()) {
            return None;
        }
        let Line { kind, declares_kind, .. } = *line;
        Some(Repeat { bytes: &self.page.bytes[self.next_start..line.end as usize], kind, declares_kind })
    }

    /// The text of the series that should come next.
    pub(super) fn expected_text(&self) -> &[u8] {
        if self.next < self.page.lines.len() && !self.is_doubtful { self.page.text(self.next) } else { &[] }
    }

    /// Notes that [`SeriesCache::expected`] came. `tracked`: it gets a marker when it vanishes.
    #[inline]
    pub(super) fn accept(&mut self, tracked: bool) -> Visit {
        let line = self.page.lines[self.next];
        let mut repeated = line.repeats;
        if self.change.is_some() || line.tracked != tracked {
            let change = change(&mut self.change, &self.page, self.next);
            repeated |= std::mem::replace(&mut change.visited[self.next], true);
            let line = Line { repeats: repeated, tracked, ..line };
            change.page.push(&self.page.bytes[self.next_start..line.end as usize], line);
        }
        self.next += 1;
        self.next_start = line.end as usize;
        Visit { series: Some(line.series).filter(|series| *series != DROPPED), repeated }
    }

    /// The line of a text and type.
    pub(super) fn find(&mut self, text: &[u8], kind: MetricKind) -> Option<LineId> {
        let lines = &self.page.lines;
        let is_it = |line: &usize| !lines[*line].repeats && lines[*line].kind == kind && self.page.text(*line) == text;
        let mut ahead = self.next..(self.next + AHEAD_MAX).min(lines.len());
        if let Some(line) = ahead.find(is_it) {
            return Some(LineId::Old(line));
        }
        let hash = self.hashes.hash_one(text);
        let change = change(&mut self.change, &self.page, self.next);
        if let Some(line) = change.fresh.get(&hash).map(|line| *line as usize)
            && change.page.lines[line].kind == kind
            && change.page.text(line) == text
        {
            return Some(LineId::Fresh(line));
        }
        let index = change.index.get_or_insert_with(|| {
            let firsts = (0..).zip(lines).filter(|(_, line)| !line.repeats);
            firsts.map(|(index, line)| (line.hash, index)).collect()
        });
        index.get(&hash).map(|line| *line as usize).filter(is_it).map(LineId::Old)
    }

    /// Notes that the scrape has a line that was found.
    pub(super) fn visit(&mut self, id: LineId, piece: &Piece<'_>, tracked: bool) -> Visit {
        let line = match id {
            LineId::Old(line) => self.page.lines[line],
            LineId::Fresh(line) => self.change.as_ref().expect("BUG: nothing is fresh").page.lines[line],
        };
        let series = Some(line.series).filter(|series| *series != DROPPED);
        let LineId::Old(old) = id else {
            self.put(piece, Line { repeats: true, tracked, ..line });
            return Visit { series, repeated: true };
        };
        let is_expected = old == self.next
            && self.change.is_none()
            && line.tracked == tracked
            && line.declares_kind == piece.declares_kind
            && self.page.bytes[self.next_start..line.end as usize] == *piece.bytes;
        let repeated = if is_expected {
            false
        } else {
            let change = change(&mut self.change, &self.page, self.next);
            let repeats = std::mem::replace(&mut change.visited[old], true);
            self.put(piece, Line { repeats, tracked, ..line });
            repeats
        };
        if !repeated {
            (self.next, self.next_start) = (old + 1, line.end as usize);
        }
        Visit { series, repeated }
    }

    /// Notes that the scrape has a text that was not known, or known under another type.
    pub(super) fn insert(&mut self, piece: &Piece<'_>, series: Option<SeriesRef>, tracked: bool) {
        let hash = self.hashes.hash_one(piece.text());
        let number = {
            let change = change(&mut self.change, &self.page, self.next);
            u32::try_from(change.page.lines.len()).expect("BUG: a body has over four billion series")
        };
        let series = series.unwrap_or(DROPPED);
        let line = Line {
            hash,
            series,
            end: 0,
            text_len: piece.text_len as u32,
            kind: piece.kind,
            declares_kind: piece.declares_kind,
            repeats: false,
            tracked,
        };
        self.put(piece, line);
        self.change.as_mut().expect("BUG: what is new changes nothing").fresh.insert(hash, number);
    }

    fn put(&mut self, piece: &Piece<'_>, line: Line) {
        let change = change(&mut self.change, &self.page, self.next);
        let text_len = piece.text_len as u32;
        change.page.push(piece.bytes, Line { text_len, kind: piece.kind, declares_kind: piece.declares_kind, ..line });
    }

    /// Ends a scrape that went well: forgets what it did not have. Whether it was another page than the last one.
    pub(super) fn finish(&mut self) -> bool {
        self.is_doubtful = false;
        if self.next < self.page.lines.len() {
            change(&mut self.change, &self.page, self.next);
        }
        let Some(change) = self.change.take() else { return false };
        self.page = change.page;
        self.page.bytes.shrink_to_fit();
        self.page.lines.shrink_to_fit();
        true
    }

    /// Ends a scrape that failed. What was known stays, for the target will be back.
    pub(super) fn abandon(&mut self) {
        self.change = None;
        self.is_doubtful = true;
    }

    /// The series of the last good scrape that get a marker when they vanish, in the order of the body.
    pub(super) fn tracked(&self) -> impl Iterator<Item = SeriesRef> {
        self.page.lines.iter().filter(|line| line.tracked && line.series != DROPPED).map(|line| line.series)
    }

    /// Forgets the texts that stand for nothing, since they may stand for something now. Rare, and as simple as [`Self::forget`].
    pub(super) fn forget_dropped(&mut self) {
        if self.page.lines.iter().any(|line| line.series == DROPPED) {
            *self = SeriesCache::default();
        }
    }

    /// Forgets every text of a handle that the store no longer knows, so that the next scrape asks for a new one.
    pub(super) fn forget(&mut self, gone: &HashSet<SeriesRef>) {
        // It is rare, so the simplest thing that is right will do: the next scrape is like the first.
        if self.page.lines.iter().any(|line| gone.contains(&line.series)) {
            *self = SeriesCache::default();
        }
    }
}

/// The change, which begins before line `next` of the page if nothing has changed so far.
fn change<'c>(change: &'c mut Option<Box<Change>>, page: &Page, next: usize) -> &'c mut Change {
    change.get_or_insert_with(|| {
        let mut bytes = Vec::with_capacity(page.bytes.len());
        bytes.extend_from_slice(&page.bytes[..page.start(next)]);
        let mut lines = Vec::with_capacity(page.lines.len());
        lines.extend_from_slice(&page.lines[..next]);
        let mut visited = vec![false; page.lines.len()];
        visited[..next].fill(true);
        Box::new(Change { page: Page { bytes, lines }, visited, fresh: FxHashMap::default(), index: None })
    })
}
