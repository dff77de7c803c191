//! The rule groups and SLO groups that run, and how a new configuration changes them.
//!
//! **Invariants.** A rule group whose definition and environment did not change is left alone. A changed one takes over the state of the
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
    /// Held only to read or to replace, never while an evaluation is waited for: the API and the page look in here.
    running: Mutex<Running>,
}

type RuleGroups = BTreeMap<String, Arc<Scheduled<Group, GroupStatus>>>;
type SloGroups = BTreeMap<String, Arc<Scheduled<SloGroup, Vec<SloStatus>>>>;

#[derive(Clone, Default)]
struct Running {
    environment: Option<Arc<Environment>>,
    rules: RuleGroups,
    slos: SloGroups,
}

impl Groups {
    pub(super) fn new(shared: Shared) -> Self {
        Groups { shared, running: Mutex::default() }
    }

    /// Makes the groups of `config` the ones that run. Blocks until the evaluations under way of groups that change are done;
    /// one call at a time.
    pub(super) fn apply(&self, config: &Config, environment: Environment, now: Timestamp) {
        let before = self.running.lock().clone();
        let environment = Arc::new(environment);
        let is_same_environment = before.environment.as_ref() == Some(&environment);
        let start = Start { shared: &self.shared, environment: &environment, is_same_environment, now };
        let rules = start.rules(config, before.rules);
        let slos = start.slos(config, before.slos);
        *self.running.lock() = Running { environment: Some(environment), rules, slos };
    }

    /// Ends all loops.
    pub(super) fn stop(&self) {
        *self.running.lock() = Running::default();
    }

    /// As of each group's last evaluation, in order of file and name.
    pub(super) fn rules(&self) -> Vec<Arc<GroupStatus>> {
        self.running.lock().rules.values().map(|group| group.status()).collect()
    }

    /// As of each group's last evaluation.
    pub(super) fn slos(&self) -> Vec<SloStatus> {
        self.running.lock().slos.values().flat_map(|group| group.status().to_vec()).collect()
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

/// How groups start under a new configuration.
struct Start<'a> {
    shared: &'a Shared,
    environment: &'a Arc<Environment>,
    is_same_environment: bool,
    now: Timestamp,
}

impl Start<'_> {
    fn rules(&self, config: &Config, mut old: RuleGroups) -> RuleGroups {
        let defaults = GroupDefaults {
            interval: config.global.evaluation_interval,
            query_offset: config.global.rule_query_offset,
        };
        let mut next = RuleGroups::new();
        for (file, group) in
            config.rule_files.iter().flat_map(|file| file.groups.iter().map(move |group| (file, group)))
        {
            let mut group = Group::new(file.source.name.clone(), group, defaults);
            group.measure_with(clock::since_start);
            let key = key(&group);
            let scheduled = match old.remove(&key) {
                Some(before) if self.is_same_environment && before.group.lock().is_same(&group) => before,
                before => {
                    if let Some(before) = &before {
                        group.adopt_state(&mut before.stop());
                    }
                    self.start(group, before, rule_status)
                }
            };
            next.insert(key, scheduled);
        }
        self.retire(old);
        next
    }

    /// SLO groups always start anew: taking over the counters costs little, and finds out by itself what did not change.
    fn slos(&self, config: &Config, mut old: SloGroups) -> SloGroups {
        let mut next = SloGroups::new();
        for file in &config.slo_files {
            let mut group = SloGroup::new(file.clone(), config.global.evaluation_interval);
            let key = key(&group);
            let before = old.remove(&key);
            if let Some(before) = &before {
                group.adopt_state(before.stop().clone());
            }
            next.insert(key, self.start(group, before, slo_status));
        }
        self.retire(old);
        next
    }

    fn start<E: Evaluator + 'static, S: Send + Sync + 'static>(
        &self,
        group: E,
        before: Option<Arc<Scheduled<E, S>>>,
        status: fn(&mut E, Option<Duration>) -> S,
    ) -> Arc<Scheduled<E, S>> {
        let counts = before.map(|before| before.counts.clone()).unwrap_or_default();
        Arc::new(Scheduled::start(group, self.shared.clone(), self.environment.clone(), counts, status))
    }

    /// What the groups that are gone recorded ends now.
    fn retire<E: Evaluator + 'static, S: Send + Sync + 'static>(&self, gone: BTreeMap<String, Arc<Scheduled<E, S>>>) {
        for scheduled in gone.values() {
            let markers = scheduled.stop().retire(self.now);
            scheduler::commit(&self.shared.store, &markers, &scheduled.key);
        }
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
