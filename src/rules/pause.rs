//! Pauses of ours: a restart, a clock that jumps. What fired before fires on until data show that it has ended.
//!
//! In the flow: a group that was restored, or whose slots have a gap, is *paused*; alerts from before are *unconfirmed* until the result has
//! them again, or until their absence can be believed.
//!
//! Absence means nothing while windows are not filled again. A window of length `w` over a pause of length `d` is
//!
//! ```text
//! w > 2 (d + margin)    mostly older than the pause: good once it has a sample from after it
//! else                  good once it lies after the pause
//! ```
//!
//! and after [`Environment::lookback_delta`](super::Environment) more it is believed even without a sample: the target has gone.
//!
//! After a restart that took longer than [`Outage::tolerance`] nobody believes any more that the alerts of then fire: they go on if the first result has
//! them, and else end.
//!
//! Time that passes while nobody looks counts for `for` as long as an instant selector would have looked over it; of a longer pause, as in
//! Prometheus, it does not, and not less than a grace period is then left to wait.
//!
//! **Source.** Prometheus 3.5 `rules/group.go`, `RestoreForState`.
//! **Differs:** Prometheus restores only alerts that wait for a `for` of at least the grace period, and after two evaluations; here every
//! state is restored, at once, `keep_firing_for` and what was sent included, and no alert ends for want of data after a pause.

use std::time::Duration;

use crate::model::Timestamp;
use crate::promql::Expr;

use super::presence::{Look, widths_ms};
use crate::model::Labels;

/// Prometheus's `--rules.alert.for-outage-tolerance` and `--rules.alert.for-grace-period`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outage {
    /// After a restart that took longer, alerts that wait for their `for` begin anew, and those that fired are not told before they are seen again.
    pub tolerance: Duration,
    /// After a pause, at least this is left to wait of a `for` that is longer, unless it is over.
    pub grace_period: Duration,
}

impl Default for Outage {
    fn default() -> Self {
        Outage { tolerance: Duration::from_secs(3600), grace_period: Duration::from_secs(600) }
    }
}

/// How long a target may take to be scraped again.
const SCRAPE_MARGIN_MS: i64 = 60_000;

/// Slots that are further apart than this, and than [`GAP_INTERVALS`], have a pause between them.
const GAP_MIN_MS: i64 = 120_000;
const GAP_INTERVALS: i64 = 4;

/// Between two evaluations nobody looked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pause {
    /// The last slot before.
    pub(super) from: Timestamp,
    /// Samples from here on are from after it.
    pub(super) until: Timestamp,
    /// Whether another process ran before it.
    pub(super) is_restart: bool,
}

impl Pause {
    /// The pause between two slots, if they lie so far apart.
    pub(super) fn between(last: Timestamp, slot: Timestamp, interval: Duration) -> Option<Pause> {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        let gap_ms = GAP_MIN_MS.max(interval_ms.saturating_mul(GAP_INTERVALS));
        (slot.ms_since(last) > gap_ms).then_some(Pause { from: last, until: slot, is_restart: false })
    }

    fn length_ms(self) -> i64 {
        self.until.ms_since(self.from).max(0)
    }

    /// Whether receivers may still believe what they were told before.
    pub(super) fn is_bearable(self, outage: Outage) -> bool {
        !self.is_restart || self.until.since(self.from) <= outage.tolerance
    }

