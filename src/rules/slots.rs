//! The grid on which groups are evaluated.
//!
//! Slots are the multiples of the interval since the epoch, so that groups of equal interval are evaluated at the same instants
//! and can share work. A slot that was missed is never caught up; the grid is kept.
//! **Why not after the scrapes.** Targets are spread over their interval, so no instant follows all of them closely; and multiples are
//! what a backtest of the same rules evaluates at.
//! **Differs:** Prometheus shifts each group's grid by a hash of its name, to spread the load.

use std::time::Duration;

use crate::model::Timestamp;

/// The first slot after `now`.
pub fn next_slot(now: Timestamp, interval: Duration) -> Timestamp {
    let step = step_ms(interval);
    Timestamp::from_ms(now.as_ms().div_euclid(step).saturating_add(1).saturating_mul(step))
}

/// The first slot not before `instant`.
pub fn at_or_after(instant: Timestamp, interval: Duration) -> Timestamp {
    next_slot(instant.plus_ms(-1), interval)
}

/// The slots that have passed between `slot`, the last one evaluated, and the one that is due at `now`.
pub fn missed(slot: Timestamp, now: Timestamp, interval: Duration) -> u64 {
    u64::try_from(now.ms_since(slot) / step_ms(interval) - 1).unwrap_or(0)
}

/// An interval below a millisecond counts as one.
fn step_ms(interval: Duration) -> i64 {
    i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_multiples_of_the_interval() {
        let interval = Duration::from_secs(30);
        for (now_ms, next_ms, at_or_after_ms) in
            [(0, 30_000, 0), (1, 30_000, 30_000), (30_000, 60_000, 30_000), (-1, 0, 0), (-30_000, 0, -30_000)]
        {
            let now = Timestamp::from_ms(now_ms);
            assert_eq!(next_slot(now, interval), Timestamp::from_ms(next_ms), "{now_ms}");
            assert_eq!(at_or_after(now, interval), Timestamp::from_ms(at_or_after_ms), "{now_ms}");
        }
    }

    #[test]
    fn only_whole_slots_are_missed() {
        let interval = Duration::from_secs(10);
        for (late_ms, expected) in [(0, 0), (9_999, 0), (10_000, 0), (19_999, 0), (20_000, 1), (45_000, 3), (-5_000, 0)]
        {
            let slot = Timestamp::from_ms(100_000);
            assert_eq!(missed(slot, slot.plus_ms(late_ms), interval), expected, "{late_ms}");
        }
    }
}
