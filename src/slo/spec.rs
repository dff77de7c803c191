//! What a specification says once it has been checked: nothing here can be wrong any more.
//!
//! In the flow: [`super::decode`] makes these from YAML; accounting reads the indicator, the alerts read the policy.
//! **Units.** Objectives are percent as people write them and ratios inside; windows are durations.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, Matcher};

use super::exclusion::Exclusion;
use super::levels::Level;
use super::policy::Policy;
use super::query::Queried;
use super::window::Window;

/// One objective on one indicator.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// Unique in its file; the label `slo` of everything it records.
    pub name: Arc<str>,
    /// What people read about it.
    pub about: About,
    /// Added to everything it records and to its alerts; `service` among them.
    pub labels: Labels,
    /// What is counted.
    pub indicator: Indicator,
    /// One budget for each combination of these labels' values.
    pub group_by: Vec<Arc<str>>,
    /// What tells copies of the counters and targets apart.
    pub copies: Copies,
    /// The share of events that must be good.
    pub objective: Objective,
    /// What the budget is for.
    pub window: Window,
    /// What the objective is a share of.
    pub budgeting: Budgeting,
    /// When to alert, and how.
    pub policy: Policy,
    /// Times that do not count, for it or for others: each says for which.
    pub exclusions: Arc<[Exclusion]>,
    /// What the budget that is left means for changes; the fullest level first. Empty: releases wait while it is overspent.
    pub levels: Vec<Level>,
}

/// What tells copies of the same counters apart, and what targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Copies {
    /// Series that differ in nothing but these labels are one counter, read by several scrapers; its events count once.
    pub replica_labels: Vec<Arc<str>>,
    /// Beside `job` and `instance`, targets differ in these.
    pub target_labels: Vec<Arc<str>>,
}

/// What an objective is a share of. Slices are aligned to the epoch; one counts where it lies in the window as a whole and had events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Budgeting {
    /// Of events.
    #[default]
    Occurrences,
    /// Of slices of time. A slice is good if enough of its events are.
    TimeSlices {
        /// The length of a slice.
        slice: Duration,
        /// The share of a good slice's events that must be good, up to 1.
        target_ratio: f64,
    },
    /// Of slices of time, each as good as the share of its good events: the mean of their ratios.
    RatioTimeSlices {
        /// The length of a slice.
        slice: Duration,
    },
    /// Of slices of time that were measured from end to end, also those without events. A slice is good if it had enough events.
    Throughput {
        /// The length of a slice.
        slice: Duration,
        /// So many events a good slice has at least.
        least: f64,
    },
}

impl Budgeting {
    /// Whether the objective is a share of slices of time.
    pub fn is_of_slices(self) -> bool {
        self != Budgeting::Occurrences
    }
}

/// Texts for people; each may be empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// What the objective is for.
    pub description: String,
    /// Whose it is.
    pub owner: String,
    /// A link to what to do when it burns.
    pub runbook: String,
}

/// What is counted as events, and which of them are bad.
#[derive(Clone, Debug, PartialEq)]
pub enum Indicator {
    /// Each sample of a boolean gauge such as `up` is an event; a value of 0 is a bad one.
    Availability(Selector),
    /// Counters of all events and of some of them.
    Errors {
        /// The counters of some events.
        part: Vec<Term>,
        /// Whether those are the good or the bad ones.
        part_is: PartIs,
        /// The counters of all events.
        total: Vec<Term>,
    },
    /// A classic histogram: an observation is an event, and a good one if it lies in the bucket of the threshold.
    Latency {
        /// All buckets of the histogram, `le` left open.
        buckets: Selector,
        /// The counters of all events.
        total: Selector,
        /// How they are matched with the buckets.
        total_is: TotalIs,
        /// The bound of the bucket of good events.
        threshold_ms: i64,
    },
    /// Each sample of a gauge that holds a Unix time in seconds is an event; one that is too long ago is a bad one.
    Freshness {
        /// The gauge.
        gauge: Selector,
        /// How old it may be.
        age_max_ms: i64,
    },
    /// Counters of events of which there should be enough: with [`Budgeting::Throughput`].
    Throughput(Vec<Term>),
    /// Other objectives of the same file, together.
    Composite {
        /// At least two.
        members: Vec<Member>,
        /// How they are joined.
        joined_by: JoinedBy,
    },
    /// Queries, evaluated once for each window: not event-exact.
    Queried(Queried),
}

