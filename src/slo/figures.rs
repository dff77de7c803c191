//! From counters to what people ask: error ratio, burn rate, what is left of the budget, and the state.
//!
//! In the flow: [`super::SloGroup`] makes one [`Figures`] per group and slot; alerts, recorded series and the page read it.
//! **Cost.** Two binary searches per window, whatever its length.
//! **Source.** error_ratio = bad / total; burn = error_ratio / (1 - objective); budget remaining = 1 - burn over the whole window.

use std::fmt;
use std::time::Duration;

use crate::model::{Labels, Timestamp};

use super::accounting::Accounting;
use super::curve::Counts;
use super::fold::SCRAPE_COVERS_MS;
use super::latency::MissingBucket;
use super::policy::Since;
use super::spec::Slo;
use super::window::Window;

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
    /// Events, good and bad; where the objective is a share of time, slices.
    pub counts: Counts,
    /// bad / total, `None` without events.
    pub error_ratio: Option<f64>,
    /// How many times faster than sustainable the budget is spent, `None` without events.
    pub burn_rate: Option<f64>,
    /// The share of the window in which the total was being measured.
    pub coverage_ratio: f64,
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
    /// Every window of a tier and [`BURN_WINDOWS_SECS`]; increasing, none twice.
    pub windows: Vec<WindowFigures>,
    /// The objective's own window. That of a calendar is as long as it is by now.
    pub whole: WindowFigures,
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
        let of = |start: Timestamp| window_figures(slo, accounting, group, (start, at));
        let whole = of(slo.window.start(at));
        let mut figures = Figures {
            at,
            budget_remaining_ratio: whole.burn_rate.map(|burn_rate| 1.0 - burn_rate),
            last_measured: accounting.last_measured(group),
            last_failed: accounting.last_failed(group),
            is_measured: accounting.is_measured(group),
            missing_bucket: accounting.missing_bucket(group, at),
            holding: Vec::new(),
            state: State::Met,
            windows: windows(slo).into_iter().map(|window| of(at - window)).collect(),
            whole,
        };
        figures.holding = slo
            .policy
            .tiers
            .iter()
            .map(|tier| [tier.long, tier.short].into_iter().all(|window| tier.is_met_by(figures.burn_rate(window))))
            .collect();
        figures.state = figures.judge();
        figures
    }

    /// Leaves only those tiers among the holding ones that have held for as long as they must. `since` has an entry for each tier.
    pub(super) fn hold(&mut self, slo: &Slo, since: &mut [Since]) {
        for ((holds, tier), since) in self.holding.iter_mut().zip(&slo.policy.tiers).zip(since) {
            *holds = since.step(tier, *holds, self.at);
        }
        self.state = self.judge();
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

    /// The figures over `window`, if it is one of those computed.
    pub fn window(&self, window: Duration) -> Option<&WindowFigures> {
        let known = self.windows.binary_search_by_key(&window, |figures| figures.window);
        known.ok().map(|index| &self.windows[index]).or_else(|| (self.whole.window == window).then_some(&self.whole))
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
        Duration::try_from_secs_f64(self.whole.window.as_secs_f64() * remaining / burn_rate).ok()
    }
}

/// The windows that an objective looks back over besides its own, increasing.
pub(super) fn windows(slo: &Slo) -> Vec<Duration> {
    let own = slo.window.nominal();
    let fixed = BURN_WINDOWS_SECS.iter().map(|secs| Duration::from_secs(*secs)).filter(|window| *window < own);
    let of_tiers = slo.policy.tiers.iter().flat_map(|tier| [tier.short, tier.long]);
    let is_own = |window: &Duration| slo.window == Window::Rolling(*window);
    let mut windows: Vec<Duration> = fixed.chain(of_tiers).filter(|window| !is_own(window)).collect();
    windows.sort();
    windows.dedup();
    windows
}

fn window_figures(
    slo: &Slo,
    accounting: &Accounting,
    group: &Labels,
    (start, end): (Timestamp, Timestamp),
) -> WindowFigures {
    let counts = accounting.counts(group, start, end);
    let error_ratio = counts.error_ratio();
    WindowFigures {
        window: end.since(start),
        counts,
        error_ratio,
        burn_rate: error_ratio.map(|ratio| ratio / slo.objective.budget_ratio()),
        coverage_ratio: accounting.coverage_ratio(group, start, end),
    }
}
