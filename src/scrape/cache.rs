//! What the series of one target's last scrape were resolved to, keyed by their text.
//!
//! A scrape is nearly always the same lines in the same order. So the cache keeps the order, tells the parser which text to
//! expect next, and a line that is as expected needs no hash, no labels and no look-up in the store.
//! **Cost.** The text of each series once (its labels are held by the store, which is asked again only if a handle is gone).
//! **Why a keyed hash.** The texts come from the target; a fast hash without a key could be flooded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::MetricKind;
use crate::store::SeriesRef;

/// Entries that failed scrapes may leave, besides as many again as the last good one had. Prometheus's figure.
const ABANDONED_MAX: usize = 1000;

/// The place of an entry; valid until the next [`SeriesCache::finish`].
pub(super) type EntryId = u32;

/// What a line's text means.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) text: Arc<[u8]>,
    /// The type that was declared when the labels were made; bounds are written by it.
    pub(super) kind: MetricKind,
    /// `None` when relabelling drops it.
    pub(super) series: Option<SeriesRef>,
    /// The number of the scrape that had it last.
    pub(super) last_scrape: u64,
}

/// See the module head.
#[derive(Debug, Default)]
pub(super) struct SeriesCache {
    entries: Vec<Entry>,
    by_text: HashMap<Arc<[u8]>, EntryId>,
    /// Of the last scrape that went well.
    order: Vec<EntryId>,
    next_order: Vec<EntryId>,
    /// Counts scrapes.
    scrape: u64,
}

impl SeriesCache {
    /// Begins a scrape.
    pub(super) fn begin(&mut self) {
        self.scrape += 1;
        self.next_order.clear();
    }

    /// The text of the series that should come next.
    pub(super) fn expected(&self) -> &[u8] {
        self.order.get(self.next_order.len()).map_or(&[], |id| &*self.entries[*id as usize].text)
    }

    /// The entry of a text and type.
    pub(super) fn find(&self, text: &[u8], kind: MetricKind) -> Option<EntryId> {
        let expected = self.order.get(self.next_order.len()).copied();
        let id = expected
            .filter(|id| *self.entries[*id as usize].text == *text)
            .or_else(|| self.by_text.get(text).copied())?;
        (self.entries[id as usize].kind == kind).then_some(id)
    }

    /// Remembers what a text means; replaces what it meant under another type.
    pub(super) fn insert(&mut self, text: &[u8], kind: MetricKind, series: Option<SeriesRef>) -> EntryId {
        let text: Arc<[u8]> = Arc::from(text);
        let entry = Entry { text: text.clone(), kind, series, last_scrape: 0 };
        match self.by_text.get(&text) {
            Some(id) => {
                self.entries[*id as usize] = entry;
                *id
            }
            None => {
                let id = EntryId::try_from(self.entries.len()).expect("BUG: a body has over four billion series");
                self.entries.push(entry);
                self.by_text.insert(text, id);
                id
            }
        }
    }

    /// Notes that the current scrape has this entry, and whether it had it before.
    pub(super) fn visit(&mut self, id: EntryId) -> Visit {
        self.next_order.push(id);
        let entry = &mut self.entries[id as usize];
        let repeated = entry.last_scrape == self.scrape;
        entry.last_scrape = self.scrape;
        Visit { series: entry.series, repeated }
    }

    /// Ends a scrape that went well: forgets what it did not have.
    pub(super) fn finish(&mut self) {
        std::mem::swap(&mut self.order, &mut self.next_order);
        let scrape = self.scrape;
        if self.entries.iter().all(|entry| entry.last_scrape == scrape) {
            return;
        }
        let mut moved = vec![None; self.entries.len()];
        let mut kept = Vec::with_capacity(self.order.len());
        for (id, entry) in std::mem::take(&mut self.entries).into_iter().enumerate() {
            if entry.last_scrape == scrape {
                moved[id] = Some(kept.len() as EntryId);
                kept.push(entry);
            } else {
                self.by_text.remove(&entry.text);
            }
        }
        self.entries = kept;
        let new_place = |id: &mut EntryId| *id = moved[*id as usize].expect("BUG: a visited entry was forgotten");
        self.order.iter_mut().for_each(new_place);
        self.by_text.values_mut().for_each(new_place);
    }

    /// Ends a scrape that failed. What was known stays, for the target will be back; but a target that fails with ever new
    /// texts must not fill the memory.
    pub(super) fn abandon(&mut self) {
        if self.entries.len() > 2 * self.order.len() + ABANDONED_MAX {
            *self = SeriesCache { scrape: self.scrape, ..SeriesCache::default() };
        }
    }

    /// Forgets every text of a handle that the store no longer knows, so that the next scrape asks for a new one.
    pub(super) fn forget(&mut self, gone: &HashSet<SeriesRef>) {
        // It is rare, so the simplest thing that is right will do: the next scrape is like the first.
        let is_gone = |entry: &Entry| entry.series.is_some_and(|series| gone.contains(&series));
        if self.entries.iter().any(is_gone) {
            let scrape = self.scrape;
            *self = SeriesCache { scrape, ..SeriesCache::default() };
        }
    }
}

/// What [`SeriesCache::visit`] found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    /// `None` when relabelling drops it.
    pub(super) series: Option<SeriesRef>,
    /// The same text stood in this scrape before.
    pub(super) repeated: bool,
}
