//! The only reader of the wall clock, and what depends on it: sleeping until an instant, measuring how long things take.
//!
//! In the flow: the drivers and everything with sockets ask here for the time and hand it to the pure core as a value.
//! [`Latency`] turns into an [`exposition::Family`](crate::exposition::Family), a pure type, so that every part reports its
//! durations alike.
//!
//! **Invariants.** No other module calls `SystemTime::now` or `Instant::now`. [`Stopwatch`] never runs backwards; [`now`] may.

mod latency;

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use latency::Latency;

use crate::model::Timestamp;

/// How long [`sleep_until`] trusts the monotonic clock before it looks at the wall clock again: a jump of the wall clock
/// (NTP step, resumed machine) delays nobody for longer than this.
const WALL_CLOCK_CHECK: Duration = Duration::from_secs(2);

/// The wall clock.
pub fn now() -> Timestamp {
    let since_epoch = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    };
    Timestamp::from_ms(since_epoch)
}

/// Returns when the wall clock shows `instant` or later; at once if it already does.
pub async fn sleep_until(instant: Timestamp) {
    sleep_until_looking(instant, |_| {}).await;
}

/// As [`sleep_until`]; `look` is told the time whenever the wall clock is looked at.
pub async fn sleep_until_looking(instant: Timestamp, look: impl Fn(Timestamp)) {
    loop {
        let now = now();
        look(now);
        let Some(nap) = next_nap(now, instant) else { return };
        tokio::time::sleep(nap).await;
    }
}

/// How long to sleep before looking again, `None` when the instant has come.
fn next_nap(now: Timestamp, instant: Timestamp) -> Option<Duration> {
    let left = instant.since(now);
    (!left.is_zero()).then(|| left.min(WALL_CLOCK_CHECK))
}

/// Measures how long something takes, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The time since the first call in this process, on the monotonic clock: to be lent to code that has no clock of its own.
pub fn since_start() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naps_are_short_and_end() {
        let at = Timestamp::from_ms;
        for (now_ms, until_ms, nap_ms) in [
            (0, 500, Some(500)),
            (0, 60_000, Some(2_000)),
            (500, 500, None),
            (501, 500, None),
            (i64::MIN, 0, Some(2_000)),
        ] {
            assert_eq!(next_nap(at(now_ms), at(until_ms)), nap_ms.map(Duration::from_millis), "{now_ms} {until_ms}");
        }
    }

    #[tokio::test]
    async fn sleeps_until_the_wall_clock_says_so() {
        let instant = now().plus_ms(20);
        sleep_until(instant).await;
        assert!(now() >= instant);
        sleep_until(Timestamp::MIN).await;
    }
}
