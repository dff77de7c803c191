//! Threads for one large query: what it reads is dealt out in pieces, and whoever is done takes the next.
//!
//! They are started for the query and end with it. Only what takes several milliseconds gets that far, next to which starting them is
//! nothing, and a pool would have to decide between queries.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::promql::plan::Executor;

/// As many at a time as the machine has processors, the one that asks included.
#[derive(Debug)]
pub(super) struct Threads {
    width: usize,
}

impl Threads {
    pub(super) fn new() -> Self {
        Threads { width: thread::available_parallelism().map_or(1, usize::from) }
    }
}

impl Executor for Threads {
    fn width(&self) -> usize {
        self.width
    }

    fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let take = || {
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= count {
                    return;
                }
                work(piece);
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.width.min(count) {
                scope.spawn(take);
            }
            take();
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn each_piece_is_done_once() {
        for (width, count) in [(1, 5), (3, 0), (3, 2), (3, 100)] {
            let done: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(0)).collect();
            Threads { width }.run(count, &|piece| {
                done[piece].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1), "{width} threads, {count} pieces");
        }
    }
}
