//! Rule files, groups, the life of an alert.
//!
//! In the flow: files become groups; a driver steps each group as an [`Evaluator`] at the [`slots`] of its interval; samples go
//! to the store, alerts to the router and the notifier. **No clock, no I/O.**

mod alerting;
mod evaluator;
mod file;
mod format;
mod group;
mod outputs;
mod place;
mod query;
mod reads;
mod recording;
pub(crate) mod sending;
pub mod slots;
mod status;

pub use alerting::AlertState;
pub use evaluator::{Environment, EvalContext, Evaluator, Outcome, Recorded};
pub use file::{Entry, GroupConfig, RuleConfig, RuleFile, RuleKind};
pub use format::format_rule_file;
pub use group::{Elapsed, Group, GroupDefaults, ReplaySlots, Replayed};
pub(crate) use place::place_of;
pub use sending::RESOLVED_RETENTION;
pub use status::{AlertStatus, AlertingStatus, GroupStatus, Health, RuleStatus};

#[cfg(test)]
mod tests;
