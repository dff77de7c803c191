//! The time that a budget is for: the last so many days, or since the last boundary of a calendar.
//!
//! In the flow: the accounting is asked for events since [`Window::start`].
//!
//! **Invariants.** A window that ends at `t` is `(start, t]`: what happened at a boundary belongs to the period that ends there.
//! Boundaries are local times: a day of a time zone with daylight saving has 23 to 25 hours. A boundary that the clock skips is taken
//! after the gap as the clock before it would have shown it, one that it shows twice is the first.
//! **Cost.** A rolling window is a subtraction; a calendar's boundary is a handful of conversions, whatever the distance.

use std::fmt;
use std::time::Duration;

use jiff::Span;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::Timestamp;
use crate::source::format_duration;

const DAY_SECS: u64 = 86_400;

/// What a budget is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Window {
    /// The last so long.
    Rolling(Duration),
    /// Since the last boundary of a calendar.
    Calendar(Calendar),
}

/// Periods between local boundaries.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    /// How many units a period has, from 1 on.
    pub count: u16,
    /// Days, weeks, …
    pub unit: Unit,
    /// A local time at which a period begins; all others are whole periods away from it.
    pub anchor: DateTime,
    /// Where the boundaries are local.
    pub zone: TimeZone,
}

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// From midnight to midnight.
    Day,
    /// Seven days.
    Week,
    /// A month of the calendar.
    Month,
    /// Three months.
    Quarter,
    /// Twelve months.
    Year,
}

impl Unit {
    /// All of them, the shortest first.
    pub const ALL: [Unit; 5] = [Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year];

    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Day => "day",
            Unit::Week => "week",
            Unit::Month => "month",
            Unit::Quarter => "quarter",
            Unit::Year => "year",
        }
    }

    /// As durations of OpenSLO write it.
    pub fn letter(self) -> char {
        match self {
            Unit::Day => 'd',
            Unit::Week => 'w',
            Unit::Month => 'M',
            Unit::Quarter => 'Q',
            Unit::Year => 'Y',
        }
    }

    /// The days that policies reckon with, as OpenSLO's library has them: a month is 30, a quarter 90, a year 365.
    pub fn nominal_days(self) -> u64 {
        match self {
            Unit::Day => 1,
            Unit::Week => 7,
            Unit::Month => 30,
            Unit::Quarter => 90,
            Unit::Year => 365,
        }
    }

    /// The most days that it can have, an hour of daylight saving not counted.
    fn most_days(self) -> u64 {
        match self {
            Unit::Day => 1,
            Unit::Week => 7,
            Unit::Month => 31,
            Unit::Quarter => 92,
            Unit::Year => 366,
        }
    }

    /// So many of it; an error where that is longer than the calendar.
    fn span(self, times: i64) -> Result<Span, jiff::Error> {
        match self {
            Unit::Day => Span::new().try_days(times),
            Unit::Week => Span::new().try_weeks(times),
            Unit::Month => Span::new().try_months(times),
            Unit::Quarter => Span::new().try_months(3 * times),
            Unit::Year => Span::new().try_years(times),
        }
    }
}

impl Window {
    /// Where the window that ends at `end` begins; `start` itself is not in it.
    pub fn start(&self, end: Timestamp) -> Timestamp {
        match self {
            Window::Rolling(length) => end - *length,
            Window::Calendar(calendar) => calendar.boundary_before(end),
        }
    }

    /// How far a forecast made at `at` looks ahead: one window, or to the end of the calendar's period.
    pub fn horizon(&self, at: Timestamp) -> Timestamp {
        match self {
            Window::Rolling(length) => at + *length,
            Window::Calendar(calendar) => calendar.boundary_after(at),
        }
    }

    /// For sentences: `over 30d`, `over a calendar month`.
    pub fn phrase(&self) -> String {
        match self {
            Window::Rolling(_) => format!("over {self}"),
            Window::Calendar(Calendar { count: 1, unit, .. }) => format!("over a calendar {}", unit.as_str()),
            Window::Calendar(_) => format!("over {self} of the calendar"),
        }
    }

