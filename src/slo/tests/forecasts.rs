//! Forecasts against what follows from the traffic that made them.

use std::time::Duration;

use super::{Tape, file, labels, secs};
use crate::model::{Labels, Series, Timestamp};
use crate::promql::Querier;
use crate::slo::{Accounting, Excluded, Exhaustion, Forecast, History, Role, View, sources};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A target scraped every five minutes for `days`; `events` gives all and bad events of the five minutes that end at a second.
fn forecast(window: &str, days: i64, events: impl Fn(i64) -> (f64, f64)) -> Forecast {
    let spec = format!(
        "slos: [{{name: a, objective: 99, window: {window}, indicator: {{errors: {{bad: bad_total, total: all_total}}}}}}]"
    );
    let slo = file(&spec).slos.remove(0);
    let mut tape = Tape::default();
    let (mut all, mut bad) = (0.0, 0.0);
    for step in 0..=days * DAY / 300 {
        let (more, worse) = events(300 * step);
        (all, bad) = (all + more, bad + worse);
        for (name, value) in [("all_total", all), ("bad_total", bad), ("up", 1.0)] {
            tape.push(&labels(name, &[("job", "j"), ("instance", "i")]), secs(300 * step), value);
        }
    }
    let mut accounting = Accounting::new(&slo);
    let now = secs(days * DAY);
    let read: Vec<(Role, Vec<Series>)> = sources(&slo.indicator)
        .into_iter()
        .map(|(role, matchers)| (role, tape.select(&matchers, Timestamp::EPOCH, now).unwrap()))
        .collect();
    let batch: Vec<(Role, &[Series])> = read.iter().map(|(role, series)| (*role, series.as_slice())).collect();
    accounting.feed(&batch, now, History::Complete);
    let group = Labels::empty();
    Forecast::make(&View::new(&slo, &accounting, &group, Excluded::default()), now).expect("a forecast")
}

fn hours(exhaustion: Exhaustion, days: i64) -> f64 {
    let Exhaustion::At(at) = exhaustion else { panic!("{exhaustion:?}") };
    at.ms_since(secs(days * DAY)) as f64 / 3_600_000.0
}

#[test]
fn a_steady_burn_ends_when_it_must() {
    // Twice the budget for a day: it lasts for half of 30 days, of which one is over.
    let made = forecast("30d", 31, |at| (1000.0, if at > 30 * DAY { 20.0 } else { 0.0 }));
    let expected = hours(made.expected, 31);
    assert!((expected - 336.0).abs() < 1.0, "{expected}");
    assert!((made.burn_rate - 2.0).abs() < 1e-9);
    let (earliest, latest) = (hours(made.earliest, 31), hours(made.latest, 31));
    assert!(earliest < expected && expected < latest && latest - earliest < 90.0, "{earliest} {expected} {latest}");
}

#[test]
fn errors_that_leave_the_window_give_budget_back() {
    // 90 % of the budget went 29 days ago. At 1.05 times the budget the linear guess is 30 * 0.07 / 1.05 = two days; but within a day the
    // old outage leaves, and then it lasts.
    let outage = |at: i64| (2 * DAY..2 * DAY + 6 * HOUR + 1800).contains(&at);
    let made = forecast("30d", 31, move |at| {
        (
            1000.0,
            if outage(at) {
                1000.0
            } else if at > 30 * DAY {
                10.5
            } else {
                0.0
            },
        )
    });
    assert!(hours(made.expected, 31) > 600.0, "{made:?}");
    let clean = forecast("30d", 31, move |at| (1000.0, if outage(at) { 1000.0 } else { 0.0 }));
    assert_eq!(clean.expected, Exhaustion::NotBefore(secs(31 * DAY) + Duration::from_secs(30 * 86_400)));
    assert_eq!((clean.latest, clean.remaining_at_horizon), (clean.expected, 1.0));
}

#[test]
fn traffic_has_the_shape_of_the_week_before() {
    // Nights are idle. It is midnight, with 95 % of the budget gone: the rest goes when the day begins, not in the night.
    let is_day = |at: i64| (8 * HOUR..20 * HOUR).contains(&(at % DAY));
    let made = forecast("7d", 8, move |at| {
        let all = if is_day(at) { 1000.0 } else { 0.0 };
        (all, if at > 7 * DAY { all * 0.0665 } else { 0.0 })
    });
    let gone = hours(made.expected, 8);
    assert!(gone > 8.0 && gone < 14.0, "{gone}");
}

#[test]
fn a_calendar_ends_with_its_period() {
    // 1970-01-21, eleven days before the month ends. All of January's errors stay until then.
    let made = forecast("month", 20, |at| (1000.0, if at > 10 * DAY { 11.0 } else { 0.0 }));
    assert_eq!(made.expected, Exhaustion::NotBefore(secs(31 * DAY)));
    let gone = forecast("month", 20, |at| (1000.0, if at > 10 * DAY { 22.0 } else { 0.0 }));
    assert_eq!((gone.expected, gone.earliest, gone.latest), (Exhaustion::Now, Exhaustion::Now, Exhaustion::Now));
}
