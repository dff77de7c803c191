//! A test group whose rules are evaluated at all steps at once, one rule after the other.
//!
//! **Invariant.** This is chosen only where it cannot be told from going step by step: no rule reads what a later rule, or itself,
//! writes; none looks ahead or at a fixed instant; no two write the same series, none one of the input; no offset, no limit. Anything
//! that fails on the way is left to the steps, which find the instant and the words.

use std::collections::{BTreeMap, HashSet};

use crate::model::Timestamp;
use crate::rules::reads::{Reads, asks_in_templates, may_find, written_by};
use crate::rules::{AlertStatus, EvalContext, ReplaySlots, RuleConfig, RuleKind};

use super::run::{Played, Stage, commit};
use super::{RuleId, TestGroup};

/// The alerts of each rule at the steps asked about.
pub(super) type AlertsAt = BTreeMap<(RuleId, Timestamp), Vec<AlertStatus>>;

/// Whether the groups, in this order, may be evaluated at all steps at once.
pub(super) fn is_possible(groups: &[Played], test: &TestGroup) -> bool {
    let rules: Vec<(&RuleConfig, &Reads)> =
        groups.iter().flat_map(|played| played.reached.config.rules.iter().zip(&played.reached.reads)).collect();
    let has_settings = |played: &Played| {
        played.reached.config.limit > 0 || played.reached.config.query_offset.is_some_and(|offset| !offset.is_zero())
    };
    if groups.iter().any(has_settings) || rules.iter().any(|(rule, reads)| reads.wanders || asks_in_templates(rule)) {
        return false;
    }
    // Alerts of one name may write the same series; so may rules that record one metric.
    let mut names: HashSet<&str> = test.input.iter().map(|series| series.labels.metric_name()).collect();
    let mut alert_names: HashSet<&str> = HashSet::new();
    for (rule, _) in &rules {
        let is_new = match rule.kind {
            RuleKind::Recording => names.insert(&rule.name),
            RuleKind::Alerting => alert_names.insert(&rule.name),
        };
        if !is_new {
            return false;
        }
    }
    if names.iter().any(|name| name.starts_with("ALERTS")) {
        return false;
    }
    let reads_later = |position: usize| {
        let later = rules[position..].iter().flat_map(|(rule, _)| written_by(rule));
        let later: HashSet<&str> = later.collect();
        let selectors = &rules[position].1.selectors;
        later.iter().any(|name| selectors.iter().any(|matchers| may_find(matchers, name)))
    };
    !(0..rules.len()).any(reads_later)
}

impl Stage<'_> {
    /// Evaluates everything. `None` where something fails; the stage is then of no more use.
    pub(super) fn play_at_once(&mut self, slots: ReplaySlots, asked: &[Timestamp]) -> Option<AlertsAt> {
        self.feed(slots.end);
        let mut alerts = AlertsAt::new();
        for played in &mut self.groups {
            for (index, id) in played.reached.ids.iter().enumerate() {
                let context = EvalContext { querier: &*self.store, engine: None, environment: &self.environment };
                let replayed = played.group.replay(index, slots, asked, &context).ok()?;
                alerts.extend(replayed.alerts.into_iter().map(|(at, alerts)| ((*id, at), alerts)));
                if !commit(&self.store, &replayed.recorded).is_empty() {
                    return None;
                }
            }
        }
        Some(alerts)
    }
}
