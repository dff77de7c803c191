//! What waits for one Alertmanager.
//!
//! In the flow: [`Queue::push`] on every evaluation; the sender takes a batch, sends it, and either forgets it or puts it back.
//! **Invariants.** Pure: the time is handed in. At most one state per episode (labels and `startsAt`), the newest; order of
//! arrival of the episodes is kept, also when a batch comes back. Never more than the capacity.
//! **Cost.** O(log n) per alert pushed or taken.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::model::{Alert, Labels, Timestamp};

use super::{BATCH_SIZE_MAX, QUEUE_CAPACITY};

/// For how long after its end a resolved alert is still worth sending. An Alertmanager that was away longer has resolved it by itself,
/// or started without memory of it.
pub(super) const RESOLVED_KEPT_MS: i64 = 3_600_000;

/// Bounds of every queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Alerts in one queue.
    pub capacity: usize,
    /// Alerts in one request.
    pub batch_size_max: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        QueueLimits { capacity: QUEUE_CAPACITY, batch_size_max: BATCH_SIZE_MAX }
    }
}

/// One alert, and until when it is worth sending.
#[derive(Clone, Debug)]
struct Waiting {
    alert: Arc<Alert>,
    give_up_at: Timestamp,
}

/// An alert taken out of the line, which remembers its place.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    place: u64,
    waiting: Waiting,
}

impl Taken {
    pub(super) fn alert(&self) -> &Arc<Alert> {
        &self.waiting.alert
    }
}

type Episode = (Labels, Timestamp);

#[derive(Debug)]
pub(super) struct Queue {
    limits: QueueLimits,
    next_place: u64,
    line: BTreeMap<u64, Waiting>,
    places: HashMap<Episode, u64>,
}

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Queue { limits, next_place: 0, line: BTreeMap::new(), places: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.line.len()
    }

    /// Adds a state, in the place of an older state of the same episode if that still waits. Gives how many alerts were
    /// dropped to make room.
    pub(super) fn push(&mut self, alert: Arc<Alert>, now: Timestamp) -> usize {
        let kept_ms = if alert.is_resolved_at(now) { RESOLVED_KEPT_MS } else { 0 };
        let waiting = Waiting { give_up_at: alert.ends_at.plus_ms(kept_ms), alert };
        match self.places.get(&episode(&waiting.alert)) {
            Some(place) => {
                self.line.insert(*place, waiting);
            }
            None => {
                self.insert(self.next_place, waiting);
                self.next_place += 1;
            }
        }
        self.shrink()
    }

    /// Takes the first alerts that are still worth sending at `now`, and gives how many were not.
    pub(super) fn take_batch(&mut self, now: Timestamp) -> (Vec<Taken>, usize) {
        let mut batch = Vec::new();
        let mut dropped = 0;
        while batch.len() < self.limits.batch_size_max {
            let Some(taken) = self.pop_first() else { break };
            if taken.waiting.give_up_at <= now {
                dropped += 1;
            } else {
                batch.push(taken);
            }
        }
        (batch, dropped)
    }

    /// Puts a batch back that could not be sent, each alert in its old place; a state that became old meanwhile is let go. Gives
    /// how many alerts were dropped to make room.
    pub(super) fn put_back(&mut self, batch: Vec<Taken>) -> usize {
        for Taken { place, waiting } in batch {
            if !self.places.contains_key(&episode(&waiting.alert)) {
                self.insert(place, waiting);
            }
        }
        self.shrink()
    }

    /// Moves everything to the queue that takes this one's place. Gives how many alerts that one had to drop.
    pub(super) fn hand_over(&mut self, heir: &mut Queue) -> usize {
        let mut dropped = 0;
        while let Some(Taken { waiting, .. }) = self.pop_first() {
            heir.insert(heir.next_place, waiting);
            heir.next_place += 1;
            dropped += heir.shrink();
        }
        dropped
    }

    /// Forgets everything and gives how much it was.
    pub(super) fn clear(&mut self) -> usize {
        let count = self.line.len();
        self.line.clear();
        self.places.clear();
        count
    }

    fn insert(&mut self, place: u64, waiting: Waiting) {
        self.places.insert(episode(&waiting.alert), place);
        self.line.insert(place, waiting);
    }

    fn pop_first(&mut self) -> Option<Taken> {
        let (place, waiting) = self.line.pop_first()?;
        self.places.remove(&episode(&waiting.alert));
        Some(Taken { place, waiting })
    }

    fn shrink(&mut self) -> usize {
        let excess = self.line.len().saturating_sub(self.limits.capacity);
        for _ in 0..excess {
            self.pop_first();
        }
        excess
    }
}

