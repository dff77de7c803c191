//! When the budget will be gone, as an interval.
//!
//! In the flow: [`super::SloGroup`] asks from time to time, the API, the gate and the alerts tell it.
//!
//! Three things decide: what is left, at which pace errors go on, and which past errors leave a rolling window meanwhile. Hour by hour
//! up to the length of the window (or the end of the calendar's period) the window is moved on: past hours leave it with the events that they
//! had, coming hours join it with the traffic that the same hour had a week ago (a day ago, where there is less history) and the error ratio of
//! the last hours.
//!
//! **The interval.** The pace is the error ratio of the last six hours; its bounds are the lowest and the highest 90 % Wilson bound over the last
//! hour, six hours and day (those with [`EVENTS_MIN`] events). A burn that has just begun or ended so makes the interval wide rather than the
//! forecast wrong.
//! **Cost.** Two look-ups for each hour of the window and of the last week: about 0.4 ms over 30 days.
//! **Limits.** What will not happen within one window (or period) from now is not told any closer.

use std::time::Duration;

use crate::model::Timestamp;

use super::curve::Counts;
use super::view::View;
use super::window::Window;

const HOUR_MS: i64 = 3_600_000;
const WEEK_HOURS: i64 = 168;
/// The last hours that tell the pace, in hours: the middle one is the expectation.
const PACE_HOURS: [i64; 3] = [1, 6, 24];
/// Fewer events than this say nothing of the pace where a longer look-back has more.
const EVENTS_MIN: f64 = 100.0;
/// Of a one-sided 95 %, so of a two-sided 90 % bound.
const WILSON_Z: f64 = 1.645;

/// When the budget is gone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exhaustion {
    /// It is overspent now.
    Now,
    /// At this instant.
    At(Timestamp),
    /// Not up to this instant, the end of the period or one window from now.
    NotBefore(Timestamp),
}

/// A forecast made at some instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// When it was made.
    pub made_at: Timestamp,
    /// At the pace of the last six hours.
    pub expected: Exhaustion,
    /// At the fastest pace that the last day bears out.
    pub earliest: Exhaustion,
    /// At the slowest.
    pub latest: Exhaustion,
    /// The expected burn rate, of coming events alone.
    pub burn_rate: f64,
    /// What will be left of the budget at the end of the horizon, at the expected pace.
    pub remaining_at_horizon: f64,
}

impl Exhaustion {
    /// Whether the budget is gone by `at`.
    pub fn is_by(self, at: Timestamp) -> bool {
        match self {
            Exhaustion::Now => true,
            Exhaustion::At(gone) => gone <= at,
            Exhaustion::NotBefore(_) => false,
        }
    }

    /// The time from `now` until it is gone; `None` where that is not in sight.
    pub fn left(self, now: Timestamp) -> Option<Duration> {
        match self {
            Exhaustion::Now => Some(Duration::ZERO),
            Exhaustion::At(at) => Some(at.since(now)),
            Exhaustion::NotBefore(_) => None,
        }
    }
}

impl Exhaustion {
    /// The instant itself; `now` where it is overspent, `None` where it is not in sight.
    pub fn instant(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Exhaustion::Now => Some(now),
            Exhaustion::At(at) => Some(at),
            Exhaustion::NotBefore(_) => None,
        }
    }
}

