//! What the counters of each target tell together: that it was scraped, and when one of them fell.
//!
//! In the flow: the backtest looks at every counter of a target ([`super::Recording`]), whatever the objective counts. That is the same for all
//! objectives, so it is drawn together once: one series for each target, with a sample for each instant at which any of its counters had one.
//!
//! **Invariants.** An accounting that is fed this series counts what it would if it were fed all the counters ([`Role::Falls`]).
//! **Limits.** Where copies of targets are told apart, which of their samples follow each other shows only when they are counted: nothing is drawn
//! together for those.
//! **Cost.** One pass over all samples, whatever the number of objectives; 32 bytes for each scrape of a target.

use std::collections::HashMap;

use crate::model::{Labels, Sample, Series, Timestamp};

use super::accounting::Role;
use super::entry::TargetKey;
use super::recording::Recording;
use super::spec::Copies;

/// Of all targets of a recording.
pub(super) struct Witnesses {
    by_target: HashMap<TargetKey, Series>,
}

/// The instants of a target, in order, each with the latest "before" of a counter that had fallen by then.
#[derive(Default)]
struct Instants(Vec<(Timestamp, Timestamp)>);

impl Witnesses {
    /// Those of the targets that objectives tell apart in this way.
    pub(super) fn of(recording: &Recording, copies: &Copies) -> Self {
        let none = Labels::empty();
        let mut all = HashMap::new();
        for (series, role) in recording.series() {
            if let Some(role @ (Role::Witness | Role::StartTime)) = role {
                let target = copies.source(&series.labels, &none).target;
                all.entry(target).or_insert_with(Instants::default).add(series, role);
            }
        }
        let drawn = |(target, instants): (TargetKey, Instants)| {
            // Without a metric name, so that it is none of the series that were recorded.
            let mut labels = target.more.to_builder();
            labels.set("job", target.job.clone()).set("instance", target.instance.clone());
            let samples = instants.0.into_iter().map(|(at, before)| Sample::float(at, before.as_ms() as f64));
            (target, Series::new(labels.build(), samples.collect()))
        };
        Witnesses { by_target: all.into_iter().map(drawn).collect() }
    }

    /// That of a target; none where it has no counters.
    pub(super) fn of_target(&self, target: &TargetKey) -> &[Series] {
        self.by_target.get(target).map_or(&[], std::slice::from_ref)
    }
}

impl Instants {
    fn add(&mut self, series: &Series, role: Role) {
        let values = series.samples.iter().filter_map(|sample| Some((sample.at, sample.value.as_float()?)));
        let mut last: Option<(Timestamp, f64)> = None;
        let told = values.filter(|(_, value)| value.is_finite()).map(|(at, value)| {
            let before = last.replace((at, value));
            let shows_restart = |last: f64| if role == Role::StartTime { value != last } else { value < last };
            (at, before.filter(|(_, last)| shows_restart(*last)).map_or(Timestamp::MIN, |(before, _)| before))
        });
        let (mut place, mut new) = (0, Vec::new());
        for (at, before) in told {
            while self.0.get(place).is_some_and(|(known, _)| *known < at) {
                place += 1;
            }
            match self.0.get_mut(place).filter(|(known, _)| *known == at) {
                Some((_, fell_from)) => *fell_from = (*fell_from).max(before),
                None => new.push((at, before)),
            }
        }
        if !new.is_empty() {
            self.0.extend(new);
            self.0.sort_by_key(|(at, _)| *at); // two runs in order: a merge
        }
    }
}
