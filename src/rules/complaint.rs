//! Alerts about a rule itself: that it has no data, cannot be evaluated, or has too many alerts.
//!
//! In the flow: where a policy of the rule says so, a complaint is raised beside the rule's alerts, and lives and is sent as they do.
//!
//! | name | raised by | while |
//! |---|---|---|
//! | `RuleNoData` | `no_data: alert` | data that the expression needs are missing |
//! | `RuleError` | `error: alert` | the expression cannot be evaluated |
//! | `RuleLimitExceeded` | `limit_policy: keep` | new alerts are refused |
//!
//! A complaint has the labels of the rule (a template sees no labels and the value NaN), so that it goes where the rule's alerts go, and
//! `rule` and `rule_group`, the names.

use std::collections::BTreeMap;

use crate::model::{ALERT_NAME, Labels, Value};

use super::RuleConfig;
use super::alerting::{Candidate, Moment};
use super::expansion::expand;

/// What there is to complain about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    NoData,
    Error,
    LimitExceeded,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::NoData => "RuleNoData",
            Kind::Error => "RuleError",
            Kind::LimitExceeded => "RuleLimitExceeded",
        }
    }

    fn summary(self, rule: &str) -> String {
        match self {
            Kind::NoData => format!("Rule {rule} has no data"),
            Kind::Error => format!("Rule {rule} cannot be evaluated"),
            Kind::LimitExceeded => format!("Rule {rule} has more alerts than its limit"),
        }
    }
}

/// A complaint and its text.
pub(super) type Complaint = (Kind, String);

/// The alert of each complaint.
pub(super) fn candidates(
    config: &RuleConfig,
    group: &str,
    complaints: Vec<Complaint>,
    moment: &Moment<'_>,
) -> BTreeMap<Labels, Candidate> {
    let nothing = (&Labels::empty(), &Value::Float(f64::NAN));
    let candidate = |(kind, text): Complaint| {
        let mut labels = Labels::empty().to_builder();
        for entry in &config.labels {
            labels.set(entry.name.clone(), expand(config, entry, nothing, moment));
        }
        labels.set("rule", config.name.clone()).set("rule_group", group).set(ALERT_NAME, kind.name());
        let annotations = Labels::from_pairs([("summary", kind.summary(&config.name)), ("description", text)]);
        (labels.build(), Candidate { element: Labels::empty(), value: Value::Float(1.0), annotations })
    };
    complaints.into_iter().map(candidate).collect()
}
