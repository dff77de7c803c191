//! When an objective alerts: tiers of burn rate, each over a long and a short window.
//!
//! A tier holds while the burn rate over its long window *and* that over its short window exceed its factor. The long window says
//! that it matters, the short one that it still happens. A burn rate of 1 spends exactly the budget over the objective's window.
//!
//! **Source.** The Site Reliability Workbook, chapter 5: factor = share of the budget × window / long window.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, Timestamp};

use super::guard::Guard;
use super::spec::Objective;

/// Who is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A person, now.
    Page,
    /// Somebody, in working hours.
    Ticket,
}

impl Severity {
    /// Both, the more urgent one first.
    pub const ALL: [Severity; 2] = [Severity::Page, Severity::Ticket];

    /// The value of the label `severity`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Page => "page",
            Severity::Ticket => "ticket",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One condition on the burn rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// Unique in its policy.
    pub name: String,
    /// Which alert it raises.
    pub severity: Severity,
    /// Shows that the burn still goes on.
    pub short: Duration,
    /// Shows that the burn matters.
    pub long: Duration,
    /// Both burn rates must exceed it.
    pub factor: f64,
    /// How the burn rates are compared with the factor.
    pub comparison: Comparison,
    /// How long that must last.
    pub hold: Duration,
    /// What the file of another tool calls the severity.
    pub severity_text: Option<Arc<str>>,
}

/// How a burn rate is compared with a factor. Our own tiers are always [`Comparison::Above`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    #[default]
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
}

impl Comparison {
    fn holds(self, burn_rate: f64, factor: f64) -> bool {
        match self {
            Comparison::Above => burn_rate > factor,
            Comparison::AtLeast => burn_rate >= factor,
            Comparison::Below => burn_rate < factor,
            Comparison::AtMost => burn_rate <= factor,
        }
    }
}

impl Tier {
    /// A tier as our own form has them.
    pub fn new(name: impl Into<String>, severity: Severity, (short, long): (Duration, Duration), factor: f64) -> Self {
        Tier {
            name: name.into(),
            severity,
            short,
            long,
            factor,
            comparison: Comparison::Above,
            hold: Duration::ZERO,
            severity_text: None,
        }
    }

    /// The severity as its file writes it.
    pub fn severity_as_written(&self) -> &str {
        self.severity_text.as_deref().unwrap_or(self.severity.as_str())
    }

    /// Whether the burn rate over a window meets the condition. A window without events does not burn.
    pub fn is_met_by(&self, burn_rate: Option<f64>) -> bool {
        burn_rate.is_some_and(|burn_rate| self.comparison.holds(burn_rate, self.factor))
    }

    /// The error ratio above which the tier holds.
    pub fn threshold_ratio(&self, objective: Objective) -> f64 {
        self.factor * objective.budget_ratio()
    }

    /// How long after its begin an outage in which every event fails is seen by the tier, with steady traffic; `None`: never.
    pub fn detection(&self, objective: Objective) -> Option<Duration> {
        self.is_reachable(objective).then(|| self.long.mul_f64(self.threshold_ratio(objective).max(0.0)) + self.hold)
    }

    /// Whether it could hold at all: even if every event is bad, the burn rate is at most 1 / (1 - objective).
    pub fn is_reachable(&self, objective: Objective) -> bool {
        self.threshold_ratio(objective) < 1.0
    }
}

/// Since when the condition of a tier is met without a break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Since(Option<Timestamp>);

impl Since {
    /// Notes whether the condition is met at `at`, and says whether it has been for as long as `tier` wants.
    pub fn step(&mut self, tier: &Tier, is_met: bool, at: Timestamp) -> bool {
        self.0 = is_met.then(|| self.0.unwrap_or(at));
        self.0.is_some_and(|since| at.since(since) >= tier.hold)
    }
}

/// What one severity's alerts carry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertTexts {
    /// Added to the alert's labels, so part of its identity.
    pub labels: Labels,
    /// Added to the alert's annotations; they win over ours.
    pub annotations: Labels,
}

