//! When an alert is sent again, and until when a receiver may believe it.
//!
//! In the flow: rules and objectives decide what lives; both ask here what is due.
//! **Source.** Prometheus 3.14 `rules/alerting.go`: `needsSending`, `sendAlerts`, `resolvedRetention`.

use std::time::Duration;

use crate::model::Timestamp;

/// How long an alert that ended is remembered and repeated, in case a receiver missed its end.
pub const RESOLVED_RETENTION: Duration = Duration::from_secs(15 * 60);

/// A receiver may believe an alert this many times the longer of interval and resend delay: three lost messages are survived.
const VALIDITY_FACTOR: u32 = 4;

/// Whether an alert that fires or has ended is due at `now`: never sent, ended since it was sent, or sent longer ago than `resend_delay`.
pub(crate) fn is_due(
    last_sent_at: Option<Timestamp>,
    resolved_at: Option<Timestamp>,
    now: Timestamp,
    resend_delay: Duration,
) -> bool {
    let Some(sent) = last_sent_at else { return true };
    resolved_at.is_some_and(|resolved| resolved > sent) || sent + resend_delay < now
}

/// Whether an alert that ended at `resolved_at` is still remembered at `now`.
pub(crate) fn is_remembered(resolved_at: Timestamp, now: Timestamp) -> bool {
    now.since(resolved_at) <= RESOLVED_RETENTION
}

/// The end of a firing alert sent at `now`, should nobody repeat it. `validity` is the longer of interval and resend delay.
pub(crate) fn valid_until(now: Timestamp, validity: Duration) -> Timestamp {
    now + validity * VALIDITY_FACTOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_is_new_or_ended_or_overdue() {
        let (at, delay) = (Timestamp::from_ms, Duration::from_secs(60));
        let check = |sent, resolved, now, expected| {
            assert_eq!(is_due(sent, resolved, at(now), delay), expected, "{sent:?} {resolved:?} {now}");
        };
        check(None, None, 0, true);
        check(Some(at(0)), None, 60_000, false);
        check(Some(at(0)), None, 60_001, true);
        check(Some(at(0)), Some(at(15_000)), 15_000, true);
        check(Some(at(15_000)), Some(at(15_000)), 30_000, false);
        assert!(is_remembered(at(0), at(900_000)) && !is_remembered(at(0), at(900_001)));
        assert_eq!(valid_until(at(0), delay), at(240_000));
    }
}
