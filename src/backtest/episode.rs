//! What became of an alert: one life, from its condition to its end.

use std::time::Duration;

use crate::model::{Labels, Timestamp};

/// One life of one alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Its identity, `alertname` included.
    pub labels: Labels,
    /// As it began to fire, or to be pending if it never fired.
    pub annotations: Labels,
    /// Of the expression, at the same instant, as text.
    pub value: String,
    /// The first slot at which its condition held.
    pub active_at: Timestamp,
    /// The slot at which it began to fire; `None` if it ended before.
    pub fired_at: Option<Timestamp>,
    /// The first slot at which it was over; `None` if it still lived at the end.
    pub ended_at: Option<Timestamp>,
}

impl Episode {
    /// The time in which it fired, up to `end` if it still does.
    pub fn firing(&self, end: Timestamp) -> Option<(Timestamp, Timestamp)> {
        Some((self.fired_at?, self.ended_at.unwrap_or(end)))
    }
}

/// Evaluations that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// The first one: when and why.
    pub first: Option<(Timestamp, String)>,
}

impl Failures {
    pub(super) fn note(&mut self, at: Timestamp, reason: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| (at, reason.to_owned()));
    }
}

/// Stretches of time that do not touch, in order.
pub(super) fn merged(mut stretches: Vec<(Timestamp, Timestamp)>) -> Vec<(Timestamp, Timestamp)> {
    stretches.sort_unstable();
    let mut merged: Vec<(Timestamp, Timestamp)> = Vec::new();
    for (from, to) in stretches {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// How long they are together.
pub(super) fn total(stretches: &[(Timestamp, Timestamp)]) -> Duration {
    stretches.iter().map(|(from, to)| to.since(*from)).sum()
}

/// What two lists of merged stretches have in common.
pub(super) fn common(a: &[(Timestamp, Timestamp)], b: &[(Timestamp, Timestamp)]) -> Duration {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut common = Duration::ZERO;
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        common += x.1.min(y.1).since(x.0.max(y.0));
        if x.1 <= y.1 {
            a.next()
        } else {
            b.next()
        };
    }
    common
}
