//! Rule files, groups, the life of an alert.
//!
//! In the flow: files become groups; a driver steps each group as an [`Evaluator`] at the [`slots`] of its interval; samples go
//! to the store, alerts to the router and the notifier. **No clock, no I/O.**

mod alerting;
mod complaint;
mod demand;
mod evaluator;
mod expansion;
mod file;
mod format;
mod group;
mod outcome;
mod outputs;
mod pause;
mod place;
pub mod policy;
mod presence;
mod query;
pub(crate) mod reads;
mod recording;
pub(crate) mod sending;
pub mod slots;
mod state;
mod status;
mod transition;

pub use alerting::AlertState;
pub use evaluator::{Environment, EvalContext, Evaluator, Outcome, Recorded};
pub use expansion::ExpansionCounts;
pub use file::{EachBelow, Entry, GroupConfig, RuleConfig, RuleFile, RuleKind};
pub use format::format_rule_file;
pub use group::{Elapsed, Group, GroupDefaults, Kinship, ReplaySlots, Replayed};
pub use outcome::{OUTCOMES_KEPT, RuleOutcome, RuleOutcomes};
pub use pause::Outage;
pub(crate) use place::place_of;
pub use policy::Policy;
pub(crate) use query::{RulePlan, Source};
pub use sending::RESOLVED_RETENTION;
pub use state::{RULE_PREFIX, RuleState, SLOT_PREFIX, StateChange, decode_slot};
pub use status::{AlertStatus, AlertingStatus, GroupStatus, Health, RuleStatus};
pub use transition::{Change, Held, Transition};

#[cfg(test)]
mod tests;
