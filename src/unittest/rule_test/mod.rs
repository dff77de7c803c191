//! Unit tests of rules, in promtool's form: series in, alerts and values of expressions out, under a scripted clock.
//!
//! In the flow: `almenara test rules` reads [`TestFile`]s and the rule files they name, and calls [`run`] for each test group, on as
//! many threads as it likes: groups share the parsed rules and nothing else. Groups of rules are the daemon's own.
//!
//! At each step the samples up to it are committed, then the groups are evaluated in order, then the alerts asked about are compared;
//! expressions are compared after the last step. Where no rule could tell the difference, each rule is evaluated at all steps at once. Only rules that a test can
//! reach are evaluated ([`reach`]), which changes no verdict.
//!
//! **Invariant.** The texts of failures are promtool's, byte for byte; what is ours is an opt-in key or a warning.
//! **Source.** Prometheus 3.5 `cmd/promtool/unittest.go`, compared with the program itself.
//! **Differs:** groups that `group_eval_order` does not name are evaluated in order of file; promtool's order is random.
//! **Differs:** a query of a test may load 50,000,000 samples, as in the daemon; promtool refuses more than 10,000.

mod alerts;
mod at_once;
mod coverage;
mod diff;
mod dump;
mod file;
mod go_text;
mod reach;
mod rule_set;
mod run;
mod samples;

pub use alerts::Style;
pub use coverage::{Coverage, Gap, RuleCoverage};
pub use file::{AlertTest, ExpectedAlert, ExpectedSample, ExprTest, InputSeries, Matching, TestFile, TestGroup};
pub use rule_set::{AnalysedFile, RuleId, RuleSet};
pub use run::{Failure, FailureKind, GroupReport, RunOptions, run};

#[cfg(test)]
mod tests;
