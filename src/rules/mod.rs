//! Rule files, groups, the life of an alert.
//!
//! In the flow: files become groups; a driver steps each group as an [`Evaluator`]; samples go to the store, alerts to the router
//! and the notifier. **No clock, no I/O.**

mod evaluator;

pub use evaluator::{Environment, EvalContext, Evaluator, Outcome, Recorded};
