//! The guard against alerts on too little traffic: one failed request of ten is a burn rate of 100 at 99.9 %, and says next to nothing.
//!
//! In the flow: [`super::figures`] asks for each tier whose condition is met whether its long window has seen enough.
//!
//! **Invariants.** A guard only ever holds an alert back, never raises one; it looks at events that were measured, never at what is missing.
//! **Source.** One-sided exact binomial test: with `n` events of which a share `p` is bad by the tier's threshold, `k` bad ones or more
//! happen with probability `P(X >= k)`. The ratio is taken to exceed the threshold where that is below `1 - confidence`.
//! **Limits.** From [`EVIDENT`] bad events on the ratio speaks for itself, so that the guard never delays an alert on a busy service.

use std::fmt;

use super::curve::Counts;
use super::texts::number;

/// So many bad events in a window need no statistics: the ratio is known to a fifth or better.
pub const EVIDENT: f64 = 30.0;

/// What a window must have seen before its tier may alert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard {
    /// At least so many bad events (of an objective on slices of time, bad slices).
    pub bad_events_min: f64,
    /// How sure it must be that the true ratio exceeds the tier's threshold, from 0.5 to below 1. `None`: bad events are enough.
    pub confidence_ratio: Option<f64>,
}

impl Guard {
    /// The default where events are independent of each other, such as requests.
    pub const OF_EVENTS: Guard = Guard { bad_events_min: 5.0, confidence_ratio: Some(0.95) };
    /// The default where an event is an instant or a slice of time: neighbours are alike, so that statistics would say nothing.
    pub const OF_TIME: Guard = Guard { bad_events_min: 2.0, confidence_ratio: None };

    /// Whether `counts` are enough to believe that the ratio exceeds `threshold_ratio`.
    pub fn judge(&self, counts: Counts, threshold_ratio: f64) -> Verdict {
        if counts.bad < self.bad_events_min {
            return Verdict::TooFew { bad: counts.bad, least: self.bad_events_min };
        }
        let Some(confidence_ratio) = self.confidence_ratio.filter(|_| counts.bad < EVIDENT) else {
            return Verdict::Enough;
        };
        let chance_ratio = chance(counts, threshold_ratio);
        if chance_ratio < 1.0 - confidence_ratio {
            Verdict::Enough
        } else {
            Verdict::Uncertain { chance_ratio, confidence_ratio }
        }
    }
}

/// What the guard says of a tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// There is enough.
    Enough,
    /// Too few bad events.
    TooFew {
        /// So many there were.
        bad: f64,
        /// So many are needed.
        least: f64,
    },
    /// It could be chance.
    Uncertain {
        /// How probable so many bad events are if the true ratio is at the threshold.
        chance_ratio: f64,
        /// How sure it must be.
        confidence_ratio: f64,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Enough => f.write_str("enough bad events"),
            Verdict::TooFew { bad, least } => {
                write!(f, "held back by the guard: {} bad events, {} are needed", number(*bad), number(*least))
            }
            Verdict::Uncertain { chance_ratio, confidence_ratio } => write!(
                f,
                "held back by the guard: it would be chance with a probability of {}%, at most {}% is allowed",
                number(100.0 * chance_ratio),
                number(100.0 * (1.0 - confidence_ratio)),
            ),
        }
    }
}

/// `P(X >= bad)` of a binomial distribution over `total` events. Counts that are not whole are rounded to what says less.
/// At most [`EVIDENT`] terms.
fn chance(counts: Counts, share_ratio: f64) -> f64 {
    let (bad, total) = (counts.bad.floor(), counts.total.ceil());
    if share_ratio <= 0.0 || bad <= 0.0 {
        return if bad > 0.0 { 0.0 } else { 1.0 };
    }
    if share_ratio >= 1.0 {
        return 1.0;
    }
    // Term 0 is (1 - p)^n; each next one is the last times (n - k) / (k + 1) * p / (1 - p). In logarithms, since it may be tiny.
    let odds_ln = (share_ratio / (1.0 - share_ratio)).ln();
    let mut term_ln = total * (1.0 - share_ratio).ln();
    let mut below = 0.0;
    let mut k = 0.0;
    while k < bad {
        below += term_ln.exp();
        term_ln += ((total - k) / (k + 1.0)).ln() + odds_ln;
        k += 1.0;
    }
    (1.0 - below).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(bad: f64, total: f64) -> Counts {
        Counts { good: total - bad, bad, total }
    }

    #[test]
    fn the_chance_is_that_of_the_binomial_distribution() {
        // By hand: 1 - 0.9^10; 1 - 0.9^10 - 10 * 0.1 * 0.9^9; 0.5^4.
        for (bad, total, share, expected) in [
            (1.0, 10.0, 0.1, 0.651_321_559_9),
            (2.0, 10.0, 0.1, 0.263_901_070_9),
            (4.0, 4.0, 0.5, 0.0625),
            (0.0, 10.0, 0.1, 1.0),
            (3.0, 10.0, 0.0, 0.0),
            (3.0, 10.0, 1.0, 1.0),
        ] {
            let found = chance(counts(bad, total), share);
            assert!((found - expected).abs() < 1e-9, "{bad} of {total} at {share}: {found}");
        }
        assert!(chance(counts(99.0, 1e9), 0.0144) > 0.999_999, "far below the threshold, and no overflow");
    }

    #[test]
    fn little_traffic_is_held_back_and_much_is_not() {
        let check = |bad, total, expected: &str| {
            assert_eq!(Guard::OF_EVENTS.judge(counts(bad, total), 0.0144).to_string(), expected, "{bad} of {total}");
        };
        // The workbook's example: ten requests an hour, 99.9 %, one failure is a burn rate of 100.
        check(1.0, 10.0, "held back by the guard: 1 bad events, 5 are needed");
        check(5.0, 10.0, "enough bad events");
        check(
            5.0,
            300.0,
            "held back by the guard: it would be chance with a probability of 43.39%, at most 5% is allowed",
        );
        check(10.0, 300.0, "enough bad events");
        check(100.0, 6_900.0, "enough bad events");
        assert_eq!(Guard::OF_TIME.judge(counts(1.0, 60.0), 0.0144), Verdict::TooFew { bad: 1.0, least: 2.0 });
        assert_eq!(Guard::OF_TIME.judge(counts(2.0, 60.0), 0.0144), Verdict::Enough);
    }
}
