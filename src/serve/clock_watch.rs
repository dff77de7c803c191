//! Tells that the clock has been set back.
//!
//! In the flow: no slot is evaluated twice, so after a step back nothing is evaluated until the clock reaches the last slot again. Nobody
//! should have to find that out: it is logged when it begins and when it is over, and `almenara_clock_behind_seconds` shows it meanwhile.

use std::time::Duration;

use parking_lot::Mutex;

use crate::exposition::{Family, FamilyKind};
use crate::model::Timestamp;

/// Less is the ordinary unrest of a clock that is kept in time.
const TOLERANCE: Duration = Duration::from_secs(2);

/// The last slot, while the clock is behind it.
#[derive(Default)]
pub(super) struct ClockWatch(Mutex<Option<Timestamp>>);

impl ClockWatch {
    /// Takes note that it is `now` and that the slots up to `last` have been evaluated.
    pub(super) fn look(&self, last: Timestamp, now: Timestamp) {
        let mut held_until = self.0.lock();
        let behind = last.since(now);
        if behind > TOLERANCE && held_until.is_none_or(|until| last > until) {
            if held_until.is_none() {
                let behind_secs = behind.as_secs_f64();
                let until = last.to_rfc3339();
                tracing::warn!(
                    behind_secs,
                    until,
                    "the clock has been set back; nothing is evaluated until it is right again"
                );
            }
            *held_until = Some(last);
        }
        if held_until.is_some_and(|until| now >= until) {
            *held_until = None;
            tracing::info!("the clock has reached the last evaluation again; evaluation goes on");
        }
    }

    fn behind(&self, now: Timestamp) -> Duration {
        self.0.lock().map_or(Duration::ZERO, |until| until.since(now))
    }

    pub(super) fn collect(&self, now: Timestamp, families: &mut Vec<Family>) {
        let help =
            "How far the clock is behind the last evaluation; until it reaches that again, nothing is evaluated.";
        let mut behind = Family::new("almenara_clock_behind_seconds", help, FamilyKind::Gauge);
        behind.point(Vec::new(), self.behind(now).as_secs_f64());
        families.push(behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_back_is_known_until_it_is_made_good() {
        let (watch, at) = (ClockWatch::default(), Timestamp::from_ms);
        let behind_ms = |last, now| {
            watch.look(at(last), at(now));
            watch.behind(at(now)).as_millis()
        };
        assert_eq!(behind_ms(10_000, 10_500), 0, "on time");
        assert_eq!(behind_ms(10_000, 8_000), 0, "hardly late");
        assert_eq!(behind_ms(3_600_000, 0), 3_600_000);
        assert_eq!(behind_ms(3_000_000, 5_000), 3_595_000, "another group was evaluated later");
        assert_eq!(behind_ms(3_601_000, 5_000), 3_596_000);
        assert_eq!(behind_ms(3_601_000, 3_600_999), 1);
        assert_eq!(behind_ms(3_601_000, 3_601_000), 0);
    }
}
