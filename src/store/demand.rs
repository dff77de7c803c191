//! What reads which series, and how far back: the reason for keeping samples.
//!
//! In the flow: a driver gathers a [`Demand`] of each selector of each rule and objective, lets [`Demands`] remember those that have
//! vanished for a while, and hands all to [`Store::demand`](super::Store::demand), which keeps each series as long as somebody needs it.
//!
//! **Invariants.** A new demand counts at once. One that has vanished counts for [`GRACE`] more, so that a bad configuration never
//! deletes what the last good one needed. **No clock.**
//! **Limits.** [`LINGERING_MAX`] demands that have vanished; the oldest are forgotten first.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, METRIC_NAME, MatchOp, Matcher, Timestamp};

/// How long a demand counts after it has vanished.
pub const GRACE: Duration = Duration::from_secs(7 * 86_400);

/// Demands that have vanished and are remembered. A configuration of 10,000 rules that changes all of them has about 20,000 once.
pub const LINGERING_MAX: usize = 100_000;

/// How much a series matters when memory is short, least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Rank {
    /// Nothing reads it.
    #[default]
    Unread,
    /// A rule reads it.
    Rule,
    /// A service level objective reads it.
    Slo,
}

impl Rank {
    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Rank::Unread => "unread",
            Rank::Rule => "rule",
            Rank::Slo => "slo",
        }
    }
}

/// How far back is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Reach {
    /// From the instant of evaluation.
    pub window: Duration,
    /// From here on, whatever the instant of evaluation (`@`).
    pub since: Option<Timestamp>,
}

impl Reach {
    /// The further of both.
    pub fn join(self, other: Reach) -> Reach {
        let since = match (self.since, other.since) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Reach { window: self.window.max(other.window), since }
    }

    /// The oldest instant that is read at `now`.
    pub fn floor(self, now: Timestamp) -> Timestamp {
        let floor = now - self.window;
        self.since.map_or(floor, |since| floor.min(since))
    }
}

/// One reader of the series that pass all matchers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Demand {
    /// Which series.
    pub matchers: Vec<Matcher>,
    /// How far back.
    pub reach: Reach,
    /// For what.
    pub rank: Rank,
    /// Who, in words for people: `rule http/HighErrorRate`.
    pub reader: Arc<str>,
}

impl Demand {
    /// Whether it reads the series with these labels.
    pub fn reads(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }

    /// What makes two demands the same.
    fn key(&self) -> (&str, Vec<(&str, MatchOp, &str)>, Reach, Rank) {
        let matchers = self.matchers.iter().map(|matcher| (&*matcher.name, matcher.op, &*matcher.value));
        (&self.reader, matchers.collect(), self.reach, self.rank)
    }
}

/// A demand, and until when it counts if it has vanished.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// What is read.
    pub demand: Demand,
    /// `None` while it is part of the configuration.
    pub until: Option<Timestamp>,
}

/// The demands of the configuration in force, and those that have vanished not long ago.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Demands {
    standing: Vec<Standing>,
}

impl Demands {
    /// What was remembered by an earlier process.
    pub fn restored(standing: Vec<Standing>) -> Self {
        Demands { standing }
    }

    /// All that count, those of the configuration first.
    pub fn standing(&self) -> &[Standing] {
        &self.standing
    }

    /// Takes the demands of a new configuration; those that it no longer has count until `now` and [`GRACE`].
    pub fn replace(&mut self, demands: Vec<Demand>, now: Timestamp) {
        let kept: HashSet<_> = demands.iter().map(Demand::key).collect();
        let gone = std::mem::take(&mut self.standing).into_iter().filter(|old| !kept.contains(&old.demand.key()));
        let mut lingering: Vec<Standing> =
            gone.map(|old| Standing { until: old.until.or(Some(now + GRACE)), ..old }).collect();
        drop(kept);
        lingering.sort_by_key(|standing| std::cmp::Reverse(standing.until));
        lingering.truncate(LINGERING_MAX);
        self.standing = demands.into_iter().map(|demand| Standing { demand, until: None }).collect();
        self.standing.extend(lingering);
        self.forget(now);
    }

    /// Forgets what has vanished long enough ago. Whether anything was.
    pub fn forget(&mut self, now: Timestamp) -> bool {
        let before = self.standing.len();
        self.standing.retain(|standing| standing.until.is_none_or(|until| until > now));
        self.standing.len() < before
    }
}

/// What the sum of all demands says about a series.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Keep {
    pub(super) rank: Rank,
    pub(super) reach: Reach,
}