impl Forecast {
    /// Its three bounds by name.
    pub fn bounds(&self) -> [(&'static str, Exhaustion); 3] {
        [("expected", self.expected), ("earliest", self.earliest), ("latest", self.latest)]
    }

    /// Looks ahead from `at`; `None` where the window or the last day had no events, and for composites, whose weights are no events: their
    /// members have forecasts.
    pub fn make(view: &View<'_>, at: Timestamp) -> Option<Forecast> {
        if view.is_composite() || view.is_asked() {
            return None;
        }
        let budget = view.slo.objective.budget_ratio();
        let pace = Pace::of(view, at)?;
        let course = Course::of(view, at);
        let remaining_now = 1.0 - course.steps[0].0.error_ratio()? / budget;
        let exhaustion = |ratio| {
            if remaining_now < 0.0 { Exhaustion::Now } else { course.exhaustion(ratio, budget) }
        };
        let (last, traffic) = course.steps.last().expect("BUG: a course has a step");
        let bad = last.bad + pace.expected * traffic;
        let remaining_at_horizon = 1.0 - bad / (last.total + traffic).max(f64::MIN_POSITIVE) / budget;
        Some(Forecast {
            made_at: at,
            expected: exhaustion(pace.expected),
            earliest: exhaustion(pace.high),
            latest: exhaustion(pace.low),
            burn_rate: pace.expected / budget,
            remaining_at_horizon,
        })
    }
}

/// The error ratio of coming events.
struct Pace {
    low: f64,
    expected: f64,
    high: f64,
}

impl Pace {
    fn of(view: &View<'_>, at: Timestamp) -> Option<Pace> {
        let all = PACE_HOURS.map(|hours| view.counts(at.plus_ms(-hours * HOUR_MS), at));
        let telling: Vec<&Counts> = all.iter().filter(|counts| counts.total >= EVENTS_MIN).collect();
        let telling = if telling.is_empty() { vec![&all[2]] } else { telling };
        let expected =
            [&all[1], &all[2], &all[0]].into_iter().find(|counts| telling.contains(counts))?.error_ratio()?;
        let bounds = telling.iter().map(|counts| wilson(counts));
        let (low, high) = bounds.fold((f64::INFINITY, 0.0_f64), |(low, high), (a, b)| (low.min(a), high.max(b)));
        Some(Pace { low: low.min(expected), expected, high: high.max(expected) })
    }
}

/// Wilson's interval of a share.
fn wilson(counts: &Counts) -> (f64, f64) {
    let (n, z2) = (counts.total, WILSON_Z * WILSON_Z);
    if n <= 0.0 {
        return (0.0, 1.0);
    }
    let share = counts.bad / n;
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let reach = WILSON_Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    // No bad event at all bears out a pace of none.
    (if counts.bad == 0.0 { 0.0 } else { (middle - reach).max(0.0) }, (middle + reach).min(1.0))
}

/// The window as it moves on, hour by hour.
struct Course {
    at: Timestamp,
    /// After so many hours: what is left in the window of the past, and how many events have come.
    steps: Vec<(Counts, f64)>,
    horizon: Timestamp,
}

impl Course {
    fn of(view: &View<'_>, at: Timestamp) -> Course {
        let traffic = traffic_of_week(view, at);
        let (start, horizon) = (view.slo.window.start(at), view.slo.window.horizon(at));
        let is_rolling = matches!(view.slo.window, Window::Rolling(_));
        let hours = (horizon.ms_since(at) + HOUR_MS - 1) / HOUR_MS;
        let mut come = 0.0;
        let past = view.counts(start, at);
        let mut steps = vec![(past, 0.0)];
        for hour in 1..=hours {
            let step_ms = (hour * HOUR_MS).min(horizon.ms_since(at));
            let share = (step_ms - (hour - 1) * HOUR_MS) as f64 / HOUR_MS as f64;
            come += share * traffic[((hour - 1) % WEEK_HOURS) as usize];
            let left = if is_rolling { view.counts(start.plus_ms(step_ms).min(at), at) } else { past };
            steps.push((left, come));
        }
        Course { at, steps, horizon }
    }

    /// When the budget is gone if coming events fail at `ratio`.
    fn exhaustion(&self, ratio: f64, budget: f64) -> Exhaustion {
        let remaining = |(past, come): &(Counts, f64)| {
            let total = past.total + come;
            if total > 0.0 { 1.0 - (past.bad + ratio * come) / total / budget } else { 1.0 }
        };
        let mut before = remaining(&self.steps[0]);
        for (index, step) in self.steps.iter().enumerate().skip(1) {
            let now = remaining(step);
            if now < 0.0 {
                let share = (before / (before - now)).clamp(0.0, 1.0);
                let ms = (((index - 1) as f64 + share) * HOUR_MS as f64) as i64;
                return Exhaustion::At(self.at.plus_ms(ms).min(self.horizon));
            }
            before = now;
        }
        Exhaustion::NotBefore(self.horizon)
    }
}

/// The events of the coming hours of a week: as many as the same hour had a week ago; where that was not measured, a day ago; else the mean
/// of the last day.
fn traffic_of_week(view: &View<'_>, at: Timestamp) -> Vec<f64> {
    let hour = |hours_ago: i64| (at.plus_ms(-hours_ago * HOUR_MS), at.plus_ms(-(hours_ago - 1) * HOUR_MS));
    let measured = |(start, end)| view.coverage_ratio(start, end).is_some_and(|share| share > 0.5);
    let total = |(start, end)| view.counts(start, end).total;
    let day = total((at.plus_ms(-24 * HOUR_MS), at));
    let day_share = view.coverage_ratio(at.plus_ms(-24 * HOUR_MS), at).unwrap_or(0.0);
    let mean = if day_share > 0.0 { day / 24.0 / day_share } else { 0.0 };
    let of = |index: i64| {
        let week_ago = hour(WEEK_HOURS - index);
        let day_ago = hour(24 - index % 24);
        [week_ago, day_ago].into_iter().find(|span| measured(*span)).map_or(mean, total)
    };
    (0..WEEK_HOURS).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_few_events_is_uncertain() {
        let of = |bad, total: f64| wilson(&Counts { good: total - bad, bad, total });
        let (low, high) = of(1.0, 10.0);
        assert!(low > 0.02 && low < 0.1 && high > 0.3 && high < 0.42, "{low} {high}");
        let (low, high) = of(100_000.0, 1_000_000.0);
        assert!(low > 0.099 && high < 0.101);
        assert_eq!(of(0.0, 1000.0).0, 0.0);
        assert_eq!(of(0.0, 0.0), (0.0, 1.0));
    }
}
