//! Times that do not count: maintenance, a broken probe, an outage of somebody else's.
//!
//! In the flow: files hold [`Exclusion`]s; [`super::view`] leaves their time out of every window of the objectives that they are for. They work
//! backwards: an exclusion added today changes the budget of last week. What it changes is shown, since the figures without it are kept beside.
//!
//! **Invariants.** The spans of an [`Excluded`] are disjoint and increase. A span `(start, end]` leaves out what happened after its start, its
//! end included, as windows count.
//! **Limits.** [`SPANS_MAX`] spans in a window; later ones are not looked at.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::{Labels, Timestamp};

use super::recurrence::Recurrence;
use super::spec::Slo;

/// More spans than this in one window are a mistake in a rule: every hour of 90 days is 2,160.
const SPANS_MAX: usize = 4_000;

/// A time, or times that recur, that do not count for some objectives.
#[derive(Clone, Debug, PartialEq)]
pub struct Exclusion {
    /// Why, for people.
    pub reason: Arc<str>,
    /// Who answers for it.
    pub author: Arc<str>,
    /// When.
    pub when: When,
    /// The names of the objectives that it is for; empty: all of them.
    pub slos: Vec<Arc<str>>,
    /// Labels that the objective or its group must have.
    pub scope: Labels,
}

/// When an exclusion holds.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Once.
    Span {
        /// What happened after this instant…
        start: Timestamp,
        /// … up to and including this one.
        end: Timestamp,
    },
    /// Again and again, at the same local time.
    Recurring {
        /// The first time.
        first: DateTime,
        /// Where the time is local.
        zone: TimeZone,
        /// How long each time lasts.
        duration: Duration,
        /// On which days.
        rule: Recurrence,
    },
}

impl Exclusion {
    /// Whether it is for this group of this objective.
    pub fn is_for(&self, slo: &Slo, group: &Labels) -> bool {
        let is_named = self.slos.is_empty() || self.slos.contains(&slo.name);
        let has = |name: &str, value: &str| group.get(name).or_else(|| slo.labels.get(name)) == Some(value);
        is_named && self.scope.iter().all(|label| has(&label.name, &label.value))
    }

    /// When it holds within `from..to`, and a little beside.
    pub fn spans(&self, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        match &self.when {
            When::Span { start, end } => vec![(*start, *end)],
            When::Recurring { first, zone, duration, rule } => {
                let local = |at: Timestamp| {
                    let instant = jiff::Timestamp::from_millisecond(at.as_ms()).unwrap_or(jiff::Timestamp::MIN);
                    instant.to_zoned(zone.clone()).date()
                };
                let (from, to) = (local(from - *duration), local(to));
                let starts = rule.days(*first, from, to).into_iter().filter_map(|day| {
                    let start = zone.to_ambiguous_timestamp(day.to_datetime(first.time())).compatible().ok()?;
                    Some(Timestamp::from_ms(start.as_millisecond()))
                });
                starts.map(|start| (start, start + *duration)).collect()
            }
        }
    }
}

/// The time that does not count for one group of an objective.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Excluded {
    spans: Vec<(Timestamp, Timestamp)>,
}

impl Excluded {
    /// What `exclusions` leave out of `from..to`.
    pub fn of<'a>(exclusions: impl Iterator<Item = &'a Exclusion>, from: Timestamp, to: Timestamp) -> Self {
        let all = exclusions.flat_map(|exclusion| exclusion.spans(from, to));
        Excluded::joined(all.filter(|(start, end)| *end > from && *start < to).take(SPANS_MAX).collect())
    }

    /// What either leaves out.
    pub fn union(&self, other: &Excluded) -> Self {
        if other.spans.is_empty() {
            return self.clone();
        }
        Excluded::joined(self.spans.iter().chain(&other.spans).copied().collect())
    }

    fn joined(mut spans: Vec<(Timestamp, Timestamp)>) -> Self {
        spans.sort();
        let mut joined: Vec<(Timestamp, Timestamp)> = Vec::with_capacity(spans.len());
        for (start, end) in spans {
            match joined.last_mut() {
                Some((_, last_end)) if *last_end >= start => *last_end = (*last_end).max(end),
                _ => joined.push((start, end)),
            }
        }
        Excluded { spans: joined }
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// What is left out, in order.
    pub fn spans(&self) -> &[(Timestamp, Timestamp)] {
        &self.spans
    }

    /// Whether `at` is in a time that does not count.
    pub fn holds(&self, at: Timestamp) -> bool {
        let past = self.spans.partition_point(|(start, _)| *start < at);
        past.checked_sub(1).is_some_and(|index| at <= self.spans[index].1)
    }

    /// What is left of `(start, end]`, in order.
    pub fn kept(&self, start: Timestamp, end: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let first = self.spans.partition_point(|(_, span_end)| *span_end <= start);
        let mut spans = self.spans[first..].iter().take_while(move |(span_start, _)| *span_start < end);
        let mut from = Some(start);
        std::iter::from_fn(move || {
            loop {
                let begin = from?;
                let (stop, next) = match spans.next() {
                    Some((span_start, span_end)) => (*span_start, Some(*span_end).filter(|next| *next < end)),
                    None => (end, None),
                };
                from = next;
                if begin < stop {
                    return Some((begin, stop));
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_ms(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn what_is_kept_is_the_rest() {
        let ms = Timestamp::from_ms;
        let excluded = Excluded::joined(vec![(ms(50), ms(60)), (ms(10), ms(20)), (ms(15), ms(30))]);
        let kept =
            |start, end| excluded.kept(ms(start), ms(end)).map(|(a, b)| (a.as_ms(), b.as_ms())).collect::<Vec<_>>();
        assert_eq!(kept(0, 100), [(0, 10), (30, 50), (60, 100)]);
        assert_eq!(kept(12, 55), [(30, 50)]);
        assert_eq!(kept(10, 30), []);
        assert_eq!(kept(30, 50), [(30, 50)]);
        assert_eq!(kept(55, 58), []);
        assert_eq!([10, 11, 30, 31].map(|at| excluded.holds(ms(at))), [false, true, true, false]);
        assert_eq!(Excluded::default().kept(ms(1), ms(2)).count(), 1);
    }

    #[test]
    fn a_recurring_time_is_local() {
        let exclusion = Exclusion {
            reason: "".into(),
            author: "".into(),
            when: When::Recurring {
                first: "2026-01-04T02:30:00".parse().unwrap(),
                zone: super::super::window::time_zone("Europe/Madrid").unwrap(),
                duration: Duration::from_secs(3600),
                rule: Recurrence::parse("FREQ=WEEKLY").unwrap(),
            },
            slos: Vec::new(),
            scope: Labels::empty(),
        };
        let excluded = Excluded::of([&exclusion].into_iter(), at("2026-03-20T00:00:00Z"), at("2026-04-06T00:00:00Z"));
        let starts: Vec<String> = excluded.spans().iter().map(|(start, _)| start.to_rfc3339()).collect();
        // On March 29 the clock jumps over 02:30: half past three in summer time.
        assert_eq!(starts, ["2026-03-22T01:30:00Z", "2026-03-29T01:30:00Z", "2026-04-05T00:30:00Z"]);
    }
}
