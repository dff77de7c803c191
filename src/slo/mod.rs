//! Service level objectives: specs, counters, budgets, burn-rate policies.
//!
//! In the flow: a file becomes [`SloFile`] (`decode`), then a [`SloGroup`], which a driver steps like a rule group: it counts new samples
//! (`feed`, [`Accounting`], `fold`, `curve`), computes [`Figures`], raises alerts, and records series that PromQL can read.
//! Files of Sloth, Pyrra and OpenSLO become the same (`import`). [`backtest()`] replays objectives over a [`Recording`] with the same counting.
//! **No clock, no I/O.**
//!
//! **An objective is three counters per group**: bad events, total events, covered time, each a function `C(t)` of raw samples. A window
//! is `C(t) - C(t - w)`, so that 90 days cost what 5 minutes cost, and nothing is extrapolated or averaged. An indicator of arbitrary PromQL has no
//! counters: its queries are evaluated once for each window (`query`), and it is marked as not event-exact.

mod accounting;
mod alerts;
mod backtest;
mod compile;
mod coverage;
mod curve;
mod decode;
mod decode_alerting;
mod decode_copies;
mod decode_exclusion;
mod decode_indicator;
mod decode_latency;
mod decode_query;
mod decode_template;
mod decode_window;
mod demand;
mod entry;
mod exclusion;
mod feed;
mod figures;
mod fold;
mod forecast;
mod group;
mod guard;
mod import;
mod incidents;
mod latency;
mod levels;
mod outage;
mod partly;
mod policy;
mod query;
mod recording;
mod recurrence;
mod replicas;
mod selector;
mod slices;
mod snapshot;
mod spec;
mod status;
mod texts;
mod trend;
mod view;
mod warm;
mod window;
mod witnesses;

#[cfg(test)]
mod tests;

pub use accounting::{Accounting, GROUPS_MAX, MARGIN_MS, Role, Sizes};
pub use alerts::{BURN_ALERT, NEVER_MEASURED, NOT_MEASURED_ALERT, PARTLY_MEASURED_ALERT, SPENT_ALERT};
pub use backtest::{Backtest, Grid, Notified, PartlyMeasured, Point, TierRun, backtest, backtest_all};
pub use compile::{Compiled, CompiledGroup, CompiledRule, Names, compile, groups_yaml};
pub use curve::Counts;
pub use decode::{SloFile, TIERS_MAX, WINDOW_MAX, WINDOW_MIN, parse_file, parse_policy, share_exclusions};
pub use exclusion::{Excluded, Exclusion, When};
pub use feed::{LATE_MS, sources};
pub use figures::{AT_RISK_REMAINING_RATIO, BURN_WINDOWS_SECS, Figures, State, WindowFigures};
pub use fold::{History, SERIES_MAX};
pub use forecast::{Exhaustion, Forecast};
pub use group::SloGroup;
pub use guard::{EVIDENT, Guard, Verdict};
pub use incidents::{Detected, Incident, Score, parse_incidents};
pub use latency::MissingBucket;
pub use levels::{LEVELS_MAX, Level, level_of};
pub use partly::PartlySeen;
pub use policy::{
    AlertTexts, BudgetCondition, BudgetWhen, Comparison, NotMeasured, Policy, Severity, Since, Tier, default_tiers,
};
pub use query::{Adjusted, Queried, Query};
pub use recording::{Recording, RecordingError};
pub use recurrence::Recurrence;
pub use spec::{
    About, Budgeting, Copies, Indicator, JoinedBy, Member, Objective, PartIs, Selector, Slo, Term, TotalIs,
};
pub use status::{SloAlert, SloStatus};
pub use texts::outlook;
pub use trend::TrendPoint;
pub use view::View;
pub use warm::Warming;
pub use window::{Calendar, Unit, Window, time_zone};
