//! What waits for one integration.
//!
//! **Invariants.** Pure: the time is handed in. Per group at most one notification waits and at most one is on its way; the one
//! that waits is the newer. Every notification pushed leaves exactly once: taken and settled, superseded, expired, or drained.
//! **Cost.** O(waiting) to find the next one; [`QUEUE_CAPACITY`] bounds it.

use std::collections::{BTreeMap, HashMap};

use crate::model::Timestamp;
use crate::router::{Notification, NotificationId};

use super::attempt::Failure;

/// Groups that wait for one integration. More would mean that the receiver is down while thousands of groups flush; the oldest is
/// given up then, and its group tries again at its next interval.
pub const QUEUE_CAPACITY: usize = 1_000;

/// A notification and what was tried.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) notification: Notification,
    /// Attempts that failed.
    pub(super) failures: u32,
    pub(super) last_failure: Option<Failure>,
    /// No attempt before this.
    not_before: Timestamp,
}

#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    next_place: u64,
    /// In order of arrival.
    waiting: BTreeMap<u64, Waiting>,
    places: HashMap<String, u64>,
    on_their_way: BTreeMap<String, NotificationId>,
    /// The receiver asked for a pause.
    paused_until: Timestamp,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Queue {
            capacity,
            next_place: 0,
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            on_their_way: BTreeMap::new(),
            paused_until: Timestamp::MIN,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits and nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.on_their_way.is_empty()
    }

    /// Adds a notification. Gives the one whose place it took, or the oldest one when there is no more room.
    pub(super) fn push(&mut self, notification: Notification) -> Option<Displaced> {
        let fresh = Waiting { notification, failures: 0, last_failure: None, not_before: Timestamp::MIN };
        let group = fresh.notification.group_key.clone();
        let superseded = self.places.get(&group).copied().and_then(|place| self.remove(place));
        self.insert(group, fresh);
        if let Some(old) = superseded {
            return Some(Displaced::Superseded(old));
        }
        if self.waiting.len() <= self.capacity {
            return None;
        }
        let oldest = *self.waiting.keys().next().expect("BUG: a full queue is empty");
        self.remove(oldest).map(Displaced::NoRoom)
    }

    /// The next notification to try, oldest first; its group is on its way until [`Queue::settle`].
    pub(super) fn take_ready(&mut self, now: Timestamp) -> Option<Waiting> {
        if self.paused_until > now {
            return None;
        }
        let is_ready = |waiting: &Waiting| {
            waiting.not_before <= now && !self.on_their_way.contains_key(&waiting.notification.group_key)
        };
        let place = self.waiting.iter().find(|(_, waiting)| is_ready(waiting)).map(|(place, _)| *place)?;
        let taken = self.remove(place)?;
        self.on_their_way.insert(taken.notification.group_key.clone(), taken.notification.id);
        Some(taken)
    }

    /// The attempt of this group has ended.
    pub(super) fn settle(&mut self, group_key: &str) {
        self.on_their_way.remove(group_key);
    }

    /// Waits for another attempt at `not_before`. Gives the notification back if that cannot be.
    pub(super) fn retry(&mut self, mut waiting: Waiting, not_before: Timestamp) -> Option<Displaced> {
        let group = waiting.notification.group_key.clone();
        if self.places.contains_key(&group) {
            return Some(Displaced::Superseded(waiting));
        }
        if waiting.notification.deadline <= not_before {
            return Some(Displaced::NoTime(waiting));
        }
        waiting.not_before = not_before;
        self.insert(group, waiting);
        None
    }

    /// Nothing is tried before `instant`.
    pub(super) fn pause_until(&mut self, instant: Timestamp) {
        self.paused_until = self.paused_until.max(instant);
    }

    /// Takes out those whose deadline has come.
    pub(super) fn take_expired(&mut self, now: Timestamp) -> Vec<Waiting> {
        let expired = self.waiting.iter().filter(|(_, waiting)| waiting.notification.deadline <= now);
        let places: Vec<u64> = expired.map(|(place, _)| *place).collect();
        places.into_iter().filter_map(|place| self.remove(place)).collect()
    }

    /// Takes out everything that waits.
    pub(super) fn take_all(&mut self) -> Vec<Waiting> {
        self.places.clear();
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// Forgets what is on its way: its attempts were broken off.
    pub(super) fn take_on_their_way(&mut self) -> Vec<NotificationId> {
        std::mem::take(&mut self.on_their_way).into_values().collect()
    }

    /// When the next notification becomes ready. Those behind one that is on its way wait for its end, not for an instant.
    pub(super) fn next_ready(&self) -> Option<Timestamp> {
        let free =
            self.waiting.values().filter(|waiting| !self.on_their_way.contains_key(&waiting.notification.group_key));
        free.map(|waiting| waiting.not_before.max(self.paused_until)).min()
    }

    /// When the next notification expires.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.waiting.values().map(|waiting| waiting.notification.deadline).min()
    }

    fn insert(&mut self, group: String, waiting: Waiting) {
        self.places.insert(group, self.next_place);
        self.waiting.insert(self.next_place, waiting);
        self.next_place += 1;
    }

    fn remove(&mut self, place: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&place)?;
        self.places.remove(&waiting.notification.group_key);
        Some(waiting)
    }
}