impl Keep {
    fn join(&mut self, demand: &Demand) {
        self.rank = self.rank.max(demand.rank);
        self.reach = self.reach.join(demand.reach);
    }
}

/// Demands by the metric name that they ask for.
#[derive(Default)]
pub(super) struct DemandIndex {
    demands: Vec<Demand>,
    by_name: HashMap<Arc<str>, Vec<usize>>,
    /// Those that no single name satisfies.
    others: Vec<usize>,
    /// Counts changes.
    pub(super) version: u64,
}

impl DemandIndex {
    pub(super) fn new(demands: Vec<Demand>, version: u64) -> Self {
        let mut index = DemandIndex { demands, version, ..DemandIndex::default() };
        for (number, demand) in index.demands.iter().enumerate() {
            let name = demand.matchers.iter().find(|m| &*m.name == METRIC_NAME && m.op == MatchOp::Equal);
            match name {
                Some(name) => index.by_name.entry(name.value.clone()).or_default().push(number),
                None => index.others.push(number),
            }
        }
        index
    }

    /// What all demands together say about the series with these labels.
    pub(super) fn keep(&self, labels: &Labels) -> Keep {
        let mut keep = Keep::default();
        self.readers(labels).for_each(|demand| keep.join(demand));
        keep
    }

    /// The demands that read the series with these labels.
    pub(super) fn readers(&self, labels: &Labels) -> impl Iterator<Item = &Demand> {
        let name = labels.get(METRIC_NAME).unwrap_or("");
        let of_name = self.by_name.get(name).into_iter().flatten();
        of_name.chain(&self.others).map(|number| &self.demands[*number]).filter(|demand| demand.reads(labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(name: &str, hours: u64, rank: Rank) -> Demand {
        let reach = Reach { window: Duration::from_secs(hours * 3600), since: None };
        Demand { matchers: vec![Matcher::equal(METRIC_NAME, name)], reach, rank, reader: format!("rule {name}").into() }
    }

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_ms(hours * 3_600_000)
    }

    #[test]
    fn what_vanished_counts_for_a_week_and_comes_back_at_once() {
        let (a, b) = (demand("a", 720, Rank::Slo), demand("b", 1, Rank::Rule));
        let mut demands = Demands::default();
        let names = |demands: &Demands| {
            let name = |standing: &Standing| {
                (standing.demand.reader.to_string(), standing.until.map(|at| at.as_ms() / 3_600_000))
            };
            demands.standing().iter().map(name).collect::<Vec<_>>()
        };
        demands.replace(vec![a.clone(), b.clone()], at(0));
        assert_eq!(names(&demands), [("rule a".to_owned(), None), ("rule b".to_owned(), None)]);
        demands.replace(vec![b.clone()], at(10));
        assert_eq!(names(&demands), [("rule b".to_owned(), None), ("rule a".to_owned(), Some(178))]);
        // Another bad configuration does not prolong it, nor does a restart shorten it.
        demands = Demands::restored(demands.standing().to_vec());
        demands.replace(vec![], at(20));
        assert_eq!(names(&demands), [("rule b".to_owned(), Some(188)), ("rule a".to_owned(), Some(178))]);
        demands.replace(vec![a], at(30));
        assert_eq!(names(&demands), [("rule a".to_owned(), None), ("rule b".to_owned(), Some(188))]);
        assert!(!demands.forget(at(187)) && demands.forget(at(188)));
        assert_eq!(names(&demands), [("rule a".to_owned(), None)]);
    }

    #[test]
    fn a_series_is_kept_for_its_furthest_reader() {
        let nameless = Demand {
            matchers: vec![Matcher::new(MatchOp::Regex, "job", "x.*").unwrap()],
            reach: Reach { window: Duration::ZERO, since: Some(at(5)) },
            rank: Rank::Rule,
            reader: "rule any".into(),
        };
        let index = DemandIndex::new(vec![demand("a", 1, Rank::Rule), demand("a", 9, Rank::Slo), nameless], 1);
        let keep = |pairs: &[(&str, &str)]| index.keep(&Labels::from_pairs(pairs.iter().copied()));
        assert_eq!(keep(&[("__name__", "b")]), Keep::default());
        let a = keep(&[("__name__", "a")]);
        assert_eq!((a.rank, a.reach.floor(at(20))), (Rank::Slo, at(11)));
        let both = keep(&[("__name__", "a"), ("job", "xy")]);
        assert_eq!((both.rank, both.reach.floor(at(20)), both.reach.floor(at(10))), (Rank::Slo, at(5), at(1)));
        assert_eq!(keep(&[("job", "x")]).rank, Rank::Rule);
    }
}
