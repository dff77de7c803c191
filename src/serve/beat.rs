//! Groups of one interval, evaluated at the same slots, one after the other.
//!
//! In the flow: [`Scheduled`](super::scheduler::Scheduled) joins its group to the [`Beats`]; at each slot of an interval one *walk* takes
//! the groups in order of `query_offset` and name.
//!
//! **Why not a task a group.** Groups of one interval are due at the same instant. A hundred tasks that wake at once want a hundred
//! threads, which then queue for the engine's plans and the store's log: of the time of an evaluation a seventh went into waking and
//! waiting. In order of offset, groups that ask for the same instant also find each other's results, where they would otherwise
//! drive them out.
//! **Why slow groups cost only themselves.** A walk that stands still for [`PATIENCE`] gets a second walker, then two more, then four: they
//! take what is left, and the slow group keeps its own thread. So a group waits for [`PATIENCE`] times the logarithm of the number of slow ones,
//! not for them. A group that is still at work at its next slot misses that, and no other group does. What plans share, and with it the
//! lock of the engine, is another matter: there a slow expression is in the way of all others, whoever wakes whom.
//!
//! **Invariants.** A group is never evaluated twice at once. The slots of an interval strictly increase, also when the clock steps back. A
//! panic costs the evaluation of the group that panicked.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::clock_watch::ClockWatch;
use crate::clock;
use crate::model::Timestamp;
use crate::rules::slots;

/// How long a group may hold up those behind it: many times what a group takes.
const PATIENCE: Duration = Duration::from_millis(10);

/// A group as a walk sees it.
pub(super) trait Member: Send + Sync {
    /// Where it stands in a walk: those that ask for the same instant beside each other.
    fn place(&self) -> (Duration, &str);
    /// Takes it for an evaluation at `slot`, unless it is at work or has been there.
    fn take(&self, slot: Timestamp) -> bool;
    /// Evaluates at the slot for which it was taken.
    fn evaluate(&self, slot: Timestamp);
    /// The evaluation panicked.
    fn panicked(&self);
    /// So many slots have passed without an evaluation.
    fn miss(&self, slots: u64);
}

/// The groups of one interval.
type Members = Vec<Weak<dyn Member>>;

/// The groups that run, by interval.
#[derive(Clone, Default)]
pub(super) struct Beats {
    members: Arc<Mutex<BTreeMap<Duration, Members>>>,
    /// Whether the clock has been set back.
    pub(super) clock: Arc<ClockWatch>,
}

impl Beats {
    /// From its next slot on `member` is evaluated, until it is dropped.
    pub(super) fn join(&self, interval: Duration, member: &Arc<dyn Member>) {
        let mut beats = self.members.lock();
        let is_new = !beats.contains_key(&interval);
        beats.entry(interval).or_default().push(Arc::downgrade(member));
        if is_new {
            tokio::spawn(self.clone().beat(interval));
        }
    }

    async fn beat(self, interval: Duration) {
        let mut slot = slots::next_slot(clock::now(), interval);
        let mut skipped = 0;
        loop {
            clock::sleep_until_looking(slot, |now| self.clock.look(slot - interval, now)).await;
            let Some(members) = self.members(interval) else { return };
            let is_taken = |member: &Arc<dyn Member>| {
                if skipped > 0 {
                    member.miss(skipped);
                }
                member.take(slot)
            };
            walk(members.into_iter().filter(is_taken).collect(), slot).await;
            let next = slots::next_slot(clock::now(), interval).max(slot + interval);
            skipped = slots::missed(slot, next, interval);
            slot = next;
        }
    }

    /// Those of an interval, in order; `None` if there are none any more, and then the beat is over.
    fn members(&self, interval: Duration) -> Option<Vec<Arc<dyn Member>>> {
        let mut beats = self.members.lock();
        let known = beats.get_mut(&interval)?;
        let mut members: Vec<Arc<dyn Member>> = known.iter().filter_map(Weak::upgrade).collect();
        if members.is_empty() {
            beats.remove(&interval);
            return None;
        }
        members.sort_by(|a, b| a.place().cmp(&b.place()));
        *known = members.iter().map(Arc::downgrade).collect();
        Some(members)
    }
}

/// Evaluations at one slot.
struct Walk {
    members: Vec<Arc<dyn Member>>,
    slot: Timestamp,
    /// Those before this place are begun.
    next: AtomicUsize,
    all_begun: Notify,
}

impl Walk {
    /// Evaluates what nobody has begun.
    fn go(&self) {
        while let Some(member) = self.members.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if catch_unwind(AssertUnwindSafe(|| member.evaluate(self.slot))).is_err() {
                member.panicked();
            }
        }
        self.all_begun.notify_one();
    }
}