    /// The length that tiers and forecasts reckon with.
    pub fn nominal(&self) -> Duration {
        match self {
            Window::Rolling(length) => *length,
            Window::Calendar(Calendar { count, unit, .. }) => days(u64::from(*count) * unit.nominal_days()),
        }
    }

    /// The longest that it can be.
    pub fn longest(&self) -> Duration {
        match self {
            Window::Rolling(length) => *length,
            Window::Calendar(Calendar { count, unit, .. }) => {
                days(u64::from(*count) * unit.most_days()) + Duration::from_secs(3600)
            }
        }
    }
}

impl From<Duration> for Window {
    fn from(length: Duration) -> Self {
        Window::Rolling(length)
    }
}

/// `30d`, `month`, `2w`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Window::Rolling(length) => f.pad(&format_duration(*length)),
            Window::Calendar(Calendar { count: 1, unit, .. }) => f.pad(unit.as_str()),
            Window::Calendar(Calendar { count, unit, .. }) => write!(f, "{count}{}", unit.letter()),
        }
    }
}

impl Calendar {
    /// The usual periods: from the first of the month, quarter or year, or from Monday, at midnight of `zone`.
    pub fn of(unit: Unit, zone: TimeZone) -> Self {
        // A Monday that is also the first of a month, of a quarter and of a year.
        let anchor = DateTime::constant(2018, 1, 1, 0, 0, 0, 0);
        Calendar { count: 1, unit, anchor, zone }
    }

    /// The last boundary before `at`.
    fn boundary_before(&self, at: Timestamp) -> Timestamp {
        // Beyond the years of the calendar there is no boundary to find: those are the ends of time here.
        let (first, last) = (jiff::Timestamp::MIN.as_millisecond(), jiff::Timestamp::MAX.as_millisecond());
        let at = Timestamp::from_ms(at.as_ms().clamp(first + 1, last));
        let nominal_ms = i64::try_from(u64::from(self.count) * self.unit.nominal_days() * DAY_SECS * 1000);
        let nominal_ms = nominal_ms.expect("BUG: a period longer than time");
        let mut period = at.ms_since(self.boundary(0)).div_euclid(nominal_ms);
        // Nominal months are shorter than real ones, so that the guess may be some periods off after decades.
        while self.boundary(period) >= at {
            period -= 1;
        }
        while self.boundary(period + 1) < at {
            period += 1;
        }
        self.boundary(period)
    }

    /// The first boundary after `at`.
    fn boundary_after(&self, at: Timestamp) -> Timestamp {
        let longest_ms = i64::try_from(Window::Calendar(self.clone()).longest().as_millis()).unwrap_or(i64::MAX);
        // The last boundary before an instant one period on lies after `at`, if by one too many: go back to the first that does.
        let mut boundary = self.boundary_before(at.plus_ms(longest_ms).plus_ms(1));
        loop {
            let before = self.boundary_before(boundary);
            if before <= at || before == boundary {
                return boundary.max(at);
            }
            boundary = before;
        }
    }

    /// Where period `number` begins, counted from the anchor. Outside of the years that the calendar knows, its last boundary.
    fn boundary(&self, number: i64) -> Timestamp {
        let times = number * i64::from(self.count);
        let limit = if number < 0 { DateTime::MIN } else { DateTime::MAX };
        let local = self.unit.span(times).and_then(|span| self.anchor.checked_add(span)).unwrap_or(limit);
        let instant = self.zone.to_ambiguous_timestamp(local).compatible();
        let at_limit = if number < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Timestamp::from_ms(instant.unwrap_or(at_limit).as_millisecond())
    }
}

