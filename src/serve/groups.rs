//! The rule groups and SLO groups that run, and how a new configuration changes them.
//!
//! **Invariants.** A rule group whose definition and environment did not change is left alone. Rules of a changed one take over their states,
//! wherever they stood before. What removed ones recorded ends with staleness markers, and their alerts are resolved. At the start, what an
//! earlier process left is taken over as at a reload, and what fires is told before anything is evaluated.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::kept::{Departed, Kept};
use super::scheduler::{self, Scheduled, Shared};
use super::slo_state::SloStates;
use super::warm::{Wanted, WarmStart};
use crate::clock;
use crate::config::Config;
use crate::exposition::{Family, FamilyKind};
use crate::model::{Alert, Labels, Timestamp};
use crate::rules::{
    Environment, Evaluator, Group, GroupDefaults, GroupStatus, Kinship, Outage, RuleState, StateChange,
};
use crate::slo::{SloGroup, SloStatus, Warming};

/// All groups that are evaluated.
pub(super) struct Groups {
    shared: Shared,
    /// Held only to read or to replace, never while an evaluation is waited for: the API and the page look in here.
    running: Mutex<Running>,
    /// What an earlier process left, until the first configuration is applied.
    kept: Mutex<Option<Kept>>,
    departed: Mutex<Departed>,
    slo_states: SloStates,
    /// What reads the history of objectives.
    pub(super) warm_start: Arc<WarmStart>,
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
    /// `storage` is where counters of objectives are kept.
    pub(super) fn new(shared: Shared, storage: &Path) -> Self {
        Groups {
            shared,
            running: Mutex::default(),
            kept: Mutex::default(),
            departed: Mutex::default(),
            slo_states: SloStates::below(storage),
            warm_start: Arc::default(),
        }
    }

    /// Takes what an earlier process left, for the first configuration.
    pub(super) fn take_up(&self, kept: Kept) {
        *self.departed.lock() = kept.departed.clone();
        *self.kept.lock() = Some(kept);
    }

    /// Makes the groups of `config` the ones that run. Blocks until the evaluations under way of groups that change are done;
    /// one call at a time. Gives the objectives whose history is wanted.
    pub(super) fn apply(&self, config: &Config, environment: Environment, outage: Outage, now: Timestamp) -> Wanted {
        let before = self.running.lock().clone();
        let environment = Arc::new(environment);
        let is_same_environment = before.environment.as_ref() == Some(&environment);
        let start = Start {
            shared: &self.shared,
            slo_states: &self.slo_states,
            environment: &environment,
            is_same_environment,
            outage,
            now,
        };
        let mut objectives = start.objectives(config, before.slos);
        let wanted = start.histories(config, &mut objectives);
        let left = self.kept.lock().take().map(|kept| {
            let remind =
                |(_, group, _): &mut (_, SloGroup, _)| group.remind(now, &*self.shared.store, start.environment);
            (kept, objectives.iter_mut().flat_map(remind).collect())
        });
        let rules = start.rules(config, before.rules, left, &mut self.departed.lock());
        let slos = start.slos(objectives);
        *self.running.lock() = Running { environment: Some(environment), rules, slos };
        wanted
    }

    /// Gives objectives their history, and keeps it; blocks while one is evaluated. Gives how many took theirs.
    pub(super) fn take_history(&self, wanted: Wanted) -> usize {
        let groups = self.running.lock().slos.clone();
        let take = |(key, warming): &(String, Warming)| {
            groups.get(key).is_some_and(|scheduled| scheduled.lock().take_history(warming))
        };
        let taken = wanted.iter().filter(|one| take(one)).count();
        self.save_slos();
        taken
    }

    /// Evaluates objectives that wait for their history.
    pub(super) fn end_waiting(&self) {
        let groups = self.running.lock().slos.clone();
        groups.values().for_each(|scheduled| scheduled.lock().end_waiting());
    }

    /// Ends all evaluations; blocks until those under way are done.
    pub(super) fn stop(&self) {
        self.save_slos();
        let running = std::mem::take(&mut *self.running.lock());
        running.rules.values().for_each(|group| drop(group.stop()));
        running.slos.values().for_each(|group| drop(group.stop()));
    }

    /// Keeps the counters of all objectives on disk. Blocks while one is evaluated, and while the disk takes its time.
    pub(super) fn save_slos(&self) {
        let groups: Vec<_> = self.running.lock().slos.values().cloned().collect();
        for scheduled in groups {
            let bytes = scheduled.lock().save();
            self.slo_states.save(&scheduled.key, &bytes);
        }
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
        let latencies = (&*self.shared.latency, &*self.shared.rule_latency);
        scheduler::collect(rules.chain(slos), latencies, families);
        self.shared.templates.collect(families);
        self.shared.beats.clock.collect(clock::now(), families);
        self.warm_start.collect(families);
        families.extend(of_objectives(running.slos.values().map(|group| (&*group.key, group.status()))));
    }
}