/// Has all members evaluated; returns when the last of them has begun.
async fn walk(members: Vec<Arc<dyn Member>>, slot: Timestamp) {
    if members.is_empty() {
        return;
    }
    let walk = Arc::new(Walk { members, slot, next: AtomicUsize::new(0), all_begun: Notify::new() });
    let start = || {
        let walk = walk.clone();
        // Ends by itself; a panic of a group does not reach it.
        drop(tokio::task::spawn_blocking(move || walk.go()));
    };
    let (mut walkers, mut begun) = (1, 0);
    start();
    while tokio::time::timeout(PATIENCE, walk.all_begun.notified()).await.is_err() {
        let now_begun = walk.next.load(Ordering::Relaxed);
        if std::mem::replace(&mut begun, now_begun) == now_begun {
            // More than there are members have nothing to do.
            let more = walkers.min(walk.members.len().saturating_sub(now_begun));
            (0..more).for_each(|_| start());
            walkers += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;

    use super::*;

    /// What a member does at a slot.
    type Deed = Box<dyn Fn() + Send + Sync>;

    struct Doer {
        name: &'static str,
        deed: Deed,
        is_at_work: AtomicBool,
        missed: AtomicUsize,
        panics: AtomicUsize,
    }

    impl Member for Doer {
        fn place(&self) -> (Duration, &str) {
            (Duration::ZERO, self.name)
        }

        fn take(&self, _: Timestamp) -> bool {
            !self.is_at_work.swap(true, Ordering::Relaxed)
        }

        fn evaluate(&self, _: Timestamp) {
            (self.deed)();
            self.is_at_work.store(false, Ordering::Relaxed);
        }

        fn panicked(&self) {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }

        fn miss(&self, slots: u64) {
            self.missed.fetch_add(slots as usize, Ordering::Relaxed);
        }
    }

    fn doer(name: &'static str, deed: impl Fn() + Send + Sync + 'static) -> Arc<Doer> {
        let (is_at_work, missed, panics) = Default::default();
        Arc::new(Doer { name, deed: Box::new(deed), is_at_work, missed, panics })
    }

    #[tokio::test]
    async fn slow_groups_keep_nobody_waiting_for_their_end() {
        let (done, ended) = mpsc::channel();
        let gate = Arc::new((Mutex::new(false), parking_lot::Condvar::new()));
        // Each of the first waits for the last.
        let mut members: Vec<Arc<dyn Member>> = Vec::new();
        for _ in 0..20 {
            let (gate, done) = (gate.clone(), done.clone());
            members.push(doer("slow", move || {
                gate.1.wait_while(&mut gate.0.lock(), |is_open| !*is_open);
                done.send("slow").unwrap();
            }));
        }
        let opens = gate.clone();
        members.push(doer("last", move || {
            done.send("last").unwrap();
            *opens.0.lock() = true;
            opens.1.notify_all();
        }));
        walk(members, Timestamp::EPOCH).await;
        let ended = tokio::task::spawn_blocking(move || ended.iter().take(21).collect::<Vec<_>>()).await.unwrap();
        assert_eq!((ended[0], ended.len()), ("last", 21));
    }

    /// Waits for what walkers do that have begun.
    async fn becomes(is_so: impl Fn() -> bool) {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_panic_costs_one_evaluation() {
        let counted = Arc::new(AtomicUsize::new(0));
        let counts = counted.clone();
        let fine = doer("fine", move || {
            counts.fetch_add(1, Ordering::Relaxed);
        });
        let bad = doer("bad", || panic!("as the test wants it"));
        let members: Vec<Arc<dyn Member>> = vec![fine.clone(), bad.clone(), fine.clone(), bad.clone(), fine];
        walk(members, Timestamp::EPOCH).await;
        becomes(|| counted.load(Ordering::Relaxed) == 3 && bad.panics.load(Ordering::Relaxed) == 2).await;
    }

    #[tokio::test]
    async fn groups_of_an_interval_are_walked_in_order_until_they_are_gone() {
        let beats = Beats::default();
        let interval = Duration::from_millis(20);
        let counted = [0, 1].map(|_| Arc::new(AtomicUsize::new(0)));
        let doers = ["b", "a"].map(|name| {
            let counts = counted[usize::from(name == "b")].clone();
            doer(name, move || {
                counts.fetch_add(1, Ordering::Relaxed);
            })
        });
        for member in &doers {
            beats.join(interval, &(member.clone() as Arc<dyn Member>));
        }
        let places: Vec<String> =
            beats.members(interval).expect("members").iter().map(|member| member.place().1.to_owned()).collect();
        assert_eq!(places, ["a", "b"]);
        becomes(|| counted.iter().all(|counts| counts.load(Ordering::Relaxed) >= 3)).await;
        drop(doers);
        // A walk may still hold them.
        becomes(|| beats.members(interval).is_none()).await;
        let other = doer("c", || {});
        beats.join(interval, &(other as Arc<dyn Member>));
        assert!(beats.members(interval).is_none(), "it is gone before its first slot");
    }
}