/// A part of a composite.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The name of the objective.
    pub slo: Arc<str>,
    /// How much it matters beside the others, above 0.
    pub weight: f64,
}

/// How the error ratios of a composite's members become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinedBy {
    /// Their mean, by weight, over those that had events.
    Weights,
    /// The highest.
    Worst,
}

/// Which series stand for all events of a latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TotalIs {
    /// The histogram's own `_count`: each series belongs to the buckets with the same labels.
    Count,
    /// Other counters: they belong to the buckets of the same target and group.
    Other,
}

impl Indicator {
    /// Whether the objective `name` is a member of this composite.
    pub fn is_made_of(&self, name: &str) -> bool {
        matches!(self, Indicator::Composite { members, .. } if members.iter().any(|member| &*member.slo == name))
    }

    /// Whether it is evaluated as queries: then nothing is counted event by event.
    pub fn is_queried(&self) -> bool {
        matches!(self, Indicator::Queried(_))
    }

    /// Whether neighbouring events are alike: instants rather than requests.
    pub fn is_of_time(&self) -> bool {
        matches!(self, Indicator::Availability(_) | Indicator::Freshness { .. } | Indicator::Throughput(_))
    }

    /// Which events the partial counter counts.
    pub fn part_is(&self) -> PartIs {
        match self {
            Indicator::Availability(_) | Indicator::Freshness { .. } => PartIs::Bad,
            Indicator::Throughput(_) | Indicator::Composite { .. } | Indicator::Queried(_) => PartIs::Bad,
            Indicator::Errors { part_is, .. } => *part_is,
            Indicator::Latency { .. } => PartIs::Good,
        }
    }
}

/// Which events the partial counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartIs {
    /// The bad ones; good is the rest.
    Bad,
    /// The good ones; bad is the rest.
    Good,
}

/// Counters that are added to a count, or taken off it.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Which counters.
    pub selector: Selector,
    /// Whether they are taken off: in "all less the fast ones", the fast ones.
    pub is_subtracted: bool,
}

impl From<Selector> for Term {
    fn from(selector: Selector) -> Self {
        Term { selector, is_subtracted: false }
    }
}

/// Which series. Two selectors of equal meaning but other spelling are two indicators: an edit is taken at its word.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// As written.
    pub text: Arc<str>,
    /// All tests, that on the metric name included.
    pub matchers: Vec<Matcher>,
}

/// The share of events that must be good, above 0 and below 100 percent.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Objective {
    percent: f64,
}

impl Objective {
    /// `None` unless 0 < percent < 100 and something is left for the budget at the precision we keep (1e-9 percent).
    pub fn from_percent(percent: f64) -> Option<Self> {
        let objective = Objective { percent };
        (percent > 0.0 && percent < 100.0 && objective.budget_ratio() > 0.0).then_some(objective)
    }

    /// As written, 99.9.
    pub fn percent(self) -> f64 {
        self.percent
    }

    /// As a share, 0.999.
    pub fn ratio(self) -> f64 {
        1.0 - self.budget_ratio()
    }

    /// The share of events that may be bad. Rounded to 1e-11, so that 99.9 percent leaves 0.001 and not
    /// 0.0010000000000000009: an objective met to the last event must not count as missed.
    pub fn budget_ratio(self) -> f64 {
        ((100.0 - self.percent) * 1e9).round() / 1e11
    }
}

#[cfg(test)]
mod tests {
    use super::Objective;

    #[test]
    fn the_budget_is_the_decimal_that_people_mean() {
        for (percent, budget) in [(99.9, 0.001), (99.99, 0.0001), (99.0, 0.01), (50.0, 0.5), (99.999, 0.00001)] {
            assert_eq!(Objective::from_percent(percent).unwrap().budget_ratio(), budget);
        }
        for percent in [0.0, 100.0, -1.0, 101.0, f64::NAN, 99.999_999_999_9] {
            assert_eq!(Objective::from_percent(percent), None, "{percent}");
        }
    }
}
