//! Memory for large bodies, shared by all targets: where there is no more, the scrape that asks for it fails, not the process.
//!
//! In the flow: `fetch` takes a [`Lease`] for each answer and lets it grow with the body; it is given back when the body was read.
//! **Why.** [`super::BODY_BYTES_MAX`] bounds one target. Without a bound on all of them, some hostile targets at once would have the
//! process killed, and with it the scrapes of everybody else.
//! **Limits.** [`super::BODIES_BYTES_MAX`]; a body's first [`FREE_BYTES`] do not count, so that nobody keeps an ordinary target out.
//! **Units.** Bytes that are held; a buffer that grows may have reserved up to twice as many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::BODIES_BYTES_MAX;
use super::error::ScrapeError;

/// A page of some ten thousand series. A thousand targets with such pages have 1 GB, as well they may.
const FREE_BYTES: usize = 1 << 20;

/// What is taken so far.
#[derive(Debug, Default)]
pub(super) struct Room(AtomicUsize);

/// What one body has taken.
#[derive(Debug)]
pub(super) struct Lease {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    /// For a body of which nothing has come yet.
    pub(super) fn lease(self: &Arc<Room>) -> Lease {
        Lease { room: self.clone(), bytes: 0 }
    }
}

impl Lease {
    /// Takes what is missing to `bytes`.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), ScrapeError> {
        let more = bytes.saturating_sub(FREE_BYTES).saturating_sub(self.bytes);
        let fits = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= BODIES_BYTES_MAX);
        // Only the sum counts: no other memory is ordered by it.
        self.room.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| ScrapeError::Room)?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_share_and_small_ones_are_free() {
        let room = Arc::new(Room::default());
        let mut large: Vec<Lease> = (0..4).map(|_| room.lease()).collect();
        for lease in &mut large {
            for bytes in [0, 10, super::super::BODY_BYTES_MAX, 20] {
                assert_eq!(lease.grow_to(bytes), Ok(()));
            }
        }
        let mut further = room.lease();
        assert_eq!(further.grow_to(FREE_BYTES), Ok(()));
        assert_eq!(further.grow_to(6 * FREE_BYTES), Err(ScrapeError::Room));
        assert_eq!(further.grow_to(5 * FREE_BYTES), Ok(()), "what the free parts of the four leave");
        drop(large.pop());
        assert_eq!(further.grow_to(6 * FREE_BYTES), Ok(()));
        drop((large, further));
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }
}
