//! From counters to what people ask: error ratio, burn rate, what is left of the budget, and the state.
//!
//! In the flow: [`super::SloGroup`] makes one [`Figures`] per group and slot; alerts, recorded series and the page read it.
//! **Cost.** Two binary searches per window, whatever its length.
//! **Source.** error_ratio = bad / total; burn = error_ratio / (1 - objective); budget remaining = 1 - burn over the whole window.

use std::fmt;
use std::time::Duration;

use crate::model::Timestamp;

use super::curve::Counts;
use super::fold::SCRAPE_COVERS_MS;
use super::forecast::Forecast;
use super::guard::{Guard, Verdict};
use super::latency::MissingBucket;
use super::policy::{BudgetCondition, BudgetWhen, Since, Tier};
use super::spec::Slo;
use super::view::View;
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
    /// Events, good and bad; where the objective is a share of time, slices; of queries what they gave, of a ratio as of one event.
    pub counts: Counts,
    /// bad / total, `None` without events.
    pub error_ratio: Option<f64>,
    /// How many times faster than sustainable the budget is spent, `None` without events.
    pub burn_rate: Option<f64>,
    /// The share of the window in which the total was being measured; `None` of queries, which do not tell.
    pub coverage_ratio: Option<f64>,
    /// Whether a query gave nothing for it, so that nothing is known of it.
    pub is_blind: bool,
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
    /// The total was never there, or no target of it is scraped now (the query gives nothing); what was measured is no breach.
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
    /// The last successful scrape of a target; of queries, the last slot at which that of the shortest window gave something.
    pub last_measured: Option<Timestamp>,
    /// The last failed scrape of a target.
    pub last_failed: Option<Timestamp>,
    /// Whether the total was ever there.
    pub is_measured: bool,
    /// Of a latency: the bucket that was missing within the last five minutes. Events were not counted for it.
    pub missing_bucket: Option<MissingBucket>,
    /// Since when all targets are down: the last success before.
    pub outage_since: Option<Timestamp>,
    /// Which tiers hold, by their place in the policy: their condition has been met for as long as they want, and the guard has seen enough.
    pub holding: Vec<bool>,
    /// What the guard says of tiers whose condition is met, by their place.
    pub verdicts: Vec<Option<Verdict>>,
    /// Which conditions on the budget hold, by their place in the policy.
    pub budget_holding: Vec<bool>,
    /// The objective's own window with the time that is excluded; `None` where nothing is.
    pub with_excluded: Option<WindowFigures>,
    /// Whether this instant is excluded.
    pub is_excluded: bool,
    /// When the budget will be gone, as of some minutes ago at most; `None` where that cannot be told.
    pub forecast: Option<Forecast>,
    /// How the objective stands.
    pub state: State,
}

impl Figures {
    /// Computes the figures of `view` at `at`. `forecast` is one made before, if any.
    pub fn compute(view: &View<'_>, at: Timestamp, forecast: Option<Forecast>) -> Figures {
        let slo = view.slo;
        let of = |start: Timestamp| window_figures(view, (start, at));
        let start = slo.window.start(at);
        let whole = of(start);
        let with_excluded = view.has_exclusions().then(|| {
            let counts = view.counts_with_excluded(start, at);
            WindowFigures { coverage_ratio: whole.coverage_ratio, ..figures_of(slo, counts, at.since(start)) }
        });
        let mut figures = Figures {
            at,
            budget_remaining_ratio: whole.burn_rate.map(|burn_rate| 1.0 - burn_rate),
            last_measured: view.last_measured(at),
            last_failed: view.last_failed(at),
            is_measured: view.is_measured(at),
            missing_bucket: view.missing_bucket(at),
            outage_since: view.outage_since(at),
            holding: Vec::new(),
            verdicts: Vec::new(),
            budget_holding: Vec::new(),
            state: State::Met,
            windows: windows(slo).into_iter().map(|window| of(at - window)).collect(),
            with_excluded,
            is_excluded: view.excluded().holds(at),
            forecast,
            whole,
        };
        figures.holding = slo
            .policy
            .tiers
            .iter()
            .map(|tier| [tier.long, tier.short].into_iter().all(|window| tier.is_met_by(figures.burn_rate(window))))
            .collect();
        figures.verdicts = figures
            .holding
            .iter()
            .zip(&slo.policy.tiers)
            .map(|(is_met, tier)| {
                let guard = slo.policy.guard.filter(|_| *is_met)?;
                Some(guard.judge(figures.window(tier.long)?.counts, tier.threshold_ratio(slo.objective)))
            })
            .collect();
        figures.budget_holding = slo.policy.budget.iter().map(|condition| figures.meets(slo, condition)).collect();
        figures.state = figures.judge();
        figures
    }