    /// When the windows of `exprs` are filled again.
    pub(super) fn settles_at<'a>(self, exprs: impl Iterator<Item = &'a Expr>, outage: Outage) -> Timestamp {
        let mut widths = Vec::new();
        exprs.for_each(|expr| widths_ms(expr, 0, &mut widths));
        let short_ms = 2 * (self.length_ms() + SCRAPE_MARGIN_MS);
        let longest = widths.into_iter().filter(|width_ms| *width_ms <= short_ms).max().unwrap_or(0);
        self.until + Duration::from_millis(longest as u64).min(outage.tolerance)
    }

    /// Whether the absence of `element` from the result of `expr` cannot be believed yet; `settles_at` is that of all it builds on.
    pub(super) fn hides(self, settles_at: Timestamp, expr: &Expr, element: &Labels, look: Look<'_>) -> bool {
        if look.at < settles_at {
            return true;
        }
        // A source that cannot be read tells nothing either.
        look.at < settles_at.plus_ms(look.lookback_ms)
            && !Look { after: self.until, ..look }.has_data(expr, element).unwrap_or(false)
    }

    /// Since when an alert that waits is to count as active, at the first `slot` after the pause; `None`: it begins anew. Time up to
    /// `seamless` counts in full.
    pub(super) fn active_at(
        self,
        active_at: Timestamp,
        hold: Duration,
        (slot, seamless): (Timestamp, Duration),
        outage: Outage,
    ) -> Option<Timestamp> {
        let length = slot.since(self.from);
        if self.is_restart && length > outage.tolerance {
            return None;
        }
        let waited = self.from.since(active_at);
        if length <= seamless || waited >= hold {
            return Some(active_at);
        }
        if hold >= outage.grace_period && hold - waited < outage.grace_period {
            return Some(slot + outage.grace_period - hold);
        }
        Some(active_at + length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: i64) -> Timestamp {
        Timestamp::from_ms(secs * 1000)
    }

    #[test]
    fn slots_far_apart_have_a_pause_between_them() {
        let check = |gap: i64, interval, expected| {
            let pause = Pause::between(secs(1000), secs(1000 + gap), Duration::from_secs(interval));
            assert_eq!(pause.is_some(), expected, "{gap} {interval}");
        };
        check(120, 15, false);
        check(121, 15, true);
        check(240, 60, false);
        check(241, 60, true);
    }

    #[test]
    fn short_windows_must_fill_again() {
        let check = |text: &str, length: i64, expected: i64| {
            let expr = crate::promql::parse(text).unwrap();
            let pause = Pause { from: secs(0), until: secs(length), is_restart: true };
            let settles_at = pause.settles_at([&expr].into_iter(), Outage::default());
            assert_eq!(settles_at.ms_since(pause.until) / 1000, expected, "{text} {length}");
        };
        check("m > 1", 600, 0);
        check("rate(m[1m]) > 1", 10, 60);
        check("rate(m[1m]) > rate(n[30d])", 10, 60);
        check("rate(m[5m]) > 1", 10, 0);
        check("rate(m[5m]) > 1", 600, 300);
        check("rate(m[6h]) > 1", 20_000, 3_600);
    }

    /// Active since 0, paused from `from` to `slot`, in minutes; the minute since which it then counts as active.
    fn check(hold: u64, from: i64, slot: i64, expected: Option<i64>) {
        let pause = Pause { from: secs(60 * from), until: secs(60 * slot), is_restart: true };
        let (hold, seamless) = (Duration::from_secs(60 * hold), Duration::from_secs(300));
        let active_at = pause.active_at(secs(0), hold, (secs(60 * slot), seamless), Outage::default());
        assert_eq!(active_at.map(|at| at.as_ms() / 60_000), expected, "{hold:?} {from} {slot}");
    }

    #[test]
    fn time_that_nobody_saw_counts_for_a_while() {
        check(20, 4, 9, Some(0));
        // As Prometheus: 16 minutes are left and stay left; 8 are left and become 10; none is left.
        check(20, 4, 14, Some(10));
        check(20, 12, 22, Some(12));
        check(20, 20, 50, Some(0));
        // Shorter than the grace period: Prometheus would begin anew.
        check(5, 4, 14, Some(10));
        check(20, 4, 65, None);
        // A clock that jumps is no restart: what has been waited stays waited.
        let pause = Pause { from: secs(240), until: secs(240 + 3605), is_restart: false };
        let (hold, seamless) = (Duration::from_secs(7200), Duration::from_secs(300));
        let active_at = pause.active_at(secs(0), hold, (pause.until, seamless), Outage::default());
        assert_eq!(active_at, Some(secs(3605)));
    }
}
