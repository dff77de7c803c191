//! Recurring dates: the part of RFC 5545's RRULE that maintenance windows are written in.
//!
//! In the flow: [`super::exclusion`] asks which days of a range an exclusion falls on.
//!
//! `FREQ` (`DAILY`, `WEEKLY`, `MONTHLY`, `YEARLY`), `INTERVAL`, `BYDAY` (`SU`, and in months `1SU` or `-1FR`), `BYMONTHDAY` (also from the end),
//! `BYMONTH`, `COUNT`, `UNTIL`. Weeks begin on Monday. Anything else is refused with its name.
//! **Why not the `rrule` crate.** It brings `chrono` and a second table of time zones, which may disagree with the one that our windows go by.
//! **Cost.** One test a day of the range; with `COUNT`, of all days since the first.
//! **Source.** RFC 5545, section 3.3.10.

use jiff::civil::{Date, DateTime, Weekday};

/// More occurrences than this are no maintenance window.
const COUNT_MAX: u32 = 10_000;

/// A rule for the days on which something happens again.
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrence {
    freq: Freq,
    interval: i32,
    by_day: Vec<(i8, Weekday)>,
    by_month_day: Vec<i8>,
    by_month: Vec<i8>,
    count: Option<u32>,
    until: Option<DateTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freq {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

impl Recurrence {
    /// Reads `FREQ=WEEKLY;BYDAY=SU`, with or without `RRULE:` before it. What is wrong is said in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut freq = None;
        let mut rule = Recurrence {
            freq: Freq::Daily,
            interval: 1,
            by_day: Vec::new(),
            by_month_day: Vec::new(),
            by_month: Vec::new(),
            count: None,
            until: None,
        };
        for part in text.trim().trim_start_matches("RRULE:").split(';').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is not KEY=VALUE"))?;
            let wrong = || format!("{value:?} is no value of {key}");
            match key {
                "FREQ" => freq = Some(Freq::parse(value).ok_or_else(wrong)?),
                "INTERVAL" => {
                    rule.interval = value.parse().ok().filter(|n| (1..=1000).contains(n)).ok_or_else(wrong)?
                }
                "COUNT" => {
                    rule.count = Some(value.parse().ok().filter(|n| (1..=COUNT_MAX).contains(n)).ok_or_else(wrong)?);
                }
                "UNTIL" => rule.until = Some(until(value).ok_or_else(wrong)?),
                "BYDAY" => rule.by_day = list(value, day).ok_or_else(wrong)?,
                "BYMONTHDAY" => {
                    rule.by_month_day = list(value, |day| number(day, 31)).ok_or_else(wrong)?;
                }
                "BYMONTH" => {
                    rule.by_month = list(value, |month| number(month, 12).filter(|m| *m > 0)).ok_or_else(wrong)?;
                }
                "WKST" if value == "MO" => {}
                _ => {
                    return Err(format!(
                        "{key} is not read; FREQ, INTERVAL, BYDAY, BYMONTHDAY, BYMONTH, COUNT and UNTIL are"
                    ));
                }
            }
        }
        rule.freq = freq.ok_or("FREQ is missing")?;
        let has_ordinal = rule.by_day.iter().any(|(ordinal, _)| *ordinal != 0);
        let takes_ordinal = rule.freq == Freq::Monthly || rule.freq == Freq::Yearly && !rule.by_month.is_empty();
        if has_ordinal && !takes_ordinal {
            return Err("a number in BYDAY, such as 1SU, needs FREQ=MONTHLY, or FREQ=YEARLY with BYMONTH".to_owned());
        }
        if rule.freq == Freq::Weekly && !rule.by_month_day.is_empty() {
            return Err("BYMONTHDAY does not go with FREQ=WEEKLY".to_owned());
        }
        Ok(rule)
    }

    /// The days of `from..=to` on which it happens, where it happens first at `first` (which always counts, as in RFC 5545).
    pub fn days(&self, first: DateTime, from: Date, to: Date) -> Vec<Date> {
        let begin = if self.count.is_some() { first.date() } else { first.date().max(from) };
        let mut seen = 0;
        let mut found = Vec::new();
        let mut day = begin;
        while day <= to {
            let is_ended = self.until.is_some_and(|until| day.to_datetime(first.time()) > until);
            if is_ended || self.count.is_some_and(|count| seen >= count) {
                break;
            }
            if day == first.date() || self.falls_on(first.date(), day) {
                seen += 1;
                if day >= from {
                    found.push(day);
                }
            }
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        found
    }

    fn falls_on(&self, first: Date, day: Date) -> bool {
        let is_in_period = match self.freq {
            Freq::Daily => days_between(first, day) % self.interval == 0,
            Freq::Weekly => {
                let monday = |date: Date| days_between(Date::constant(1970, 1, 5), date).div_euclid(7);
                (monday(day) - monday(first)) % self.interval == 0
            }
            Freq::Monthly => (months(day) - months(first)) % self.interval == 0,
            Freq::Yearly => (i32::from(day.year()) - i32::from(first.year())) % self.interval == 0,
        };
        let months_are_free = self.by_month.is_empty() && self.freq != Freq::Yearly;
        let is_in_month =
            if self.by_month.is_empty() { day.month() == first.month() } else { self.by_month.contains(&day.month()) };
        is_in_period && (months_are_free || is_in_month) && self.is_day(first, day)
    }

    fn is_day(&self, first: Date, day: Date) -> bool {
        let length = day.days_in_month();
        let of_month = self.by_month_day.iter().any(|want| *want == day.day() || *want == day.day() - length - 1);
        let of_week = self.by_day.iter().any(|(ordinal, weekday)| {
            let nth = match ordinal {
                0 => true,
                1.. => (day.day() - 1) / 7 + 1 == *ordinal,
                _ => (length - day.day()) / 7 + 1 == -*ordinal,
            };
            nth && *weekday == day.weekday()
        });
        match (self.by_month_day.is_empty(), self.by_day.is_empty()) {
            (false, false) => of_month && of_week,
            (false, true) => of_month,
            (true, false) => of_week,
            (true, true) => match self.freq {
                Freq::Daily => true,
                Freq::Weekly => day.weekday() == first.weekday(),
                Freq::Monthly | Freq::Yearly => day.day() == first.day(),
            },
        }
    }
}

impl Freq {
    fn parse(word: &str) -> Option<Freq> {
        Some(match word {
            "DAILY" => Freq::Daily,
            "WEEKLY" => Freq::Weekly,
            "MONTHLY" => Freq::Monthly,
            "YEARLY" => Freq::Yearly,
            _ => return None,
        })
    }
}

fn days_between(earlier: Date, later: Date) -> i32 {
    // A span of days alone between two dates of the calendar always exists.
    earlier.until(later).map_or(0, |span| span.get_days())
}

fn months(date: Date) -> i32 {
    12 * i32::from(date.year()) + i32::from(date.month())
}

fn list<T>(text: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',').map(item).collect()
}