/// How groups start under a new configuration.
struct Start<'a> {
    shared: &'a Shared,
    slo_states: &'a SloStates,
    environment: &'a Arc<Environment>,
    is_same_environment: bool,
    outage: Outage,
    now: Timestamp,
}

/// Rule groups that are about to run, and what they replace.
type Starting = Vec<(String, Group, Option<Arc<Scheduled<Group, GroupStatus>>>)>;

/// Groups of objectives that are about to run, and what they replace.
type StartingSlos = Vec<(String, SloGroup, Option<Arc<Scheduled<SloGroup, Vec<SloStatus>>>>)>;

impl Start<'_> {
    /// `kept` is what an earlier process left, and the reminders of other groups; with those of its own they are told before any group runs.
    fn rules(
        &self,
        config: &Config,
        mut old: RuleGroups,
        kept: Option<(Kept, Vec<Alert>)>,
        departed: &mut Departed,
    ) -> RuleGroups {
        let is_first = kept.is_some();
        let (Kept { rules: mut left, mut slots, .. }, mut reminders) = kept.unwrap_or_default();
        let (mut running, mut starting) = (RuleGroups::new(), Starting::new());
        for mut group in self.configured(config) {
            let key = key(&group);
            match old.remove(&key) {
                Some(before) if self.is_same_environment && before.lock().is_same(&group) => {
                    running.insert(key, before);
                }
                Some(before) => {
                    {
                        let mut stopped = before.stop();
                        left.extend(stopped.take_states());
                        group.go_on_from(&mut stopped);
                    }
                    starting.push((key, group, Some(before)));
                }
                None => {
                    if is_first {
                        group.resume(slots.remove(group.slot_name()), self.now);
                    }
                    starting.push((key, group, None));
                }
            }
        }
        let mut changes: Vec<StateChange> = slots.into_keys().map(|name| (name, None)).collect();
        for gone in old.values() {
            let mut gone = gone.stop();
            left.extend(gone.take_states());
            changes.push((gone.slot_name().to_owned(), None));
            scheduler::commit(&self.shared.store, &gone.retire(self.now), &gone.place());
        }
        changes.extend(self.hand_over(&mut left, &mut starting));
        let ended = self.end(left, &running, &mut starting, &mut changes);
        changes.extend(departed.add(&ended, self.now));
        self.shared.storage.put(changes);
        if is_first {
            reminders.extend(starting.iter_mut().flat_map(|(_, group, _)| group.remind(self.now, self.environment)));
            reminders.extend_from_slice(departed.alerts());
            self.tell(reminders);
        } else {
            self.tell(ended);
        }
        for (key, group, before) in starting {
            let scheduled = self.start(group, before, rule_status);
            running.insert(key, scheduled);
        }
        running
    }

    fn configured<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = Group> + 'a {
        let defaults = GroupDefaults {
            interval: config.global.evaluation_interval,
            query_offset: config.global.rule_query_offset,
        };
        let groups = config.rule_files.iter().flat_map(|file| file.groups.iter().map(move |group| (file, group)));
        groups.map(move |(file, group)| {
            let mut group = Group::new(file.source.name.clone(), group, defaults);
            group.measure_with(clock::since_start);
            group.bear_outages(self.outage);
            group
        })
    }

    /// Gives the states of rules to those that are the same, first in the same group, then wherever.
    fn hand_over(&self, left: &mut Vec<RuleState>, starting: &mut Starting) -> Vec<StateChange> {
        let mut changes = Vec::new();
        for kinship in [Kinship::SameGroup, Kinship::Anywhere] {
            for (_, group, _) in starting.iter_mut() {
                changes.extend(group.adopt(left, kinship));
            }
        }
        changes
    }

    /// Ends the alerts and series of rules that are gone. Gives what there is to tell.
    fn end(
        &self,
        left: Vec<RuleState>,
        running: &RuleGroups,
        starting: &mut Starting,
        changes: &mut Vec<StateChange>,
    ) -> Vec<Alert> {
        let mut ended = Vec::new();
        for mut state in left {
            let lives = |labels: &Labels| {
                starting.iter().any(|(_, group, _)| group.has_live(labels))
                    || running.values().any(|group| group.lock().has_live(labels))
            };
            let (alerts, transitions) = state.farewell(self.now, &self.environment.external_url, lives);
            ended.extend(alerts);
            self.shared.history.transitions(state.place(), self.now, &transitions);
            match starting.iter_mut().find(|(key, ..)| key == state.place()) {
                Some((_, group, _)) => group.end_series_of(&mut state),
                None => scheduler::commit(&self.shared.store, &state.end_series(self.now), state.place()),
            }
            changes.extend(state.change_to_forget());
        }
        ended
    }

    fn tell(&self, alerts: Vec<Alert>) {
        if !alerts.is_empty() {
            (self.shared.send_alerts)(alerts, self.environment);
        }
    }

    /// SLO groups always start anew: taking over the counters costs little, and finds out by itself what did not change.
    fn objectives(&self, config: &Config, mut old: SloGroups) -> StartingSlos {
        let mut starting = StartingSlos::new();
        for file in &config.slo_files {
            let mut group = SloGroup::new(file.clone(), config.global.evaluation_interval);
            let key = key(&group);
            let before = old.remove(&key);
            if let Some(before) = &before {
                group.adopt_state(before.stop().clone());
            } else if let Some(bytes) = self.slo_states.load(&key) {
                let objectives = group.restore(&bytes, self.now);
                tracing::info!(group = key, objectives, "counters of objectives go on");
            }
            group.bear_late(config.out_of_order_time_window);
            starting.push((key, group, before));
        }
        self.retire(old);
        starting
    }

    /// What objectives that begin want of another server.
    fn histories(&self, config: &Config, starting: &mut StartingSlos) -> Wanted {
        let Some(history) = &config.slo_history else { return Wanted::new() };
        let until = self.now + history.wait;
        let of = |(key, group, _): &mut (String, SloGroup, _)| {
            let key = key.clone();
            let all = group.await_history(&*self.shared.store, self.now, until);
            all.into_iter().map(move |one| (key.clone(), one))
        };
        starting.iter_mut().flat_map(of).collect()
    }

    fn slos(&self, starting: StartingSlos) -> SloGroups {
        let start = |(key, mut group, before): (_, SloGroup, _)| {
            group.announce(self.now);
            (key, self.start(group, before, slo_status))
        };
        starting.into_iter().map(start).collect()
    }

    fn start<E: Evaluator + 'static, S: Send + Sync + 'static>(
        &self,
        group: E,
        before: Option<Arc<Scheduled<E, S>>>,
        status: fn(&mut E, Option<Duration>) -> S,
    ) -> Arc<Scheduled<E, S>> {
        let counts = before.map(|before| before.counts.clone()).unwrap_or_default();
        if let Some(slot) = group.last_slot() {
            counts.resume(slot);
        }
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

/// What objectives hold and what they could not take as it was, as of their last evaluation.
fn of_objectives<'a>(files: impl Iterator<Item = (&'a str, Arc<Vec<SloStatus>>)>) -> Vec<Family> {
    use FamilyKind::{Counter, Gauge};
    let mut points = Family::new("almenara_slo_points", "Points of the counters of an objective.", Gauge);
    let mut series = Family::new("almenara_slo_series", "Series that the counters of an objective remember.", Gauge);
    let help = "Samples, or groups of a query, that an objective did not count because of a limit.";
    let mut refused = Family::new("almenara_slo_refused_total", help, Counter);
    let help = "Scrapes in which the bad or good events, or the bucket of a latency, gained more than their total; the total counts.";
    let mut disordered = Family::new("almenara_slo_disordered_scrapes_total", help, Counter);
    let help = "Answers of queries of objectives, one for each group and window, that are no share from 0 to 1.";
    let mut adjusted = Family::new("almenara_slo_adjusted_answers_total", help, Counter);
    for (key, statuses) in files {
        let file = key.rsplit_once(';').map_or(key, |(file, _)| file);
        // All groups of an objective tell the same.
        for one in statuses.chunk_by(|a, b| a.name == b.name).map(|groups| &groups[0]) {
            let labels = || vec![("slo", one.name.to_string()), ("slo_file", file.to_owned())];
            points.point(labels(), one.sizes.points as f64);
            series.point(labels(), one.sizes.series as f64);
            refused.point(labels(), one.sizes.refused as f64);
            if one.is_event_exact {
                disordered.point(labels(), one.sizes.disordered as f64);
                continue;
            }
            for (reason, count) in one.sizes.adjusted.by_reason() {
                let labels = labels().into_iter().chain([("reason", reason.to_owned())]);
                adjusted.point(labels.collect(), count as f64);
            }
        }
    }
    vec![points, series, refused, disordered, adjusted]
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
