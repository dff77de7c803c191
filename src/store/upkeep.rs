//! What a driver does to a store besides reading and writing: demand, expiry, limits.
//!
//! In the flow: `serve` calls [`Store::demand`] with each configuration, [`Store::expire`] every minute and [`Store::relieve`] every few
//! seconds; whoever brings series from outside asks [`Store::admit`].
//!
//! **Cost.** All of these look at each series, [`SLOTS_AT_ONCE`] of them under one hold of the lock, so that scrapes and evaluations go
//! on in between.

use std::sync::Arc;
use std::time::Duration;

use super::demand::{Demand, DemandIndex, Rank};
use super::head::Head;
use super::limits::{Denial, Fill, Limits, Relief};
use super::memory::{self, Memory, MemoryUser};
use super::retention::Intake;
use super::{SeriesRef, Store};
use crate::model::{Labels, Timestamp};

/// Series that are looked at under one hold of the lock: about a millisecond.
const SLOTS_AT_ONCE: usize = 2048;

/// Series whose late samples are merged under one lock: some milliseconds.
const SETTLED_AT_ONCE: usize = 32;

/// After series were removed because memory was short, this share of the limit is free.
const FREED_PART: u64 = 16;

impl Store {
    /// Sets what is taken in. The retention time is as it was.
    pub fn limit(&self, limits: Limits, intake: Intake) {
        let mut head = self.head.write();
        head.limits = limits;
        head.classes.set_intake(intake);
    }

    /// What is taken in.
    pub fn limits(&self) -> Limits {
        self.head.read().limits
    }

    /// From now on the series that pass the matchers of a demand are kept as far back as it reads; what no demand reads is kept for the
    /// retention time. See [`super::Demands`] for those that have vanished.
    pub fn demand(&self, demands: Vec<Demand>) {
        let _one_at_a_time = self.upkeep.lock();
        {
            let mut head = self.head.write();
            head.demands = DemandIndex::new(demands, head.demands.version + 1);
        }
        // Series that are born meanwhile know the new demands already.
        self.each_slot(|head, slot| head.classify(slot));
        self.head.write().forget_reads();
    }

    /// Grows with each change of demand: what nothing read then, something may read now.
    pub fn demand_version(&self) -> u64 {
        self.head.read().demands.version
    }

    /// The handle of the series with these labels, which is created if there is none and it may be. What is refused is counted.
    pub fn admit(&self, labels: &Labels) -> Result<SeriesRef, Denial> {
        let head = self.head.read();
        if let Some(known) = head.find(labels) {
            return Ok(known);
        }
        let denial = head.denial(labels);
        drop(head);
        match denial {
            None => Ok(self.head.write().find_or_create(labels)),
            Some(denial) => {
                self.denials.lock().note(labels.get("job").unwrap_or(""), denial);
                Err(denial)
            }
        }
    }

    /// How many new series were refused, by job and reason, in this order.
    pub fn denials(&self) -> Vec<(Arc<str>, Denial, u64)> {
        self.denials.lock().all()
    }

    /// Removes the samples before `before`, and series without samples together with their index entries and texts. A handle of
    /// such a series is [`Refusal::Gone`](super::Refusal) from now on, and a sample before `before` is [`Refusal::TooOld`](super::Refusal).
    pub fn truncate(&self, before: Timestamp) {
        let _one_at_a_time = self.upkeep.lock();
        self.head.write().classes.truncate(before);
        self.free();
    }

    /// Merges late samples into their series, after which windows over them cost as little as others. Shows nothing else than before.
    pub fn settle(&self) {
        if self.head.read().late.is_empty() {
            return;
        }
        let late: Vec<u32> = std::mem::take(&mut self.head.write().late).into_iter().collect();
        for slots in late.chunks(SETTLED_AT_ONCE) {
            self.head.write().settle(slots);
        }
    }

    /// As [`Store::truncate`] for each series, as long ago as it is kept, as seen at `now`; and [`Store::settle`].
    pub fn expire(&self, now: Timestamp) {
        self.settle();
        let _one_at_a_time = self.upkeep.lock();
        self.head.write().classes.advance(now);
        self.free();
    }

    /// Makes room if memory is short: what nothing reads is kept for less, then removed. When there is room again, it is kept for longer.
    pub fn relieve(&self) -> Relief {
        let _one_at_a_time = self.upkeep.lock();
        let limit = self.head.read().limits.memory_bytes;
        while self.memory().total() > limit && self.head.write().classes.shorten_unread().is_some() {
            self.free();
        }
        let mut relief = Relief::default();
        if self.memory().total() > limit {
            relief.removed = self.remove_unread(limit - limit / FREED_PART);
        }
        let mut head = self.head.write();
        if head.memory().total() < limit - limit / (FREED_PART / 2) {
            head.classes.lengthen_unread();
        }
        relief.unread_kept = head.classes.shortened();
        relief
    }