fn number(text: &str, most: i8) -> Option<i8> {
    text.parse::<i8>().ok().filter(|number| *number != 0 && number.abs() <= most)
}

/// `SU`, `1SU`, `-1FR`.
fn day(text: &str) -> Option<(i8, Weekday)> {
    let (ordinal, word) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let weekday = match word {
        "MO" => Weekday::Monday,
        "TU" => Weekday::Tuesday,
        "WE" => Weekday::Wednesday,
        "TH" => Weekday::Thursday,
        "FR" => Weekday::Friday,
        "SA" => Weekday::Saturday,
        "SU" => Weekday::Sunday,
        _ => return None,
    };
    let ordinal = if ordinal.is_empty() { 0 } else { number(ordinal, 5)? };
    Some((ordinal, weekday))
}

/// `20261231` or `20261231T235959`, of the exclusion's time zone; a `Z` at the end is taken as that too.
fn until(text: &str) -> Option<DateTime> {
    let text = text.trim_end_matches('Z');
    let (date, time) = text.split_once('T').unwrap_or((text, "235959"));
    DateTime::strptime("%Y%m%dT%H%M%S", format!("{date}T{time}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: &str, first: &str, (from, to): (&str, &str), expected: &[&str]) {
        let first = format!("{first}T02:00:00").parse().unwrap();
        let days = Recurrence::parse(rule).unwrap().days(first, from.parse().unwrap(), to.parse().unwrap());
        assert_eq!(days.iter().map(Date::to_string).collect::<Vec<_>>(), expected, "{rule}");
    }

    #[test]
    fn the_days_are_those_of_the_rule() {
        let june = ("2026-06-01", "2026-06-30");
        check("FREQ=WEEKLY;BYDAY=SU", "2026-01-04", june, &["2026-06-07", "2026-06-14", "2026-06-21", "2026-06-28"]);
        check(
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU",
            "2026-06-01",
            june,
            &["2026-06-01", "2026-06-07", "2026-06-15", "2026-06-21", "2026-06-29"],
        );
        check("RRULE:FREQ=DAILY;INTERVAL=10", "2026-05-31", june, &["2026-06-10", "2026-06-20", "2026-06-30"]);
        check("FREQ=MONTHLY;BYDAY=1SA,-1SA", "2026-01-03", june, &["2026-06-06", "2026-06-27"]);
        check(
            "FREQ=MONTHLY;BYMONTHDAY=31,-1",
            "2026-01-31",
            ("2026-05-01", "2026-06-30"),
            &["2026-05-31", "2026-06-30"],
        );
        check("FREQ=MONTHLY;COUNT=3", "2026-05-15", ("2026-06-01", "2027-06-01"), &["2026-06-15", "2026-07-15"]);
        check("FREQ=DAILY;UNTIL=20260603", "2026-06-01", june, &["2026-06-01", "2026-06-02", "2026-06-03"]);
        check("FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", "2025-11-27", ("2026-01-01", "2026-12-31"), &["2026-11-26"]);
        check("FREQ=YEARLY", "2024-02-29", ("2025-01-01", "2028-12-31"), &["2028-02-29"]);
        check("FREQ=DAILY", "2026-06-29", june, &["2026-06-29", "2026-06-30"]);
    }

    #[test]
    fn what_is_not_read_is_said() {
        for (rule, error) in [
            ("BYDAY=SU", "FREQ is missing"),
            ("FREQ=HOURLY", "\"HOURLY\" is no value of FREQ"),
            (
                "FREQ=DAILY;BYSETPOS=1",
                "BYSETPOS is not read; FREQ, INTERVAL, BYDAY, BYMONTHDAY, BYMONTH, COUNT and UNTIL are",
            ),
            (
                "FREQ=WEEKLY;BYDAY=1SU",
                "a number in BYDAY, such as 1SU, needs FREQ=MONTHLY, or FREQ=YEARLY with BYMONTH",
            ),
            ("FREQ=WEEKLY;BYDAY=XX", "\"XX\" is no value of BYDAY"),
            ("FREQ=DAILY;INTERVAL=0", "\"0\" is no value of INTERVAL"),
            ("weekly", "\"weekly\" is not KEY=VALUE"),
            ("FREQ=DAILY;BYDAY=é", "\"é\" is no value of BYDAY"),
        ] {
            assert_eq!(Recurrence::parse(rule), Err(error.to_owned()));
        }
    }
}