/// A notification that cannot wait any longer, and why.
#[derive(Debug)]
pub(super) enum Displaced {
    /// A newer one of its group came.
    Superseded(Waiting),
    /// Too many groups wait.
    NoRoom(Waiting),
    /// Its deadline comes before its next attempt.
    NoTime(Waiting),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::Message;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    fn at(secs: i64) -> Timestamp {
        NOW.plus_ms(secs * 1000)
    }

    fn notification(id: u64, group: &str, deadline_secs: i64) -> Notification {
        Notification {
            id: NotificationId(id),
            receiver: "r".into(),
            integration: ("webhook", 0),
            group_key: group.into(),
            reason: "first notification",
            at: NOW,
            deadline: at(deadline_secs),
            message: Message::Webhook { url: String::new(), body: String::new() },
            alerts: Vec::new(),
        }
    }

    fn queue(capacity: usize, notifications: &[(u64, &str, i64)]) -> (Queue, Vec<String>) {
        let mut queue = Queue::new(capacity);
        let mut left = Vec::new();
        for (id, group, deadline_secs) in notifications {
            left.extend(match queue.push(notification(*id, group, *deadline_secs)) {
                Some(Displaced::Superseded(old)) => Some(format!("{} superseded", old.notification.id.0)),
                Some(Displaced::NoRoom(old)) => Some(format!("{} no room", old.notification.id.0)),
                Some(Displaced::NoTime(old)) => Some(format!("{} no time", old.notification.id.0)),
                None => None,
            });
        }
        (queue, left)
    }

    fn ready(queue: &mut Queue, secs: i64) -> Vec<u64> {
        std::iter::from_fn(|| queue.take_ready(at(secs))).map(|taken| taken.notification.id.0).collect()
    }

    #[test]
    fn newer_news_of_a_group_take_the_place_of_older_ones() {
        let (mut queue, left) = queue(10, &[(1, "a", 60), (2, "b", 60), (3, "a", 60)]);
        assert_eq!(left, ["1 superseded"]);
        assert_eq!(ready(&mut queue, 0), [2, 3]);
    }

    #[test]
    fn the_oldest_leaves_a_full_queue() {
        let (mut queue, left) = queue(2, &[(1, "a", 60), (2, "b", 60), (3, "c", 60), (4, "b", 60)]);
        assert_eq!(left, ["1 no room", "2 superseded"]);
        assert_eq!(ready(&mut queue, 0), [3, 4]);
    }

    #[test]
    fn one_of_a_group_at_a_time() {
        let (mut queue, _) = queue(10, &[(1, "a", 60)]);
        let first = queue.take_ready(NOW).unwrap();
        assert!(queue.push(notification(2, "a", 60)).is_none());
        assert!(queue.take_ready(NOW).is_none());
        assert_eq!(queue.next_ready(), None);
        assert!(!queue.is_idle());
        queue.settle("a");
        let left = queue.retry(first, at(1));
        assert!(matches!(left, Some(Displaced::Superseded(_))), "the newer one is tried instead");
        assert_eq!(ready(&mut queue, 0), [2]);
    }

    #[test]
    fn retries_wait_pause_and_expire() {
        let (mut queue, _) = queue(10, &[(1, "a", 60), (2, "b", 20)]);
        let [a, b] = [queue.take_ready(NOW).unwrap(), queue.take_ready(NOW).unwrap()];
        queue.settle("a");
        queue.settle("b");
        assert!(queue.is_idle());
        assert!(queue.retry(a, at(10)).is_none());
        let Some(Displaced::NoTime(b)) = queue.retry(b, at(20)) else { panic!("its deadline is then") };
        assert!(queue.retry(b, at(19)).is_none());
        assert_eq!((queue.next_ready(), queue.next_deadline()), (Some(at(10)), Some(at(20))));
        assert!(queue.take_ready(at(9)).is_none());
        queue.pause_until(at(15));
        queue.pause_until(at(12));
        assert_eq!(queue.next_ready(), Some(at(15)));
        assert!(queue.take_ready(at(14)).is_none());
        let expired: Vec<u64> = queue.take_expired(at(20)).iter().map(|waiting| waiting.notification.id.0).collect();
        assert_eq!(expired, [2]);
        assert_eq!(ready(&mut queue, 20), [1]);
        assert_eq!((queue.len(), queue.take_all().len()), (0, 0));
    }
}
