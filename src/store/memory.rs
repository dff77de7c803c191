//! What the store takes in memory, and for whom.
//!
//! In the flow: limits compare [`Memory::total`]; `almenara explain --memory` shows [`Store::memory_users`](super::Store::memory_users).
//!
//! **Units.** Bytes. Samples and summaries as allocated; of the index what a series costs on the average by the sizes of its tables,
//! each label text once.
//! **Cost.** The sum is kept up to date and costs nothing to ask for; summaries are added up when series expire. Who uses what is counted
//! by looking at each series.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::demand::{Demand, Rank, Reach};
use super::head::Head;
use super::series::StoredSeries;
use crate::model::METRIC_NAME;

/// A series without samples and labels: itself, its slot, its label list, its entry by labels.
pub(super) const SERIES_BYTES: u64 = 320;

/// A label of a series: its pair, and its places in two bitmaps.
pub(super) const PAIR_BYTES: u64 = 16;

/// A distinct text besides its letters: two entries and a count.
pub(super) const TEXT_BYTES: u64 = 96;

/// What a store takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Samples, with what finds resets and start times.
    pub sample_bytes: u64,
    /// Summaries that windows have asked for.
    pub summary_bytes: u64,
    /// Series, labels, texts.
    pub index_bytes: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.sample_bytes + self.summary_bytes + self.index_bytes
    }

    fn add(&mut self, other: Memory) {
        self.sample_bytes += other.sample_bytes;
        self.summary_bytes += other.summary_bytes;
        self.index_bytes += other.index_bytes;
    }
}

/// What the series of one metric of one job take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryUser {
    /// Empty where series have none.
    pub job: Arc<str>,
    /// The metric's name.
    pub metric: Arc<str>,
    /// How many.
    pub series: u64,
    /// Their samples.
    pub samples: u64,
    /// What they take; texts that others use too are left out.
    pub memory: Memory,
    /// The most that one of them matters.
    pub rank: Rank,
    /// How far back the longest kept of them are.
    pub reach: Reach,
    /// Who asks for the longest of them: the furthest reader.
    pub reader: Option<Arc<str>>,
    /// How many readers there are.
    pub readers: u64,
}

/// Adds up what each metric of each job takes, the largest first.
pub(super) fn users(head: &Head) -> Vec<MemoryUser> {
    let mut users: BTreeMap<(Arc<str>, Arc<str>), Counted> = BTreeMap::new();
    let empty: Arc<str> = Arc::from("");
    for series in head.slots.iter().filter_map(|slot| slot.series.as_deref()) {
        let labels = head.symbols.materialise(&series.labels);
        let text = |name: &str| labels.get_arc(name).cloned().unwrap_or_else(|| empty.clone());
        let counted = users.entry((text("job"), text(METRIC_NAME))).or_default();
        counted.series += 1;
        let (samples, memory) = of_series(series);
        counted.samples += samples;
        counted.memory.add(memory);
        counted.rank = counted.rank.max(head.classes.rank(series.class));
        counted.reach = counted.reach.join(head.classes.reach(series.class));
        for demand in head.demands.readers(&labels) {
            counted.note(demand);
        }
    }
    let user = |((job, metric), counted): (_, Counted)| MemoryUser {
        job,
        metric,
        series: counted.series,
        samples: counted.samples,
        memory: counted.memory,
        rank: counted.rank,
        reach: counted.reach,
        readers: counted.readers.len() as u64,
        reader: counted.furthest(),
    };
    let mut users: Vec<MemoryUser> = users.into_iter().map(user).collect();
    // Stable, so that equals stay in order of job and metric.
    users.sort_by_key(|user| std::cmp::Reverse(user.memory.total()));
    users
}

#[derive(Default)]
struct Counted {
    series: u64,
    samples: u64,
    memory: Memory,
    rank: Rank,
    reach: Reach,
    readers: BTreeMap<Arc<str>, Reach>,
}

impl Counted {
    fn note(&mut self, demand: &Demand) {
        match self.readers.get_mut(&demand.reader) {
            Some(reach) => *reach = reach.join(demand.reach),
            None => {
                self.readers.insert(demand.reader.clone(), demand.reach);
            }
        }
    }

    /// One that reads from a fixed instant on reads ever further back.
    fn furthest(&self) -> Option<Arc<str>> {
        let order = |reach: &Reach| (reach.since.is_some(), reach.window);
        let furthest = self.readers.iter().max_by(|(_, a), (_, b)| order(a).cmp(&order(b)));
        furthest.map(|(reader, _)| reader.clone())
    }
}

fn of_series(series: &StoredSeries) -> (u64, Memory) {
    let held = series.held();
    let memory = Memory {
        sample_bytes: held.bytes,
        summary_bytes: series.sealed.table_bytes() as u64,
        index_bytes: SERIES_BYTES + PAIR_BYTES * series.labels.len() as u64,
    };
    (held.samples, memory)
}
