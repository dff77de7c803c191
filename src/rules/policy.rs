//! What a rule does where Prometheus has no choice: without data, on errors, over the limit, on the way back.
//!
//! In the flow: keys of a rule file, those of a group for all its alerts and those of a rule for itself; [`super::Group`] heeds them.
//! A file without these keys behaves as in Prometheus.
//!
//! | key | value | without it, as in Prometheus |
//! |---|---|---|
//! | `no_data` | `resolve`, `keep`, `fire`, `alert` | `resolve`: an alert whose series are gone ends |
//! | `error` | `keep`, `fire`, `alert` | nothing is sent until an evaluation succeeds; receivers let the alert expire |
//! | `limit_policy` | `drop`, `keep` | `drop`: over the limit all alerts of the rule are forgotten |
//! | `recover_when` | an expression | an alert ends as soon as `expr` no longer gives it |
//! | `all_or_nothing` (group) | `true`, `false` | `false`: what the good rules of a slot recorded is stored when another fails |
//!
//! *Keep* leaves each alert where it is: what fires goes on and is sent again, what waits for its `for` waits on. *Fire* takes the
//! missing answer for a "yes". *Alert* keeps, and raises an alert of its own (see [`super::complaint`]).
//! **Differs:** rules and groups may have the keys `no_data`, `error`, `limit_policy`, `recover_when` and `all_or_nothing`; Prometheus knows none of
//! them and refuses a file with them.

use crate::source::decode::{Decoder, Fields};
use crate::source::yaml::Node;

/// What becomes of alerts whose data are gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NoData {
    /// They end.
    #[default]
    Resolve,
    /// They stay where they are.
    Keep,
    /// Their condition is taken to hold; without any alert, one without labels of data begins.
    Fire,
    /// They stay where they are, and `RuleNoData` fires.
    Alert,
}

/// What becomes of alerts when the expression cannot be evaluated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnError {
    /// They stay where they are.
    Keep,
    /// Their condition is taken to hold; without any alert, one without labels of data begins.
    Fire,
    /// They stay where they are, and `RuleError` fires.
    Alert,
}

/// What becomes of alerts when there are more than the group's `limit`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LimitPolicy {
    /// All are forgotten.
    #[default]
    Drop,
    /// Those that exist stay, new ones are refused, and `RuleLimitExceeded` fires.
    Keep,
}

/// The choices of one rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// `no_data`.
    pub no_data: NoData,
    /// `error`; `None` does as Prometheus.
    pub error: Option<OnError>,
    /// `limit_policy`.
    pub limit: LimitPolicy,
}

impl Policy {
    /// Reads the keys that stand beside each other in a group or a rule; what is not written is that of `inherited`.
    pub(super) fn read(fields: &mut Fields<'_, '_, '_>, inherited: Policy) -> Policy {
        const NO_DATA: [(&str, NoData); 4] =
            [("resolve", NoData::Resolve), ("keep", NoData::Keep), ("fire", NoData::Fire), ("alert", NoData::Alert)];
        const ERROR: [(&str, OnError); 3] =
            [("keep", OnError::Keep), ("fire", OnError::Fire), ("alert", OnError::Alert)];
        const LIMIT: [(&str, LimitPolicy); 2] = [("drop", LimitPolicy::Drop), ("keep", LimitPolicy::Keep)];
        Policy {
            no_data: fields.or("no_data", inherited.no_data, |decoder, node| choice(decoder, node, &NO_DATA)),
            error: fields.optional("error", |decoder, node| choice(decoder, node, &ERROR)).or(inherited.error),
            limit: fields.or("limit_policy", inherited.limit, |decoder, node| choice(decoder, node, &LIMIT)),
        }
    }
}

/// The keys that [`Policy::read`] reads.
pub(super) const KEYS: [&str; 3] = ["no_data", "error", "limit_policy"];

fn choice<T: Copy>(decoder: &mut Decoder<'_>, node: &Node, words: &[(&str, T)]) -> Option<T> {
    let found = words.iter().find(|(word, _)| node.as_str() == Some(word)).map(|(_, choice)| *choice);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let text = format!("{:?} is none of the choices", node.as_str().unwrap_or_default());
        decoder.error_with_help(node.span, text, format!("write one of {}", known.join(", ")));
    }
    found
}