/// The alerts of one objective.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// The fastest first: the first that holds is the one that is named. Those of a disabled severity are not among them.
    pub tiers: Vec<Tier>,
    /// What pages carry.
    pub page: AlertTexts,
    /// What tickets carry.
    pub ticket: AlertTexts,
    /// Whether it alerts when nobody measures the objective.
    pub not_measured: NotMeasured,
    /// Whether a ticket tells of windows that we saw in part only, for reasons of our own. Not for files of other tools, which have no such alert.
    pub tells_partly_measured: bool,
    /// What a tier's long window must have seen before it alerts; `None`: its condition alone counts.
    pub guard: Option<Guard>,
    /// Alerts on what is left of the budget, the most urgent first.
    pub budget: Vec<BudgetCondition>,
}

/// A condition on the budget itself, however fast it was spent.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetCondition {
    /// Unique in its policy.
    pub name: String,
    /// Which alert it raises.
    pub severity: Severity,
    /// When it holds.
    pub when: BudgetWhen,
}

/// When a [`BudgetCondition`] holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BudgetWhen {
    /// At least this share of the budget is spent.
    Spent(f64),
    /// Less than this share of it is left.
    RemainingBelow(f64),
    /// By the forecast it is gone within this time, or is gone already.
    ExhaustedWithin(Duration),
}

/// What to do when no target of an objective is scraped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotMeasured {
    /// Raise an alert.
    #[default]
    Alert,
    /// Show it in the state alone: groups come and go, say, as pods do.
    StateOnly,
}

impl Policy {
    /// What alerts of `severity` carry.
    pub fn texts(&self, severity: Severity) -> &AlertTexts {
        match severity {
            Severity::Page => &self.page,
            Severity::Ticket => &self.ticket,
        }
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The default tiers: name, severity, short and long window in seconds, share of the budget spent when it fires. Over 30 days
/// the factors are 14.4, 6, 3 and 1.
const DEFAULT_TIERS: [(&str, Severity, u64, u64, f64); 4] = [
    ("page-fast", Severity::Page, 5 * MINUTE, HOUR, 0.02),
    ("page-slow", Severity::Page, 30 * MINUTE, 6 * HOUR, 0.05),
    ("ticket-fast", Severity::Ticket, 2 * HOUR, DAY, 0.10),
    ("ticket-slow", Severity::Ticket, 6 * HOUR, 3 * DAY, 0.10),
];

/// The default tiers for a budget of `window`. Those whose long window is longer than that are not among them; whether the others
/// can be reached at an objective is for the caller to ask.
pub fn default_tiers(window: Duration) -> Vec<Tier> {
    DEFAULT_TIERS
        .iter()
        .filter(|(_, _, _, long_secs, _)| Duration::from_secs(*long_secs) <= window)
        .map(|&(name, severity, short_secs, long_secs, share_ratio)| {
            let factor = share_ratio * window.as_secs_f64() / long_secs as f64;
            // 14.4 and not 14.400000000000002: people read and compare it
            let factor = (factor * 1e9).round() / 1e9;
            Tier::new(name, severity, (Duration::from_secs(short_secs), Duration::from_secs(long_secs)), factor)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(days: u64) -> Vec<f64> {
        default_tiers(Duration::from_secs(days * DAY)).iter().map(|tier| tier.factor).collect()
    }

    #[test]
    fn factors_scale_with_the_window() {
        assert_eq!(factors(30), [14.4, 6.0, 3.0, 1.0]);
        assert_eq!(factors(28), [13.44, 5.6, 2.8, 0.933_333_333]);
        assert_eq!(factors(90), [43.2, 18.0, 9.0, 3.0]);
        assert_eq!(factors(1), [0.48, 0.2, 0.1], "three days do not fit into one");
    }

    #[test]
    fn a_factor_above_the_ceiling_can_never_hold() {
        let tier = &default_tiers(Duration::from_secs(30 * DAY))[0];
        assert!(tier.is_reachable(Objective::from_percent(93.1).unwrap()));
        assert!(!tier.is_reachable(Objective::from_percent(93.0).unwrap()));
    }
}
