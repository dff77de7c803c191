//! Timelines of groups under virtual time, with the real evaluator over samples in memory.

mod alert_life;
mod continuity;
mod group_life;
mod policies;
mod rule_file;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Alert, Labels, Timestamp, Value};
use crate::promql::Dialect;
use crate::promql::plan::Engine;
use crate::source::SourceFile;
use crate::store::{Row, Store, StoreOptions};

use super::*;

/// A group, its store with prepared plans, and its clock.
struct Bench {
    store: Arc<Store>,
    engine: Engine,
    group: Group,
    environment: Environment,
    /// What a driver would have on disk.
    stored: BTreeMap<String, Vec<u8>>,
}

fn secs(secs: i64) -> Timestamp {
    Timestamp::from_ms(secs * 1000)
}

fn environment() -> Environment {
    Environment {
        external_labels: Labels::from_pairs([("region", "eu")]),
        external_url: "http://p.example".into(),
        lookback_delta: Duration::from_secs(300),
        default_subquery_step: Duration::from_secs(60),
        dialect: Dialect::default(),
        resend_delay: Duration::from_secs(60),
    }
}

fn group_of(yaml: &str) -> Group {
    let (file, diagnostics) = RuleFile::parse(&SourceFile::new("rules.yml", yaml));
    let file = file.unwrap_or_else(|| panic!("{diagnostics}"));
    let defaults = GroupDefaults { interval: Duration::from_secs(60), query_offset: Duration::ZERO };
    Group::new("rules.yml", &file.groups[0], defaults)
}

/// The rules of a group named `g`, each a YAML flow mapping, after `head`, further keys of the group.
fn group(head: &str, rules: &[&str]) -> Group {
    let rules: String = rules.iter().map(|rule| format!("  - {rule}\n")).collect();
    let head: String = head.lines().map(|line| format!("  {line}\n")).collect();
    group_of(&format!("groups:\n- name: g\n{head}  rules:\n{}", rules))
}

impl Bench {
    fn new(group: Group) -> Self {
        let store = Arc::new(Store::new(StoreOptions { retention: Duration::from_secs(86_400) }));
        Bench { engine: Engine::new(store.clone()), store, group, environment: environment(), stored: BTreeMap::new() }
    }

    /// Writes a sample of a series such as `m{a="1"}`, given as pairs.
    fn write(&mut self, at: i64, pairs: &[(&str, &str)], value: f64) {
        let labels = Labels::from_pairs(pairs.iter().copied());
        let row = Row::new(self.store.series_ref(&labels), secs(at), value);
        assert_eq!(self.store.commit(&[row]).refused, []);
    }

    /// Evaluates at `at` seconds and writes back what was recorded.
    fn eval(&mut self, at: i64) -> Outcome {
        let context = EvalContext { querier: &*self.store, engine: Some(&self.engine), environment: &self.environment };
        let outcome = self.group.eval(secs(at), &context);
        for recorded in &outcome.recorded {
            let series = self.store.series_ref(&recorded.labels);
            assert!(recorded.series.is_none_or(|known| known == series));
            self.store.commit(&[Row::new(series, recorded.at, recorded.value.clone())]);
        }
        self.keep(outcome.states.clone());
        outcome
    }

    fn keep(&mut self, changes: Vec<StateChange>) {
        for (name, state) in changes {
            match state {
                Some(state) => self.stored.insert(name, state),
                None => self.stored.remove(&name),
            };
        }
    }

    /// Puts `new` in the place of the group; gives the states of the rules that are gone.
    fn reload(&mut self, mut new: Group) -> Vec<RuleState> {
        let mut left = self.group.take_states();
        let changes = new.adopt(&mut left, Kinship::SameGroup);
        self.keep(changes);
        new.go_on_from(&mut self.group);
        left.iter_mut().for_each(|gone| new.end_series_of(gone));
        self.group = new;
        left
    }

    /// Puts `new` in the place of the group, as a process does that starts at `at` seconds with what is stored.
    fn restart(&mut self, mut new: Group, at: i64) -> Vec<RuleState> {
        let rules = self.stored.iter().filter(|(name, _)| name.starts_with(RULE_PREFIX));
        let mut left: Vec<RuleState> = rules.map(|(name, bytes)| RuleState::decode(name, bytes).unwrap()).collect();
        let changes = new.adopt(&mut left, Kinship::SameGroup);
        self.keep(changes);
        let slot = self.stored.get(new.slot_name()).map(|bytes| decode_slot(bytes).unwrap());
        new.resume(slot, secs(at));
        self.group = new;
        left
    }

    /// State, and seconds of `active_at`, of each live alert of the first alerting rule.
    fn alerts(&self) -> Vec<(&'static str, i64)> {
        let status = self.group.status();
        let alerting = status.rules.iter().find_map(|rule| rule.alerting.clone()).expect("an alerting rule");
        alerting.alerts.iter().map(|alert| (alert.state.as_str(), alert.active_at.as_ms() / 1000)).collect()
    }
}

/// `series value@secs`, stale markers as `stale`, in order.
fn recorded(outcome: &Outcome) -> Vec<String> {
    let mut lines: Vec<String> = outcome
        .recorded
        .iter()
        .map(|recorded| {
            let value = match &recorded.value {
                value if value.is_stale() => "stale".to_owned(),
                Value::Float(value) => value.to_string(),
                Value::Histogram(_) => "histogram".to_owned(),
            };
            format!("{} {value}@{}", recorded.labels, recorded.at.as_ms() / 1000)
        })
        .collect();
    lines.sort();
    lines
}

/// `starts-ends` in seconds of each alert sent.
fn sent(outcome: &Outcome) -> Vec<(i64, i64)> {
    let seconds = |alert: &Alert| (alert.starts_at.as_ms() / 1000, alert.ends_at.as_ms() / 1000);
    outcome.alerts.iter().map(seconds).collect()
}
