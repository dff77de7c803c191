//! The driver: groups stepped over a history at their slots.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, Timestamp};
use crate::promql::plan::Engine;
use crate::rules::{
    Entry, Environment, EvalContext, Evaluator, Group, GroupDefaults, RuleConfig, RuleFile, RuleKind, slots,
};
use crate::store::{Row, Store, StoreOptions};

use super::episode::{Episode, Failures};
use super::feed::{Demand, Feed, Own, SLICE_SAMPLES};
use super::watch::{Seen, Watch};

/// How often the live store forgets what no rule can read any more, in virtual time.
const FORGET_EVERY_MS: i64 = 3_600_000;
/// Samples wait in the store for the rule that looks back furthest; this much more does no harm.
const MARGIN_MS: i64 = 600_000;

/// What to replay.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The first instant that counts.
    pub start: Timestamp,
    /// No slot is after it.
    pub end: Timestamp,
    /// The distance of the slots of all groups; `None` leaves each group its own.
    pub step: Option<Duration>,
    /// The interval and offset of groups that name none.
    pub defaults: GroupDefaults,
    /// What rules see beside samples.
    pub environment: Environment,
}

/// Rule files that are replayed together.
#[derive(Clone, Debug)]
pub struct Version {
    /// What people call it.
    pub label: String,
    /// In order of evaluation.
    pub files: Vec<RuleFile>,
}

impl Version {
    /// All rules, in order.
    pub fn rules(&self) -> impl Iterator<Item = &RuleConfig> {
        self.files.iter().flat_map(|file| &file.groups).flat_map(|group| &group.rules)
    }
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Replay {
    /// See [`Version::label`].
    pub label: String,
    /// In order of evaluation.
    pub rules: Vec<RuleReplay>,
    /// Groups.
    pub groups: usize,
    /// Evaluations of single rules, those before the start included.
    pub evaluations: u64,
    /// Samples that the rules could see.
    pub samples: u64,
    /// Series in the history.
    pub series: u64,
}

/// What came out of one rule.
#[derive(Clone, Debug)]
pub struct RuleReplay {
    /// The file it comes from.
    pub file: Arc<str>,
    /// Its group.
    pub group: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Recording or alerting.
    pub kind: RuleKind,
    /// As the parser prints it.
    pub query: String,
    /// As configured, not rendered.
    pub labels: Labels,
    /// `for`.
    pub hold_duration: Duration,
    /// `keep_firing_for`.
    pub keep_firing_for: Duration,
    /// In order of their beginning; none ended before the start.
    pub episodes: Vec<Episode>,
    /// Episodes over the limit.
    pub dropped: u64,
    /// Evaluations that failed.
    pub failures: Failures,
}

/// Replays `version` over `history`. It begins earlier by the longest `for`, so that what fires at the start is known. `progress` is told
/// the virtual time now and then; when it gives false, the replay ends there.
pub fn replay(
    version: &Version,
    history: &Store,
    settings: &Settings,
    progress: &mut dyn FnMut(Timestamp) -> bool,
) -> Replay {
    let demand = Demand::of(std::slice::from_ref(version));
    let own = Own::of(version.rules(), &demand);
    let longest_hold = version.rules().map(|rule| rule.hold_duration).max().unwrap_or_default();
    let begin = settings.start - longest_hold;
    let lookback_ms = i64::try_from(settings.environment.lookback_delta.as_millis()).unwrap_or(i64::MAX);
    let reach_ms = demand.reach_ms(lookback_ms);
    let mut stage = Stage::new(version, settings, begin);
    // What looks at fixed instants may look anywhere.
    let first = history.stats().oldest.unwrap_or(begin);
    let from = reach_ms.map_or(first, |reach| begin.plus_ms(-reach).plus_ms(-stage.offset_ms_max).max(first));
    let live = stage.engine.store().clone();
    let mut feed = Feed::new((history, &live), (from, begin, settings.end), &own, SLICE_SAMPLES);
    let mut forgotten = begin;
    while let Some(at) = stage.next_slot().filter(|at| *at <= settings.end) {
        feed.until(at);
        stage.evaluate(at, &own, &settings.environment);
        if at.ms_since(forgotten) >= FORGET_EVERY_MS {
            forgotten = at;
            if let Some(reach) = reach_ms {
                live.truncate(at.plus_ms(-reach).plus_ms(-stage.offset_ms_max - MARGIN_MS));
            }
            if !progress(at) {
                break;
            }
        }
    }
    stage.finish(version, settings, (feed.samples, history.stats().series))
}

/// A group on stage.
struct Played {
    group: Group,
    interval: Duration,
    watch: Watch,
    rules: u64,
}

struct Stage {
    engine: Engine,
    groups: Vec<Played>,
    /// When each group is due, in order of time, then of the files.
    due: BinaryHeap<Reverse<(Timestamp, usize)>>,
    offset_ms_max: i64,
    evaluations: u64,
    rows: Vec<Row>,
}

impl Stage {
    fn new(version: &Version, settings: &Settings, begin: Timestamp) -> Self {
        let mut stage = Stage {
            engine: Engine::new(Arc::new(Store::new(StoreOptions { retention: Duration::MAX }))),
            groups: Vec::new(),
            due: BinaryHeap::new(),
            offset_ms_max: 0,
            evaluations: 0,
            rows: Vec::new(),
        };
        for file in &version.files {
            for config in &file.groups {
                let group = Group::new(file.source.name.clone(), config, settings.defaults);
                let interval = settings.step.unwrap_or(group.interval()).max(Duration::from_millis(1));
                let offset = config.query_offset.unwrap_or(settings.defaults.query_offset);
                stage.offset_ms_max = stage.offset_ms_max.max(i64::try_from(offset.as_millis()).unwrap_or(i64::MAX));
                stage.due.push(Reverse((slots::at_or_after(begin, interval), stage.groups.len())));
                let watch = Watch::new(config.rules.len());
                stage.groups.push(Played { group, interval, watch, rules: config.rules.len() as u64 });
            }
        }
        stage
    }

