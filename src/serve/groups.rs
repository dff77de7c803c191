//! The rule groups and SLO groups that run, and how a new configuration changes them.
//!
//! **Invariants.** A group whose definition and environment did not change is left alone. A changed one takes over the state of the
//! old one of the same file and name. What a removed one recorded ends with staleness markers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::scheduler::{self, Scheduled, Shared};
use crate::clock;
use crate::config::Config;
use crate::exposition::Family;
use crate::model::Timestamp;
use crate::rules::{Environment, Evaluator, Group, GroupDefaults, GroupStatus};
use crate::slo::{SloGroup, SloStatus};

/// All groups that are evaluated.
pub(super) struct Groups {
    shared: Shared,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    environment: Option<Arc<Environment>>,
    rules: BTreeMap<String, Scheduled<Group, GroupStatus>>,
    slos: BTreeMap<String, Scheduled<SloGroup, Vec<SloStatus>>>,
}

impl Groups {
    pub(super) fn new(shared: Shared) -> Self {
        Groups { shared, running: Mutex::default() }
    }

    /// Makes the groups of `config` the ones that run.
    pub(super) fn apply(&self, config: &Config, environment: Environment, now: Timestamp) {
        let environment = Arc::new(environment);
        let mut running = self.running.lock();
        let is_same_environment = running.environment.as_ref() == Some(&environment);
        running.environment = Some(environment.clone());
        let shared = self.shared.clone();

        let defaults = GroupDefaults {
            interval: config.global.evaluation_interval,
            query_offset: config.global.rule_query_offset,
        };
        let mut old = std::mem::take(&mut running.rules);
        for file in &config.rule_files {
            for group in &file.groups {
                let mut group = Group::new(file.source.name.clone(), group, defaults);
                group.measure_with(clock::since_start);
                let key = key(&group);
                let before = old.remove(&key);
                let scheduled = match before {
                    Some(before) if is_same_environment && before.group.lock().is_same(&group) => before,
                    before => {
                        if let Some(before) = before {
                            group.adopt_state(&mut before.stop().lock());
                        }
                        Scheduled::start(group, shared.clone(), environment.clone(), rule_status)
                    }
                };
                running.rules.insert(key, scheduled);
            }
        }
        old.into_values().for_each(|gone| retire(&self.shared, &gone, now));

        let mut old = std::mem::take(&mut running.slos);
        for file in &config.slo_files {
            let mut group = SloGroup::new(file.clone(), config.global.evaluation_interval);
            let key = key(&group);
            if let Some(before) = old.remove(&key) {
                group.adopt_state(before.stop().lock().clone());
            }
            running.slos.insert(key, Scheduled::start(group, shared.clone(), environment.clone(), slo_status));
        }
        old.into_values().for_each(|gone| retire(&self.shared, &gone, now));
    }

    /// Ends all loops.
    pub(super) fn stop(&self) {
        let mut running = self.running.lock();
        running.rules.clear();
        running.slos.clear();
    }

    /// As of each group's last evaluation, in order of file and name.
    pub(super) fn rules(&self) -> Vec<Arc<GroupStatus>> {
        self.running.lock().rules.values().map(Scheduled::status).collect()
    }

    /// As of each group's last evaluation.
    pub(super) fn slos(&self) -> Vec<SloStatus> {
        self.running.lock().slos.values().flat_map(|scheduled| scheduled.status().to_vec()).collect()
    }

    pub(super) fn collect(&self, families: &mut Vec<Family>) {
        let running = self.running.lock();
        let rules = running
            .rules
            .values()
            .map(|group| (&*group.key, group.interval, group.status().rules.len(), &*group.counts));
        let slos =
            running.slos.values().map(|group| (&*group.key, group.interval, group.status().len(), &*group.counts));
        scheduler::collect(rules.chain(slos), &self.shared.latency, families);
    }
}

/// `file;name`, as Prometheus labels a group.
pub(super) fn key(group: &dyn Evaluator) -> String {
    format!("{};{}", group.file(), group.name())
}

fn rule_status(group: &mut Group, took: Option<Duration>) -> GroupStatus {
    if let Some(took) = took {
        group.record_duration(took);
    }
    group.status()
}

fn slo_status(group: &mut SloGroup, _took: Option<Duration>) -> Vec<SloStatus> {
    group.status()
}

fn retire<E: Evaluator + 'static, S: Send + Sync + 'static>(shared: &Shared, gone: &Scheduled<E, S>, now: Timestamp) {
    let markers = gone.stop().lock().retire(now);
    scheduler::commit(&shared.store, &markers, &gone.key);
}
