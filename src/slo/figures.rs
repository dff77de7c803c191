//! From counters to what people ask: error ratio, burn rate, what is left of the budget, and the state.
//!
//! In the flow: [`super::SloGroup`] makes one [`Figures`] per group and slot; alerts, recorded series and the page read it.
//! **Cost.** Two binary searches per window, whatever its length.
//! **Source.** error_ratio = bad / total; burn = error_ratio / (1 - objective); budget remaining = 1 - burn over the whole window.

use std::fmt;
use std::time::Duration;

use crate::model::{Labels, Timestamp};

use super::accounting::Accounting;
use super::fold::SCRAPE_COVERS_MS;
use super::latency::MissingBucket;
use super::spec::{PartIs, Slo};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The windows of burn rates that are always computed where the objective's window is at least as long, in seconds.
pub const BURN_WINDOWS_SECS: [u64; 7] = [5 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, 24 * HOUR, 72 * HOUR];

/// A successful scrape covers this much time after it.
pub(super) const SCRAPE_COVERS: Duration = Duration::from_millis(SCRAPE_COVERS_MS as u64);

/// An objective with less than this share of its budget left is at risk, even while nothing burns.
pub const AT_RISK_REMAINING_RATIO: f64 = 0.1;

/// One window's events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowFigures {
    /// Its length; it ends at the slot.
    pub window: Duration,
    /// Bad events.
    pub bad: f64,
    /// All events.
    pub total: f64,
    /// bad / total, `None` without events.
    pub error_ratio: Option<f64>,
    /// How many times faster than sustainable the budget is spent, `None` without events.
    pub burn_rate: Option<f64>,
    /// The share of the window in which the total was being measured.
    pub coverage_ratio: f64,
}

impl WindowFigures {
    /// Good events.
    pub fn good(&self) -> f64 {
        self.total - self.bad
    }
}

/// How an objective stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The objective is met, and nothing threatens it.
    Met,
    /// It is met, but a tier holds or little of the budget is left.
    AtRisk,
    /// More bad events were measured in the window than the budget allows.
    Breached,
    /// The total was never there, or no target of it is scraped now; what was measured is no breach.
    NotMeasured,
}

impl State {
    /// All of them, in the order of their series.
    pub const ALL: [State; 4] = [State::Met, State::AtRisk, State::Breached, State::NotMeasured];

    /// The value of the label `state`.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Met => "met",
            State::AtRisk => "at_risk",
            State::Breached => "breached",
            State::NotMeasured => "not_measured",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Everything computed of one group at one slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// The end of every window.
    pub at: Timestamp,
    /// Every window of a tier, [`BURN_WINDOWS_SECS`] and, last, the objective's own; increasing, none twice.
    pub windows: Vec<WindowFigures>,
    /// 1 is untouched, 0 empty, negative overspent; `None` without events.
    pub budget_remaining_ratio: Option<f64>,
    /// The last successful scrape of a target.
    pub last_measured: Option<Timestamp>,
    /// The last failed scrape of a target.
    pub last_failed: Option<Timestamp>,
    /// Whether the total was ever there.
    pub is_measured: bool,
    /// Of a latency: the bucket that was missing within the last five minutes. Events were not counted for it.
    pub missing_bucket: Option<MissingBucket>,
    /// Which tiers hold, by their place in the policy.
    pub holding: Vec<bool>,
    /// How the objective stands.
    pub state: State,
}

impl Figures {
    /// Computes the figures of `group` at `at`.
    pub fn compute(slo: &Slo, accounting: &Accounting, group: &Labels, at: Timestamp) -> Figures {
        let windows: Vec<WindowFigures> =
            windows(slo).into_iter().map(|window| window_figures(slo, accounting, group, at, window)).collect();
        let whole = windows.last().expect("BUG: an objective has at least its own window");
        let mut figures = Figures {
            at,
            budget_remaining_ratio: whole.burn_rate.map(|burn_rate| 1.0 - burn_rate),
            last_measured: accounting.last_measured(group),
            last_failed: accounting.last_failed(group),
            is_measured: accounting.is_measured(group),
            missing_bucket: accounting.missing_bucket(group, at),
            holding: Vec::new(),
            state: State::Met,
            windows,
        };
        figures.holding = slo
            .policy
            .tiers
            .iter()
            .map(|tier| [tier.long, tier.short].into_iter().all(|window| figures.burn_rate(window) > Some(tier.factor)))
            .collect();
        figures.state = figures.judge();
        figures
    }