/// The time zone with this IANA name, from the table in the program.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    jiff::tz::TimeZoneDatabase::bundled().get(name).ok()
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * DAY_SECS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_ms(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn check(unit: Unit, zone: &str, end: &str, start: &str) {
        let window = Window::Calendar(Calendar::of(unit, time_zone(zone).unwrap()));
        assert_eq!(window.start(at(end)).to_rfc3339(), at(start).to_rfc3339(), "{unit:?} in {zone} before {end}");
    }

    #[test]
    fn boundaries_are_local_and_end_their_period() {
        check(Unit::Month, "UTC", "2026-03-15T12:00:00Z", "2026-03-01T00:00:00Z");
        check(Unit::Month, "UTC", "2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z");
        check(Unit::Month, "UTC", "2026-03-01T00:00:00.001Z", "2026-03-01T00:00:00Z");
        check(Unit::Month, "Europe/Madrid", "2026-03-31T22:30:00Z", "2026-03-31T22:00:00Z");
        check(Unit::Month, "Europe/Madrid", "2026-03-30T00:00:00Z", "2026-02-28T23:00:00Z");
        check(Unit::Day, "America/New_York", "2026-03-08T12:00:00Z", "2026-03-08T05:00:00Z");
        check(Unit::Day, "America/New_York", "2026-03-09T12:00:00Z", "2026-03-09T04:00:00Z");
        check(Unit::Week, "UTC", "2026-11-22T02:00:00Z", "2026-11-16T00:00:00Z");
        check(Unit::Quarter, "Asia/Kolkata", "2026-02-01T00:00:00Z", "2025-12-31T18:30:00Z");
        check(Unit::Year, "UTC", "2016-02-29T00:00:00Z", "2016-01-01T00:00:00Z");
        // A midnight that the clock skips.
        check(Unit::Day, "America/Santiago", "2024-09-08T12:00:00Z", "2024-09-08T04:00:00Z");
    }

    #[test]
    fn a_period_ends_where_the_next_begins() {
        for (unit, end, next) in [
            (Unit::Month, "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"),
            (Unit::Month, "2026-03-15T00:00:00Z", "2026-03-31T22:00:00Z"),
            (Unit::Day, "2026-03-29T12:00:00Z", "2026-03-29T22:00:00Z"),
            (Unit::Quarter, "2026-12-31T22:59:59Z", "2026-12-31T23:00:00Z"),
        ] {
            let window = Window::Calendar(Calendar::of(unit, time_zone("Europe/Madrid").unwrap()));
            assert_eq!(window.horizon(at(end)).to_rfc3339(), next, "{unit:?} after {end}");
        }
    }

    #[test]
    fn there_is_a_boundary_before_any_instant() {
        let anchors = [DateTime::MIN, DateTime::constant(2018, 1, 1, 0, 0, 0, 0), DateTime::MAX];
        let instants = [i64::MIN, -377_705_023_201_001, -1, 0, 253_402_207_200_000, i64::MAX];
        for (unit, anchor) in Unit::ALL.into_iter().flat_map(|unit| anchors.map(|anchor| (unit, anchor))) {
            let calendar = Calendar { count: 1, unit, anchor, zone: time_zone("Europe/Madrid").unwrap() };
            for at in instants.map(Timestamp::from_ms) {
                let start = Window::Calendar(calendar.clone()).start(at);
                assert!(start < at || at < Timestamp::from_ms(-377_705_000_000_000), "{unit:?} {anchor} {at:?}");
            }
        }
    }

    #[test]
    fn periods_of_several_units_count_from_the_anchor() {
        let anchor = DateTime::constant(2022, 1, 31, 12, 0, 0, 0);
        let zone = TimeZone::UTC;
        let window = |count, unit| Window::Calendar(Calendar { count, unit, anchor, zone: zone.clone() });
        assert_eq!(window(2, Unit::Week).start(at("2022-03-01T00:00:00Z")), at("2022-02-28T12:00:00Z"));
        assert_eq!(window(1, Unit::Month).start(at("2022-03-01T00:00:00Z")), at("2022-02-28T12:00:00Z"));
        assert_eq!(window(1, Unit::Month).start(at("2021-12-31T12:00:00Z")), at("2021-11-30T12:00:00Z"));
        assert_eq!([window(2, Unit::Week).to_string(), window(1, Unit::Month).to_string()], ["2w", "month"]);
        assert_eq!(window(1, Unit::Quarter).longest(), Duration::from_secs(92 * DAY_SECS + 3600));
    }
}
