//! What the sources of one discovery said last, side by side.
//!
//! **Invariants.** Slots are joined in their order. Receivers hear of changes only.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::TargetGroup;

/// All slots, and those who want to know.
#[derive(Debug)]
pub(super) struct Board {
    slots: Mutex<Vec<Vec<TargetGroup>>>,
    sender: watch::Sender<Arc<Vec<TargetGroup>>>,
}

impl Board {
    /// A board whose first slots are filled.
    pub(super) fn new(first: Vec<Vec<TargetGroup>>) -> Arc<Board> {
        let sender = watch::Sender::new(Arc::new(first.concat()));
        Arc::new(Board { slots: Mutex::new(first), sender })
    }

    /// An empty slot behind the others.
    pub(super) fn add_slot(self: &Arc<Self>) -> Slot {
        let mut slots = self.slots.lock();
        slots.push(Vec::new());
        Slot { board: self.clone(), index: slots.len() - 1 }
    }

    /// A slot that was filled at the start.
    pub(super) fn slot(self: &Arc<Self>, index: usize) -> Slot {
        assert!(index < self.slots.lock().len(), "BUG: there is no slot {index}");
        Slot { board: self.clone(), index }
    }

    /// The groups now.
    pub(super) fn groups(&self) -> Arc<Vec<TargetGroup>> {
        self.sender.borrow().clone()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Vec<TargetGroup>>> {
        self.sender.subscribe()
    }
}

/// The place of one source.
#[derive(Debug)]
pub(super) struct Slot {
    board: Arc<Board>,
    index: usize,
}

impl Slot {
    /// Replaces what this source said.
    pub(super) fn publish(&self, groups: Vec<TargetGroup>) {
        let mut slots = self.board.slots.lock();
        if slots[self.index] == groups {
            return;
        }
        slots[self.index] = groups;
        let all = slots.concat();
        // Under the lock, so that an older joining never overwrites a newer one.
        self.board.sender.send_replace(Arc::new(all));
    }
}