    fn next_slot(&self) -> Option<Timestamp> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// Evaluates the groups that are due at `at`, in order.
    fn evaluate(&mut self, at: Timestamp, own: &Own, environment: &Environment) {
        while let Some(Reverse((_, index))) = self.due.peek().copied().filter(|Reverse((due, _))| *due <= at) {
            self.due.pop();
            let played = &mut self.groups[index];
            self.due.push(Reverse((slots::next_slot(at, played.interval), index)));
            let store = self.engine.store();
            let context = EvalContext { querier: &**store, engine: Some(&self.engine), environment };
            let mut outcome = played.group.eval(at, &context);
            self.evaluations += played.rules;
            played.watch.look(&played.group, &mut outcome, own, at);
            self.rows.clear();
            self.rows.extend(outcome.recorded.into_iter().map(|recorded| {
                let series = recorded.series.unwrap_or_else(|| store.series_ref(&recorded.labels));
                Row::new(series, recorded.at, recorded.value)
            }));
            if !self.rows.is_empty() {
                store.commit(&self.rows);
            }
        }
    }

    fn finish(self, version: &Version, settings: &Settings, (samples, series): (u64, u64)) -> Replay {
        let configs = version.files.iter().flat_map(|file| file.groups.iter().map(move |group| (file, group)));
        let mut rules = Vec::new();
        let groups = self.groups.len();
        for (played, (file, group)) in self.groups.into_iter().zip(configs) {
            for (seen, config) in played.watch.rules.into_iter().zip(&group.rules) {
                rules.push(of_rule(seen, (file, &group.name, config), settings.start));
            }
        }
        Replay { label: version.label.clone(), rules, groups, evaluations: self.evaluations, samples, series }
    }
}

fn of_rule(seen: Seen, (file, group, config): (&RuleFile, &Arc<str>, &RuleConfig), start: Timestamp) -> RuleReplay {
    let counts = |episode: &Episode| episode.ended_at.is_none_or(|ended| ended > start);
    let text = |entry: &Entry| (entry.name.clone(), entry.value.clone());
    RuleReplay {
        file: file.source.name.clone(),
        group: group.clone(),
        name: config.name.clone(),
        kind: config.kind,
        query: config.expr.to_string(),
        labels: Labels::from_pairs(config.labels.iter().map(text)),
        hold_duration: config.hold_duration,
        keep_firing_for: config.keep_firing_for,
        episodes: seen.episodes.into_iter().filter(counts).collect(),
        dropped: seen.dropped,
        failures: seen.failures,
    }
}