    fn meets(&self, slo: &Slo, condition: &BudgetCondition) -> bool {
        let Some(remaining) = self.budget_remaining_ratio else { return false };
        let is_enough = slo.policy.guard.is_none_or(|guard| self.whole.counts.bad >= guard.bad_events_min);
        let is_met = match condition.when {
            BudgetWhen::Spent(share) => 1.0 - remaining >= share,
            BudgetWhen::RemainingBelow(share) => remaining < share,
            BudgetWhen::ExhaustedWithin(within) => {
                self.forecast.is_some_and(|forecast| forecast.expected.is_by(self.at + within))
            }
        };
        is_met && is_enough
    }

    /// Leaves only those tiers among the holding ones that have held for as long as they must, and that the guard lets through. `since` has an
    /// entry for each tier.
    pub(super) fn hold(&mut self, slo: &Slo, since: &mut [Since]) {
        for (index, (tier, since)) in slo.policy.tiers.iter().zip(since).enumerate() {
            let is_enough = self.verdicts[index].is_none_or(|verdict| verdict == Verdict::Enough);
            self.holding[index] = since.step(tier, self.holding[index] && is_enough, self.at);
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

    /// Whether no scrape succeeded within `window` of the slot, nor within the five minutes that a scrape covers; of queries also whether that over
    /// the window gives nothing.
    pub fn is_blind_for(&self, window: Duration) -> bool {
        let mut figures = self.windows.iter().chain([&self.whole]);
        if figures.find(|figures| figures.window >= window).is_some_and(|figures| figures.is_blind) {
            return true;
        }
        let reach = window.max(SCRAPE_COVERS);
        self.last_measured.is_none_or(|last| self.at.since(last) >= reach)
    }

    /// Whether targets are there but their scrapes fail, as opposed to targets that are gone.
    pub fn is_down(&self) -> bool {
        let is_recent = |failed| self.at.since(failed) < SCRAPE_COVERS;
        self.last_failed > self.last_measured && self.last_failed.is_some_and(is_recent)
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

/// Whether a tier's condition is met at `at`, and the guard has seen enough.
pub(super) fn tier_is_met(view: &View<'_>, tier: &Tier, at: Timestamp) -> bool {
    let budget = view.slo.objective.budget_ratio();
    let of = |window: Duration| view.counts(at - window, at);
    let long = of(tier.long);
    let is_met =
        [long, of(tier.short)].iter().all(|counts| tier.is_met_by(counts.error_ratio().map(|ratio| ratio / budget)));
    let judge = |guard: Guard| guard.judge(long, tier.threshold_ratio(view.slo.objective)) == Verdict::Enough;
    is_met && view.slo.policy.guard.is_none_or(judge)
}

fn window_figures(view: &View<'_>, (start, end): (Timestamp, Timestamp)) -> WindowFigures {
    let (coverage_ratio, is_blind) = (view.coverage_ratio(start, end), view.is_blind(start, end));
    WindowFigures { coverage_ratio, is_blind, ..figures_of(view.slo, view.counts(start, end), end.since(start)) }
}

fn figures_of(slo: &Slo, counts: Counts, window: Duration) -> WindowFigures {
    let error_ratio = counts.error_ratio();
    WindowFigures {
        window,
        counts,
        error_ratio,
        burn_rate: error_ratio.map(|ratio| ratio / slo.objective.budget_ratio()),
        coverage_ratio: None,
        is_blind: false,
    }
}