fn episode(alert: &Alert) -> Episode {
    (alert.labels.clone(), alert.starts_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    /// `name@start-end`, in seconds after [`NOW`].
    fn alert(text: &str) -> Arc<Alert> {
        let (name, times) = text.split_once('@').unwrap();
        let (start, end) = times.split_once("..").unwrap();
        let at = |secs: &str| NOW.plus_ms(secs.parse::<i64>().unwrap() * 1000);
        Arc::new(Alert {
            labels: Labels::from_pairs([("alertname", name)]),
            annotations: Labels::empty(),
            starts_at: at(start),
            ends_at: at(end),
            generator_url: String::new(),
        })
    }

    fn queue(capacity: usize, alerts: &[&str]) -> (Queue, usize) {
        let mut queue = Queue::new(QueueLimits { capacity, batch_size_max: 2 });
        let dropped = alerts.iter().map(|text| queue.push(alert(text), NOW)).sum();
        (queue, dropped)
    }

    fn shown(batch: &[Taken]) -> Vec<String> {
        let secs = |instant: Timestamp| instant.ms_since(NOW) / 1000;
        let show = |alert: &Alert| format!("{}@{}..{}", alert.name(), secs(alert.starts_at), secs(alert.ends_at));
        batch.iter().map(|taken| show(taken.alert())).collect()
    }

    /// Takes everything at `secs` after [`NOW`], in batches of two.
    fn check(queue: &mut Queue, secs: i64, expected: &[&str], expected_dropped: usize) {
        let (mut all, mut dropped) = (Vec::new(), 0);
        loop {
            let (batch, lost) = queue.take_batch(NOW.plus_ms(secs * 1000));
            dropped += lost;
            assert!(batch.len() <= 2);
            if batch.is_empty() {
                break;
            }
            all.extend(shown(&batch));
        }
        assert_eq!((all, dropped), (expected.iter().map(ToString::to_string).collect(), expected_dropped));
        assert_eq!((queue.len(), queue.places.len()), (0, 0));
    }

    #[test]
    fn keeps_the_newest_state_of_an_episode_in_its_place() {
        let (mut queue, dropped) = queue(10, &["a@0..60", "b@0..60", "a@0..90", "b@0..-1", "b@5..60"]);
        assert_eq!(dropped, 0);
        check(&mut queue, 0, &["a@0..90", "b@0..-1", "b@5..60"], 0);
    }

    #[test]
    fn drops_the_oldest_when_full() {
        let (mut queue, dropped) = queue(2, &["a@0..60", "b@0..60", "c@0..60", "b@0..90", "d@0..60"]);
        assert_eq!(dropped, 2);
        check(&mut queue, 0, &["c@0..60", "d@0..60"], 0);
    }

    #[test]
    fn gives_up_what_ended_but_not_the_news_of_an_end() {
        let (mut queue, _) = queue(10, &["fires@0..60", "lasts@0..99999", "ended@-9..-1"]);
        check(&mut queue, 60, &["lasts@0..99999", "ended@-9..-1"], 1);
        let (mut queue, _) = self::queue(10, &["ended@-9..-1"]);
        check(&mut queue, 3_599, &[], 1);
    }

    #[test]
    fn a_failed_batch_returns_to_its_place_unless_news_came() {
        let (mut queue, _) = queue(3, &["a@0..60", "b@0..60", "c@0..60"]);
        let (batch, _) = queue.take_batch(NOW);
        assert_eq!(shown(&batch), ["a@0..60", "b@0..60"]);
        queue.push(alert("b@0..-1"), NOW);
        assert_eq!(queue.put_back(batch), 0);
        check(&mut queue, 0, &["a@0..60", "c@0..60", "b@0..-1"], 0);

        let (mut queue, _) = self::queue(3, &["a@0..60", "b@0..60", "c@0..60"]);
        let (batch, _) = queue.take_batch(NOW);
        queue.push(alert("d@0..60"), NOW);
        queue.push(alert("e@0..60"), NOW);
        assert_eq!(queue.put_back(batch), 2, "the oldest of what does not fit");
        check(&mut queue, 0, &["c@0..60", "d@0..60", "e@0..60"], 0);
    }

    #[test]
    fn hands_over_in_order() {
        let (mut old, _) = queue(10, &["a@0..60", "b@0..60", "c@-9..-1"]);
        let (mut heir, _) = queue(2, &[]);
        assert_eq!(old.hand_over(&mut heir), 1);
        check(&mut heir, 3_000, &["c@-9..-1"], 1);
    }
}
