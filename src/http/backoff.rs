//! When to try again after a failure.
//!
//! **Invariants.** The pure part, [`Backoff::delay`], sees no clock and no chance: both are handed in.
//! **Source.** Alertmanager 0.28 `notify/notify.go` (`cenkalti/backoff` defaults): 0.5 s, ×1.5, ±50 %, at most 60 s.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::model::Timestamp;

/// Exponential delays with jitter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first delay, before jitter.
    pub first: Duration,
    /// What each delay is multiplied by to give the next.
    pub factor: f64,
    /// Spread around the delay, 0 to 1.
    pub jitter_ratio: f64,
    /// No delay is longer before jitter.
    pub longest: Duration,
}

impl Backoff {
    /// Alertmanager's: 0.5 s, ×1.5, ±50 %, at most 60 s.
    pub const ALERTMANAGER: Backoff =
        Backoff { first: Duration::from_millis(500), factor: 1.5, jitter_ratio: 0.5, longest: Duration::from_secs(60) };

    /// The delay after `failures` failures in a row (from 1); `chance` in `0.0..=1.0` picks a point of the jitter.
    pub fn delay(&self, failures: u32, chance: f64) -> Duration {
        let exponent = failures.saturating_sub(1).min(i32::MAX as u32) as i32;
        let base = (self.first.as_secs_f64() * self.factor.powi(exponent)).min(self.longest.as_secs_f64());
        let spread = 1.0 + self.jitter_ratio * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        Duration::from_secs_f64(base * spread)
    }

    /// [`Backoff::delay`] with a chance of the process.
    pub fn random_delay(&self, failures: u32) -> Duration {
        // Keys of std's hasher are random per call; enough to keep clients from knocking in step.
        let chance = RandomState::new().hash_one(failures) as f64 / u64::MAX as f64;
        self.delay(failures, chance)
    }
}

/// The pause that a `Retry-After` header asks for: seconds, or a date.
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(secs) = text.parse::<u64>() {
        return Some(Duration::from_secs(secs));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp::from_ms(date.as_millisecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_spreads_and_is_bounded() {
        let delay_ms = |failures, chance| Backoff::ALERTMANAGER.delay(failures, chance).as_millis();
        assert_eq!(delay_ms(1, 0.5), 500);
        assert_eq!(delay_ms(2, 0.5), 750);
        assert_eq!(delay_ms(3, 0.5), 1_125);
        assert_eq!(delay_ms(1, 0.0), 250);
        assert_eq!(delay_ms(1, 1.0), 750);
        assert_eq!(delay_ms(13, 0.5), 60_000);
        assert_eq!(delay_ms(u32::MAX, 1.0), 90_000);
        assert_eq!(delay_ms(0, 0.5), 500);
    }

    #[test]
    fn random_delays_stay_in_the_spread() {
        for failures in 1..50 {
            let delay = Backoff::ALERTMANAGER.random_delay(failures);
            assert!(delay >= Backoff::ALERTMANAGER.delay(failures, 0.0), "{failures} {delay:?}");
            assert!(delay <= Backoff::ALERTMANAGER.delay(failures, 1.0), "{failures} {delay:?}");
        }
    }

    #[test]
    fn reads_retry_after() {
        let now = Timestamp::from_ms(784_111_777_000); // 1994-11-06T08:49:37Z
        for (text, secs) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now), secs.map(Duration::from_secs), "{text}");
        }
    }
}
