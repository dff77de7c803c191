//! How the budget of the present window went: for charts on the page and in dashboards.
//!
//! In the flow: [`super::SloGroup`] makes it with the forecast, every few minutes.
//!
//! **Invariants.** A point at `t` tells what the events up to `t` have spent of the budget that the whole window's traffic gives, so that the line
//! starts at 1 and ends at what is left now. (What a rolling window would have shown at `t` is another figure: it would need events that
//! have left since.) Of a composite a point tells what its window would show if it ended there.
//! Of queries there is none: the events up to `t` would take a query for each `t`.

use crate::model::Timestamp;

use super::view::View;

/// How many points a chart has.
const POINTS: i64 = 120;

/// A point of the chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrendPoint {
    /// When.
    pub at: Timestamp,
    /// What was left of the budget; `None` without events in the window.
    pub remaining: Option<f64>,
    /// The burn rate since the point before; `None` without events then.
    pub burn_rate: Option<f64>,
}

/// The points of the window that ends at `at`.
pub(super) fn trend(view: &View<'_>, at: Timestamp) -> Vec<TrendPoint> {
    if view.is_asked() {
        return Vec::new();
    }
    let start = view.slo.window.start(at);
    let budget = view.slo.objective.budget_ratio();
    let total = view.counts(start, at).total;
    let length_ms = at.ms_since(start);
    let mut before = start;
    let point = |index: i64| {
        let to = start.plus_ms(length_ms / POINTS * index).max(before);
        let to = if index == POINTS { at } else { to };
        let remaining = (total > 0.0).then(|| 1.0 - view.counts(start, to).bad / total / budget);
        let burn_rate = view.counts(before, to).error_ratio().map(|ratio| ratio / budget);
        before = to;
        TrendPoint { at: to, remaining, burn_rate }
    };
    (0..=POINTS).map(point).collect()
}
