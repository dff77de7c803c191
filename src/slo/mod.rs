//! Service level objectives: specs, counters, budgets, burn-rate policies.
//!
//! In the flow: a file becomes [`SloFile`] (`decode`), then a [`SloGroup`], which a driver steps like a rule group: it counts new samples
//! (`feed`, [`Accounting`], `fold`, `curve`), computes [`Figures`], raises alerts, and records series that PromQL can read.
//! Files of Sloth, Pyrra and OpenSLO become the same (`import`). [`backtest()`] replays objectives over a [`Recording`] with the same counting.
//! **No clock, no I/O.**
//!
//! **An objective is three counters per group**: bad events, total events, covered time, each a function `C(t)` of raw samples. A window
//! is `C(t) - C(t - w)`, so that 90 days cost what 5 minutes cost, and nothing is extrapolated or averaged.

mod accounting;
mod alerts;
mod backtest;
mod coverage;
mod curve;
mod decode;
mod decode_alerting;
mod decode_latency;
mod decode_window;
mod feed;
mod figures;
mod fold;
mod group;
mod import;
mod latency;
mod policy;
mod recording;
mod selector;
mod slices;
mod spec;
mod status;
mod texts;
mod window;

#[cfg(test)]
mod tests;

pub use accounting::{Accounting, GROUPS_MAX, MARGIN_MS, Role, Sizes};
pub use alerts::{BURN_ALERT, NEVER_MEASURED, NOT_MEASURED_ALERT};
pub use backtest::{Backtest, Grid, Point, TierRun, backtest};
pub use curve::Counts;
pub use decode::{SloFile, TIERS_MAX, WINDOW_MAX, WINDOW_MIN, parse_file};
pub use feed::{LATE_MS, sources};
pub use figures::{AT_RISK_REMAINING_RATIO, BURN_WINDOWS_SECS, Figures, State, WindowFigures};
pub use fold::{History, SERIES_MAX};
pub use group::SloGroup;
pub use latency::MissingBucket;
pub use policy::{AlertTexts, Comparison, NotMeasured, Policy, Severity, Since, Tier, default_tiers};
pub use recording::{Recording, RecordingError};
pub use spec::{About, Budgeting, Indicator, Objective, PartIs, Selector, Slo, Term, TotalIs};
pub use status::{SloAlert, SloStatus};
pub use window::{Calendar, Unit, Window, time_zone};