    fn judge(&self) -> State {
        let remaining = self.budget_remaining_ratio;
        if remaining.is_some_and(|remaining| remaining < 0.0) {
            State::Breached
        } else if !self.is_measured || self.is_blind_for(Duration::ZERO) {
            State::NotMeasured
        } else if self.holding.contains(&true) || remaining.is_some_and(|ratio| ratio < AT_RISK_REMAINING_RATIO) {
            State::AtRisk
        } else {
            State::Met
        }
    }

    /// The figures over the objective's own window.
    pub fn whole(&self) -> &WindowFigures {
        self.windows.last().expect("BUG: an objective has at least its own window")
    }

    /// The figures over `window`, if it is one of those computed.
    pub fn window(&self, window: Duration) -> Option<&WindowFigures> {
        self.windows.binary_search_by_key(&window, |figures| figures.window).ok().map(|index| &self.windows[index])
    }

    /// The burn rate over `window`; `None` without events.
    pub fn burn_rate(&self, window: Duration) -> Option<f64> {
        self.window(window)?.burn_rate
    }

    /// Whether no scrape succeeded within `window` of the slot, nor within the five minutes that a scrape covers.
    pub fn is_blind_for(&self, window: Duration) -> bool {
        let reach = window.max(SCRAPE_COVERS);
        self.last_measured.is_none_or(|last| self.at.since(last) >= reach)
    }

    /// Whether targets are there but their scrapes fail, as opposed to targets that are gone.
    pub fn is_down(&self) -> bool {
        let is_recent = |failed| self.at.since(failed) < SCRAPE_COVERS;
        self.last_failed > self.last_measured && self.last_failed.is_some_and(is_recent)
    }

    /// When the budget is gone if it burns on at `burn_rate` and traffic stays as it was over the window. `None` where it does
    /// not burn or nothing is left.
    pub fn time_left(&self, burn_rate: f64) -> Option<Duration> {
        let remaining = self.budget_remaining_ratio.filter(|remaining| *remaining > 0.0)?;
        Duration::try_from_secs_f64(self.whole().window.as_secs_f64() * remaining / burn_rate).ok()
    }
}

/// The windows of an objective, increasing, its own last.
pub(super) fn windows(slo: &Slo) -> Vec<Duration> {
    let fixed = BURN_WINDOWS_SECS.iter().map(|secs| Duration::from_secs(*secs));
    let of_tiers = slo.policy.tiers.iter().flat_map(|tier| [tier.short, tier.long]);
    let mut windows: Vec<Duration> =
        fixed.chain(of_tiers).filter(|window| *window < slo.window).chain([slo.window]).collect();
    windows.sort();
    windows.dedup();
    windows
}

fn window_figures(
    slo: &Slo,
    accounting: &Accounting,
    group: &Labels,
    at: Timestamp,
    window: Duration,
) -> WindowFigures {
    let (part, total) = accounting.events(group, at, window);
    let bad = match slo.indicator.part_is() {
        PartIs::Good => total - part,
        PartIs::Bad => part,
    };
    // The counters of one scrape need not agree: a target may count an error before its request. A ratio stays a ratio.
    let bad = bad.clamp(0.0, total.max(0.0));
    let error_ratio = (total > 0.0).then(|| bad / total);
    WindowFigures {
        window,
        bad,
        total,
        error_ratio,
        burn_rate: error_ratio.map(|ratio| ratio / slo.objective.budget_ratio()),
        coverage_ratio: accounting.coverage_ratio(group, at, window),
    }
}