    /// What the store takes.
    pub fn memory(&self) -> Memory {
        self.head.read().memory()
    }

    /// Bytes of the summaries that windows have asked for, as of now. Looks at each series.
    pub fn summary_bytes(&self) -> usize {
        let head = self.head.read();
        head.slots.iter().filter_map(|slot| slot.series.as_ref()).map(|series| series.sealed.table_bytes()).sum()
    }

    /// What each metric of each job takes, and who asks for it, the largest first.
    pub fn memory_users(&self) -> Vec<MemoryUser> {
        memory::users(&self.head.read())
    }

    /// Series that nothing reads, that rules read, that objectives read.
    pub fn series_by_rank(&self) -> [(Rank, u64); 3] {
        let [unread, rule, slo] = self.head.read().classes.series_by_rank();
        [(Rank::Unread, unread), (Rank::Rule, rule), (Rank::Slo, slo)]
    }

    /// For how long series are kept, and the oldest instant of which something is shown of these; not those that are kept from a fixed
    /// instant on.
    pub fn kept(&self) -> Vec<(Duration, Timestamp)> {
        self.head.read().classes.kept()
    }

    /// The oldest instant of which something is shown of the series with these labels, if there is one, and if something has expired.
    pub fn floor_of(&self, labels: &Labels) -> Option<Option<Timestamp>> {
        let head = self.head.read();
        let series = head.find(labels)?;
        Some(head.classes.floor(head.at(series.slot() as u32).class))
    }

    /// Frees what lies before the floors.
    fn free(&self) {
        self.head.write().forget_touched();
        let mut summary_bytes = 0;
        self.each_slot(|head, slot| {
            head.truncate_slot(slot);
            summary_bytes += head.slots[slot as usize].series.as_ref().map_or(0, |series| series.sealed.table_bytes());
        });
        let mut head = self.head.write();
        head.summary_bytes = summary_bytes as u64;
        head.forget_touched();
        head.raise_oldest();
    }

    /// Removes series that nothing reads until no more than `aim` bytes are taken, those that have been idle longest first.
    fn remove_unread(&self, aim: u64) -> u64 {
        let mut idle: Vec<(Option<Timestamp>, u32, SeriesRef)> = Vec::new();
        self.each_slot(|head, slot| {
            if let Some(series) = head.slots[slot as usize].series.as_deref()
                && head.classes.rank(series.class) == Rank::Unread
            {
                idle.push((series.last(), slot, head.handle(slot)));
            }
        });
        idle.sort_unstable();
        let mut removed = 0;
        for some in idle.chunks(SLOTS_AT_ONCE / 4) {
            let mut head = self.head.write();
            if head.memory().total() <= aim {
                break;
            }
            for (_, slot, series) in some {
                if head.handle(*slot) == *series && head.slots[*slot as usize].series.is_some() {
                    head.remove(*slot);
                    removed += 1;
                }
            }
            head.forget_touched();
            head.raise_oldest();
        }
        removed
    }

    /// Calls `act` for each slot, some at a time under the lock.
    fn each_slot(&self, mut act: impl FnMut(&mut Head, u32)) {
        let mut from = 0;
        loop {
            let mut head = self.head.write();
            let until = (from + SLOTS_AT_ONCE).min(head.slots.len());
            (from..until).for_each(|slot| act(&mut head, slot as u32));
            if until == head.slots.len() {
                return;
            }
            from = until;
        }
    }
}

impl Head {
    /// Why a new series with these labels is not taken in.
    fn denial(&self, labels: &Labels) -> Option<Denial> {
        let rank = self.demands.keep(labels).rank;
        if rank == Rank::Unread && self.classes.intake() == Intake::Read {
            return Some(Denial::Unread);
        }
        let job = labels.get("job").unwrap_or("");
        let of_job = match (self.symbols.get("job"), self.symbols.get(job)) {
            (Some(name), Some(value)) => self.postings.count(name, value),
            _ => 0,
        };
        let fill = Fill { memory_bytes: self.memory().total(), series: self.postings.len(), of_job };
        self.limits.denial(rank, fill)
    }

    /// Gives the series of a slot the class that demand asks for.
    fn classify(&mut self, slot: u32) {
        let Some(series) = &self.slots[slot as usize].series else { return };
        let keep = self.demands.keep(&self.symbols.materialise(&series.labels));
        let class = self.classes.enter(keep);
        let series = self.slots[slot as usize].series.as_mut().expect("BUG: a series vanished under the lock");
        self.classes.leave(std::mem::replace(&mut series.class, class));
    }

    pub(super) fn memory(&self) -> Memory {
        let texts = self.symbols.text_bytes() + self.symbols.len() * memory::TEXT_BYTES;
        Memory {
            sample_bytes: self.held.bytes,
            summary_bytes: self.summary_bytes,
            index_bytes: self.postings.len() * memory::SERIES_BYTES + self.pairs * memory::PAIR_BYTES + texts,
        }
    }
}

#[cfg(test)]
mod tests;
